"""The findings of an audit as a JSON payload, for the page and for the saved report."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.image_files.facts import NO_FACTS, ImageFacts
from dogsim.plumbing.files import bytes_sha256
from dogsim.trust.findings import MIN_LABEL_PRECISION, UNCOMPARED, Audit
from dogsim.trust.plan import KEEP, PLAN_COLUMNS, REMOVE, Decision, plan_rows

MAX_LABEL_CHOICES = 3  # buttons of a group of copies whose labels differ
ASSETS_FOLDER = Path(__file__).parent / "page"  # JavaScript and CSS that draw the payload

Payload: TypeAlias = dict[str, Any]

SECTION_TEXTS = {
    "duplicates": (
        "Duplicates",
        "The same photo more than once. The image to keep is marked: the one with the most pixels, "
        "then with the most bytes, then the oldest.",
    ),
    "leaks": (
        "Leaks",
        "The same photo in the dataset and in the test set. Leaks make an accuracy look better.",
    ),
    "scenes": ("Same scene", "Several shots of one scene. They are not copies of each other."),
    "shared_scenes": (
        "Shared scenes",
        "Shots of one scene in the dataset and in the test set. They make an accuracy look better, "
        "like leaks.",
    ),
    "labels": (
        "Suspicious labels",
        "The neighbours vote for another breed, whose nearest image is shown beside. The likeliest "
        f"mistakes come first. By estimate, {MIN_LABEL_PRECISION:.0%} of the labels or more are "
        "wrong, but of a small dataset all can be right. Labels that are right are often of photos "
        "with a common background, of breeds that look alike, or of photos with two dogs. Look at "
        "each image before you accept all suggestions.",
    ),
    "novel": (
        "Fits no breed",
        "The one image in a hundred that is farthest from all others.",
    ),
    "poor": ("Poor images", "Nearly one colour, tiny, blurred or unreadable."),
}
TESTSET_SECTIONS = ("leaks", "shared_scenes")


def findings_payload(found: Audit, dataset: Dataset, testset: Dataset | None = None) -> Payload:
    """Return all findings of an audit, with their images, the facts about them and the plan.

    Returns
    -------
    dict
        ``files``: the images of the findings, each once: path, name, folder, label, row in its
        dataset, whether it is of the test set, and its facts. ``sections``: for each kind its
        title, explanation and findings. A finding has a text, images (indices into ``files`` with
        captions), perhaps a suggestion (a text and the decisions that accept it), and other
        choices. ``plan``: the columns and rows of plan.csv, and a name that is the same for the
        same plan. The other keys are those of `Audit`, and ``breeds``, the breeds of the dataset.
    """
    files = _Files(found, dataset, testset)
    return {
        "images": len(dataset),
        "breeds": list(dataset.breeds),
        "missing": found.missing,
        "left_out": list(found.left_out),
        "leaks_add": found.leaks_add,
        "sections": _sections(found, files, testset is not None),
        "plan": _plan(found, dataset, files),
        "files": files.payloads,
    }


def _sections(found: Audit, files: "_Files", has_testset: bool) -> list[Payload]:
    findings = {
        "duplicates": _duplicates(found, files),
        "leaks": _leaks(found, files),
        "scenes": _scenes(found, files),
        "shared_scenes": _shared_scenes(found, files),
        "labels": _labels(found, files),
        "novel": _novel(found, files),
        "poor": (_finding(each.problem, [files.image(each.path)]) for each in found.poor),
    }
    return [
        {"kind": kind, "title": title, "text": text, "findings": list(findings[kind])}
        for kind, (title, text) in SECTION_TEXTS.items()
        if has_testset or kind not in TESTSET_SECTIONS
    ]


class _Files:
    """The images of the findings, each once, in the order in which they are added."""

    def __init__(self, found: Audit, dataset: Dataset, testset: Dataset | None) -> None:
        self.facts, self.payloads = found.images, list[Payload]()
        self._datasets = {False: dataset, True: testset or dataset}
        self._rows = {
            of_test: {path: row for row, path in enumerate(each.paths)}
            for of_test, each in self._datasets.items()
        }
        self._indices: dict[tuple[bool, str], int] = {}

    def index(self, path: str, of_test: bool = False) -> int:
        """Return the index of an image of the dataset, or of the test set; add it if it is new."""
        key = of_test, path
        if key not in self._indices:
            self._indices[key] = len(self.payloads)
            self.payloads.append(self._payload(path, of_test))
        return self._indices[key]

    def image(self, path: str, caption: str = "", **more: bool) -> Payload:
        """Return an image of a finding whose reader can decide whether to keep it."""
        return {"file": self.index(path), "caption": caption, "decidable": True, **more}

    def reference(self, path: str, caption: str, of_test: bool = False) -> Payload:
        """Return an image that a finding only compares with another one."""
        return {"file": self.index(path, of_test), "caption": caption, "decidable": False}

    def label(self, path: str) -> str:
        """Return the label of an image of the dataset, "" if it has none."""
        return str(self.payloads[self.index(path)]["label"])

    def _payload(self, path: str, of_test: bool) -> Payload:
        dataset, row = self._datasets[of_test], self._rows[of_test][path]
        known = None if of_test else self.facts.get(path)
        facts = known or _facts(dataset, row)
        folder, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
        described = {"path": path, "name": name, "folder": "" if folder == "." else folder}
        return described | {
            "label": dataset.breed(row) if dataset.labels[row] >= 0 else "",
            "row": row,
            "test": of_test,
            "width": facts.width,
            "height": facts.height,
            "bytes": facts.bytes,
            "date": facts.date,
        }


def _facts(dataset: Dataset, row: int) -> ImageFacts:
    try:
        return ImageFacts.of(dataset.image_file(row))
    except DogsimError:
        return NO_FACTS


def _finding(
    text: str,
    images: Sequence[Payload],
    suggestion: Payload | None = None,
    choices: Sequence[Payload] = (),
) -> Payload:
    return {
        "text": text[:1].upper() + text[1:],
        "images": list(images),
        "suggestion": suggestion,
        "choices": list(choices),
    }


def _choice(text: str, decisions: Iterable[tuple[int, Decision, str | None]]) -> Payload:
    """Return what a button does: decisions and perhaps labels of images, by their indices."""
    changes = [
        [index, {"decision": decision} | ({} if label is None else {"label": label})]
        for index, decision, label in decisions
    ]
    return {"text": text, "changes": changes}


def _duplicates(found: Audit, files: _Files) -> Iterator[Payload]:
    groups = zip(found.duplicates, found.kinds, found.changes, found.keep, strict=True)
    for paths, kind, changes, keep in groups:
        reason = f"keep: {reason_to_keep(keep, paths, found.images)}"
        captions = dict(zip(paths, (change or kind for change in changes), strict=True))
        others = [path for path in paths if path != keep]
        images = [files.image(keep, reason, best=True)]
        images += [files.image(path, captions[path]) for path in others]
        removed = [(files.index(path), REMOVE, None) for path in others]
        text, labels = f"{kind}, {counted(len(paths), 'image')}", sorted({*map(files.label, paths)})
        if len(labels) == 1:
            kept = _choice("Keep the marked image", [*removed, (files.index(keep), KEEP, None)])
            is_suggested = kind != UNCOMPARED
            yield _finding(text, images, *((kept,) if is_suggested else (None, [kept])))
        else:
            choices = [
                _choice(
                    f"Keep the marked image as {label}",
                    [*removed, (files.index(keep), KEEP, label)],
                )
                for label in labels[:MAX_LABEL_CHOICES]
                if label
            ]
            yield _finding(f"{text} with different labels", images, choices=choices)


def reason_to_keep(keep: str, paths: Sequence[str], images: dict[str, ImageFacts]) -> str:
    """Return why one of several copies is the one to keep, see `image_to_keep`.

    >>> a, b = ImageFacts(80, 60, 900, "2024-05-01"), ImageFacts(40, 30, 900, "2019-05-01")
    >>> reason_to_keep("a", ("a", "b"), {"a": a, "b": b})
    'most pixels'
    """
    keys: dict[str, Callable[[ImageFacts], object]] = {
        "most pixels": lambda facts: facts.width * facts.height,
        "most bytes": lambda facts: facts.bytes,
        "oldest": lambda facts: facts.date,
    }
    kept, others = images.get(keep, NO_FACTS), [images.get(x, NO_FACTS) for x in paths if x != keep]
    for reason, key in keys.items():
        others = [facts for facts in others if key(facts) == key(kept)]
        if not others:
            return reason
    return "first by name"


def _leaks(found: Audit, files: _Files) -> Iterator[Payload]:
    for known, query in found.leaks:
        removed = _choice("Remove it from the dataset", [(files.index(known), REMOVE, None)])
        yield _finding("in both", _pair(known, query, files), removed)


def _scenes(found: Audit, files: _Files) -> Iterator[Payload]:
    for paths in found.scenes:
        yield _finding(counted(len(paths), "shot"), [files.image(path) for path in paths])


def _shared_scenes(found: Audit, files: _Files) -> Iterator[Payload]:
    for known, query in found.shared_scenes:
        yield _finding("in both", _pair(known, query, files))


def _pair(known: str, query: str, files: _Files) -> list[Payload]:
    test_image = files.reference(query, "in the test set", of_test=True)
    return [files.image(known, "in the dataset"), test_image]


def _labels(found: Audit, files: _Files) -> Iterator[Payload]:
    for each in found.labels:
        images = [files.image(each.path, f"labelled {each.breed}")]
        if each.like:
            images.append(files.reference(each.like, f"the nearest {each.suggested}"))
        change = files.index(each.path), KEEP, each.suggested
        suggestion = _choice(f"Change to {each.suggested}", [change])
        text = f"{each.breed}, or {each.suggested}? Chance {each.chance:.0%}"
        yield _finding(text, images, suggestion)


def _novel(found: Audit, files: _Files) -> Iterator[Payload]:
    for each in found.novel:
        image = files.image(each.path, f"labelled {files.label(each.path) or 'unknown'}")
        yield _finding(f"p = {each.p:.4f}", [image])


def _plan(found: Audit, dataset: Dataset, files: _Files) -> Payload:
    rows = [
        {"file": files.index(row.path), "label": row.label, "cells": row.cells}
        for row in plan_rows(found, dataset)
    ]
    content = json.dumps([[file["path"] for file in files.payloads], rows])
    return {"id": bytes_sha256(content.encode())[:16], "columns": PLAN_COLUMNS, "rows": rows}
