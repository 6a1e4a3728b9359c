"""How a network wants its pixels: less a mean, over a deviation, and how many of them.

Who publishes a network writes it beside it: Hugging Face into ``preprocessor_config.json``, timm
into ``config.json``, OpenCLIP into ``open_clip_config.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dogsim.errors import DogsimError, reason

BESIDE = ("preprocessor_config.json", "config.json", "open_clip_config.json")
WITHIN = ("pretrained_cfg", "preprocess_cfg")  # the part of timm's and of OpenCLIP's file
SIZES = ("crop_size", "size", "input_size", "image_size")  # the first that is there
LARGEST = 4096  # pixels of a side
WHITE = 255
LIMITS = {
    "mean": (0, 1, "0 to 1, as 0.485,0.456,0.406"),
    "std": (1e-6, 2, "above 0 and up to 2, as 0.229,0.224,0.225 or 1/255"),
}


@dataclass(frozen=True)
class Pixels:
    """What a network wants, empty or 0 where nobody has told.

    Attributes
    ----------
    mean, std : str
        Three numbers for red, green and blue with commas in between. White is 1, so that
        ``"0.5,0.5,0.5"`` for both asks for -1 to 1.
    image_size : int
        Height and width, pixels.
    """

    mean: str = ""
    std: str = ""
    image_size: int = 0

    @classmethod
    def of(
        cls, mean: str | None, std: str | None, image_size: int | None, where: str = ""
    ) -> "Pixels":
        """Understand what somebody gives, each perhaps nothing; a number may stand for three.

        Raises `DogsimError` if it cannot be meant; `where` tells where it was found.

        >>> Pixels.of("0.5", "0.229, 0.224, 1/4", None)
        Pixels(mean='0.5,0.5,0.5', std='0.229,0.224,0.25', image_size=0)
        """
        if image_size is not None and not 1 <= image_size <= LARGEST:
            raise DogsimError(
                f"Received image_size={image_size}{where}. Expected 1 to {LARGEST} pixels."
            )
        given = {"mean": mean, "std": std}
        texts = {name: _colours(name, text, where) for name, text in given.items() if text}
        return cls(**texts, image_size=image_size or 0)

    def filled(self, other: "Pixels") -> "Pixels":
        """Take from another one what is missing."""
        mean, std = self.mean or other.mean, self.std or other.std
        return Pixels(mean, std, self.image_size or other.image_size)

    @property
    def missing(self) -> list[str]:
        """The options with which what is missing would be given."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if not value]

    def numbers(self, name: str) -> list[float]:
        """Give the three numbers of "mean" or "std", of white that is 255."""
        return [WHITE * float(number) for number in getattr(self, name).split(",")]


def pixels_told(file: Path, notes: Mapping[str, str]) -> Pixels:
    """Find what is told about a network's file: in its notes, or in a file beside it.

    Beside it is also the folder above one called ``onnx``, as on the Hugging Face Hub. Raises
    `DogsimError` if what is told cannot be meant.
    """
    told = _pixels({name: _value(text) for name, text in notes.items()}, f" noted in {file}")
    folder = file.parent.absolute()
    folders = (folder, folder.parent) if folder.name == "onnx" else (folder,)
    for beside in (folder / name for folder in folders for name in BESIDE):
        if beside.is_file():
            told = told.filled(_pixels(_read(beside), f" in {beside}"))
    return told


def _read(file: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DogsimError(f"Cannot read {file}, which tells of pixels: {reason(error)}.") from error
    return facts if isinstance(facts, Mapping) else {}


def _pixels(facts: Mapping[str, Any], where: str) -> Pixels:
    """Understand what a file tells, in the words of any of those who write such."""
    inner = next((facts[name] for name in WITHIN if isinstance(facts.get(name), Mapping)), facts)
    told = [inner.get(f"image_{name}", inner.get(name)) for name in LIMITS]
    if inner.get("do_normalize") is False:
        told = [0, 1]
    scaled = inner.get("do_rescale") is not False  # before the mean is taken off, to 1 as a rule
    try:
        white = WHITE * float(inner.get("rescale_factor", 1 / WHITE)) if scaled else WHITE
        mean, std = (_text(value, white) for value in told)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise DogsimError(f"Cannot understand the mean and std{where}: {reason(error)}.") from error
    return Pixels.of(mean, std, _side(inner), where)


def _text(value: Any, white: float) -> str | None:
    """Write a number, several or a text of them as parts of white."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value
    return ",".join(str(float(part) / white) for part in np.atleast_1d(parts))


def _colours(name: str, text: str, where: str) -> str:
    """Write one number, or three, in one way; raises `DogsimError` if they cannot be meant."""
    try:
        parts = [part.partition("/") for part in text.split(",")]
        numbers = [float(over) / float(under or 1) for over, _, under in parts]
    except (ValueError, ZeroDivisionError):
        numbers = []
    numbers *= 3 if len(numbers) == 1 else 1
    least, most, expected = LIMITS[name]
    if len(numbers) != 3 or not all(least <= number <= most for number in numbers):
        raise DogsimError(
            f"Received {name} {text}{where}. Expected one number, or three for red, green and "
            f"blue, in parts of white: {expected}."
        )
    return ",".join(f"{number:.9g}" for number in numbers)


def _side(facts: Mapping[str, Any]) -> int | None:
    """Find the side of the square that a network takes."""
    cropped = facts.get("do_center_crop") is not False
    for name in SIZES[0 if cropped else 1 :]:
        value = facts.get(name)
        sides = list(value.values()) if isinstance(value, Mapping) else value
        side = sides[-1] if isinstance(sides, list) and sides else sides
        if isinstance(side, int):
            return side
    return None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
