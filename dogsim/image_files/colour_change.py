"""Whether the colours of two aligned images differ by more than a global change of tone.

A copy may have another white balance, saturation or brightness, or be grey or sepia: one map fits
the colours of all its places. An object in another colour on the same background does not fit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.image_files.common_frame import CommonFrame, Mask, Pixels
from dogsim.image_files.detail import MIN_BLOCK_FRACTION, in_blocks

AGREEING_DETAIL = 0.6  # correlation of the blocks whose colours are compared
MIN_COMPARED_BLOCKS = 8
CLIPPED, NOT_CLIPPED, MIN_BRIGHTENED = 250, 245, 150  # level that clips in one image only
COLOUR_TOLERANCE = 7.0  # CIELAB units between a* and b* of two blocks
FIT_SCALE, FIT_ROUNDS = 3.0, 8
MAX_SATURATION = 2.5  # factor
MAX_TINT = 40.0  # CIELAB units
MONOCHROME_SATURATION, MONOCHROME_RESIDUAL = 0.25, 5.0
MIN_TINT = 8.0  # CIELAB units of the colour of a monochrome image that is not grey
MAX_TINT_ANGLE = 20.0  # degrees
MIN_LIGHT, MAX_GREY_CHROMA, MIN_GREY_FRACTION = 0.5, 3.5, 0.05
DARK_TINT = 0.25  # of black, as a fraction of that of white

Float64Array = NDArray[np.float64]


@dataclass(frozen=True)
class ToneChange:
    """The mean colours of two images where both show the same.

    Attributes
    ----------
    lightness : (float, float)
        Mean L* of CIELAB.
    chromas : (float, float)
        Mean distances from grey, CIELAB units.
    tint : float
        Distance of the mean a* and b* of the two images.
    """

    lightness: tuple[float, float]
    chromas: tuple[float, float]
    tint: float

    def reversed(self) -> "ToneChange":
        """Return the change from the second image to the first."""
        return ToneChange(self.lightness[::-1], self.chromas[::-1], self.tint)


def colour_conflict(frame: CommonFrame, correlations: Float64Array, cv2: Any) -> float:
    """Return the fraction of the blocks whose colours fit no global change of tone, 0 to 1.

    `correlations` are those of the detail, (b,): blocks that text or a watermark covers are left
    out.
    """
    shown = in_blocks(frame.mask)  # (b, p)
    known = shown.mean(axis=1) > MIN_BLOCK_FRACTION
    known &= ~(correlations < AGREEING_DETAIL)  # blocks without detail, NaN, have colours
    one, two = (_mean_colours(image, shown, cv2) for image in (frame.fixed, frame.moving))
    peaks = np.sort([_peaks(image, shown) for image in (frame.fixed, frame.moving)], axis=0)
    known &= ~((peaks[1] > CLIPPED) & (peaks[0] > MIN_BRIGHTENED) & (peaks[0] < NOT_CLIPPED))
    if known.sum() < MIN_COMPARED_BLOCKS:
        return 0.0
    one, two = one[known], two[known]
    return min(_conflict(one, two), _conflict(two, one))


def tone_change(frame: CommonFrame, cv2: Any) -> ToneChange:
    """Compare the mean colours of the two images of a frame."""
    shown = in_blocks(frame.mask)
    known = shown.mean(axis=1) > MIN_BLOCK_FRACTION
    images = (frame.moving, frame.fixed) if frame.exchanged else (frame.fixed, frame.moving)
    one, two = (_mean_colours(image, shown, cv2)[known] for image in images)
    if not known.any():
        return ToneChange((0.0, 0.0), (0.0, 0.0), 0.0)
    light, other_light = (float(colours[:, 0].mean()) for colours in (one, two))
    chroma, other_chroma = (float(np.hypot(*colours[:, 1:].T).mean()) for colours in (one, two))
    tint = float(np.hypot(*(two - one)[:, 1:].mean(axis=0)))
    return ToneChange((light, other_light), (chroma, other_chroma), tint)


def _mean_colours(image: Pixels, shown: Mask, cv2: Any) -> Float64Array:
    """Return the mean CIELAB colour of each block, (b, 3)."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    count = np.maximum(shown.sum(axis=1), 1)
    means = [(in_blocks(lab[:, :, i]) * shown).sum(axis=1) / count for i in range(3)]
    return np.stack(means, axis=1).astype(np.float64)


