"""How sure is an answer? Sets of breeds with a promise, and pictures that are of none.

python scripts/how_sure.py                        # the harder sample
python scripts/how_sure.py --dataset dogs.h5 --save figures
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dogsim
from dogsim.accuracy import judge
from dogsim.trust.conformal import Coverage
from edge import dataset_of, options, parser_of, show

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("strange", nargs="*", type=Path, help="pictures (default: 12 other drawings)")
parser.add_argument("-k", type=int, default=10, help="how many neighbours vote (default: 10)")
args = options(parser)

# %% Three fifths are known, and two fifths are asked about
dataset = dataset_of(args)
known, asked = dogsim.hold_out(dataset, 0.4, args.seed)
print(f"{len(known)} pictures are known, {len(asked)} are asked about\n")

# %% What a promise costs
# Your turn: other promises
PROMISES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
kept: list[Coverage] = []
for promise in PROMISES:
    found = judge(known, [args.k], asked, confidence=promise).coverage
    assert found is not None
    kept.append(found)
print("promised  kept    breeds in the set")
for promise, found in zip(PROMISES, kept, strict=True):
    print(f"{promise:.2f}      {found.coverage:.4f}  {found.mean_set_size:.4f}")


def promises() -> Figure:
    """Draw what was kept, and how many breeds that took."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0.4, 1], [0.4, 1], color="#888888", ls=":")
    left.annotate("as promised", (0.42, 0.44), rotation=40, color="#555555")
    left.plot(PROMISES, [each.coverage for each in kept], "o-", color="#0072b2")
    left.set(xlabel="promised", ylabel="kept", xlim=(0.4, 1), ylim=(0.4, 1.01))
    right.plot(PROMISES, [each.mean_set_size for each in kept], "s-", color="#d55e00")
    right.set(xlabel="promised", ylabel="breeds in a set", ylim=(0, None))
    return figure


show("promises", promises(), args)

# %% Breed by breed the promise is an average
print("\nat 0.9, the breeds least well held")
for breed in kept[PROMISES.index(0.9)].per_breed[:3]:
    print(f"{breed.coverage:.2f}  {breed.breed}, {breed.mean_set_size:.2f} breeds in a set")

# %% Some answers: the set is larger where breeds look alike
rows = np.random.default_rng(args.seed).choice(len(asked), 6, replace=False)
pictures = [asked.image_file(row) for row in rows]
print()
for row, answer in zip(rows, dogsim.classify(pictures, known, args.k, confidence=0.9), strict=True):
    print(f"{asked.paths[row]}: {answer}")

# %% None of these: breeds that the dataset has not got, and some that it has
strangers = [file for path in args.strange for file in dogsim.find_images(path)]
strangers = strangers or dogsim.sample_queries()
answers = dogsim.classify(strangers, dataset, args.k, confidence=0.9)
print("\n           p      breeds in the set")
for picture, answer in zip(strangers, answers, strict=True):
    trust = answer.trust
    assert trust is not None
    says = "unknown" if trust.unknown else ""
    print(f"{says:<9}  {trust.novelty_p:.3f}  {picture.stem}: {', '.join(trust.breeds)}")
oddest = min(answers, key=lambda answer: answer.trust.novelty_p if answer.trust else 1)
show("oddest", oddest.figure(), args)
