"""An image at small sizes, and how far the fine structure of two such images agrees.

Coordinates are those of `dogsim.image_files.alignment`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.image_files.alignment import Float32Array, Keypoints, Matrix
from dogsim.image_files.common_frame import HALF, square_matrix
from dogsim.image_files.detail import Mask
from dogsim.plumbing.opencv import opencv

MAX_SIDE = 128  # pixels: a larger image is reduced to this side squared
STRUCTURE_SIDE, MIN_STRUCTURE_SIDE = 48, 20  # pixels: overlaps are drawn at such a side squared
SMOOTHING_SIGMA, STRUCTURE_SIGMA = 0.6, 1.2  # pixels: what is finer is noise, what is coarser tone
MIN_CONTRAST = 1.5  # grey levels: standard deviation of the fine structure
INNER_KERNEL = 5  # pixels: without what is next to the border of one image
MIN_COMPARED_PIXELS = 150
SHOWN_PIXEL = 0.9  # of a pixel
BORDER_SIDE, BORDER_TOLERANCE = 96, 12  # pixels, grey levels: of a border of one colour
MIN_CONTENT = 0.3  # of each side, within such a border


class SmallImage:
    """The grey levels of an image at small sizes, and its keypoints.

    Parameters
    ----------
    grey : (h, w) uint8
        The image, or a smaller version of it; see `small_image`.
    keypoints : Keypoints
        Of this image.
    side : float
        The root of the area of the image, pixels.

    Attributes
    ----------
    extent : (2,) float64
        Width and height, in units of that root.
    """

    def __init__(self, grey: NDArray[np.uint8], keypoints: Keypoints, side: float) -> None:
        self.keypoints, self.side = keypoints, side
        self.extent = np.array([np.sqrt(keypoints.aspect), 1 / np.sqrt(keypoints.aspect)])
        self._grey = grey
        self._at_side: dict[int, Float32Array] = {}

    def grey(self, side: int, cv2: Any) -> Float32Array:
        """Return the grey levels at an area of `side` squared, (h, w)."""
        if side not in self._at_side:
            width, height = np.maximum(4, (self.extent * side).round()).astype(int).tolist()
            method = cv2.INTER_AREA if side < self.side else cv2.INTER_CUBIC
            resized = cv2.resize(self._grey, (width, height), interpolation=method)
            self._at_side[side] = resized.astype(np.float32)
        return self._at_side[side]

    def to_pixels(self, grey: Float32Array) -> Matrix:
        """Return the matrix from units to indices of the pixels of `grey`, (3, 3)."""
        width, height = np.array([grey.shape[1], grey.shape[0]]) / self.extent
        return np.asarray(np.linalg.inv(HALF) @ np.diag([width, height, 1]))

    def corners(self) -> Matrix:
        """Return the corners in order around the image, (4, 2)."""
        return np.asarray(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * self.extent)

    def without_border(self, cv2: Any) -> tuple["SmallImage", Matrix] | None:
        """Return what is within a border of one colour; None if there is no such border.

        Returns
        -------
        SmallImage
            Without keypoints.
        matrix : (3, 3) float64
            From its units to those of this image.
        """
        grey = self.grey(BORDER_SIDE, cv2)
        ranges = np.array([_content_range(grey.T), _content_range(grey)])  # of x, of y
        lengths = np.array([grey.shape[1], grey.shape[0]])
        if (np.ptp(ranges, axis=1) < MIN_CONTENT * lengths).any():
            return None
        if (ranges == [[0, length] for length in lengths]).all():
            return None
        size = self._grey.shape[1], self._grey.shape[0]
        (left, right), (top, bottom) = (ranges.T * size / lengths).round().astype(int).T.tolist()
        part = self._grey[top:bottom, left:right]
        scale = float(np.sqrt(part.size / self._grey.size))
        none = Keypoints((right - left) / (bottom - top), *(x[:0] for x in _arrays(self.keypoints)))
        content = SmallImage(part, none, scale * self.side)
        corner = np.array([left, top]) / size * self.extent
        return content, np.array([[scale, 0, corner[0]], [0, scale, corner[1]], [0, 0, 1]])


def small_image(image: NDArray[np.uint8], keypoints: Keypoints) -> SmallImage:
    """Reduce an image, (h, w, 3) or (h, w) uint8, to its grey levels at a small size."""
    height, width = image.shape[:2]
    side = float(np.sqrt(width * height))
    with opencv() as cv2:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        if side > MAX_SIDE:
            size = [max(1, round(each * MAX_SIDE / side)) for each in (width, height)]
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return SmallImage(grey, keypoints, side)


def structure_agreement(
    one: SmallImage, other: SmallImage, matrix: Matrix, min_shown: float, cv2: Any
) -> float:
    """Return the correlation of the fine structure of two images under a transformation.

    It is 0 if neither image shows the fraction `min_shown` of the other, or if there is hardly any
    structure. What is finer than `SMOOTHING_SIGMA` or coarser than `STRUCTURE_SIGMA` pixels of
    the coarser image, drawn at most 48 x 48, is left out.
    """
    polygon = shared_polygon(one, other, matrix, cv2)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    area = float(cv2.contourArea(polygon.astype(np.float32))) if len(polygon) else 0.0
    if max(area, area / scale**2) < min_shown:
        return 0.0
    low, extent = polygon.min(axis=0), np.ptp(polygon, axis=0)
    side = float(np.sqrt(extent.prod()))
    density = min(STRUCTURE_SIDE / side, other.side, one.side / scale)
    density = max(density, MIN_STRUCTURE_SIDE / side)  # pixels per unit of the other image
    width, height = np.maximum(8, (extent * density).round()).astype(int).tolist()
    to_other = np.array([[1 / density, 0, low[0]], [0, 1 / density, low[1]], [0, 0, 1]])
    to_one = np.linalg.inv(square_matrix(matrix)) @ to_other
    drawn, shown = _draw(one, to_one, density * scale, (width, height), cv2)
    target, target_shown = _draw(other, to_other, density, (width, height), cv2)
    return _structure_correlation(drawn, target, shown & target_shown, cv2)


def shared_polygon(
    one: SmallImage, other: SmallImage, matrix: Matrix, cv2: Any
) -> NDArray[np.float64]:
    """Return the corners of what the first image shows of the other one, (c, 2)."""
    moved = one.corners() @ matrix[:, :2].T + matrix[:, 2]
    moved, corners = (np.ascontiguousarray(x, np.float32) for x in (moved, other.corners()))
    area, polygon = cv2.intersectConvexConvex(moved, corners)
    return np.asarray(polygon, np.float64).reshape(-1, 2) if area > 0 else np.empty((0, 2))


def _content_range(lines: Float32Array) -> tuple[int, int]:
    """Return the first line, and the one after the last, without a border of one colour."""
    widths = []
    for each in (lines, lines[::-1]):
        is_border = np.abs(each - each[0].mean()).max(axis=1) <= BORDER_TOLERANCE
        width = len(each) if is_border.all() else int(is_border.argmin())
        widths.append(width + 1 if width else 0)  # the next line may show both
    return widths[0], max(widths[0], len(lines) - widths[1])


def _arrays(keypoints: Keypoints) -> tuple[Any, ...]:
    return keypoints.points, keypoints.scales, keypoints.angles, keypoints.descriptors


def _draw(
    image: SmallImage, to_image: Matrix, density: float, size: tuple[int, int], cv2: Any
) -> tuple[Float32Array, Mask]:
    """Draw an image in a frame of (width, height) pixels: grey levels, and where it has any."""
    grey = image.grey(max(1, round(min(density, image.side))), cv2)
    matrix = (image.to_pixels(grey) @ to_image @ HALF)[:2]
    cubic, linear = (f | cv2.WARP_INVERSE_MAP for f in (cv2.INTER_CUBIC, cv2.INTER_LINEAR))
    drawn = cv2.warpAffine(grey, matrix, size, flags=cubic, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones(grey.shape, np.float32), matrix, size, flags=linear)
    return np.clip(drawn, 0, 255), inside > SHOWN_PIXEL


def _structure_correlation(one: Float32Array, other: Float32Array, mask: Mask, cv2: Any) -> float:
    weights = mask.astype(np.float32)
    kernel = np.ones((INNER_KERNEL, INNER_KERNEL), np.uint8)
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), *[1] * 4, cv2.BORDER_CONSTANT, value=0)
    inner = cv2.erode(padded, kernel)[1:-1, 1:-1] > 0
    if inner.sum() < MIN_COMPARED_PIXELS:
        return 0.0

    def blurred(values: Float32Array, sigma: float) -> Float32Array:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))

    shown = np.maximum(blurred(weights, STRUCTURE_SIGMA), 1e-3)
    deviations = []
    for grey in (one, other):
        smooth = blurred(grey, SMOOTHING_SIGMA)
        fine = (smooth - blurred(smooth * weights, STRUCTURE_SIGMA) / shown)[inner]
        deviations.append(fine.astype(np.float64) - fine.mean(dtype=np.float64))
    contrasts = [float(np.sqrt((each * each).mean())) for each in deviations]
    if min(contrasts) < MIN_CONTRAST:
        return 0.0
    return float((deviations[0] * deviations[1]).mean() / (contrasts[0] * contrasts[1]))
