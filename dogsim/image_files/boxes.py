"""Bounding boxes: the region of an image that shows the dog, and the PASCAL-VOC files of boxes.

The format: M. Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010. Stanford
Dogs has such a file for each of its images.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from math import isfinite
from pathlib import Path, PurePath
from typing import Any, TypeAlias
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from dogsim.errors import DogsimError, not_found, reason

BOX_FILE_SUFFIXES = (".xml", "")  # the files of Stanford Dogs have none
MAX_BOX_FILE_BYTES = 1_000_000  # one box takes 200
ASPECT_RATIO_TOLERANCE = 0.02  # between an image and the size that its box file names
BOX_SIDES = ("xmin", "ymin", "xmax", "ymax")
RelativeBox: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom, 0 to 1


@dataclass(frozen=True)
class Box:
    """A region of an image, in pixels from its left and top edges.

    Attributes
    ----------
    left, top, right, bottom : float
        Right and bottom are exclusive; all may lie outside the image.
    width, height : float
        Size of the image for which the box was drawn; 0 if that is the image's own size.
    """

    left: float
    top: float
    right: float
    bottom: float
    width: float = 0.0
    height: float = 0.0

    @classmethod
    def from_row(cls, row: Any) -> "Box | None":
        """Return the box in a row (6,) of `Dataset.boxes`; None for the zeros of a whole image."""
        return cls(*map(float, row)) if any(row) else None

    @property
    def area(self) -> float:
        """Number of the image's pixels inside the box; 0 if it is empty or lies outside."""
        width, height = self.width or float("inf"), self.height or float("inf")
        across = min(self.right, width) - max(self.left, 0)
        return max(across, 0) * max(min(self.bottom, height) - max(self.top, 0), 0)

    def widened(self, margin: float) -> "Box":
        """Return the box with a fraction of its width and height added to each side.

        >>> Box(10, 20, 30, 60).widened(0.1)
        Box(left=8.0, top=16.0, right=32.0, bottom=64.0, width=0.0, height=0.0)
        """
        x, y = margin * (self.right - self.left), margin * (self.bottom - self.top)
        sides = self.left - x, self.top - y, self.right + x, self.bottom + y
        return Box(*sides, self.width, self.height)

    def relative_to(self, stored: tuple[int, int], orientation: int = 1) -> RelativeBox | None:
        """Return the box as fractions of an upright image: left, top, right, bottom.

        Annotation tools show an image upright, so a box refers to the upright image, unless its
        `width` and `height` are those of the image as it is stored, on its side.

        Parameters
        ----------
        stored : (int, int)
            Width and height of the image before its EXIF orientation is applied.
        orientation : int
            The EXIF orientation, 1 to 8.

        Returns
        -------
        (float, float, float, float) or None
            None if the box was drawn for an image of another aspect ratio or lies outside.

        >>> Box(0, 0, 50, 100, 100, 200).relative_to((400, 800))
        (0.0, 0.0, 0.5, 0.5)
        >>> Box(0, 0, 100, 25, 200, 100).relative_to((400, 200), 6)  # a quarter turn to the right
        (0.75, 0.0, 1.0, 0.5)
        """
        upright = stored[::-1] if orientation > 4 else stored
        width, height = self.width or upright[0], self.height or upright[1]
        box = self.left / width, self.top / height, self.right / width, self.bottom / height
        if not _same_aspect_ratio((width, height), upright):
            if not _same_aspect_ratio((width, height), stored):
                return None
            box = _turned(box, orientation)
        left, top, right, bottom = (min(max(each, 0.0), 1.0) for each in box)
        return (left, top, right, bottom) if left < right and top < bottom else None


