"""The verdict on two images: a copy and how it was changed, another shot of one scene, or neither.

The thresholds are those of the fields of `Evidence` and `Alignment`; docs/duplicates.md and
docs/scenes.md report how they were measured.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from dogsim.image_files.alignment import Keypoints, align
from dogsim.image_files.changes import describe_change
from dogsim.image_files.detail import Pixels
from dogsim.image_files.evidence import Evidence, compare_aligned
from dogsim.image_files.registration import register
from dogsim.image_files.small_image import SmallImage

PairKind: TypeAlias = Literal["same file", "same pixels", "copy", "same scene", "different"]
PAIR_KINDS: tuple[PairKind, ...] = get_args(PairKind)  # the most similar first

MIN_SHOWN, MIN_BOTH_SHOWN = 0.5, 0.22  # of the area of one image, and of each
MIN_CORRELATION, MIN_AGREEING = 0.8, 0.4
MIN_PERSISTENCE, MAX_LOST = 0.75, 0.25
FEW_INLIERS, MIN_PERSISTENCE_OF_FEW = 20, 0.85
MAX_REPLACED = 0.05
MAX_BEND = 0.1  # pixels
MAX_SHIFT, MAX_SHIFT_DEVIATIONS = 0.1, 2.6  # pixels, and standard deviations
MAX_COLOUR_CONFLICT = 0.15
MIN_SCENE_INLIERS, MIN_SCENE_SPREAD, MIN_SCENE_CORRELATION = 26, 0.16, 0.2
FEW_KEYPOINTS = 250  # in one of two images that may be registered without matches of keypoints
MAX_REGISTERED_TINT = 35.0  # CIELAB units between the mean colours


@dataclass(frozen=True)
class Verdict:
    """What two images have in common.

    Attributes
    ----------
    kind : str
        One of `PAIR_KINDS`.
    change : str
        How the second image of a copy differs from the first, such as "mirrored, grey".
    reverse : str
        How the first differs from the second.
    """

    kind: PairKind
    change: str = ""
    reverse: str = ""

    def reversed(self) -> "Verdict":
        """Return the verdict on the same images in the other order."""
        return Verdict(self.kind, self.reverse, self.change)


class ComparedImage(Protocol):
    """An image that is compared with many others; its pixels are needed for few of them."""

    @property
    def keypoints(self) -> Keypoints:
        """The keypoints of the image."""

    @property
    def small(self) -> SmallImage:
        """The image at small sizes; needed for images with few keypoints only."""

    def pixels(self) -> Pixels:
        """Decode the image, (h, w, 3) uint8, at a size fit for the comparison."""


def compare_images(one: ComparedImage, other: ComparedImage) -> Verdict:
    """Compare two images.

    The kind is "copy", "same scene" or "different"; "same file" and "same pixels" need the files.
    """
    alignment = align(one.keypoints, other.keypoints)
    evidence = alignment and compare_aligned(one.pixels(), other.pixels(), alignment)
    if evidence and is_copy(evidence):
        return _copy(evidence)
    if evidence and is_same_scene(evidence):
        return Verdict("same scene")
    if min(len(one.keypoints), len(other.keypoints)) < FEW_KEYPOINTS:
        alignment = register(one.small, other.small)
        evidence = alignment and compare_aligned(one.pixels(), other.pixels(), alignment)
        if evidence and has_colours_of_copy(evidence):
            return _copy(evidence)
    return Verdict("different")


def is_copy(evidence: Evidence) -> bool:
    """Return whether two images are copies of one photo."""
    few = evidence.alignment.inliers < FEW_INLIERS
    min_persistence = MIN_PERSISTENCE_OF_FEW if few else MIN_PERSISTENCE
    max_shift = max(MAX_SHIFT, MAX_SHIFT_DEVIATIONS * evidence.shift_noise)
    return (
        max(evidence.fractions) >= MIN_SHOWN
        and min(evidence.fractions) >= MIN_BOTH_SHOWN
        and evidence.correlation >= MIN_CORRELATION
        and evidence.agreeing >= MIN_AGREEING
        and max(evidence.persistences) >= min_persistence
        and evidence.lost <= MAX_LOST
        and evidence.replaced <= MAX_REPLACED
        and evidence.bend <= MAX_BEND
        and evidence.shift <= max_shift
        and evidence.colour_conflict <= MAX_COLOUR_CONFLICT
    )


def has_colours_of_copy(evidence: Evidence) -> bool:
    """Return whether the colours of two registered images are those of copies."""
    # A change of tone explains any two colours of an image that has only two.
    return (
        evidence.colour_conflict <= MAX_COLOUR_CONFLICT
        and evidence.tone.tint <= MAX_REGISTERED_TINT
    )


def is_same_scene(evidence: Evidence) -> bool:
    """Return whether two images that are no copies show one scene."""
    # Matches within a small part of both images show an object, which may be at another place.
    return (
        evidence.alignment.inliers >= MIN_SCENE_INLIERS
        and evidence.alignment.spread >= MIN_SCENE_SPREAD
        and evidence.correlation >= MIN_SCENE_CORRELATION
    )


def _copy(evidence: Evidence) -> Verdict:
    return Verdict("copy", _described(evidence), _described(evidence.reversed()))


def _described(evidence: Evidence) -> str:
    """Describe how the second image differs from the first."""
    return describe_change(
        evidence.alignment,
        evidence.fractions,
        evidence.tone,
        evidence.blur,
        evidence.persistences,
    )
