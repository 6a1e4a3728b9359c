"""Find wrong labels: images whose neighbours vote for another breed, each with its chance.

The leave-one-out vote predicts the breed of each image from the others, see `leave_one_out`. Let
q(b) be the share of breed b in the vote, and let a fraction r of the labels be wrong, any of the
c - 1 other breeds alike. Then the label g has the probability

    (1 - r) q(g) + r / (c - 1) (1 - q(g)),

and the chance that breed b is right where g was given is r / (c - 1) q(b), divided by this. The
temperature of the vote and the fraction r are those at which all labels together are the likeliest.
If the votes explain every label, r is 0 and no label is suspicious.

The chance is a low estimate for labels that are wrong at random: other wrong labels take part in
the vote, so q(g) is too large. It is lower still for breeds that look alike, where a wrong label
looks like an image between the breeds.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogsim.dist_calc import nearest
from dogsim.trust.findings import MIN_LABEL_CHANCE, MIN_LABEL_PRECISION, SuspiciousLabel

if TYPE_CHECKING:
    from dogsim.trust.leave_one_out import Float64Array, LeaveOneOut, VoteScores

# From one label in 100,000, which stands for none, to a quarter of all, in steps of 10 %. With
# more, a vote that is no better than chance would explain the labels as well.
WRONG_FRACTIONS = 1e-5 * 1.1 ** np.arange(107)


@dataclass(frozen=True)
class LabelNoise:
    """The estimated fraction of wrong labels, with the temperature of the votes that show it."""

    fraction: float
    temperature: float


def suspicious_labels(left_out: "LeaveOneOut") -> tuple[SuspiciousLabel, ...]:
    """Find the labels that are likely wrong, the likeliest first.

    The list ends where its estimated precision, the mean of the chances, falls below
    `MIN_LABEL_PRECISION`, or the chance of a label below `MIN_LABEL_CHANCE`.
    """
    dataset = left_out.dataset
    if left_out.n_breeds < 2:
        return ()
    noise = estimate_label_noise(left_out)
    scores = left_out.scores(noise.temperature)
    chances = label_chances(scores, noise.fraction, left_out.n_breeds)  # (n,)
    chances[scores.margins >= 0] = np.nan  # the neighbours vote for the image's own breed
    return tuple(
        SuspiciousLabel(
            path=dataset.paths[row],
            breed=dataset.breed(row),
            suggested=dataset.breeds[scores.other[row]],
            score=float(scores.margins[row]),
            chance=float(chances[row]),
            like=dataset.paths[_nearest_of_breed(left_out, row, scores.other[row])],
        )
        for row in likeliest_rows(chances, MIN_LABEL_PRECISION).tolist()
    )


def _nearest_of_breed(left_out: "LeaveOneOut", row: int, label: int) -> int:
    """Return the row of the nearest image of a breed."""
    dataset, neighbours = left_out.dataset, left_out.neighbours[1][row]
    of_breed = neighbours[dataset.labels[neighbours] == label]
    if len(of_breed):
        return int(of_breed[0])
    rows = np.flatnonzero(dataset.labels == label)
    _, ((place,),) = nearest(dataset.features[rows], dataset.features[[row]], 1, "cosine")
    return int(rows[place])


def estimate_label_noise(left_out: "LeaveOneOut") -> LabelNoise:
    """Estimate the fraction of wrong labels by maximum likelihood."""
    best, noise = -np.inf, LabelNoise(0, 1)
    for temperature in left_out.temperatures():
        own = left_out.own_shares(temperature)  # (m,)
        other = (1 - own) / (left_out.n_breeds - 1)
        for fraction in WRONG_FRACTIONS.tolist():
            likelihood = float(np.log((1 - fraction) * own + fraction * other).mean())
            if likelihood > best:
                best, noise = likelihood, LabelNoise(fraction, temperature)
    return noise


def label_chances(scores: "VoteScores", fraction: float, n_breeds: int) -> "Float64Array":
    """Compute the chance that the best other breed of each image is right, (n,) float64.

    NaN for images without a label. `fraction` is that of wrong labels.

    >>> from dogsim.trust.leave_one_out import VoteScores
    >>> once = VoteScores(np.array([0.001]), np.array([1]), np.array([0.9]), np.array([0.0]))
    >>> label_chances(once, 0.1, 2).round(3)
    array([0.893])
    """
    each = fraction / (n_breeds - 1)
    given = (1 - fraction) * scores.own + each * (1 - scores.own)
    return np.asarray(each * scores.other_share / given)


def likeliest_rows(chances: "Float64Array", min_precision: float) -> NDArray[np.intp]:
    """Return the rows with the largest chances, of which at least a fraction is right on average.

    NaN and chances below `MIN_LABEL_CHANCE` are left out; ties go to the lower row.

    >>> likeliest_rows(np.array([0.1, 0.9, np.nan, 0.4]), min_precision=0.5)
    array([1, 3])
    """
    order = np.argsort(-chances, kind="stable")  # NaN last
    sorted_chances = chances[order][: int((chances >= MIN_LABEL_CHANCE).sum())]
    means = np.cumsum(sorted_chances) / np.arange(1, len(sorted_chances) + 1)
    return order[: int((means >= min_precision).sum())]
