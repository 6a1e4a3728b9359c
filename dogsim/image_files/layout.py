"""The layout of a folder of images: which of its files are used, their labels and scenes."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import accumulate
from pathlib import PurePath

from dogsim.errors import DogsimError, as_texts
from dogsim.image_files.label_rule import TOP, LabelRule
from dogsim.image_files.scene_rule import NO_SCENES, SceneRule


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
