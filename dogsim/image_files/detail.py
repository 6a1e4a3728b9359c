"""The fine detail of two images in a common frame: its agreement, and the motion that remains.

The frame is divided into blocks. In each block the detail of both images is correlated, and the
shift that would improve the agreement is estimated (Lucas and Kanade, "An iterative image
registration technique with an application to stereo vision", 1981). The affine motion that explains
these shifts best refines an alignment. What it leaves unexplained is perspective or parallax: the
camera has moved.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 16  # in each direction
FINE_SIGMA, COARSE_SIGMA = 0.7, 3.0  # pixels: the band of the detail
BLUR_SIGMAS = (0.7, 1.0, 1.4, 2.0, 2.8)  # pixels: by which one image may be softer than the other
NOISE = 0.7  # standard deviation of the grey levels that is not detail
MIN_BLOCK_FRACTION = 0.6  # of the pixels of a block that both images show
SCORE_QUANTILE = 0.6  # of the correlations of the blocks
TONE_BINS = 12  # of the grey levels of one image, for the curve to those of the other
MAX_STEP = 4.0  # pixels, of one motion
MIN_MOVED_BLOCKS = 8

Pixels = NDArray[np.uint8]  # (height, width, 3)
Mask = NDArray[np.bool_]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detail:
    """The fine detail of two images in b = `BLOCKS` squared blocks of p pixels.

    Attributes
    ----------
    greys : ((height, width), (height, width)) float32
        Grey levels of both images at equal brightness.
    fixed, moving : (b, p) float32
        Grey levels without their coarse part, at equal brightness and sharpness.
    mask : (b, p) bool
    correlations : (b,) float64
        NaN in blocks without detail.
    gradients : (b, 2, 2) float64
        Sums of the products of the derivatives of `moving` by x and y.
    slopes : (b, 2) float64
        Sums of the products of these derivatives and the difference of the two images.
    variances : (b,) float64
        Mean square of that difference.
    blur : float
        Pixels by which `moving` was softer than `fixed`; negative if `fixed` was.
    """

    greys: tuple[Float32Array, Float32Array]
    fixed: Float32Array
    moving: Float32Array
    mask: Mask
    correlations: Float64Array
    gradients: Float64Array
    slopes: Float64Array
    variances: Float64Array
    blur: float

    @property
    def score(self) -> float:
        """The `SCORE_QUANTILE` of the correlations, -1 without any."""
        return _score(self.correlations)


def detail_of(fixed: Pixels, moving: Pixels, shown: Mask, cv2: Any) -> Detail:
    """Compute the detail of two images of a frame; `shown` are the pixels that both have."""
    mask = in_blocks(shown)
    one_grey, two_grey = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (fixed, moving))
    greys = _same_tone(one_grey, two_grey, shown)
    one_detail, two_detail, blur = _same_sharpness(*greys, mask, cv2)
    correlations, one, two = _correlations(in_blocks(one_detail), in_blocks(two_detail), mask)
    gain = (one * two).sum(axis=1) / np.maximum((one * one).sum(axis=1), 1e-6)
    difference = gain[:, None] * one - two  # (b, p)
    along = [in_blocks(cv2.Sobel(two_detail, cv2.CV_32F, *d) / 8) * mask for d in ((1, 0), (0, 1))]
    gradients = np.stack([(a * b).sum(axis=1) for a in along for b in along], axis=1)
    slopes = np.stack([(a * difference).sum(axis=1) for a in along], axis=1)
    return Detail(
        greys=greys,
        fixed=one,
        moving=two,
        mask=mask,
        correlations=correlations,
        gradients=gradients.reshape(-1, 2, 2).astype(np.float64),
        slopes=slopes.astype(np.float64),
        variances=(difference**2).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0),
        blur=blur,
    )


def grey_difference(detail: Detail, cv2: Any) -> Float32Array:
    """Return the absolute difference of the grey levels at equal brightness, in blocks (b, p)."""
    one, two = (cv2.GaussianBlur(x, (0, 0), FINE_SIGMA) for x in detail.greys)
    return np.asarray(in_blocks(np.abs(one - two)))


def affine_motion(detail: Detail, size: tuple[int, int]) -> Float64Array | None:
    """Find the affine motion of the pixels of the frame that improves the agreement, (2, 3).

    None if too few blocks agree.
    """
    chosen = detail.correlations > 0.3  # false for NaN
    if chosen.sum() < MIN_MOVED_BLOCKS:
        return None
    centres = block_centres()
    terms = np.column_stack([np.ones(len(centres)), centres])[chosen]  # (m, 3)
    weights = 1 / (detail.variances[chosen] + 0.5)
    motion, _ = fit_motion(terms, detail.gradients[chosen], detail.slopes[chosen], weights)
    motion *= min(1.0, MAX_STEP / max(float(np.abs(motion).sum()), 1e-9))
    half = np.array(size) / 2
    slope = motion[1:].T / half  # (2, 2): motion per pixel
    return np.column_stack([np.eye(2) + slope, motion[0] - slope @ (half - 0.5)])


def largest_step(motion: Float64Array, size: tuple[int, int]) -> float:
    """Return the largest motion of a corner of the frame, pixels."""
    width, height = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
    return float(np.hypot(*(corners @ motion.T - corners[:, :2]).T).max())


def fit_motion(
    terms: Float64Array, gradients: Float64Array, slopes: Float64Array, weights: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Fit the shifts of m blocks by k terms of their positions, as `terms @ motion`.

    Returns
    -------
    motion : (k, 2) float64
        Pixels, by x and y.
    covariance : (k, 2, k, 2) float64
    """
    k = terms.shape[1]
    information = np.einsum("m,mi,mj,mab->iajb", weights, terms, terms, gradients)
    square = information.reshape(2 * k, 2 * k)
    square += np.eye(2 * k) * (1e-5 * np.trace(square) / (2 * k) + 1e-9)
    covariance = np.linalg.inv(square)
    right = np.einsum("m,mi,ma->ia", weights, terms, slopes).ravel()
    return (covariance @ right).reshape(k, 2), covariance.reshape(k, 2, k, 2)


