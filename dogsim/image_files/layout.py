"""The layout of a folder of images: which of its files are used, their labels and their scenes."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, as_texts, counted, shown
from dogsim.image_files.label_rule import TOP, LabelRule
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


@dataclass(frozen=True)
class FolderLayout:
    """Which files of a folder are images of its dataset, and how they are labelled.

    Attributes
    ----------
    rule : LabelRule
    exclude : tuple of str
        Patterns in the style of a shell. A file or folder is left out if its name, or its path
        relative to the root, matches one.
    scenes : SceneRule
        The rule by which shots of one scene are found.

    >>> FolderLayout(exclude=("thumbs", "*.gif")).excludes("pug/thumbs/1.jpg")
    True
    """

    rule: LabelRule = field(default_factory=LabelRule)
    exclude: tuple[str, ...] = ()
    scenes: SceneRule = field(default_factory=SceneRule)

    def __post_init__(self) -> None:
        for pattern in self.exclude:
            if not pattern or "\n" in pattern:
                raise DogsimError(
                    f"Received exclude={pattern!r}. Expected a pattern for names or paths, such as "
                    "'*_thumb.jpg'."
                )

    @classmethod
    def from_options(
        cls,
        labels: str | os.PathLike[str] | None,
        names: str | os.PathLike[str] | None,
        exclude: Sequence[str] | None,
        scenes: str | os.PathLike[str] | None,
        default: "FolderLayout",
    ) -> "FolderLayout":
        """Return the layout of these options; `default` replaces each option that is None."""
        patterns = default.exclude
        if exclude is not None:
            patterns = tuple(filter(None, as_texts("exclude", exclude)))
        rule = LabelRule.from_options(labels, names, default.rule)
        return cls(rule, patterns, SceneRule.from_option(scenes, default.scenes))

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str]) -> "FolderLayout":
        """Return the layout that a dataset file stores; older files store none."""
        rule = LabelRule(attributes.get("label_rule", TOP), attributes.get("label_names", ""))
        exclude = tuple(filter(None, attributes.get("exclude", "").split("\n")))
        return cls(rule, exclude, SceneRule(attributes.get("scene_rule", NO_SCENES)))

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of a dataset file by which an update finds the layout."""
        return {
            "label_rule": self.rule.labels,
            "label_names": self.rule.names,
            "exclude": "\n".join(self.exclude),
            "scene_rule": self.scenes.scenes,
        }

    def read_tables(self) -> None:
        """Read the CSV files of the rules; raise `DogsimError` if one cannot be used."""
        self.rule.read_tables()
        self.scenes.read_tables()

    def excludes(self, path: str) -> bool:
        """Return whether a pattern matches a path relative to the root, or a folder above it."""
        parts = PurePath(path).parts
        names = [*parts, *accumulate(parts, lambda above, name: f"{above}/{name}")]
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.exclude)
