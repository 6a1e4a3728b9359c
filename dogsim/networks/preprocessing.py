"""Preprocessing of an ONNX network: the mean and standard deviation of its pixels, and its size.

It is read from the metadata of the network's file, or from a file beside it: that of Hugging Face
(``preprocessor_config.json``), timm (``config.json``) or OpenCLIP (``open_clip_config.json``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dogsim.errors import DogsimError, as_integer, reason
from dogsim.recipe import Channels, channel_text

CONFIG_FILES = ("preprocessor_config.json", "config.json", "open_clip_config.json")
CONFIG_SECTIONS = ("pretrained_cfg", "preprocess_cfg")  # of timm and OpenCLIP
SIZE_KEYS = ("crop_size", "size", "input_size", "image_size")  # in order of priority
MAX_IMAGE_SIZE = 4096  # pixels
WHITE = 255
CHANNEL_LIMITS = {
    "mean": (0, 1, "0 to 1, as 0.485,0.456,0.406"),
    "std": (1e-6, 2, "above 0 and up to 2, as 0.229,0.224,0.225 or 1/255"),
}


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of an ONNX network; a field is None if it is unknown.

    Attributes
    ----------
    mean, std : (float, float, float), optional
        For red, green and blue, where white is 1: 0.5 for both maps pixels to -1 to 1.
    image_size : int, optional
        Height and width, pixels.
    """

    mean: Channels | None = None
    std: Channels | None = None
    image_size: int | None = None

    @classmethod
    def checked(
        cls,
        mean: ArrayLike | None,
        std: ArrayLike | None,
        image_size: int | None,
        where: str = "",
    ) -> "Preprocessing":
        """Check values and return them; one number stands for three channels.

        Raises `DogsimError` if a value is impossible; `where` says in which file it was found.

        >>> Preprocessing.checked(0.5, (0.229, 0.224, 0.25), None)
        Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.229, 0.224, 0.25), image_size=None)
        """
        if image_size is not None:
            image_size = as_integer("image_size", image_size, 1, MAX_IMAGE_SIZE, f"pixels{where}")
        return cls(_channels("mean", mean, where), _channels("std", std, where), image_size)

    def completed_by(self, other: "Preprocessing") -> "Preprocessing":
        """Return this preprocessing with its unknown fields taken from another one."""
        mean, std = self.mean or other.mean, self.std or other.std
        return Preprocessing(mean, std, self.image_size or other.image_size)

    @property
    def missing(self) -> list[str]:
        """The command-line options of the unknown fields."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if not value]

    @property
    def fields(self) -> dict[str, Any]:
        """The known fields as those of a recipe, in which mean and std are text."""
        return {
            name: channel_text(value) if isinstance(value, tuple) else value
            for name, value in vars(self).items()
            if value
        }


def find_preprocessing(file: Path, metadata: Mapping[str, str]) -> Preprocessing:
    """Find the preprocessing of a network's file: in its metadata, or in a file beside it.

    If the folder is called ``onnx``, as on the Hugging Face Hub, the folder above is searched too.
    Raises `DogsimError` if a value that is found is impossible.
    """
    entries = {name: _parsed(text) for name, text in metadata.items()}
    found = _from_entries(entries, f" in the metadata of {file}")
    folder = file.parent.absolute()
    folders = (folder, folder.parent) if folder.name == "onnx" else (folder,)
    for config in (folder / name for folder in folders for name in CONFIG_FILES):
        if config.is_file():
            found = found.completed_by(_from_entries(_read(config), f" in {config}"))
    return found


def _read(file: Path) -> Mapping[str, Any]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DogsimError(
            f"Cannot read {file}, which may have the preprocessing: {reason(error)}."
        ) from error
    return entries if isinstance(entries, Mapping) else {}


def _from_entries(entries: Mapping[str, Any], where: str) -> Preprocessing:
    """Interpret the entries of a configuration file or of the metadata."""
    sections = (entries.get(name) for name in CONFIG_SECTIONS)
    inner = next((each for each in sections if isinstance(each, Mapping)), entries)
    values = [inner.get(f"image_{name}", inner.get(name)) for name in CHANNEL_LIMITS]
    if inner.get("do_normalize") is False:
        values = [0, 1]
    rescaled = inner.get("do_rescale") is not False  # before the mean is subtracted
    try:
        white = WHITE * float(inner.get("rescale_factor", 1 / WHITE)) if rescaled else WHITE
        mean, std = (_divided(value, white) for value in values)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise DogsimError(f"Cannot interpret the mean and std{where}: {reason(error)}.") from error
    return Preprocessing.checked(mean, std, _size(inner), where)


def _divided(value: Any, white: float) -> list[float] | None:
    """Divide a number, several, or a text of them by the value of white."""
    if value is None:
        return None
    parts = value.split(",") if isinstance(value, str) else value
    return [float(part) / white for part in np.atleast_1d(parts)]


def _channels(name: str, values: ArrayLike | None, where: str) -> Channels | None:
    """Return one number or three for red, green and blue, in the nine digits of a recipe."""
    if values is None:
        return None
    try:
        numbers = [
            float(f"{float(value):.9g}") for value in np.atleast_1d(np.asarray(values)).tolist()
        ]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except Exception:  # the conversion of an object can raise anything
        red = green = blue = np.nan
    least, most, expected = CHANNEL_LIMITS[name]
    if not all(least <= number <= most for number in (red, green, blue)):
        received = " ".join(str(values).split())[:60]
        raise DogsimError(
            f"Received {name}={received}{where}. Expected one number, or three for "
            f"red, green and blue, where white is 1: {expected}."
        )
    return red, green, blue


def _size(entries: Mapping[str, Any]) -> int | None:
    """Return the height and width of a network's input."""
    cropped = entries.get("do_center_crop") is not False
    for name in SIZE_KEYS[0 if cropped else 1 :]:
        value = entries.get(name)
        sides = list(value.values()) if isinstance(value, Mapping) else value
        side = sides[-1] if isinstance(sides, list) and sides else sides
        if isinstance(side, int):
            return side
    return None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