def block_centres() -> Float64Array:
    """Return the centres (x, y) of all blocks, (b, 2), from -1 to 1 over the frame."""
    places = (np.arange(BLOCKS) + 0.5) / BLOCKS * 2 - 1
    return np.stack(np.meshgrid(places, places), axis=2).reshape(-1, 2)


def in_blocks(image: NDArray[Any], n: int = BLOCKS) -> NDArray[Any]:
    """Divide an image (height, width) into n x n blocks, (b, p), without odd pixels at the end."""
    height, width = (side // n for side in image.shape)
    blocks = image[: height * n, : width * n].reshape(n, height, n, width)
    return np.asarray(blocks.swapaxes(1, 2).reshape(n * n, height * width))


def _correlations(
    one: Float32Array, two: Float32Array, mask: Mask
) -> tuple[Float64Array, Float32Array, Float32Array]:
    """Return the correlations of blocks, (b,), and both images without their mean in each block."""
    count = np.maximum(mask.sum(axis=1), 1).astype(np.float32)
    one, two = ((x - ((x * mask).sum(axis=1) / count)[:, None]) * mask for x in (one, two))
    squares, other = (one * one).sum(axis=1), (two * two).sum(axis=1)
    noise = count * np.float32(NOISE**2)
    correlations = (one * two).sum(axis=1) / np.sqrt((squares + noise) * (other + noise))
    known = (count > MIN_BLOCK_FRACTION * mask.shape[1]) & (np.maximum(squares, other) > 4 * noise)
    return np.where(known, correlations, np.nan).astype(np.float64), one, two


def _score(correlations: Float64Array) -> float:
    known = correlations[~np.isnan(correlations)]
    return float(np.quantile(known, SCORE_QUANTILE)) if len(known) else -1.0


def _same_sharpness(
    fixed: Float32Array, moving: Float32Array, mask: Mask, cv2: Any
) -> tuple[Float32Array, Float32Array, float]:
    """Blur the sharper image as far as both then agree more.

    Returns the details of both, and the blur as in `Detail`.
    """

    def detail(image: Float32Array) -> Float32Array:
        fine, coarse = (cv2.GaussianBlur(image, (0, 0), s) for s in (FINE_SIGMA, COARSE_SIGMA))
        return np.asarray(fine - coarse)

    best = [detail(fixed), detail(moving)]
    sharper = int(np.abs(best[1]).mean() > np.abs(best[0]).mean())
    image, blur = (fixed, moving)[sharper], 0.0
    score = _score(_correlations(in_blocks(best[0]), in_blocks(best[1]), mask)[0])
    for sigma in BLUR_SIGMAS:
        blurred = [*best]
        blurred[sharper] = detail(cv2.GaussianBlur(image, (0, 0), sigma))
        new = _score(_correlations(in_blocks(blurred[0]), in_blocks(blurred[1]), mask)[0])
        if new <= score:
            break
        best, score, blur = blurred, new, sigma
    return best[0], best[1], -blur if sharper else blur


def _same_tone(fixed: Pixels, moving: Pixels, mask: Mask) -> tuple[Float32Array, Float32Array]:
    """Change the grey levels of one of two images by a curve, so that they fit the other's."""
    counts = np.bincount(fixed[mask].astype(np.intp) * 256 + moving[mask], minlength=65536)
    counts = counts.reshape(256, 256)
    curve, error = _tone_curve(counts)
    other_curve, other_error = _tone_curve(counts.T)
    if error <= other_error:
        return curve[fixed], moving.astype(np.float32)
    return fixed.astype(np.float32), other_curve[moving]


def _tone_curve(counts: NDArray[np.intp]) -> tuple[Float32Array, float]:
    """Find the ascending curve from the levels of the rows to the medians of the columns.

    Returns
    -------
    curve : (256,) float32
    error : float
        Mean absolute difference, in units of the standard deviation of the columns.
    """
    levels = np.arange(256)
    rows = counts.sum(axis=1)
    total = max(int(rows.sum()), 1)
    bins = np.minimum((np.cumsum(rows) - rows) * TONE_BINS // total, TONE_BINS - 1)
    joint = (bins == np.arange(TONE_BINS)[:, None]).astype(np.float64) @ counts  # (bins, 256)
    n = joint.sum(axis=1)
    used = n > 0
    places = np.bincount(bins, rows * levels, TONE_BINS)[used] / n[used]
    medians = (joint[used].cumsum(axis=1) * 2 >= n[used, None]).argmax(axis=1)
    curve = np.interp(levels, places, np.maximum.accumulate(medians)) if used.any() else levels
    errors = np.abs(curve[:, None] - levels)  # (256, 256)
    columns = counts.sum(axis=0)
    mean = (columns * levels).sum() / total
    deviation = np.sqrt((columns * (levels - mean) ** 2).sum() / total)
    return curve.astype(np.float32), float((errors * counts).sum() / total / max(deviation, 1.0))
