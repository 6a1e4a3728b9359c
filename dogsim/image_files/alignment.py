"""Align two images of the same content: keypoints, an affine transformation, and its evidence.

Keypoints and descriptors are SIFT (Lowe, "Distinctive image features from scale-invariant
keypoints", 2004). The transformation is found by fast spatial matching (Philbin et al., "Object
retrieval with large vocabularies and fast spatial matching", 2007): each match of two keypoints
alone determines a similarity transformation, and the one that most other matches confirm is
refined to an affine transformation. Nothing is drawn at random and OpenCV runs in one thread, so
the result depends on the two images only.

Coordinates are independent of the number of pixels: the unit is the root of the area of the image,
x points right and y down from the upper left corner.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogsim.plumbing.opencv import opencv

WORKING_SIDE = 256  # pixels; keypoints are found in an image of this side squared
MAX_KEYPOINTS = 400
CONTRAST_THRESHOLD = 0.01  # of SIFT; OpenCV's 0.04 finds no keypoint in a soft image
RATIO_THRESHOLD = 0.8  # distance of the best match to that of the second, as in Lowe's paper
MAX_HYPOTHESES = 80  # matches that propose a transformation, the most distinctive first
TOLERANCES = (0.1, 0.06, 0.03, 0.016)  # of a match, at the first fit and at each refinement
MIN_INLIERS = 6
MAX_STRETCH = 2.5  # ratio of the two singular values of the matrix
MAX_SCALE = 4.0

# A SIFT descriptor has 4 x 4 cells of 8 directions relative to that of the keypoint. In the mirror
# image the rows of cells are reversed, and so is the sense of the directions.
MIRRORED_BINS = np.arange(128).reshape(4, 4, 8)[::-1, :, -np.arange(8) % 8].ravel()

Float32Array = NDArray[np.float32]
Matrix = NDArray[np.float64]  # (2, 3)


@dataclass(frozen=True, eq=False)
class Keypoints:
    """The n strongest keypoints of an image, at most `MAX_KEYPOINTS`.

    Attributes
    ----------
    aspect : float
        Width of the image by its height.
    points : (n, 2) float32
        x and y, in units of the root of the area of the image.
    scales : (n,) float32
        Diameter, in the same unit.
    angles : (n,) float32
        Direction in radians, from x towards y.
    descriptors : (n, 128) uint8
    """

    aspect: float
    points: Float32Array
    scales: Float32Array
    angles: Float32Array
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)

    def mirrored(self) -> "Keypoints":
        """Return the keypoints of the mirror image, left and right exchanged."""
        points = self.points * np.array([-1, 1], np.float32)
        points[:, 0] += np.float32(np.sqrt(self.aspect))
        angles = np.float32(np.pi) - self.angles
        descriptors = self.descriptors[:, MIRRORED_BINS]
        return Keypoints(self.aspect, points, self.scales, angles, descriptors)


@dataclass(frozen=True, eq=False)
class Alignment:
    """An affine transformation from one image to another.

    Attributes
    ----------
    matrix : (2, 3) float64
        Maps the points (x, y, 1) of the first image to those of the second.
    inliers, matches : int
        The matches of keypoints that agree with it, and all matches.
    spread : float
        How widely the inliers are spread over the image in which they are spread more: 1 if evenly
        over all of it, and the fraction of the area if evenly over a rectangle.
    """

    matrix: Matrix
    inliers: int
    matches: int
    spread: float = 0.0

    @property
    def is_mirrored(self) -> bool:
        """Whether the second image is a mirror image."""
        return bool(np.linalg.det(self.matrix[:, :2]) < 0)

    def inverse(self) -> "Alignment":
        """Return the alignment from the second image to the first."""
        matrix = np.linalg.inv(np.vstack([self.matrix, [0, 0, 1]]))[:2]
        return replace(self, matrix=matrix)


def find_keypoints(image: NDArray[np.uint8]) -> Keypoints:
    """Find the keypoints of an image, (h, w, 3) or (h, w) uint8, at a fixed working size.

    >>> len(find_keypoints(np.zeros((40, 30, 3), np.uint8)))
    0
    """
    height, width = image.shape[:2]
    factor = WORKING_SIDE / np.sqrt(width * height)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    with opencv() as cv2:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        grey = grey if size == (width, height) else cv2.resize(grey, size, interpolation=method)
        sift = cv2.SIFT_create(
            MAX_KEYPOINTS, contrastThreshold=CONTRAST_THRESHOLD, enable_precise_upscale=True
        )
        found, descriptors = sift.detectAndCompute(grey, None)
    rows = [(*each.pt, each.size, each.angle) for each in found[:MAX_KEYPOINTS]]
    table = np.array(rows, np.float32).reshape(-1, 4)
    unit = np.float32(np.sqrt(size[0] * size[1]))
    return Keypoints(
        aspect=width / height,
        points=(table[:, :2] + np.float32(0.5)) / unit,
        scales=table[:, 2] / unit,
        angles=np.radians(table[:, 3]),
        descriptors=np.uint8(descriptors[: len(rows)] if rows else np.zeros((0, 128))),
    )


def align(one: Keypoints, other: Keypoints) -> Alignment | None:
    """Find the affine transformation from one image to another, mirrored or not.

    Returns None if fewer than `MIN_INLIERS` matches of keypoints agree with any transformation.
    """
    plain = _align_unmirrored(one, other)
    mirrored = _align_unmirrored(one.mirrored(), other)
    if mirrored and (plain is None or mirrored.inliers > plain.inliers):
        flip = np.array([[-1, 0, np.sqrt(one.aspect)], [0, 1, 0], [0, 0, 1]])  # (3, 3)
        return replace(mirrored, matrix=mirrored.matrix @ flip)
    return plain


def _align_unmirrored(one: Keypoints, other: Keypoints) -> Alignment | None:
    rows, other_rows = _matches(one.descriptors, other.descriptors)
    if len(rows) < MIN_INLIERS:
        return None
    points, targets = one.points[rows], other.points[other_rows]
    scales = other.scales[other_rows] / one.scales[rows]
    angles = other.angles[other_rows] - one.angles[rows]
    inliers = _confirmed(points, targets, scales, angles)
    matrix = None
    for tolerance in TOLERANCES[1:]:
        matrix = _fit(points[inliers], targets[inliers])
        if matrix is None:
            return None
        residuals = points @ matrix[:, :2].T + matrix[:, 2] - targets  # (m, 2)
        inliers = np.hypot(*residuals.T) <= tolerance
    # Several keypoints at one place with different directions are one piece of evidence.
    places = np.unique((targets[inliers] / TOLERANCES[-1]).round(), axis=0)
    if matrix is None or len(places) < MIN_INLIERS:
        return None
    spread = max(_spread(points[inliers]), _spread(targets[inliers]))
    return Alignment(matrix, len(places), len(rows), spread)


def _spread(points: Float32Array) -> float:
    """Return `spread` of some points of an image, (m, 2)."""
    # The determinant of the covariance of a uniform distribution over a rectangle is (area / 12)²,
    # and the area of an image is 1.
    covariance = np.cov(points.astype(np.float64), rowvar=False)  # (2, 2)
    return float(12 * np.sqrt(max(np.linalg.det(covariance), 0.0)))


def _matches(
    one: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Match descriptors by the ratio test, the most distinctive first: rows (m,), rows (m,)."""
    if min(len(one), len(other)) < 2:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    distances = squared_distances(one, other)
    nearest = distances.argmin(axis=1)  # (n,)
    mutual = distances.argmin(axis=0)[nearest] == np.arange(len(one))
    rows = np.flatnonzero(mutual)
    best = distances[rows, nearest[rows]]
    distances[rows, nearest[rows]] = np.inf
    ratios = best / np.maximum(distances[rows].min(axis=1), 1)
    chosen = rows[np.argsort(ratios, kind="stable")][: int((ratios < RATIO_THRESHOLD**2).sum())]
    return chosen, nearest[chosen]


