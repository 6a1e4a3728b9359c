"""Register copies of images that have few keypoints: tiny, plain or blurred ones.

Hypotheses are the eight maps of a whole image onto the whole other one, turned and mirrored, the
same without a border of one colour, and the similarity transformation of each likely match of two
keypoints. Those under which two coarse versions correlate are refined by the enhanced correlation
coefficient (Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation
coefficient maximization", 2008).

Two plain images of one kind, such as two pairs of trousers, agree closely if one of them may be
stretched and sheared freely. An edited copy is not sheared, and seldom stretched. So the refined
transformation is replaced by the nearest one of each kind in `MIN_CORRELATIONS`, and the fewer free
parameters a kind has, the lower is the correlation of the fine structure that it requires.

Coordinates are those of `dogsim.image_files.alignment`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.image_files.alignment import (
    Alignment,
    Float32Array,
    Keypoints,
    Matrix,
    squared_distances,
)
from dogsim.image_files.common_frame import square_matrix
from dogsim.image_files.small_image import SmallImage, shared_polygon, structure_agreement
from dogsim.plumbing.opencv import opencv

SEARCH_SIDE, REFINED_SIDE = 20, 48  # pixels: images are searched and refined at these sides squared
MAX_NEAREST_MATCHES = 60  # of keypoints, in an image and in its mirror image
MAX_REFINED = 3  # hypotheses
MIN_SEARCH_CORRELATION = 0.8
MIN_SHARED_FRACTION = 0.3  # of one of the two images
ECC_ITERATIONS, ECC_TOLERANCE = 40, 1e-4
ECC_FILTER = 3  # pixels

# The least correlation of the fine structure, and the least fraction of one image that the other
# shows, by the kind of transformation, the simplest first.
MIN_CORRELATIONS = {
    "whole": (0.95, 0.9),  # the whole image, stretched to the other shape, turned, mirrored
    "cropped": (0.97, 0.9),  # scaled by one factor
    "rotated": (0.97, 0.75),  # scaled by one factor and rotated by any angle
    "stretched": (0.98, 0.9),  # scaled by one factor in each direction
}
MIN_ANGLE, MAX_ANGLE = 2.0, 33.0  # degrees of "rotated"
MAX_REGISTERED_STRETCH, MAX_REGISTERED_SCALE = 1.9, 2.2

# The symmetries of a square, (8, 2, 2): rotations by multiples of 90 degrees, mirrored or not.
_TURNS = [np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), n) for n in range(4)]
SYMMETRIES = np.array([turn @ np.diag([flip, 1.0]) for turn in _TURNS for flip in (1, -1)])


@dataclass(frozen=True, eq=False)
class _Hypothesis:
    """A transformation between two images, or between two of their parts.

    Attributes
    ----------
    one, other : SmallImage
    matrix : (2, 3) float64
        From the first to the second.
    before, after : (3, 3) float64
        From the units of the first whole image, and to those of the second.
    correlation : float
        Of the two at a coarse size.
    """

    one: SmallImage
    other: SmallImage
    matrix: Matrix
    before: Matrix
    after: Matrix
    correlation: float


def register(one: SmallImage, other: SmallImage) -> Alignment | None:
    """Return the transformation between two images if their fine structure is the same.

    Colours are not compared. Images without structure, such as one disc, are not registered
    reliably; their colours have to decide.

    Returns
    -------
    Alignment or None
        None if the images differ or their structure is too faint to be compared.
    """
    with opencv() as cv2:
        hypotheses = sorted(_hypotheses(one, other, cv2), key=lambda each: -each.correlation)
        for each in hypotheses[:MAX_REFINED]:
            if each.correlation < MIN_SEARCH_CORRELATION:
                break
            matrix = _verified(each, cv2)
            if matrix is not None:
                whole = each.after @ square_matrix(matrix) @ each.before
                return Alignment(np.asarray(whole[:2]), 0, 0)
    return None


def _hypotheses(one: SmallImage, other: SmallImage, cv2: Any) -> Iterator[_Hypothesis]:
    """Yield all hypotheses: of the whole images, and without a border around one of them."""
    same: Matrix = np.eye(3)
    maps = np.concatenate([_whole_maps(one, other), _match_maps(one, other)])  # (m, 2, 3)
    parts: list[tuple[SmallImage, SmallImage, Matrix, Matrix, Matrix]]
    parts = [(one, other, maps, same, same)]
    if within := one.without_border(cv2):
        part, to_one = within
        parts.append(
            (part, other, _whole_maps(part, other), np.asarray(np.linalg.inv(to_one)), same)
        )
    if within := other.without_border(cv2):
        part, to_other = within
        parts.append((one, part, _whole_maps(one, part), same, to_other))
    for first, second, matrices, before, after in parts:
        correlations = _search_correlations(first, second, matrices, cv2)
        for matrix, correlation in zip(matrices, correlations.tolist(), strict=True):
            yield _Hypothesis(first, second, matrix, before, after, correlation)


def _verified(hypothesis: _Hypothesis, cv2: Any) -> Matrix | None:
    """Return the refined transformation if the fine structure agrees, else None."""
    one, other = hypothesis.one, hypothesis.other
    refined = _refined(one, other, hypothesis.matrix, cv2)
    if refined is None:
        return None
    for kind, matrix in _simpler(one, other, refined, cv2):
        min_correlation, min_shown = MIN_CORRELATIONS[kind]
        if structure_agreement(one, other, matrix, min_shown, cv2) >= min_correlation:
            return matrix
    return None


def _whole_maps(one: SmallImage, other: SmallImage) -> Matrix:
    """Return the maps of the whole image onto the whole other one, (8, 2, 3)."""
    sizes = np.abs(SYMMETRIES @ one.extent)  # (8, 2)
    linear = (other.extent / sizes)[:, :, None] * SYMMETRIES  # (8, 2, 2)
    shifts = other.extent / 2 - linear @ (one.extent / 2)  # (8, 2)
    return np.concatenate([linear, shifts[:, :, None]], axis=2)


def _match_maps(one: SmallImage, other: SmallImage) -> Matrix:
    """Return the similarities of the most similar pairs of keypoints, (m, 2, 3)."""
    mirror = np.array([[-1, 0, one.extent[0]], [0, 1, 0], [0, 0, 1]])
    maps = _nearest_match_maps(one.keypoints, other.keypoints)
    mirrored = _nearest_match_maps(one.keypoints.mirrored(), other.keypoints) @ mirror
    return np.concatenate([maps, mirrored])


def _nearest_match_maps(one: Keypoints, other: Keypoints) -> Matrix:
    if min(len(one), len(other)) == 0:
        return np.empty((0, 2, 3))
    distances = squared_distances(one.descriptors, other.descriptors)
    rows, other_rows = np.arange(len(one)), np.arange(len(other))
    rows = np.concatenate([rows, distances.argmin(axis=0)])
    other_rows = np.concatenate([distances.argmin(axis=1), other_rows])
    order = np.argsort(distances[rows, other_rows], kind="stable")[:MAX_NEAREST_MATCHES]
    rows, other_rows = rows[order], other_rows[order]
    scales = (other.scales[other_rows] / one.scales[rows]).astype(np.float64)
    angles = (other.angles[other_rows] - one.angles[rows]).astype(np.float64)
    cosines, sines = scales * np.cos(angles), scales * np.sin(angles)
    linear = np.stack([cosines, -sines, sines, cosines], axis=1).reshape(-1, 2, 2)
    shifts = other.points[other_rows] - np.einsum("mij,mj->mi", linear, one.points[rows])
    maps = np.concatenate([linear, shifts[:, :, None]], axis=2)
    plausible = (scales < MAX_REGISTERED_SCALE) & (scales > 1 / MAX_REGISTERED_SCALE)
    return np.asarray(maps[plausible])


def _search_correlations(
    one: SmallImage, other: SmallImage, maps: Matrix, cv2: Any
) -> NDArray[np.float64]:
    """Return the correlation of the coarse images under each map, (m,); -1 without overlap."""
    image, target = one.grey(SEARCH_SIDE, cv2), other.grey(SEARCH_SIDE, cv2)
    y, x = np.indices(target.shape)
    pixels = np.stack([x.ravel(), y.ravel(), np.ones(target.size)])  # (3, p)
    points = np.linalg.inv(other.to_pixels(target)) @ pixels
    inverses = np.linalg.inv(np.stack([square_matrix(each) for each in maps]))  # (m, 3, 3)
    sources = (one.to_pixels(image) @ inverses @ points).astype(np.float32)  # (m, 3, p)
    x, y = sources[:, 0], sources[:, 1]
    values = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # (m, p)
    height, width = image.shape
    inside = (x > -0.6) & (x < width - 0.4) & (y > -0.6) & (y < height - 0.4)
    shown = inside.mean(axis=1)
    fractions = np.maximum(shown, shown / np.abs(np.linalg.det(maps[:, :, :2])))
    correlations = _correlations(values, target.ravel(), inside)
    return np.where(fractions >= MIN_SHARED_FRACTION, correlations, -1)


def _correlations(
    values: Float32Array, target: Float32Array, inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the correlation of each row of values, (m, p), with the target, (p,), where inside."""
    count = np.maximum(inside.sum(axis=1), 1)
    deviations = []
    for each in (values, np.broadcast_to(target, values.shape)):
        means = (each * inside).sum(axis=1, dtype=np.float64) / count
        deviations.append((each - means[:, None]) * inside)
    one, two = deviations
    squares = (one * one).sum(axis=1) * (two * two).sum(axis=1)
    return np.asarray((one * two).sum(axis=1) / np.sqrt(np.maximum(squares, 1)))


