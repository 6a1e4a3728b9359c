"""Where the dog is in its picture: bounding boxes, and the PASCAL-VOC files that tell them.

The format: M. Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010. Stanford
Dogs has such a file for each of its pictures.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from math import isfinite
from pathlib import Path, PurePath
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from dogsim.errors import DogsimError, reason

SUFFIXES = (".xml", "")  # Stanford Dogs names its files without one
MOST_BYTES = 1_000_000  # of a file; one box takes 200
ALIKE = 0.02  # by which the proportions of a picture and of its annotation may differ
SIDES = ("xmin", "ymin", "xmax", "ymax")
Parts = tuple[float, float, float, float]


@dataclass(frozen=True)
class Box:
    """A part of a picture: pixels from the left and the top edge.

    Attributes
    ----------
    left, top, right, bottom : float
        Right and bottom are no longer in it; all may lie outside of the picture.
    width, height : float
        Of the picture that this was told of, whatever size it has now. 0 for the picture's own.
    """

    left: float
    top: float
    right: float
    bottom: float
    width: float = 0.0
    height: float = 0.0

    @classmethod
    def of_row(cls, row: Any) -> "Box | None":
        """Read the row of a dataset that `row` wrote; None where it stands for no box."""
        return cls(*map(float, row)) if any(row) else None

    @property
    def row(self) -> tuple[float, ...]:
        """Its six numbers, as a dataset keeps them; no box has only zeros."""
        return astuple(self)

    @property
    def area(self) -> float:
        """How many pixels of the picture it holds, 0 if it is empty or lies outside."""
        width, height = self.width or float("inf"), self.height or float("inf")
        across = min(self.right, width) - max(self.left, 0)
        return max(across, 0) * max(min(self.bottom, height) - max(self.top, 0), 0)

    def widened(self, margin: float) -> "Box":
        """Add to each side a part of the width, or of the height.

        >>> Box(10, 20, 30, 60).widened(0.1)
        Box(left=8.0, top=16.0, right=32.0, bottom=64.0, width=0.0, height=0.0)
        """
        x, y = margin * (self.right - self.left), margin * (self.bottom - self.top)
        sides = self.left - x, self.top - y, self.right + x, self.bottom + y
        return Box(*sides, self.width, self.height)

    def parts(self, stored: tuple[int, int], orientation: int = 1) -> Parts | None:
        """Tell where it lies in a picture: left, top, right, bottom, each 0 to 1.

        Tools show a picture upright, so a box is one of the upright picture, unless the size that
        was told is that of the picture as it is stored, on its side.

        Parameters
        ----------
        stored : (int, int)
            Width and height of the picture before it is set upright.
        orientation : int
            1 to 8, as EXIF tells it.

        Returns
        -------
        (float, float, float, float) or None
            None if it is a box of a picture of other proportions, or nothing of it is inside.

        >>> Box(0, 0, 50, 100, 100, 200).parts((400, 800))
        (0.0, 0.0, 0.5, 0.5)
        >>> Box(0, 0, 100, 25, 200, 100).parts((400, 200), 6)  # a quarter turn to the right
        (0.75, 0.0, 1.0, 0.5)
        """
        upright = stored[::-1] if orientation > 4 else stored
        width, height = self.width or upright[0], self.height or upright[1]
        ends = self.left / width, self.top / height, self.right / width, self.bottom / height
        if not _alike((width, height), upright):
            if not _alike((width, height), stored):
                return None
            ends = _turned(ends, orientation)
        left, top, right, bottom = (min(max(each, 0.0), 1.0) for each in ends)
        return (left, top, right, bottom) if left < right and top < bottom else None


@dataclass(frozen=True)
class Boxes:
    """The folder of boxes: a file for each picture, in a tree as the pictures' own.

    Attributes
    ----------
    folder : Path or None
        None for no boxes at all.
    margin : float
        What is added to each side of a box, in parts of its width and height.

    Raises
    ------
    DogsimError
        If there is no such folder, or the margin is less than 0 or without bounds.
    """

    folder: Path | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise DogsimError(
                f"There is no folder of boxes {self.folder}. Expected FOLDER/BREED/picture.xml, a "
                "PASCAL-VOC file for each picture: --boxes FOLDER."
            )
        if not (self.margin >= 0 and isfinite(self.margin)):
            raise DogsimError(f"Received margin={self.margin}. Expected a number from 0 up.")

    @classmethod
    def wanted(
        cls, folder: str | os.PathLike[str] | None, margin: float | None, like: Mapping[str, Any]
    ) -> "Boxes":
        """Take what was not asked for from the options `boxes` and `margin` of these names.

        An empty folder is no folder. Raises `DogsimError` for a margin of no boxes as well.
        """
        named = like.get("boxes", "") if folder is None else os.fspath(folder)
        if margin and not named:
            raise DogsimError(f"Received margin={margin} without boxes. Give --boxes FOLDER, too.")
        wide = (like.get("margin", 0.0) if named else 0.0) if margin is None else margin
        return cls(Path(named).resolve() if named else None, wide)

    @property
    def options(self) -> dict[str, Any]:
        """Its fields as a recipe has them."""
        return {"boxes": str(self.folder or ""), "margin": self.margin}

    def of(self, path: str) -> Box | None:
        """Find the box of a picture by its path below the pictures' folder; None without a file.

        Raises `BoxError` if its file tells no box that can be right.
        """
        return self._first([PurePath(path)])

    def of_query(self, picture: str | os.PathLike[str]) -> Box | None:
        """Find the box of any picture, by the longest end of its path that the folder has.

        ``photos/pug/1.jpg`` has that of ``pug/1.xml``, else of ``1.xml``. Raises as `of` does.
        """
        parts = PurePath(os.path.abspath(picture)).parts[1:]  # noqa: PTH100
        return self._first([PurePath(*parts[i:]) for i in range(len(parts))])

    def _first(self, paths: list[PurePath]) -> Box | None:
        if self.folder is None:
            return None
        for path in paths:
            for suffix in SUFFIXES:
                file = self.folder / path.with_suffix("")
                file = file.with_name(file.name + suffix)
                if content := _content(file):
                    box = largest_box(content, str(file))
                    return box and box.widened(self.margin)
        return None


class BoxError(DogsimError):
    """A file of boxes is none, or tells nothing that could be right."""


def largest_box(content: bytes, name: str = "the annotation") -> Box | None:
    """Read a PASCAL-VOC file and take the largest of its boxes; None if it tells of no object.

    A file with a document type declaration is refused: only there can entities be defined, which
    may unfold to more than memory holds or name other files.

    Raises
    ------
    BoxError
        If it is not XML of that kind, or no box has anything of the picture in it.

    >>> largest_box(b"<annotation><object><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax>"
    ...             b"<ymax>40</ymax></bndbox></object></annotation>")
    Box(left=1.0, top=2.0, right=30.0, bottom=40.0, width=0.0, height=0.0)
    """
    if len(content) > MOST_BYTES:
        raise BoxError(f"{name} has more than {MOST_BYTES:,} bytes. Expected a PASCAL-VOC file.")
    parser = XMLParser(target=_NoDocumentType())
    try:
        parser.feed(content)
        boxes = list(_boxes(parser.close()))
    except (ParseError, ValueError, LookupError) as error:
        why = f"Cannot read {name} as PASCAL-VOC: {reason(error)}."
        raise BoxError(why) from error
    if not boxes:
        return None
    largest = max(boxes, key=lambda box: box.area)
    if not largest.area:
        sides = ", ".join(f"{side:g}" for side in largest.row[:4])
        raise BoxError(f"The box {sides} in {name} is empty or lies outside of its picture.")
    return largest


class _NoDocumentType(TreeBuilder):
    def doctype(self, name: str, _public: str | None, _system: str | None) -> None:
        raise ValueError(f"it declares a document type, {name[:20]}")


def _boxes(root: Element) -> Iterator[Box]:
    size = root.find("size")
    frame = [_number(size, name) for name in ("width", "height")] if size is not None else []
    known = [*frame, 0.0, 0.0][:2] if all(frame) else [0.0, 0.0]  # some tools write 0 x 0
    for found in root.iterfind("object/bndbox"):
        yield Box(*(_number(found, side) for side in SIDES), *known)


def _number(parent: Element, name: str) -> float:
    text = parent.findtext(name)
    if text is None:
        raise ValueError(f"{parent.tag} has no {name}")
    number = float(text)
    if not abs(number) < 1e9:  # NaN is no less
        raise ValueError(f"{name} is {text.strip()[:20]}")
    return number


def _content(file: Path) -> bytes | None:
    """Read a regular file, None if there is none; an error of the system stops the work."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1) or b" "  # an empty file is no XML, but there
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise DogsimError(f"Cannot read the box {file}: {reason(error)}.") from error


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two sizes have the same proportions."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= ALIKE


def _turned(ends: Parts, orientation: int) -> Parts:
    """Turn a box as EXIF has the picture turned, orientations 5 to 8: transposed, then mirrored."""
    top, left, bottom, right = ends
    if orientation in (6, 7):
        left, right = 1 - right, 1 - left
    if orientation in (7, 8):
        top, bottom = 1 - bottom, 1 - top
    return left, top, right, bottom