def _peaks(image: Pixels, shown: Mask) -> Float64Array:
    """Return the mean level of each block in its brightest channel, (b,)."""
    levels = in_blocks(image.max(axis=2)) * shown
    return np.asarray(levels.sum(axis=1) / np.maximum(shown.sum(axis=1), 1))


def _conflict(source: Float64Array, target: Float64Array) -> float:
    """Return the fraction of blocks whose colours in `target` no map from `source` explains."""
    saturation, tint = _tone_map(source, target[:, 1:])
    errors = np.hypot(*(saturation[:, None] * source[:, 1:] + tint - target[:, 1:]).T)
    if saturation.max() < MONOCHROME_SATURATION and _tints_differ(source, target):
        return 1.0
    return float((errors > COLOUR_TOLERANCE).mean())


def _tone_map(source: Float64Array, wanted: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Fit `wanted` = saturation * colours of the source + tint robustly.

    Both are linear functions of the lightness of a block, returned for each: (m,) and (m, 2). The
    tint grows with the lightness, as that of another white balance does; there is none if light
    blocks are grey in both images.
    """
    m, lightness, colours = len(source), source[:, 0] / 100, source[:, 1:]
    grey = np.maximum(np.hypot(*colours.T), np.hypot(*wanted.T)) < MAX_GREY_CHROMA
    growth = DARK_TINT + (1 - DARK_TINT) * lightness  # (m,)
    growth = growth * float((grey & (lightness > MIN_LIGHT)).mean() < MIN_GREY_FRACTION)
    terms = np.zeros((m, 2, 4))  # equations of a* and b*
    terms[:, :, 0] = colours
    terms[:, :, 1] = colours * (lightness[:, None] - 0.5)
    terms[:, 0, 2] = terms[:, 1, 3] = growth
    weights = np.ones(m)
    for _ in range(FIT_ROUNDS):
        information = np.einsum("m,mai,maj->ij", weights, terms, terms) + np.eye(4)
        right = np.einsum("m,mai,ma->i", weights, terms, wanted)
        fitted = np.linalg.solve(information, right)
        saturation = np.clip(fitted[0] + fitted[1] * (lightness - 0.5), 0, MAX_SATURATION)
        tint = fitted[2:] * min(1.0, MAX_TINT / max(float(np.hypot(*fitted[2:])), 1e-9))
        tints = growth[:, None] * tint
        errors = wanted - saturation[:, None] * colours - tints
        weights = 1 / (1 + (errors**2).sum(axis=1) / FIT_SCALE**2)
    return saturation, tints


def _tints_differ(one: Float64Array, other: Float64Array) -> bool:
    """Return whether both images have a single colour each, and not the same."""
    tints = []
    for colours in (one, other):
        terms = np.column_stack([np.ones(len(colours)), colours[:, 0] / 50 - 1])
        fitted = terms @ _solve(terms, colours[:, 1:])  # (m, 2)
        residuals = np.hypot(*(fitted - colours[:, 1:]).T)
        if np.quantile(residuals, 0.9) > MONOCHROME_RESIDUAL:
            return False
        tints.append(fitted[np.hypot(*fitted.T).argmax()])
    lengths = np.hypot(*np.array(tints).T)
    if lengths.min() < MIN_TINT:
        return False
    cosine = float(tints[0] @ tints[1] / lengths.prod())
    return bool(cosine < np.cos(np.radians(MAX_TINT_ANGLE)))


def _solve(terms: Float64Array, values: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.lstsq(terms, values, rcond=1e-6)[0])