def _refined(one: SmallImage, other: SmallImage, matrix: Matrix, cv2: Any) -> Matrix | None:
    """Maximise the enhanced correlation coefficient; None if it does not converge."""
    image, target = one.grey(REFINED_SIDE, cv2), other.grey(REFINED_SIDE, cv2)
    to_one, to_other = one.to_pixels(image), other.to_pixels(target)
    start = to_one @ np.linalg.inv(square_matrix(matrix)) @ np.linalg.inv(to_other)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_ITERATIONS, ECC_TOLERANCE)
    try:
        _, found = cv2.findTransformECC(
            target, image, start[:2].astype(np.float32), cv2.MOTION_AFFINE, criteria, None,
            ECC_FILTER,
        )  # fmt: skip
    except cv2.error:
        return None
    found = np.linalg.inv(to_one) @ square_matrix(found.astype(np.float64)) @ to_other
    stretches = np.linalg.svd(found[:2, :2], compute_uv=False)
    scale = np.sqrt(stretches.prod())
    plausible = 0 < stretches[0] <= MAX_REGISTERED_STRETCH * stretches[1]
    plausible = plausible and 1 / MAX_REGISTERED_SCALE < scale < MAX_REGISTERED_SCALE
    return np.asarray(np.linalg.inv(found)[:2]) if plausible else None


