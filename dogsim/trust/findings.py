"""The findings of an audit."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dogsim.image_files.facts import ImageFacts

if TYPE_CHECKING:
    from dogsim.trust.duplicates import DuplicateKind

UNCOMPARED = "same features"  # the kind of duplicates whose files were not compared
MIN_LABEL_PRECISION = 0.5  # estimated; the list of suspicious labels ends where it falls below
MIN_LABEL_CHANCE = 0.05  # of each label in the list


@dataclass(frozen=True)
class SuspiciousLabel:
    """An image whose neighbours vote for another breed than its own.

    Attributes
    ----------
    path, breed : str
    suggested : str
        The other breed with the largest share of the vote.
    score : float
        The share of its own breed minus the share of the suggested one, -1 to 1.
    chance : float
        The estimated probability that the suggested breed is right, see `suspicious_labels`.
    like : str
        The path of the nearest image of the suggested breed.
    """

    path: str
    breed: str
    suggested: str
    score: float
    chance: float
    like: str


@dataclass(frozen=True)
class NovelImage:
    """An image unlike all others; `p` is the p-value of its novelty score."""

    path: str
    p: float


@dataclass(frozen=True)
class PoorImage:
    """An image that is nearly one colour, tiny, blurred or unreadable."""

    path: str
    problem: str


@dataclass(frozen=True)
class Audit:
    """The findings of an audit. Nothing is deleted or relabelled.

    Attributes
    ----------
    duplicates : tuple of tuple of str
        Groups of paths that show the same image.
    kinds : tuple of str
        For each group the kind of its least similar pair, see `DUPLICATE_KINDS`.
    changes : tuple of tuple of str
        For each path of each group how its image differs from the one to keep, such as "mirrored,
        cropped"; "" for the image to keep and for equal ones.
    keep : tuple of str
        For each group the path of the image to keep.
    scenes : tuple of tuple of str
        Groups of paths of images that show one scene and are not copies.
    leaks : tuple of (str, str)
        Paths of the same image in the dataset and in the test set, one pair for each leak.
    leaks_add : float, optional
        The vote accuracy of all queries of the test set minus the accuracy without the leaks.
    shared_scenes : tuple of (str, str)
        Paths of images in the dataset and in the test set that show one scene.
    labels : tuple of SuspiciousLabel
        The likeliest first. The estimated fraction of wrong ones is `MIN_LABEL_PRECISION` or more.
    novel : tuple of NovelImage
        The most unusual first.
    poor : tuple of PoorImage
    images : dict of str to ImageFacts
        By path, of the images in these findings whose files can be read.
    missing : int
        Number of image files that do not exist.
    left_out : tuple of str
        One line for each part of the audit, or set of images, that was left out.
    """

    duplicates: tuple[tuple[str, ...], ...] = ()
    kinds: tuple["DuplicateKind", ...] = ()
    changes: tuple[tuple[str, ...], ...] = ()
    keep: tuple[str, ...] = ()
    scenes: tuple[tuple[str, ...], ...] = ()
    leaks: tuple[tuple[str, str], ...] = ()
    leaks_add: float | None = None
    shared_scenes: tuple[tuple[str, str], ...] = ()
    labels: tuple[SuspiciousLabel, ...] = ()
    novel: tuple[NovelImage, ...] = ()
    poor: tuple[PoorImage, ...] = ()
    images: dict[str, ImageFacts] = field(default_factory=dict)
    missing: int = 0
    left_out: tuple[str, ...] = ()
