"""Evidence that two aligned images are one photo: their fine detail, their motion, their colours.

A copy agrees in its fine detail nearly everywhere, also after a global change of brightness, colour
or sharpness; text or a watermark hides some detail of the original and leaves the rest. Two shots
of one scene do not agree: the camera has moved a little, so that no affine motion fits everywhere,
or something in front of it has moved.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dogsim.image_files.alignment import Alignment
from dogsim.image_files.colour_change import BlockColours, ToneChange
from dogsim.image_files.common_frame import CommonFrame
from dogsim.image_files.detail import (
    BLOCKS,
    MIN_BLOCK_FRACTION,
    NOISE,
    Detail,
    Float64Array,
    Mask,
    Pixels,
    affine_motion,
    block_centres,
    detail_of,
    fit_motion,
    grey_difference,
    largest_step,
)
from dogsim.plumbing.opencv import opencv

MAX_REFINEMENTS = 4
SMALL_SIDE = 64  # pixels: the side of a frame whose blocks have 4 x 4 pixels
MIN_REFINED_SCORE = 0.35  # of the correlations; below it no motion helps
SCORE_NOISE = 0.003
MIN_STEP = 0.05  # pixels; a smaller motion ends the refinement
MIN_SHARED_PIXELS = 600
STRONG_QUANTILE = 0.6  # of the absolute detail of an image; what exceeds it is strong
MIN_STRONG_FRACTION = 0.04  # of the pixels of a block
LOST_THRESHOLD = 0.35  # of the strong detail of a block that remains
AGREEING_BLOCK = 0.8  # correlation
MOVED_BLOCK = 0.5  # correlation from which the shift of a block is known
LEAST_DIFFERENT = 0.2  # quantile of the differences of the pixels of a block
MAX_CAPTION_BLOCKS = 3  # width of a strip along a whole side of an image, such as a caption
MIN_REPLACED_LEVELS = 4.0  # grey levels
KNOWN_SHIFTS = 0.7  # fraction of these blocks, those with the smallest standard deviation


@dataclass(frozen=True, eq=False)
class Evidence:
    """How far two aligned images agree.

    Attributes
    ----------
    alignment : Alignment
        Refined, from the first image to the other one.
    fractions : (float, float)
        The fraction of the area of each image that the other one shows.
    n_blocks : int
        Blocks of the overlap with detail, at most 256.
    correlation : float
        The 70 % quantile of the correlations of the fine detail in these blocks.
    agreeing : float
        The fraction of these blocks with a correlation above `AGREEING_BLOCK`.
    persistences : (float, float)
        The fraction of the strong detail of each image that the other one has at its place.
    lost : float
        The fraction of the blocks of the image with the larger persistence whose strong detail is
        mostly absent in the other one.
    replaced : float
        The fraction of the blocks in the largest connected region where all pixels differ, as an
        object that was replaced. Text and watermarks leave pixels between them, and a strip along
        a whole side is a caption.
    bend : float
        Pixels of a frame of 256 x 256 by which the shifts of the blocks bend, as perspective does:
        root mean square, less twice its standard error.
    shift, shift_noise : float
        Median shift of the blocks after the alignment, and its standard deviation, pixels.
    colour_conflict : float
        See `BlockColours.conflict`.
    tone : ToneChange
    blur : float
        Pixels by which the second image is softer than the first; negative if the first is.
    """

    alignment: Alignment
    fractions: tuple[float, float]
    n_blocks: int
    correlation: float
    agreeing: float
    persistences: tuple[float, float]
    lost: float
    replaced: float
    bend: float
    shift: float
    shift_noise: float
    colour_conflict: float
    tone: ToneChange
    blur: float

    def reversed(self) -> "Evidence":
        """Return the same evidence for the two images in the other order."""
        return replace(
            self,
            alignment=self.alignment.inverse(),
            fractions=(self.fractions[1], self.fractions[0]),
            persistences=(self.persistences[1], self.persistences[0]),
            tone=self.tone.reversed(),
            blur=-self.blur,
        )


def compare_aligned(image: Pixels, other: Pixels, alignment: Alignment) -> Evidence | None:
    """Compare two images, (h, w, 3) uint8 of any sizes, whose transformation is known.

    Returns None if they hardly overlap.
    """
    with opencv() as cv2:
        frame = CommonFrame(image, other, alignment.matrix, cv2)
        if min(frame.size) == 0 or frame.mask.sum() < MIN_SHARED_PIXELS:
            return None
        detail = _refined(frame, cv2)
        return _evidence(frame, detail, alignment, cv2)


def _refined(frame: CommonFrame, cv2: Any) -> Detail:
    """Improve the alignment of a frame while the agreement of the detail improves."""
    detail = detail_of(*_images(frame), cv2)
    for number in range(MAX_REFINEMENTS):
        motion = affine_motion(detail, frame.size)
        if motion is None or (number and detail.score < MIN_REFINED_SCORE):
            break
        before = frame.matrix
        frame.move(motion)
        moved = detail_of(*_images(frame), cv2) if frame.mask.sum() >= MIN_SHARED_PIXELS else None
        if moved is None or moved.score < detail.score - SCORE_NOISE:
            frame.restore(before)
            break
        detail = moved
        if largest_step(motion, frame.size) < MIN_STEP:
            break
    return detail


def _images(frame: CommonFrame) -> tuple[Pixels, Pixels, Mask]:
    return frame.fixed, frame.moving, frame.mask


def _evidence(frame: CommonFrame, detail: Detail, found: Alignment, cv2: Any) -> Evidence:
    known = detail.correlations[~np.isnan(detail.correlations)]
    (kept_fixed, fixed_blocks), (kept_moving, moving_blocks) = (
        _persistence(detail, of_fixed) for of_fixed in (True, False)
    )
    blocks = fixed_blocks if kept_fixed >= kept_moving else moving_blocks
    judged = blocks[~np.isnan(blocks)]
    colours = BlockColours(*_images(frame), frame.side < SMALL_SIDE, cv2)
    order = -1 if frame.exchanged else 1
    bend, shift, noise = _remaining_motion(detail)
    return Evidence(
        alignment=replace(found, matrix=frame.refined),
        fractions=frame.fractions,
        n_blocks=len(known),
        correlation=float(np.quantile(known, 0.7)) if len(known) else 0.0,
        agreeing=float((known > AGREEING_BLOCK).mean()) if len(known) else 0.0,
        persistences=(kept_moving, kept_fixed) if order < 0 else (kept_fixed, kept_moving),
        lost=float((judged < LOST_THRESHOLD).mean()) if len(judged) else 1.0,
        replaced=_replaced(detail, np.fmax(fixed_blocks, moving_blocks), cv2),
        bend=bend,
        shift=shift,
        shift_noise=noise,
        colour_conflict=colours.conflict(detail.correlations),
        tone=colours.change().reversed() if frame.exchanged else colours.change(),
        blur=detail.blur * order,
    )


def _persistence(detail: Detail, of_fixed: bool) -> tuple[float, Float64Array]:
    """Find out how much of the strong detail of one image the other one has.

    Returns the fraction, and that of each block, (b,), NaN in blocks without strong detail.
    """
    mask, agreeing = detail.mask, detail.correlations > AGREEING_BLOCK
    energy, other_energy = ((x[agreeing] ** 2).sum() for x in (detail.fixed, detail.moving))
    gain = np.sqrt(energy / other_energy) if min(energy, other_energy) > 0 else 1.0
    one, other = detail.fixed, detail.moving * np.float32(gain)
    if not of_fixed:
        one, other = other, one
    size = np.abs(one)
    strong = (size > max(4 * NOISE, np.quantile(size[mask], STRONG_QUANTILE))) & mask
    kept = strong & (np.abs(one - other) <= 0.5 * size + 1)
    count, n_kept = strong.sum(axis=1), kept.sum(axis=1)
    judged = count >= max(4, MIN_STRONG_FRACTION * mask.shape[1])
    fractions = np.where(judged, n_kept / np.maximum(count, 1), np.nan)
    return float(n_kept.sum() / max(count.sum(), 1)), fractions


def _replaced(detail: Detail, remaining: Float64Array, cv2: Any) -> float:
    """Return `replaced` of the evidence; `remaining` is the fraction of the detail of each block.

    A block is replaced if hardly any detail remains and even the pixels that differ least differ
    more than those of the blocks that agree.
    """
    shown = detail.mask.mean(axis=1) > MIN_BLOCK_FRACTION
    if not shown.any():
        return 0.0
    mask = detail.mask[shown]
    levels = np.where(mask, grey_difference(detail, cv2)[shown], np.inf)  # (m, p)
    levels.sort(axis=1)
    rows, last = np.arange(len(levels)), mask.sum(axis=1) - 1
    least, median = (levels[rows, (last * q).astype(int)] for q in (LEAST_DIFFERENT, 0.5))
    agreeing = (detail.correlations > AGREEING_BLOCK)[shown]
    noise = float(np.median(median[agreeing])) if agreeing.any() else 0.0
    replaced = np.zeros(len(shown), np.uint8)
    replaced[shown] = (least > max(MIN_REPLACED_LEVELS, 2.5 * noise)) & ~(remaining[shown] > 0.5)
    regions = cv2.connectedComponentsWithStats(replaced.reshape(BLOCKS, BLOCKS), connectivity=4)
    table = regions[2][1:]  # without the background
    sides = np.sort(table[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]], axis=1)
    is_caption = (sides[:, 0] <= MAX_CAPTION_BLOCKS) & (sides[:, 1] >= BLOCKS - 1)
    return float(table[~is_caption, cv2.CC_STAT_AREA].max(initial=0) / shown.sum())


def _remaining_motion(detail: Detail) -> tuple[float, float, float]:
    """Return the bend, the median shift and its standard deviation, in pixels; see `Evidence`."""
    agreeing = detail.correlations > MOVED_BLOCK
    if agreeing.sum() < 8:
        return 0.0, 0.0, 0.0
    gradients, slopes = detail.gradients[agreeing], detail.slopes[agreeing]
    variances = detail.variances[agreeing] + 0.25
    x, y = block_centres()[agreeing].T
    terms = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)
    motion, covariance = fit_motion(terms, gradients, slopes, 1 / variances)
    bend = np.sqrt(((terms @ motion) ** 2).sum(axis=1).mean())
    errors = np.einsum("mi,mj,iaja->m", terms, terms, covariance)
    traces = np.trace(gradients, axis1=1, axis2=2)[:, None, None]
    inverses = np.linalg.inv(gradients + np.eye(2) * (0.02 * traces + 1))  # (m, 2, 2)
    shifts = np.hypot(*np.einsum("mab,mb->am", inverses, slopes))  # (m,)
    deviations = np.sqrt(np.trace(inverses, axis1=1, axis2=2) * variances)
    known = deviations <= np.quantile(deviations, KNOWN_SHIFTS)
    bend = max(0.0, float(bend - 2 * np.sqrt(errors.mean())))
    return bend, float(np.median(shifts[known])), float(np.median(deviations[known]))
