"""Whether the colours of two aligned images differ by more than a global change of tone.

A copy may have another white balance, saturation or brightness, or be grey or sepia: one map fits
the colours of all its places. An object in another colour on the same background does not fit.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dogsim.image_files.detail import (
    BLOCKS,
    MIN_BLOCK_FRACTION,
    Float64Array,
    Mask,
    Pixels,
    in_blocks,
)

AGREEING_DETAIL = 0.6  # correlation of the blocks whose colours are compared
MIN_COMPARED_BLOCKS = 8
CLIPPED, NOT_CLIPPED, MIN_BRIGHTENED = 250, 245, 150  # level that clips in one image only
COLOUR_TOLERANCE = 7.0  # CIELAB units between a* and b* of two blocks
FIT_SCALE, FIT_ROUNDS = 3.0, 8
MAX_SATURATION = 2.5  # factor
MAX_TINT = 40.0  # CIELAB units
MONOCHROME_RESIDUAL = 5.0  # CIELAB units, of colours that depend on the lightness only
MIN_TINT = 8.0  # CIELAB units of a tint that is not grey
MAX_TINT_ANGLE = 20.0  # degrees
MIN_LIGHT, MAX_GREY_CHROMA, MIN_GREY_FRACTION = 0.5, 3.5, 0.05
MAX_GAIN, MAX_GAIN_RATIO, MAX_OFFSET = 2.5, 1.35, 60.0  # of levels
DARK_TINT = 0.25  # of black, as a fraction of that of white


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


class BlockColours:
    """The mean colours of two images of a frame in its blocks.

    Parameters
    ----------
    fixed, moving : (height, width, 3) uint8
    mask : (height, width) bool
        The pixels that both show.
    is_small : bool
        Whether the images have so few pixels that the chroma of a JPEG file says little about a
        block; then the colours of 2 x 2 blocks are compared together.
    cv2 : module

    Attributes
    ----------
    known : (b,) bool
        The blocks that both images show.
    colours : ((b, 3), (b, 3)) float64
        Levels of red, green and blue, 0 to 255.
    """

    def __init__(self, fixed: Pixels, moving: Pixels, mask: Mask, is_small: bool, cv2: Any) -> None:
        self._n = BLOCKS // 2 if is_small else BLOCKS
        shown = in_blocks(mask, self._n)  # (b, p)
        self.known = shown.mean(axis=1) > MIN_BLOCK_FRACTION
        self.colours = _mean_colours(fixed, shown, self._n), _mean_colours(moving, shown, self._n)
        self._cv2 = cv2

    def conflict(self, correlations: Float64Array) -> float:
        """Return the fraction of the blocks whose colours fit no global change of tone, 0 to 1.

        `correlations` are those of the detail, (256,): blocks that text or a watermark covers are
        left out.
        """
        one, two = self.colours
        covered = correlations < AGREEING_DETAIL  # not NaN: there is no detail, but a colour
        covered = in_blocks(covered.reshape(BLOCKS, BLOCKS), self._n).mean(axis=1) > 0.5
        known = self.known & ~covered
        peaks = np.sort([one.max(axis=1), two.max(axis=1)], axis=0)
        known &= ~((peaks[1] > CLIPPED) & (peaks[0] > MIN_BRIGHTENED) & (peaks[0] < NOT_CLIPPED))
        if known.sum() < MIN_COMPARED_BLOCKS:
            return 0.0
        one, two = one[known], two[known]
        return min(_conflict(one, two, self._cv2), _conflict(two, one, self._cv2))

    def change(self) -> ToneChange:
        """Return the change of tone from the fixed image to the moving one."""
        if not self.known.any():
            return ToneChange((0.0, 0.0), (0.0, 0.0), 0.0)
        one, two = (_lab(colours[self.known], self._cv2) for colours in self.colours)
        light, other_light = (float(each[:, 0].mean()) for each in (one, two))
        chroma, other_chroma = (float(np.hypot(*each[:, 1:].T).mean()) for each in (one, two))
        tint = float(np.hypot(*(two - one)[:, 1:].mean(axis=0)))
        return ToneChange((light, other_light), (chroma, other_chroma), tint)


def _mean_colours(image: Pixels, shown: Mask, n: int) -> Float64Array:
    """Return the mean levels of red, green and blue of each block, (b, 3), 0 to 255."""
    count = np.maximum(shown.sum(axis=1), 1)
    means = [(in_blocks(image[:, :, i], n) * shown).sum(axis=1) / count for i in range(3)]
    return np.stack(means, axis=1)


def _lab(colours: Float64Array, cv2: Any) -> Float64Array:
    """Convert levels (m, 3) to CIELAB."""
    pixels = (np.clip(colours, 0, 255) / 255).astype(np.float32)[None]
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[0], np.float64)


def _conflict(source: Float64Array, target: Float64Array, cv2: Any) -> float:
    """Return the fraction of colours in `target` that no map from `source` explains."""
    lab, wanted = _lab(source, cv2), _lab(target, cv2)
    tint = _single_tint(wanted)
    if tint is not None:
        source_tint = _single_tint(lab)
        return float(source_tint is not None and _differ(source_tint, tint))
    balanced = _lab(_balanced(source, target), cv2)[:, 1:]
    errors = [np.hypot(*(x - wanted[:, 1:]).T) for x in (_toned(lab, wanted[:, 1:]), balanced)]
    return min(float((error > COLOUR_TOLERANCE).mean()) for error in errors)


def _balanced(source: Float64Array, target: Float64Array) -> Float64Array:
    """Fit `target` = gains * source + offset robustly: another white balance and contrast.

    Each channel has its gain, of which none differs much from the others. Returns (m, 3).
    """
    weights, gains, offset = np.ones(len(source)), np.ones(3), 0.0
    predicted = source
    for _ in range(FIT_ROUNDS):
        w = weights[:, None]
        squares, products = (w * source * source).sum(axis=0), (w * source * target).sum(axis=0)
        gains = (products - offset * (w * source).sum(axis=0)) / np.maximum(squares, 1)
        mean = float(np.clip(gains.mean(), 1 / MAX_GAIN, MAX_GAIN))
        gains = np.clip(gains, mean / MAX_GAIN_RATIO, mean * MAX_GAIN_RATIO)
        offset = float((w * (target - gains * source)).sum() / (3 * weights.sum()))
        offset = float(np.clip(offset, -MAX_OFFSET, MAX_OFFSET))
        predicted = np.clip(gains * source + offset, 0, 255)
        weights = 1 / (1 + ((target - predicted) ** 2).sum(axis=1) / (3 * FIT_SCALE) ** 2)
    return predicted


def _single_tint(colours: Float64Array) -> Float64Array | None:
    """Return the strongest colour of an image whose colour depends on the lightness only, (2,).

    Such an image is grey, sepia or of another tint. None for others, and for an object of one
    colour with a grey background, which may be a garment.
    """
    lightness = colours[:, 0] / 100
    terms = np.stack([np.ones(len(colours)), lightness, lightness**2], axis=1)
    fitted = terms @ np.linalg.lstsq(terms, colours[:, 1:], rcond=1e-6)[0]  # (m, 2)
    residuals = np.hypot(*(fitted - colours[:, 1:]).T)
    if np.quantile(residuals, 0.95) > MONOCHROME_RESIDUAL:
        return None
    chromas = np.hypot(*colours[:, 1:].T)
    strongest = np.asarray(fitted[np.hypot(*fitted.T).argmax()])
    grey = (chromas < MAX_GREY_CHROMA) & (lightness > MIN_LIGHT)
    is_object = grey.mean() >= MIN_GREY_FRACTION and np.hypot(*strongest) >= MIN_TINT
    return None if is_object or np.hypot(*strongest) > MAX_TINT else strongest


def _differ(tint: Float64Array, other: Float64Array) -> bool:
    """Return whether two tints have different hues; grey has none."""
    lengths = float(np.hypot(*tint)), float(np.hypot(*other))
    cosine = float(tint @ other) / max(lengths[0] * lengths[1], 1e-9)
    return min(lengths) >= MIN_TINT and cosine < np.cos(np.radians(MAX_TINT_ANGLE))


def _toned(source: Float64Array, wanted: Float64Array) -> Float64Array:
    """Fit `wanted` = saturation * colours of the source + tint robustly, a* and b*: (m, 2).

    Both are linear functions of the lightness. The tint grows with it, and there is none if light
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
    return np.asarray(wanted - errors)
