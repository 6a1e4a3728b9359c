"""Find suspicious labels and novel images, both by the leave-one-out votes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays
from dogsim.errors import DogsimError, counted
from dogsim.trust.conformal import own_scores, p_values
from dogsim.trust.findings import NovelImage, SuspiciousLabel
from dogsim.trust.leave_one_out import LeaveOneOut, voting_rows
from dogsim.trust.suspicious_labels import suspicious_labels

NOVELTY_THRESHOLD = 0.01  # p-value up to which an image is listed


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
