"""What is wrong with a dataset: copies, suspicious labels, what fits nowhere, poor pictures."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError
from dogsim.images import open_image
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.evaluation import Search
from dogsim.trust.calibration import Calibration, calibrate
from dogsim.trust.conformal import p_values
from dogsim.trust.duplicates import Found, find_duplicates, find_leaks, own_neighbours
from dogsim.trust.leave_one_out import LeftOut, leave_out
from dogsim.trust.novelty import novelty_scores

SUSPICIOUS, NOVEL = 0.1, 0.01  # p-values up to which a label, a picture is listed
TINY = 64  # pixels of the short side
FLAT = 10  # grey levels, the standard deviation
BLURRED = 0.05  # mean second difference of 224 x 224 pixels, in standard deviations
VOTERS = 20  # neighbours that judge what leaks add


@dataclass(frozen=True)
class Suspect:
    """A picture whose neighbours vote for another breed than its own.

    Attributes
    ----------
    path, breed : str
    suggested : str
        The breed with the largest share of the vote.
    score : float
        The share of its own breed less that of the suggested one, -1 to 0.
    chance : float
        The share of the suggested breed, which the vote's temperature makes a probability.
    like : str
        The path of the nearest picture of that breed.
    """

    path: str
    breed: str
    suggested: str
    score: float
    chance: float
    like: str


@dataclass(frozen=True)
class Novel:
    """A picture that fits nowhere, and the part of all pictures that fit as badly."""

    path: str
    p: float


@dataclass(frozen=True)
class Poor:
    """A picture that is nearly one colour, tiny or blurred."""

    path: str
    problem: str


@dataclass(frozen=True)
class Audit:
    """What an audit found. Nothing is deleted or relabelled.

    Attributes
    ----------
    duplicates : tuple of tuple of str
        Groups of paths that show the same picture.
    kinds : tuple of str
        For each group: "same file", "same pixels" or "nearly the same".
    leaks : tuple of (str, str)
        Pictures of the test set, second, that the dataset has as well, first.
    leaks_add : float, optional
        The vote accuracy of all the test set's queries less that of those that are no leak.
    labels : tuple of Suspect
        The most suspicious first.
    novel : tuple of Novel
        The oddest first.
    poor : tuple of Poor
    """

    duplicates: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]
    leaks: tuple[tuple[str, str], ...]
    leaks_add: float | None
    labels: tuple[Suspect, ...]
    novel: tuple[Novel, ...]
    poor: tuple[Poor, ...]


def audit(dataset: DatasetOrFile, testset: DatasetOrFile | None = None) -> Audit:
    """Look for copies, suspicious labels, and pictures that fit nowhere or are poor.

    Parameters
    ----------
    dataset : Dataset or path
        Its pictures are read where they can be, as far as its network saw them; without them only
        its features are looked at.
    testset : Dataset or path, optional
        Look also for its pictures in the dataset.

    Returns
    -------
    Audit

    Raises
    ------
    DogsimError
        If the dataset has less than two pictures of known breeds, or the two cannot be compared.
    """
    gallery = as_dataset(dataset)
    queries = None if testset is None else as_dataset(testset)
    if queries:
        gallery.require_comparable(queries)
    found = own_neighbours(gallery)
    groups = find_duplicates(gallery, found=found)
    left_out = leave_out(gallery, groups, found)
    calibration = calibrate(gallery, left_out)
    margins, suggested, shares, novelty = _judged(gallery, left_out, calibration)
    leaks = find_leaks(gallery, queries) if queries else []
    leaked = np.array([asked for _, asked, _ in leaks], np.intp)
    return Audit(
        duplicates=tuple(tuple(gallery.paths[row] for row in group.rows) for group in groups),
        kinds=tuple(group.kind for group in groups),
        leaks=tuple((gallery.paths[i], queries.paths[j]) for i, j, _ in leaks if queries),
        leaks_add=_added(gallery, queries, leaked) if queries and leaks else None,
        labels=_suspects(gallery, calibration, found, margins, suggested, shares),
        novel=_novel(gallery, calibration, novelty),
        poor=tuple(_poor(gallery)),
    )


def label_margins(dataset: Dataset) -> NDArray[np.float64]:
    """Score each label, (n,): its share of the neighbours' vote less the best other one's.

    From -1, surely wrong, to 1; NaN where the breed is not known.
    """
    found = own_neighbours(dataset)
    left_out = leave_out(dataset, find_duplicates(dataset, found=found), found)
    return _judged(dataset, left_out, calibrate(dataset, left_out))[0]


def _judged(
    dataset: Dataset, left_out: LeftOut, calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Margin, the best other breed and both shares (n, 2), and the novelty score of each row."""
    blocks = []
    for some, shares in left_out.shares(dataset, calibration.temperature):
        labels, rows = dataset.labels[some], np.arange(len(shares))
        own = np.where(labels >= 0, shares[rows, labels], np.nan)
        others = shares.copy()
        others[rows, labels] = -1
        best = others.argmax(axis=1)
        other = others[rows, best]
        novelty = novelty_scores(left_out.squares[some], shares)
        blocks.append((own - other, best, np.stack([own, other], axis=1), novelty))
    margins, suggested, both, novelties = (np.concatenate(x) for x in zip(*blocks, strict=True))
    return margins, suggested, both, novelties


