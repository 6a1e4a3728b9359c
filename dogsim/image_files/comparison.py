"""The verdict on two images: a copy and how it was changed, another shot of one scene, or neither.

The thresholds are those of the fields of `Evidence` and `Alignment`; docs/duplicates.md and
docs/scenes.md report how they were measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

import numpy as np

from dogsim.image_files.alignment import Alignment, Keypoints, align
from dogsim.image_files.colour_change import ToneChange
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

# Thresholds of the words that describe a change.
ANGLE_TOLERANCE = 1.0  # degrees, of a rotation by 0, 90, 180 or 270
MIN_DESCRIBED_STRETCH = 1.05  # ratio of the two sides
MIN_WHOLE_FRACTION = 0.94  # of the area of an image; a smaller part is a crop
MIN_LIGHTNESS_CHANGE = 5.0  # L* of CIELAB
GREY_CHROMA, COLOURED_CHROMA = 2.0, 4.0
MIN_TINT_CHANGE, MAX_SATURATION_CHANGE = 5.0, 1.35  # CIELAB units, factor
MIN_BLUR = 1.0  # pixels of a frame of 256 x 256
RE_ENCODED = "re-encoded"  # the text if nothing else has changed
MIN_COVERED = 0.04  # difference of the fractions of the detail that remain


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
    """Describe how the second image of a copy differs from the first.

    Rotations are clockwise. "Cropped" names the fraction of the area that remains, and "extended"
    is an image that shows more, such as a frame.
    """
    parts = [
        *_shape_changes(evidence.alignment),
        *_view_changes(*evidence.fractions),
        *_tone_changes(evidence.tone),
        *_detail_changes(evidence.blur, *evidence.persistences),
    ]
    return ", ".join(parts) or RE_ENCODED


def _shape_changes(alignment: Alignment) -> Iterator[str]:
    linear = alignment.matrix[:, :2]
    if alignment.is_mirrored:
        yield "mirrored"
        linear = linear @ np.diag([-1, 1])  # what follows the mirroring
    left, stretches, right = np.linalg.svd(linear)
    rotation = left @ right
    angle = float(np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0])))  # clockwise, y is down
    quarter = round(angle / 90) * 90
    if abs(angle - quarter) > ANGLE_TOLERANCE:
        yield f"rotated by {round(angle)} degrees"
    elif quarter:
        yield f"rotated by {quarter % 360} degrees"
    if stretches[0] > MIN_DESCRIBED_STRETCH * stretches[1]:
        yield "stretched"


def _view_changes(fraction: float, other_fraction: float) -> Iterator[str]:
    if fraction < MIN_WHOLE_FRACTION:
        yield f"cropped to {round(100 * fraction)} %"
    if other_fraction < MIN_WHOLE_FRACTION:
        yield "extended"  # by a frame, by bars or by more of the photo


def _tone_changes(tone: ToneChange) -> Iterator[str]:
    chroma, other_chroma = tone.chromas
    if other_chroma < GREY_CHROMA and chroma > COLOURED_CHROMA:
        yield "grey"
    elif chroma < GREY_CHROMA and other_chroma > COLOURED_CHROMA:
        yield "in colour"
    elif max(chroma, other_chroma) > COLOURED_CHROMA:
        pairs = zip(tone.chromas, tone.lightness, strict=True)
        saturation, other_saturation = (each / max(light, 1.0) for each, light in pairs)
        ratio = other_saturation / max(saturation, 0.01)
        ratio = max(ratio, 1 / max(ratio, 0.01))
        if tone.tint > MIN_TINT_CHANGE or ratio > MAX_SATURATION_CHANGE:
            yield "toned"
    difference = tone.lightness[1] - tone.lightness[0]
    if abs(difference) > MIN_LIGHTNESS_CHANGE:
        yield "brighter" if difference > 0 else "darker"


def _detail_changes(blur: float, persistence: float, other_persistence: float) -> Iterator[str]:
    if abs(blur) >= MIN_BLUR:
        yield "blurred" if blur > 0 else "sharper"
    if persistence > other_persistence + MIN_COVERED:
        yield "with text or a mark"
    elif other_persistence > persistence + MIN_COVERED:
        yield "without text or a mark"