def _simpler(
    one: SmallImage, other: SmallImage, matrix: Matrix, cv2: Any
) -> Iterator[tuple[str, Matrix]]:
    """Yield the nearest transformation of each kind in `MIN_CORRELATIONS`."""
    linear = matrix[:, :2]
    symmetry = SYMMETRIES[np.einsum("sij,ij->s", SYMMETRIES, linear).argmax()]
    upright = symmetry.T @ linear  # near a diagonal matrix
    maps = _whole_maps(one, other)
    yield "whole", maps[np.abs(maps[:, :, :2] - linear).sum(axis=(1, 2)).argmin()]
    shared = shared_polygon(one, other, matrix, cv2)
    if not len(shared):
        return
    centre = shared.mean(axis=0)
    scales = np.diag(upright)
    yield "cropped", _about(matrix, symmetry * scales.mean(), centre)
    angle = np.arctan2(upright[1, 0] - upright[0, 1], upright[0, 0] + upright[1, 1])
    if MIN_ANGLE <= np.degrees(abs(angle)) <= MAX_ANGLE:
        cosine, sine = np.cos(angle), np.sin(angle)
        rotation = np.array([[cosine, -sine], [sine, cosine]])
        scale = np.sqrt(abs(np.linalg.det(linear)))
        yield "rotated", _about(matrix, symmetry @ rotation * scale, centre)
    yield "stretched", _about(matrix, symmetry @ np.diag(scales), centre)


def _about(matrix: Matrix, linear: Matrix, centre: Matrix) -> Matrix:
    """Replace the linear part of a transformation so that it maps to `centre` what it mapped."""
    source = np.linalg.solve(matrix[:, :2], centre - matrix[:, 2])
    return np.column_stack([linear, centre - linear @ source])
