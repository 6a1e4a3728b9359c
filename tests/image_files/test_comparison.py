"""Verdicts on pairs of images: copies are found and described, other images are none."""

from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from textures import COPIES, garment, next_shot, page, texture, with_object

from dogsim.image_files.alignment import Keypoints, align, find_keypoints
from dogsim.image_files.comparison import Verdict, compare_images
from dogsim.image_files.detail import Pixels
from dogsim.image_files.small_image import SmallImage, small_image
from dogsim.plumbing.opencv import opencv


@dataclass
class InMemory:
    array: Pixels

    @property
    def keypoints(self) -> Keypoints:
        return find_keypoints(self.array)

    @property
    def small(self) -> SmallImage:
        return small_image(self.array, self.keypoints)

    def pixels(self) -> Pixels:
        return self.array


def verdict(one: Image.Image, other: Image.Image) -> Verdict:
    return compare_images(*(InMemory(np.asarray(image)) for image in (one, other)))


@pytest.mark.parametrize("change", COPIES)
def test_copies_are_found_and_described(change: str) -> None:
    image = texture(0)
    found = verdict(image, COPIES[change](image))
    assert (found.kind, found.change) == ("copy", change)


def test_the_description_in_the_other_direction() -> None:
    image = texture(0)
    copy = COPIES["mirrored, cropped to 69 %, grey"](image)
    found = verdict(image, copy)
    assert found.reverse == "mirrored, extended, in colour"
    assert verdict(copy, image) == found.reversed()
    assert verdict(COPIES["rotated by 90 degrees"](image), image).change == "rotated by 270 degrees"


def test_a_resized_copy_of_a_crop_in_another_shape_is_found() -> None:
    image = texture(1, (660, 500))
    copy = image.crop((100, 40, 520, 460)).resize((120, 120))
    assert verdict(image, copy) == Verdict("copy", "cropped to 53 %", "extended")


def test_another_object_on_the_same_background_is_no_copy() -> None:
    background = texture(0)
    assert verdict(with_object(background, 1), with_object(background, 2)).kind != "copy"


@pytest.mark.parametrize("other", [(30, 60, 200), (30, 150, 60), (200, 180, 40), (120, 30, 160)])
def test_a_garment_in_another_colour_is_no_copy(other: tuple[int, int, int]) -> None:
    assert verdict(garment((200, 40, 40)), garment(other)).kind != "copy"


def test_the_next_shot_is_the_same_scene() -> None:
    image = texture(0)
    assert verdict(image, next_shot(image)).kind == "same scene"


def test_an_object_at_another_place_is_another_scene() -> None:
    """Many matches within a small part of both images are no evidence of one place."""
    thing, photos = texture(3, (120, 100)), [texture(0), texture(1)]
    for photo, position in zip(photos, ((60, 40), (130, 70)), strict=True):
        photo.paste(thing, position)
    alignment = align(*(find_keypoints(np.asarray(photo)) for photo in photos))
    assert alignment is not None
    assert alignment.inliers >= 26
    assert verdict(*photos) == Verdict("different")


def test_two_pages_of_one_layout_are_no_copies() -> None:
    assert {verdict(page(0), page(seed)).kind for seed in (1, 2, 3)} <= {"different", "same scene"}


def test_different_images() -> None:
    assert verdict(texture(0), texture(1)) == Verdict("different")
    assert verdict(texture(0), Image.new("RGB", (90, 60))) == Verdict("different")


def test_the_verdict_does_not_depend_on_threads() -> None:
    image, verdicts = texture(0), []
    for threads in (1, 4):
        with opencv() as cv2:
            before = cv2.getNumThreads()
        cv2.setNumThreads(threads)
        verdicts.append(verdict(image, COPIES["cropped to 42 %"](image)))
        cv2.setNumThreads(before)
    assert verdicts[0] == verdicts[1]
