"""How one copy differs from another, as a text such as "mirrored, cropped to 62 %, grey"."""

from collections.abc import Iterator

import numpy as np

from dogsim.image_files.alignment import Alignment
from dogsim.image_files.colour_change import ToneChange

ANGLE_TOLERANCE = 1.0  # degrees, of a rotation by 0, 90, 180 or 270
MIN_DESCRIBED_STRETCH = 1.05  # ratio of the two sides
MIN_WHOLE_FRACTION = 0.94  # of the area of an image; a smaller part is a crop
MIN_LIGHTNESS_CHANGE = 5.0  # L* of CIELAB
GREY_CHROMA, COLOURED_CHROMA = 2.0, 4.0
MIN_TINT_CHANGE, MAX_SATURATION_CHANGE = 5.0, 1.35  # CIELAB units, factor
MIN_BLUR = 1.0  # pixels of a frame of 256 x 256
RE_ENCODED = "re-encoded"  # the text if nothing else has changed
MIN_COVERED = 0.04  # difference of the fractions of the detail that remain


def describe_change(
    alignment: Alignment,
    fractions: tuple[float, float],
    tone: ToneChange,
    blur: float,
    persistences: tuple[float, float],
) -> str:
    """Describe how the second image of a copy differs from the first; see `Evidence`.

    Rotations are clockwise. "Cropped" names the fraction of the area that remains, and "extended"
    is an image that shows more, such as a frame.
    """
    parts = [
        *_shape_changes(alignment),
        *_view_changes(*fractions),
        *_tone_changes(tone),
        *_detail_changes(blur, *persistences),
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
