"""The overlap of two aligned images, drawn in one frame at the coarser of their two resolutions."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.image_files.detail import Mask, Pixels

FRAME_SIDE = 256  # pixels; a frame has at most this side squared
MIN_FRAME_SIDE = 64  # pixels of its shorter side; a smaller overlap is enlarged
BORDER = 5  # pixels, the width of the kernel that removes the borders of the images

Matrix = NDArray[np.float64]
HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # from indices of pixels to centres


class CommonFrame:
    """A frame that shows what two aligned images have in common.

    Parameters
    ----------
    image, other : (h, w, 3) uint8
        Of any sizes.
    matrix : (2, 3) float64
        From the first image to the other one, see `dogsim.image_files.alignment`.
    cv2 : module
        OpenCV, see `dogsim.plumbing.opencv`.

    Attributes
    ----------
    size : (int, int)
        Width and height of the frame, pixels; (0, 0) if the images do not overlap.
    side : float
        The root of the area of the frame before it was enlarged: what the coarser image resolves.
    exchanged : bool
        Whether the first image is the moving one.
    fractions : (float, float)
        The fraction of the area of each image that the other one shows.
    fixed : (height, width, 3) uint8
        The image of the coarser resolution, upright.
    moving : (height, width, 3) uint8
        The other image, as the transformation draws it.
    mask : (height, width) bool
        The pixels that both show.
    matrix : (3, 3) float64
        From points of the fixed image to points of the moving one, in their units.
    """

    def __init__(self, image: Pixels, other: Pixels, matrix: Matrix, cv2: Any) -> None:
        self._cv2, self.matrix = cv2, square_matrix(matrix)
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        self.exchanged = _unit(image) > _unit(other) * scale
        if self.exchanged:
            image, other, scale = other, image, 1 / scale
            self.matrix = np.asarray(np.linalg.inv(self.matrix), np.float64)
        self._moving = other
        polygon = self._overlap(image, other)
        area = float(cv2.contourArea(polygon.astype(np.float32))) if len(polygon) else 0.0
        fractions = area, area * scale**2
        self.fractions = fractions[::-1] if self.exchanged else fractions
        self.size, self.side = (0, 0), 0.0
        if area > 0:
            self._draw_fixed(image, polygon, scale)
            self._draw_moving()

    def move(self, motion: Matrix) -> None:
        """Draw the moving image again, after an affine motion (2, 3) of the pixels of the frame."""
        step = self._to_unit @ HALF @ square_matrix(motion) @ np.linalg.inv(self._to_unit @ HALF)
        self.matrix = self.matrix @ step
        self._draw_moving()

    def restore(self, matrix: Matrix) -> None:
        """Draw the moving image as at an earlier `matrix`."""
        self.matrix = matrix
        self._draw_moving()

    @property
    def refined(self) -> Matrix:
        """The transformation from the first image to the other one with all motions, (2, 3)."""
        matrix = np.linalg.inv(self.matrix) if self.exchanged else self.matrix
        return np.asarray(matrix[:2], np.float64)

    def _overlap(self, image: Pixels, other: Pixels) -> Matrix:
        """Return the polygon that the other image shows of the first one, (c, 2) in its units."""
        polygon = _corners(other) @ np.linalg.inv(self.matrix)[:2].T  # (4, 2)
        for axis, limit in enumerate(_corners(image)[2, :2].tolist()):
            polygon = _clip(polygon, axis, 0.0, 1)
            polygon = _clip(polygon, axis, limit, -1)
        return np.asarray(polygon)

    def _draw_fixed(self, image: Pixels, polygon: Matrix, scale: float) -> None:
        low, extent = polygon.min(axis=0), np.ptp(polygon, axis=0)
        density = min(_unit(image), FRAME_SIDE / float(np.sqrt(extent.prod())))  # pixels per unit
        self.side = float(np.sqrt(extent.prod())) * density
        density = max(density, MIN_FRAME_SIDE / float(extent.min()))
        width, height = np.maximum(1, (extent * density).round()).astype(int).tolist()
        self.size = width, height
        self._to_unit = np.array([[1 / density, 0, low[0]], [0, 1 / density, low[1]], [0, 0, 1]])
        self._density = density / scale
        self.fixed, self._fixed_mask = self._draw(image, self._to_unit, density)

    def _draw_moving(self) -> None:
        to_unit = self.matrix @ self._to_unit
        self.moving, mask = self._draw(self._moving, to_unit, self._density)
        self.mask: Mask = self._fixed_mask & mask

    def _draw(self, image: Pixels, to_unit: Matrix, density: float) -> tuple[Pixels, Mask]:
        """Draw an image; `to_unit` maps points of the frame to units of the image, (3, 3)."""
        cv2, (height, width), unit = self._cv2, image.shape[:2], _unit(image)
        if density < 0.95 * unit:  # warpAffine alone would skip pixels
            factor = density / unit
            size = max(1, round(width * factor)), max(1, round(height * factor))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        to_pixels = np.diag([unit * image.shape[1] / width, unit * image.shape[0] / height, 1])
        matrix = (np.linalg.inv(HALF) @ to_pixels @ to_unit @ HALF)[:2]
        cubic, linear = (f | cv2.WARP_INVERSE_MAP for f in (cv2.INTER_CUBIC, cv2.INTER_LINEAR))
        drawn = cv2.warpAffine(
            image, matrix, self.size, flags=cubic, borderMode=cv2.BORDER_REPLICATE
        )
        inside = cv2.warpAffine(
            np.full(image.shape[:2], 255, np.uint8), matrix, self.size, flags=linear
        )
        kernel = np.ones((BORDER, BORDER), np.uint8)
        inner = cv2.erode(inside, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=255)
        return drawn, inner > 250


def _unit(image: Pixels) -> float:
    """Return the root of the area of an image in pixels, the unit of its coordinates."""
    return float(np.sqrt(image.shape[0] * image.shape[1]))


def _corners(image: Pixels) -> Matrix:
    """Return the corners (x, y, 1) of an image in its units, (4, 3)."""
    width, height = image.shape[1] / _unit(image), image.shape[0] / _unit(image)
    return np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]])


def _clip(polygon: Matrix, axis: int, limit: float, sign: int) -> Matrix:
    """Clip a convex polygon (c, 2) to one side of a line (Sutherland and Hodgman, 1974).

    Points with ``sign * (coordinate - limit) >= 0`` remain.
    """
    if not len(polygon):
        return polygon
    here = sign * (polygon[:, axis] - limit)  # (c,)
    clipped = []
    for point, following, inside, later in zip(
        polygon, np.roll(polygon, -1, axis=0), here, np.roll(here, -1), strict=True
    ):
        if inside >= 0:
            clipped.append(point)
        if (inside >= 0) != (later >= 0):
            clipped.append(point + (following - point) * inside / (inside - later))
    return np.array(clipped).reshape(-1, 2)


def square_matrix(matrix: Matrix) -> Matrix:
    """Append the row 0, 0, 1 to an affine matrix (2, 3)."""
    return np.vstack([matrix, [0, 0, 1]])