def squared_distances(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Float32Array:
    """Return the squared Euclidean distances of descriptors (n, d) and (m, d), (n, m)."""
    first, second = one.astype(np.float32), other.astype(np.float32)
    # Sums of products of integers below 2 ** 24 are exact: no rounding depends on the order. The
    # matrix product of NumPy would use several threads, which costs more here than the product.
    with opencv() as cv2:
        products = cv2.gemm(first, second, 1, None, 0, flags=cv2.GEMM_2_T)  # (n, m)
    squares, other_squares = (np.einsum("ij,ij->i", x, x) for x in (first, second))
    return np.asarray(squares[:, None] + other_squares - 2 * products)


def _confirmed(
    points: Float32Array, targets: Float32Array, scales: Float32Array, angles: Float32Array
) -> NDArray[np.bool_]:
    """Return the matches, (m,) bool, that agree with the best similarity of a single match."""
    cosines, sines = (scales * f(angles) for f in (np.cos, np.sin))  # (m,)
    turns = np.stack([cosines, -sines, sines, cosines], axis=1).reshape(-1, 2, 2)[:MAX_HYPOTHESES]
    moved = np.einsum("hij,mj->hmi", turns, points)  # (h, m, 2)
    own = np.arange(len(turns))
    shifts = targets[: len(turns)] - moved[own, own]  # (h, 2)
    residuals = moved + shifts[:, None] - targets
    agree = (residuals**2).sum(axis=2) <= TOLERANCES[0] ** 2  # (h, m)
    return np.asarray(agree[agree.sum(axis=1).argmax()])


def _fit(points: Float32Array, targets: Float32Array) -> Matrix | None:
    """Fit an affine matrix, (2, 3), by least squares; None if it is not plausible."""
    if len(points) < MIN_INLIERS:
        return None
    design = np.column_stack([points, np.ones(len(points))]).astype(np.float64)  # (m, 3)
    solution, _, rank, _ = np.linalg.lstsq(design, targets.astype(np.float64), rcond=1e-4)
    stretches = np.linalg.svd(solution[:2], compute_uv=False)
    scale = np.sqrt(stretches.prod())
    plausible = rank == 3 and stretches[0] <= MAX_STRETCH * stretches[1]
    plausible = plausible and 1 / MAX_SCALE <= scale <= MAX_SCALE
    return np.asarray(solution.T) if plausible else None
