"""Why are they near? Where a distance comes from, place by place, and where it misleads the vote.

python scripts/why_near.py                        # the harder sample
python scripts/why_near.py --dataset dogs.h5 --save figures
"""

# %%
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import dogsim
from dogsim.explain import origin_of
from dogsim.figures.evaluation import confusion_matrix
from dogsim.figures.tree import tree_order
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import confusions
from draw_sample_dogs import draw_with_box
from edge import dataset_of, options, parser_of, show

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("-k", type=int, default=20, help="number of neighbours that vote (default: 20)")
args = options(parser)

# %% The query with the nearest neighbour of another breed
dataset = dataset_of(args)
extractor = dogsim.extractor_for(dataset.recipe, args.weights)
distances, neighbours = dogsim.nearest(dataset, dataset, 20, exclude=np.arange(len(dataset)))
right = dataset.labels[neighbours] == dataset.labels[:, None]
misled = np.flatnonzero(~right[:, 0] & right.any(axis=1) & (distances[:, 0] > 0))
# Your turn: another query, its index in dataset.paths
query = int(misled[distances[misled, 0].argmin()])
wrong, own = int(neighbours[query, 0]), int(neighbours[query, right[query].argmax()])

# %% Where the two distances come from, exactly
for name, other in (("wrong", wrong), ("right", own)):
    names = dataset.paths[query], dataset.paths[other]
    images = dataset.source(query), dataset.source(other)
    why = dogsim.explain(*images, extractor, origin=origin_of(dataset))
    print(f"{names[0]} and {names[1]}: distance {why.distance:.4f}, its square ", end="")
    print(f"{why.distance**2:.4f}; {why.query_parts.size} places of either add up to {why.sum:.4f}")
    show(f"why-{name}", dogsim.heat_maps(*images, why, names), args)


# %% Two dogs on snow
def inside(parts: NDArray[np.float64], image: Image.Image, box: tuple[int, ...]) -> float:
    """Return the fraction of the sum of parts (h, w) in a box: left, top, right, bottom."""
    rows, columns = (np.arange(n) + 0.5 for n in parts.shape)
    x, y = columns / parts.shape[1] * image.width, rows / parts.shape[0] * image.height
    left, top, right, bottom = box
    within = np.outer((top <= y) & (y < bottom), (left <= x) & (x < right))
    return float(parts[within].sum() / parts.sum())


# Your turn: other breeds and numbers of the first sample, data/sample_dogs
names = "Doberman", "pug"
drawn = draw_with_box(names[0], 3), draw_with_box(names[1], 1)
why = dogsim.explain(drawn[0][0], drawn[1][0], extractor)
print(f"\n{' and '.join(names)}, distance {why.distance:.4f}; in the box of the dog are")
sides = (why.query_parts, why.query_likeness), (why.other_parts, why.other_likeness)
for name, (image, box), (parts, likeness) in zip(names, drawn, sides, strict=True):
    area = inside(np.ones_like(parts), image, box)
    print(
        f"{area:.0%} of the places of the {name}, {inside(parts, image, box):.0%} of the ", end=""
    )
    print(f"distance, {inside(likeness, image, box):.0%} of what they have in common")
show("on-snow", dogsim.heat_maps(drawn[0][0], drawn[1][0], why, names), args)

# %% The mistakes of the vote
found = Evaluation(dataset).neighbours(args.k)
pairs = confusions(found)
mistakes = sum(pair.count for pair in pairs)
print(f"\n{mistakes} of {len(dataset)} votes of {args.k} are wrong, most often")
for pair in pairs[:6]:
    print(f"{pair.count:>4} {pair.breed}, taken for {pair.taken_for}")
show("confusions", confusion_matrix(found, tree_order(dataset)), args)

# %% The tree of breeds: which are near each other in the features
show("tree", dogsim.breed_tree(dataset), args)
