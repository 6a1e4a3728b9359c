"""What the pictures of a dataset say of each other: how often such a vote is right.

Each picture is left out once and its nearest vote softly, exp(-d^2 / T) on unit vectors. The share
of its own breed tells how well the vote knows such pictures; that of a new one is compared with
all of these. T is the one under which the shares are the likeliest probabilities.

Copies and shots of one burst would vouch for each other, and no new picture has such a friend. So
of each group that `duplicates` finds only the first calibrates and votes.
"""

import io
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.plumbing.files import make_folder, replacing
from dogsim.trust.duplicates import find_duplicates
from dogsim.trust.novelty import novelty_scores

K = 50  # neighbours that vote
TEMPERATURES = 2.0 ** -np.arange(0, 7, 0.5)  # of the median squared distance to the last of them
UNIFORM = 0.01  # what of a probability is spread evenly: a breed without a vote is not impossible
BLOCK = 4096  # pictures at a time
KEPT = 20  # datasets whose calibration is kept
VERSION = 1  # of what is kept

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of a dataset once each of its pictures has been left out.

    Attributes
    ----------
    rows : (m,) int
        The rows that count: of a known breed, and the first of their group.
    place : (n,) int
        For each row of the dataset where in `rows` its group is, -1 for one of no known breed.
    temperature : float
        T of the vote.
    own : (m,) float64
        The share of each one's own breed when it is left out.
    novelty : (m,) float64
        Its score, see `novelty_scores`.
    """

    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    temperature: float
    own: Floats
    novelty: Floats


def calibration_of(dataset: Dataset) -> Calibration:
    """Calibrate a dataset, or read what an earlier question has left in the cache folder.

    It is kept under the hash of features and labels; what cannot be read is computed again.

    Raises
    ------
    DogsimError
        If the dataset went through a head, or it has less than two pictures that count.
    """
    _refuse_head(dataset)
    file = user_cache_path("dogsim") / f"trust-{_content(dataset)}.npz"
    try:
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            kept = {field.name: stored[field.name] for field in fields(Calibration)}
        file.touch()  # the ones asked last are kept
        return Calibration(**{**kept, "temperature": float(kept["temperature"])})
    except Exception:  # not there yet, or damaged in whatever way
        pass
    calibration = calibrate(dataset)
    _keep(file, calibration)
    return calibration


def calibrate(dataset: Dataset) -> Calibration:
    """Leave out each picture once, see `calibration_of`."""
    rows, place = _that_count(dataset)
    if len(rows) < 2:
        raise DogsimError(
            f"Received a dataset in which {len(rows)} pictures of known breeds count. Expected at "
            "least 9 for a confidence of 0.9: give it more pictures, or photos in breed folders."
        )
    gallery = dataset.take(rows)
    squares, labels = neighbourhood(gallery, gallery.features, np.arange(len(rows)))
    known = len(dataset.breeds)
    temperature = _likeliest(squares, labels, gallery.labels, known)
    own, novelty = [], []
    for start in range(0, len(rows), BLOCK):
        some = slice(start, start + BLOCK)
        shares = soft_votes(squares[some], labels[some], temperature, known)
        own.append(np.take_along_axis(shares, gallery.labels[some, None], axis=1)[:, 0])
        novelty.append(novelty_scores(squares[some], shares))
    return Calibration(rows, place, temperature, np.concatenate(own), np.concatenate(novelty))


def neighbourhood(
    gallery: Dataset, features: NDArray[np.float32], exclude: NDArray[np.intp] | None = None
) -> tuple[Floats, NDArray[np.int32]]:
    """Find the neighbours that vote.

    Parameters
    ----------
    gallery : Dataset
        The m pictures that count.
    features : (n, d) float32
        Of the pictures that are asked about.
    exclude : (n,) int, optional
        For each of them its own row in the gallery, -1 where it has none.

    Returns
    -------
    squares : (n, k) float64
        Squared distances on unit vectors, nearest first; infinite for one that is left out.
    labels : (n, k) int32
    """
    if exclude is None:
        exclude = np.full(len(features), -1)
    more = int((exclude >= 0).any())
    k = min(K, len(gallery) - more)
    distances, indices = nearest(gallery, features, k + more, "cosine")
    squares = 2 * distances  # |a - b|^2 = 2 - 2 cos
    squares[indices == exclude[:, None]] = np.inf
    order = np.argsort(squares, axis=1, kind="stable")[:, :k]
    squares = np.take_along_axis(squares, order, axis=1)
    return squares, gallery.labels[np.take_along_axis(indices, order, axis=1)]


def soft_votes(
    squares: Floats, labels: NDArray[np.int32], temperature: float, breeds: int
) -> Floats:
    """Let neighbours vote with the weight exp(-d^2 / T), and give each breed its share.

    Parameters
    ----------
    squares : (n, k) float64
        Squared distances, nearest first.
    labels : (n, k) int32
    temperature : float
    breeds : int
        How many there are.

    Returns
    -------
    (n, breeds) float64
        Every row sums to 1.

    >>> soft_votes(np.array([[0.0, 0.0, np.inf]]), np.int32([[1, 0, 0]]), 1.0, 2)
    array([[0.5, 0.5]])
    """
    weights = np.exp((squares[:, :1] - squares) / temperature)
    places = np.arange(len(labels))[:, None] * breeds + labels
    counts = np.bincount(places.ravel(), weights.ravel(), minlength=len(labels) * breeds)
    return np.asarray(counts.reshape(-1, breeds) / weights.sum(axis=1, keepdims=True))


def _that_count(dataset: Dataset) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of `Calibration` and the place of each row."""
    first = np.arange(len(dataset))
    for group in find_duplicates(dataset, near=False):
        first[list(group.rows)] = min(group.rows)
    labelled = dataset.labels >= 0
    # A group may begin with a picture of no known breed; then the first that has one stands for it.
    place = np.full(len(dataset), -1, np.intp)
    rows: list[int] = []
    taken: dict[int, int] = {}
    for row in np.flatnonzero(labelled).tolist():
        if first[row] not in taken:
            taken[first[row]] = len(rows)
            rows.append(row)
        place[row] = taken[first[row]]
    return np.array(rows, np.intp), place


