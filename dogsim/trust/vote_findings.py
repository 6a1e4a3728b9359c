"""Find suspicious labels, each with its chance, and novel images, by the leave-one-out votes.

A label is suspicious if the leave-one-out vote, see `leave_one_out`, is for another breed. Let q(b)
be the share of breed b in the vote, and let a fraction r of the labels be wrong, any of the c - 1
other breeds alike. Then the label g has the probability

    (1 - r) q(g) + r / (c - 1) (1 - q(g)),

and the chance that breed b is right where g was given is r / (c - 1) q(b), divided by this. The
temperature of the vote and the fraction r are those at which all labels together are the likeliest.
If the votes explain every label, r is 0 and no label is suspicious.

The chance is a low estimate for labels that are wrong at random: other wrong labels take part in
the vote, so q(g) is too large. It is lower still for breeds that look alike, where a wrong label
looks like an image between the breeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays, nearest
from dogsim.errors import DogsimError, counted
from dogsim.trust.conformal import own_scores, p_values
from dogsim.trust.findings import MIN_LABEL_CHANCE, MIN_LABEL_PRECISION, NovelImage, SuspiciousLabel
from dogsim.trust.leave_one_out import Float64Array, LeaveOneOut, VoteScores, voting_rows

NOVELTY_THRESHOLD = 0.01  # p-value up to which an image is listed
# From one label in 100,000, which stands for none, to a quarter of all, in steps of 10 %. With
# more, a vote that is no better than chance would explain the labels as well.
WRONG_FRACTIONS = 1e-5 * 1.1 ** np.arange(107)


@dataclass(frozen=True)
class VoteFindings:
    """Suspicious labels, novel images, and a line for each of both that cannot be looked for."""

    labels: tuple[SuspiciousLabel, ...] = ()
    novel: tuple[NovelImage, ...] = ()
    left_out: tuple[str, ...] = ()


def vote_findings(
    dataset: Dataset, neighbours: NeighbourArrays, groups: Sequence[Sequence[int]]
) -> VoteFindings:
    """Find the suspicious labels and the novel images of a dataset.

    Without labels, an image is novel if it is far from all others.

    Parameters
    ----------
    dataset, neighbours, groups
        As for `LeaveOneOut`.
    """
    rows, _ = voting_rows(dataset, groups)
    n_breeds = len(np.unique(dataset.labels[rows]))
    line = (
        "Suspicious labels were not looked for: the dataset has images of "
        f"{counted(n_breeds, 'breed')}. Expected two or more: dogsim create-dataset --labels."
    )
    left_out = (line,) if n_breeds < 2 else ()
    if len(rows) < 2:  # all images vote alike
        dataset = replace(dataset, labels=np.zeros(len(dataset), np.int32), breeds=("image",))
        rows, _ = voting_rows(dataset, groups)
    if len(rows) < 2:
        images = counted(len(rows), "image")
        line = f"Novel images were not looked for: {images} can be compared. Expected two or more."
        return VoteFindings(left_out=(*left_out, line))
    try:
        votes = LeaveOneOut(dataset, neighbours, groups)
    except DogsimError as error:  # all images show one scene
        line = f"Neither suspicious labels nor novel images were looked for: {error}"
        return VoteFindings(left_out=(line,))
    labels = suspicious_labels(votes) if n_breeds > 1 else ()
    return VoteFindings(labels, novel_images(votes), left_out)


def novel_images(votes: LeaveOneOut) -> tuple[NovelImage, ...]:
    """Find the images whose novelty score is among the largest of all, the most unusual first."""
    novelty = votes.scores().novelty  # (n,)
    calibration = -novelty[votes.rows]  # negated, because large novelty scores are unusual
    p = p_values(calibration, -novelty, own_scores(calibration, votes.place))
    listed = np.flatnonzero(p <= NOVELTY_THRESHOLD)
    order = listed[np.argsort(p[listed], kind="stable")].tolist()
    return tuple(NovelImage(votes.dataset.paths[row], float(p[row])) for row in order)


@dataclass(frozen=True)
class LabelNoise:
    """The estimated fraction of wrong labels, with the temperature of the votes that show it."""

    fraction: float
    temperature: float


def suspicious_labels(left_out: LeaveOneOut) -> tuple[SuspiciousLabel, ...]:
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


def _nearest_of_breed(left_out: LeaveOneOut, row: int, label: int) -> int:
    """Return the row of the nearest image of a breed."""
    dataset, neighbours = left_out.dataset, left_out.neighbours[1][row]
    of_breed = neighbours[dataset.labels[neighbours] == label]
    if len(of_breed):
        return int(of_breed[0])
    rows = np.flatnonzero(dataset.labels == label)
    _, ((place,),) = nearest(dataset.features[rows], dataset.features[[row]], 1, "cosine")
    return int(rows[place])


def estimate_label_noise(left_out: LeaveOneOut) -> LabelNoise:
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


def label_chances(scores: VoteScores, fraction: float, n_breeds: int) -> Float64Array:
    """Compute the chance that the best other breed of each image is right, (n,) float64.

    NaN for images without a label. `fraction` is that of wrong labels.

    >>> once = VoteScores(np.array([0.001]), np.array([1]), np.array([0.9]), np.array([0.0]))
    >>> label_chances(once, 0.1, 2).round(3)
    array([0.893])
    """
    each = fraction / (n_breeds - 1)
    given = (1 - fraction) * scores.own + each * (1 - scores.own)
    return np.asarray(each * scores.other_share / given)


def likeliest_rows(chances: Float64Array, min_precision: float) -> NDArray[np.intp]:
    """Return the rows with the largest chances, of which at least a fraction is right on average.

    NaN and chances below `MIN_LABEL_CHANCE` are left out; ties go to the lower row.

    >>> likeliest_rows(np.array([0.1, 0.9, np.nan, 0.4]), min_precision=0.5)
    array([1, 3])
    """
    order = np.argsort(-chances, kind="stable")  # NaN last
    sorted_chances = chances[order][: int((chances >= MIN_LABEL_CHANCE).sum())]
    means = np.cumsum(sorted_chances) / np.arange(1, len(sorted_chances) + 1)
    return order[: int((means >= min_precision).sum())]