@dataclass(frozen=True)
class BoxFolder:
    """A folder of box files, one for each image, in the same folder tree as the images.

    Attributes
    ----------
    folder : Path or None
        None if there are no boxes.
    margin : float
        Added to each side of a box, as a fraction of its width and height.

    Raises
    ------
    DogsimError
        If there is no such folder, or the margin is negative or not finite.
    """

    folder: Path | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise not_found(
                self.folder,
                f"There is no folder of boxes {self.folder}. Expected FOLDER/BREED/image.xml, a "
                "PASCAL-VOC file for each image: --boxes FOLDER.",
            )
        if not (self.margin >= 0 and isfinite(self.margin)):
            raise DogsimError(f"Received margin={self.margin}. Expected a number from 0 up.")

    @classmethod
    def from_options(
        cls,
        folder: str | os.PathLike[str] | None,
        margin: float | None,
        defaults: Mapping[str, Any],
    ) -> "BoxFolder":
        """Return the boxes of two options; `defaults` replaces an option that is None.

        An empty folder name means no boxes. Raises `DogsimError` for a margin without boxes too.
        """
        name = defaults.get("boxes", "") if folder is None else os.fspath(folder)
        if margin and not name:
            raise DogsimError(f"Received margin={margin} without boxes. Add --boxes FOLDER.")
        if margin is None:
            margin = defaults.get("margin", 0.0) if name else 0.0
        return cls(Path(os.path.realpath(name)) if name else None, margin)

    @property
    def options(self) -> dict[str, Any]:
        """The folder and the margin as a recipe stores them."""
        return {"boxes": str(self.folder or ""), "margin": self.margin}

    def box_of(self, *paths: str | PurePath) -> Box | None:
        """Return the box of an image by its path below the root; None if it has no box file.

        Of several paths the first one with a box file counts. Raises `BoxError` if the file is not
        valid.
        """
        if self.folder is None:
            return None
        for path in paths:
            for suffix in BOX_FILE_SUFFIXES:
                file = self.folder / PurePath(path).with_suffix("")
                file = file.with_name(file.name + suffix)
                if content := _content(file):
                    box = largest_box(content, str(file))
                    return box and box.widened(self.margin)
        return None

    def box_of_query(self, image: str | os.PathLike[str]) -> Box | None:
        """Return the box of any image, from the box file that shares the longest end of its path.

        ``photos/pug/1.jpg`` has the box in ``pug/1.xml``, else in ``1.xml``. Raises as `box_of`
        does.
        """
        parts = PurePath(os.path.abspath(image)).parts[1:]  # noqa: PTH100
        return self.box_of(*(PurePath(*parts[i:]) for i in range(len(parts))))


class BoxError(DogsimError):
    """Raised for a box file that is not valid."""


def largest_box(content: bytes, name: str = "the annotation") -> Box | None:
    """Return the largest box of a PASCAL-VOC file; None if the file contains no object.

    A file with a document type declaration is refused: only such a declaration can define
    entities, which may expand to more than memory holds or name other files.

    Raises
    ------
    BoxError
        If it is not XML of that kind, or no box overlaps the image.

    >>> largest_box(b"<annotation><object><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax>"
    ...             b"<ymax>40</ymax></bndbox></object></annotation>")
    Box(left=1.0, top=2.0, right=30.0, bottom=40.0, width=0.0, height=0.0)
    """
    if len(content) > MAX_BOX_FILE_BYTES:
        raise BoxError(
            f"{name} has more than {MAX_BOX_FILE_BYTES:,} bytes. Expected a PASCAL-VOC file."
        )
    parser = XMLParser(target=_NoDocumentType())
    try:
        parser.feed(content)
        boxes = list(_boxes(parser.close()))
    except (ParseError, ValueError, LookupError) as error:
        raise BoxError(f"Cannot read {name} as PASCAL-VOC: {reason(error)}.") from error
    if not boxes:
        return None
    largest = max(boxes, key=lambda box: box.area)
    if not largest.area:
        sides = ", ".join(f"{side:g}" for side in astuple(largest)[:4])
        raise BoxError(f"The box {sides} in {name} is empty or lies outside its image.")
    return largest


class _NoDocumentType(TreeBuilder):
    """An XML tree builder that refuses document type declarations."""

    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        raise ValueError(f"it declares a document type, {name[:20]}")


def _boxes(root: Element) -> Iterator[Box]:
    element = root.find("size")
    size = [_number(element, name) for name in ("width", "height")] if element is not None else []
    known = [*size, 0.0, 0.0][:2] if all(size) else [0.0, 0.0]  # some tools write 0 x 0
    for box in root.iterfind("object/bndbox"):
        yield Box(*(_number(box, side) for side in BOX_SIDES), *known)


def _number(parent: Element, name: str) -> float:
    text = parent.findtext(name)
    if text is None:
        raise ValueError(f"{parent.tag} has no {name}")
    number = float(text)
    if not abs(number) < 1e9:  # also true for NaN
        raise ValueError(f"{name} is {text.strip()[:20]}")
    return number


def _content(file: Path) -> bytes | None:
    """Read a regular file; return None if there is none. Raises `DogsimError` if unreadable."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as opened:
            return opened.read(MAX_BOX_FILE_BYTES + 1) or b" "  # an empty file exists: not None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise DogsimError(f"Cannot read the box {file}: {reason(error)}.") from error


def _same_aspect_ratio(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ASPECT_RATIO_TOLERANCE


def _turned(box: RelativeBox, orientation: int) -> RelativeBox:
    """Turn a box as EXIF turns its image, orientations 5 to 8: transposed, then mirrored."""
    top, left, bottom, right = box
    if orientation in (6, 7):
        left, right = 1 - right, 1 - left
    if orientation in (7, 8):
        top, bottom = 1 - bottom, 1 - top
    return left, top, right, bottom
