"""The rule that determines from the path of an image which scene it shows."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, counted, shown
from dogsim.image_files.label_table import LabelTable, check_pattern

NO_SCENES, AUTO_SCENES, SCENE_FOLDER = "none", "auto", "folder"
EXPECTED_SCENES = (
    f"Expected {NO_SCENES}, {AUTO_SCENES}, {SCENE_FOLDER}, the path of a CSV file with the "
    "columns path,scene, or a regular expression with a group (?P<scene>...)."
)


@dataclass(frozen=True)
class SceneRule:
    r"""The rule that determines from the path of an image which scene it shows.

    Attributes
    ----------
    scenes : str
        ``"none"``; ``"auto"``: scenes are found by comparing the images, see
        `dogsim.retrieval.scenes`, and not by their paths; ``"folder"``: images in the same
        innermost folder show one scene; the path of a CSV file whose first two columns, or those
        named ``path`` and ``scene``, are the path of an image and its scene; or a regular
        expression with a group ``scene`` that is searched in the file name: images of one folder
        with the same text show one scene.

    Raises
    ------
    DogsimError
        If `scenes` is none of these.

    >>> SceneRule(r"(?P<scene>\d+)_").number_images(["a/7_1.jpg", "a/7_2.jpg", "b/7_1.jpg"])
    array([0, 0, 1], dtype=int32)
    """

    scenes: str = NO_SCENES

    def __post_init__(self) -> None:
        if self.scenes not in (NO_SCENES, AUTO_SCENES, SCENE_FOLDER) and not self.is_table:
            check_pattern("scenes", self.scenes, "scene", EXPECTED_SCENES)

    @classmethod
    def from_option(
        cls, scenes: str | os.PathLike[str] | None, default: "SceneRule"
    ) -> "SceneRule":
        """Return the rule of an option, or `default` for None; a path becomes absolute."""
        if scenes is None:
            return default
        if not isinstance(scenes, str | os.PathLike):
            raise DogsimError(f"Received scenes={shown(scenes)}. {EXPECTED_SCENES}")
        text = os.fsdecode(scenes)
        return cls(str(Path(text).absolute()) if text.lower().endswith(".csv") else text)

    @property
    def is_automatic(self) -> bool:
        """Whether scenes are found by comparing the images."""
        return self.scenes == AUTO_SCENES

    @property
    def is_table(self) -> bool:
        """Whether a CSV file lists the scenes."""
        return self.scenes.lower().endswith(".csv")

    def read_tables(self) -> None:
        """Read the CSV file, if there is one; raise `DogsimError` if it cannot be used."""
        if self.is_table:
            self._table  # noqa: B018

    def number_images(self, paths: Sequence[str]) -> NDArray[np.int32] | None:
        """Return the number of the scene of each path, (n,); an image without one has its own.

        The paths are relative to the root, POSIX style. Returns None for the rules
        "none" and "auto".
        """
        if self.scenes in (NO_SCENES, AUTO_SCENES):
            return None
        numbers: dict[object, int] = {}
        names = [name or position for position, name in enumerate(self._names(paths))]
        return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int32)

    def notes(self, paths: Sequence[str]) -> list[str]:
        """Return sentences about images without a scene."""
        if self.scenes in (NO_SCENES, AUTO_SCENES):
            return []
        if self.is_table:
            return list(self._table.notes(paths))
        alone = [path for path, name in zip(paths, self._names(paths), strict=True) if not name]
        if not alone:
            return []
        return [
            f"{counted(len(alone), 'image')} without a scene by {self.scenes!r}, such as "
            f"{alone[0]}: each is its own scene."
        ]

    def _names(self, paths: Sequence[str]) -> list[str]:
        """Return the name of the scene of each path, "" if it has none."""
        if self.is_table:
            return [self._table.label(path) for path in paths]
        folders = [PurePath(path).parent.as_posix() for path in paths]
        if self.scenes == SCENE_FOLDER:
            return folders
        found = [re.search(self.scenes, PurePath(path).name) for path in paths]
        return [
            f"{folder}/{match['scene']}" if match and match["scene"] else ""
            for folder, match in zip(folders, found, strict=True)
        ]

    @cached_property
    def _table(self) -> LabelTable:
        return LabelTable.read(Path(self.scenes), "scene")