def _suspects(
    dataset: Dataset,
    calibration: Calibration,
    found: Found,
    margins: NDArray[np.float64],
    suggested: NDArray[np.intp],
    shares: NDArray[np.float64],
) -> tuple[Suspect, ...]:
    rare = p_values(calibration.own, shares[:, 0]) <= SUSPICIOUS
    listed = np.flatnonzero(rare & (margins < 0) & (dataset.labels >= 0))

    def like(row: int) -> str:
        near = found[1][row]
        of_breed = near[dataset.labels[near] == suggested[row]]
        return dataset.paths[of_breed[0]] if len(of_breed) else ""

    return tuple(
        Suspect(
            path=dataset.paths[row],
            breed=dataset.breed(row),
            suggested=dataset.breeds[suggested[row]],
            score=float(margins[row]),
            chance=float(shares[row, 1]),
            like=like(row),
        )
        for row in listed[np.argsort(margins[listed], kind="stable")].tolist()
    )


def _novel(
    dataset: Dataset, calibration: Calibration, novelty: NDArray[np.float64]
) -> tuple[Novel, ...]:
    own = np.where(calibration.place >= 0, -calibration.novelty[calibration.place], np.nan)
    p = p_values(-calibration.novelty, -novelty, own)
    listed = np.flatnonzero(p <= NOVEL)
    order = listed[np.argsort(p[listed], kind="stable")].tolist()
    return tuple(Novel(dataset.paths[row], float(p[row])) for row in order)


def _added(dataset: Dataset, testset: Dataset, leaked: NDArray[np.intp]) -> float | None:
    search = Search(dataset, testset)
    found = search.neighbours(min(VOTERS, search.most))
    right = found.answers(found.labels.shape[1]) == found.truth
    others = ~np.isin(search.rows, leaked)
    return float(right.mean() - right[others].mean()) if others.any() else None


def _poor(dataset: Dataset) -> list[Poor]:
    if not (len(dataset) and dataset.image_file(0).is_file()):
        return []
    look = partial(_problem, dataset)
    problems = prefetch(look, range(len(dataset)), ahead=64, threads=usable_cpus())
    batches = track(batched(problems, 64), len(dataset), "pictures")
    told = [problem for batch in batches for problem in batch]
    return [
        Poor(path, problem) for path, problem in zip(dataset.paths, told, strict=True) if problem
    ]


def _problem(dataset: Dataset, row: int) -> str:
    try:
        image = open_image(dataset.source(row))
    except DogsimError:
        return "cannot be read"
    if min(image.size) < TINY:
        return f"tiny: {image.width} x {image.height} pixels"
    resized = image.convert("L").resize((224, 224), Image.Resampling.BICUBIC)
    grey = np.asarray(resized, np.float64)
    deviation = float(grey.std())
    if deviation < FLAT:
        return "nearly one colour"
    centre, sides = grey[1:-1, 1:-1], grey[:-2, 1:-1] + grey[2:, 1:-1]
    second = np.abs(sides + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre)
    return "blurred" if second.mean() < BLURRED * deviation else ""
