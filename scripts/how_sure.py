"""How sure is an answer? Prediction sets of breeds, and images of none of the breeds.

python scripts/how_sure.py                        # the harder sample
python scripts/how_sure.py --dataset dogs.h5 --save figures
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import dogsim
from dogsim.trust.calibration import calibration_for
from dogsim.trust.coverage import Coverage, measure_coverage
from edge import dataset_of, options, parser_of, show

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("others", nargs="*", type=Path, help="images (default: 12 other drawings)")
parser.add_argument("-k", type=int, default=10, help="number of neighbours that vote (default: 10)")
args = options(parser)

# %% Three fifths are the gallery, two fifths are the queries
dataset = dataset_of(args)
gallery, queries = dogsim.hold_out(dataset, 0.4, args.seed)
print(f"{len(gallery)} images in the gallery, {len(queries)} queries\n")

# %% A higher confidence needs larger sets
# Your turn: other confidences
CONFIDENCES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.97)
coverages: list[Coverage] = []
for confidence in CONFIDENCES:
    calibration = calibration_for(gallery, confidence)
    coverages.append(measure_coverage(calibration, queries.features, queries.labels, confidence))
print("confidence  coverage  breeds in a set")
for found in coverages:
    print(f"{found.confidence:.2f}        {found.coverage:.4f}    {found.mean_set_size:.4f}")


def draw_coverages() -> Figure:
    """Draw the coverage and the set size for each confidence."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0.4, 1], [0.4, 1], color="#888888", ls=":")
    left.annotate("coverage = confidence", (0.42, 0.44), rotation=40, color="#555555")
    left.plot(CONFIDENCES, [each.coverage for each in coverages], "o-", color="#0072b2")
    left.set(xlabel="confidence", ylabel="coverage", xlim=(0.4, 1), ylim=(0.4, 1.01))
    right.plot(CONFIDENCES, [each.mean_set_size for each in coverages], "s-", color="#d55e00")
    right.set(xlabel="confidence", ylabel="breeds in a set", ylim=(0, None))
    return figure


show("coverages", draw_coverages(), args)

# %% 15 images of a breed are too few to reach the coverage for every breed
print("\nat 0.9, the breeds with the lowest coverage")
for breed in coverages[CONFIDENCES.index(0.9)].per_breed[:3]:
    print(f"{breed.coverage:.2f}  {breed.breed}, {breed.mean_set_size:.2f} breeds in a set")

# %% Some answers: breeds that look alike have larger sets
rows = np.random.default_rng(args.seed).choice(len(queries), 6, replace=False)
files = [queries.image_file(row) for row in rows]
print()
for row, answer in zip(rows, dogsim.classify(files, gallery, args.k, confidence=0.9), strict=True):
    print(f"{queries.paths[row]}: {answer}")

# %% Unknown: images of other breeds, and some of breeds in the dataset
others = [file for path in args.others for file in dogsim.find_images(path)]
others = others or dogsim.sample_queries()
answers = dogsim.classify(others, dataset, args.k, confidence=0.9)
print("\n           p      breeds in the set")
for image, answer in zip(others, answers, strict=True):
    trust = answer.trust
    assert trust is not None
    verdict = "unknown" if trust.unknown else ""
    print(f"{verdict:<9}  {trust.novelty_p:.3f}  {image.stem}: {', '.join(trust.breeds)}")
most_novel = min(answers, key=lambda answer: answer.trust.novelty_p if answer.trust else 1)
show("most_novel", most_novel.figure(), args)