def _likeliest(
    squares: Floats, labels: NDArray[np.int32], truth: NDArray[np.int32], breeds: int
) -> float:
    """The temperature under which the true breeds are likeliest."""
    scale = float(np.median(squares[:, -1])) or 1.0
    right = labels == truth[:, None]

    def likelihood(temperature: float) -> float:
        weights = np.exp((squares[:, :1] - squares) / temperature)
        share = (weights * right).sum(axis=1) / weights.sum(axis=1)
        return float(np.log((1 - UNIFORM) * share + UNIFORM / breeds).mean())

    return float(max((scale * TEMPERATURES).tolist(), key=likelihood))


def _refuse_head(dataset: Dataset) -> None:
    if dataset.recipe and dataset.recipe.head_sha256:
        raise DogsimError(
            f"Received a dataset that went through the head {dataset.recipe.head}. A head knows "
            "the pictures it was trained on too well to tell how often it is right on new ones. "
            "Expected the dataset before dogsim project."
        )


def _content(dataset: Dataset) -> str:
    """Hash what a calibration depends on."""
    digest = sha256(repr((VERSION, dataset.features.shape, len(dataset.breeds))).encode())
    for start in range(0, len(dataset), BLOCK):
        digest.update(np.ascontiguousarray(dataset.features[start : start + BLOCK]).tobytes())
    digest.update(np.ascontiguousarray(dataset.labels, np.int32).tobytes())
    digest.update(bytes([len(dataset) > 0 and dataset.picture(0).is_file()]))
    return digest.hexdigest()[:32]


def _keep(file: Path, calibration: Calibration) -> None:
    """Keep a calibration, and no more than `KEPT` of them; without it the next one takes longer."""
    content = io.BytesIO()
    np.savez(content, **asdict(calibration))
    try:
        make_folder(file.parent)
        with replacing(file) as temporary:
            temporary.write_bytes(content.getvalue())
        kept = sorted(file.parent.glob("trust-*.npz"), key=lambda each: each.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink()
    except (DogsimError, OSError):
        pass
