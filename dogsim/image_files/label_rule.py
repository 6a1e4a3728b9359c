"""The rule that determines the label of an image from its path."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, counted, path_text, shown
from dogsim.image_files.label_table import LabelTable, check_pattern, two_columns
from dogsim.image_files.labels import SYNSET, breed_key, breed_keys, breed_name, breeds_of_texts

TOP, PARENT = "top", "parent"
TRAILING_NUMBER = re.compile(r"[-_\s(]*\d+\)?$")
SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test"}
MAX_MERGED_SHOWN = 10
EXPECTED_LABELS = (
    f"Expected {TOP}, {PARENT}, the path of a CSV file with the columns path,label, or a regular "
    "expression with a group (?P<label>...)."
)


@dataclass(frozen=True)
class Labels:
    """The labels of n images.

    Attributes
    ----------
    labels : (n,) int32
        Index into `breeds`; -1 if the breed is unknown.
    breeds : tuple of str
        Sorted.
    notes : tuple of str
        Sentences about labels that were merged, images without a row in a table, and the like.
    """

    labels: NDArray[np.int32]
    breeds: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelRule:
    r"""The rule that determines the label of an image from its path.

    Attributes
    ----------
    labels : str
        ``"top"``, the folder directly below the root; ``"parent"``, the innermost folder; the path
        of a CSV file whose first two columns, or those named ``path`` and ``label``, are the path
        of an image and its label; or a regular expression with a group ``label`` that is searched
        in the file name.
    names : str
        The path of a CSV file with the columns ``code`` and ``name``, which replaces labels by
        names; empty without one.

    Raises
    ------
    DogsimError
        If `labels` is none of these, or a file cannot be read.

    >>> LabelRule("parent").label_images(["Fruit/Apple/1.jpg", "Fruit/Kiwi/1.jpg", "0.jpg"]).breeds
    ('Apple', 'Kiwi')
    >>> LabelRule(r"(?P<label>.+)_\d+").label_images(["Abyssinian_12.jpg"]).breeds
    ('Abyssinian',)
    """

    labels: str = TOP
    names: str = ""

    def __post_init__(self) -> None:
        if not self.by_folder and not _is_csv(self.labels):
            check_pattern("labels", self.labels, "label", EXPECTED_LABELS)

    @classmethod
    def from_options(
        cls,
        labels: str | os.PathLike[str] | None,
        names: str | os.PathLike[str] | None,
        default: "LabelRule",
    ) -> "LabelRule":
        """Return the rule of two options; `default` has the values of options that are None.

        The paths of CSV files become absolute. An empty text for `names` means no names.
        """
        if not isinstance(labels, str | os.PathLike | None):
            raise DogsimError(f"Received labels={shown(labels)}. {EXPECTED_LABELS}")
        labels = default.labels if labels is None else os.fsdecode(labels)
        names = default.names if names is None else path_text("the table of names", names)
        labels = str(Path(labels).absolute()) if _is_csv(labels) else labels
        return cls(labels, str(Path(names).absolute()) if names else "")

    @property
    def by_folder(self) -> bool:
        """Whether folders label the images."""
        return self.labels in (TOP, PARENT)

    def read_tables(self) -> None:
        """Read the CSV files, if there are any; raise `DogsimError` if one cannot be used."""
        if _is_csv(self.labels):
            self._table  # noqa: B018
        if self.names:
            self._codes  # noqa: B018

    def label_images(self, paths: Sequence[str]) -> Labels:
        """Label images by their paths relative to the root, POSIX style."""
        texts = [self._text(path) for path in paths]
        notes = list(self._notes(paths, texts))
        texts = [self._named(text) for text in texts]
        breed_of = breeds_of_texts(text for text in texts if text)
        breeds = tuple(sorted(set(breed_of.values())))
        label_of = {text: breeds.index(breed) for text, breed in breed_of.items()}
        labels = np.array([label_of.get(text, -1) for text in texts], np.int32)
        return Labels(labels, breeds, (*notes, *_merged(texts, breed_of)))

    def label_of_query(
        self, path: str | os.PathLike[str], root: str, breeds: Sequence[str]
    ) -> str | None:
        """Return the breed, one of `breeds`, that the path of a query names; None if it names none.

        An image below `root` is labelled as the images of the dataset are. Other images are
        labelled by the folders above them, the innermost first (with ``parent`` only that one), by
        the table or the regular expression. If these name no breed, the name of the file does,
        without the number at its end.
        """
        key_of: dict[str, str] = {}
        for breed in breeds:
            key_of.setdefault(breed_key(breed), breed)
        texts = (self._named(text) for text in self._texts_of_query(Path(path), root) if text)
        keys = (key for text in texts for key in breed_keys(text))
        return next((key_of[key] for key in keys if key in key_of), None)

    def _text(self, path: str) -> str:
        """Return the text that labels an image, "" if it has none."""
        folders = PurePath(path).parts[:-1]
        if self.labels == TOP:
            return folders[0] if folders else ""
        if self.labels == PARENT:
            return folders[-1] if folders else ""
        if _is_csv(self.labels):
            return self._table.label(path)
        name = PurePath(path)
        found = re.search(self.labels, name.name) or re.search(self.labels, name.stem)
        return (found["label"] or "") if found else ""

    def _texts_of_query(self, path: Path, root: str) -> Iterator[str]:
        """Yield the texts that may label a query, the best first."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100
        if root and absolute.is_relative_to(root):
            yield self._text(absolute.relative_to(root).as_posix())
        elif self.labels == TOP:
            yield from reversed(path.parts[:-1])
        elif not _is_csv(self.labels) or Path(self.labels).is_file():
            yield self._text(path.as_posix())
        yield path.stem
        yield TRAILING_NUMBER.sub("", path.stem)

    def _notes(self, paths: Sequence[str], texts: Sequence[str]) -> Iterator[str]:
        """Yield notes about texts that are probably no breeds, and about missing labels."""
        if _is_csv(self.labels):
            yield from self._table.notes(paths)
        splits = {text for text in texts if text.lower() in SPLIT_FOLDERS}
        if self.labels == TOP and splits:
            yield (
                f"The folders {', '.join(sorted(splits))} became breeds. If they are parts of a "
                f"dataset, use --labels {PARENT}: then the innermost folder is the breed."
            )
        if not any(texts):
            yield (
                "None of the images has a label. --labels FILE.csv takes labels from a table, "
                "--labels REGEX from the names of the files."
            )
        unnamed = sorted(text for text in set(texts) if text and self._named(text) is text)
        if self.names and unnamed:
            number = counted(len(unnamed), "label")
            yield f"{self.names} has no name for {number}, such as {unnamed[0]}."

    def _named(self, text: str) -> str:
        """Return the name of a code, or the text itself if it is not a code."""
        if not self.names or not text:
            return text
        number = SYNSET.match(text)
        codes = (text, breed_name(text), number[1] if number else text)
        return next((self._codes[code] for code in codes if code in self._codes), text)

    @cached_property
    def _table(self) -> LabelTable:
        return LabelTable.read(Path(self.labels))

    @cached_property
    def _codes(self) -> dict[str, str]:
        return dict(two_columns(Path(self.names), ("code", "name")))


def _is_csv(labels: str) -> bool:
    return labels.lower().endswith(".csv")


def _merged(texts: Sequence[str], breed_of: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each breed that several texts were merged into."""
    counts = Counter(text for text in texts if text)
    texts_of = defaultdict(list)
    for text, breed in breed_of.items():
        texts_of[breed].append(text)
    merged = {breed: each for breed, each in texts_of.items() if len(each) > 1}
    for breed, each in sorted(merged.items())[:MAX_MERGED_SHOWN]:
        parts = " and ".join(f"{text!r} ({counts[text]})" for text in each)
        yield f"Merged into the breed {breed!r}: {parts}, with the number of images of each."
    if len(merged) > MAX_MERGED_SHOWN:
        yield f"Merged the labels of {len(merged) - MAX_MERGED_SHOWN} more breeds."
