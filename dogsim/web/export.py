"""A static copy of the page, which a browser opens from a folder: no server, no network.

A browser loads neither data nor JavaScript modules from files of this machine. So the modules are
bundled into one script, and the payloads of the HTTP API are scripts that call `dogsimData`, see
``page/static_data.js``. Answers are in many files, each loaded when it is shown.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from dogsim.classify import answers_to
from dogsim.dataset import Dataset
from dogsim.dist_calc import DEFAULT_K
from dogsim.errors import DogsimError, counted
from dogsim.figures.thumbnails import thumbnail
from dogsim.plumbing.files import check_replaceable, make_folder, replacing_folder
from dogsim.plumbing.terminal import track, valid_unicode_in
from dogsim.plumbing.threads import batched, decoding_threads, prefetch
from dogsim.trust.audit import audit
from dogsim.trust.calibration import calibration_for
from dogsim.trust.payload import findings_payload
from dogsim.web.page_files import EXPORT_MARK, INDEX, write_static_page
from dogsim.web.payloads import answer_payload, dataset_payload
from dogsim.web.reports import evaluation_report

METRIC = "euclidean"
THUMBNAIL_SIDE = 320  # pixels of the longer side
THUMBNAILS_PER_FOLDER = 1000
ANSWERS_PER_FILE = 200
DISTANCE_DIGITS = 6  # significant ones
FOLDERS = ("data", "thumbnails")
ENTRIES = {INDEX, "page", *FOLDERS}
ENTRIES_OF_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class Export:
    """A static copy of the page: its folder, and what it contains.

    Attributes
    ----------
    folder : str
    images : int
        Images of the dataset.
    missing : int
        Those that cannot be read and have no thumbnail.
    bytes : int
        Size of all files.
    """

    folder: str
    images: int
    missing: int
    bytes: int

    def __str__(self) -> str:
        """Return the size, and what to open, in one line."""
        text = f"{counted(self.images, 'image')}, {self.bytes / 1e6:,.1f} MB."
        if self.missing:
            text += f" {counted(self.missing, 'image')} cannot be read: no thumbnail."
        return f"{text} Open {Path(self.folder) / INDEX} in a browser."


def export_page(
    dataset: Dataset,
    folder: Path,
    name: str,
    version: str,
    confidence: float = 0.9,
    coverage: str = "breed",
) -> Export:
    """Write a static copy of the page to a folder.

    It contains the breeds, the `DEFAULT_K` neighbours of every image, the evaluation, the findings
    of the audit, and a thumbnail of each image; no features, no original images, and no path
    outside the folder of the dataset.

    Parameters
    ----------
    dataset : Dataset
    folder : Path
        A new or empty folder, or an earlier export, which is replaced when the new one is complete.
    name, version : str
        Of the dataset and of dogsim, for the note on the page.
    confidence, coverage
        As for `dogsim.classify`. Answers have no prediction sets if the dataset is too small.

    Raises
    ------
    DogsimError
        If the dataset has fewer than two images, or the folder cannot be written or replaced.
    """
    _check_folder(folder, dataset)
    if len(dataset) < 2:
        raise DogsimError(
            f"Received a dataset of {counted(len(dataset), 'image')}. Expected 2 or more."
        )
    make_folder(folder.absolute().parent)
    with replacing_folder(folder) as new:
        writer = _Writer(dataset, new, confidence, coverage)
        writer.write(name, version)
        size = sum(file.stat().st_size for file in new.rglob("*") if file.is_file())
    return Export(str(folder), len(dataset), len(writer.missing), size)


def is_export(folder: Path) -> bool:
    """Return whether a folder is empty or an earlier export without files of others."""
    names = {file.name for file in folder.iterdir()} - ENTRIES_OF_SYSTEMS
    if not names:
        return True
    return names <= ENTRIES and EXPORT_MARK in (folder / INDEX).read_text(encoding="utf-8")


def shown_path(path: str) -> str:
    """Return a path relative to the folder of the dataset; of another path, only the name.

    >>> shown_path("pug/1.jpg"), shown_path("/home/ann/1.jpg"), shown_path("../ann/1.jpg")
    ('pug/1.jpg', '1.jpg', '1.jpg')
    """
    parts = PureWindowsPath(path)  # knows drives and both separators
    return parts.name if parts.anchor or ".." in parts.parts else path


def _check_folder(folder: Path, dataset: Dataset) -> None:
    """Raise `DogsimError` if the folder cannot be replaced, or is below that of the images."""
    target = folder.resolve()
    if target.exists() and not target.is_dir():
        raise DogsimError(f"Received the file {folder}. Expected the name of a folder.")
    if Path.cwd().is_relative_to(target):
        raise DogsimError(f"Received {folder}, the current folder. Expected the name of a new one.")
    if dataset.root and target.is_relative_to(Path(dataset.root).resolve()):
        raise DogsimError(
            f"{folder} is in the folder of the images: the thumbnails would become images of the "
            "dataset. Name a folder outside."
        )
    check_replaceable(folder, is_export, force=False, remedy="Name another folder.")


class _Writer:
    """Writes the files of an export."""

    def __init__(self, dataset: Dataset, folder: Path, confidence: float, coverage: str) -> None:
        self.dataset, self.folder = dataset, folder
        self.shown = replace(dataset, paths=tuple(map(shown_path, dataset.paths)))
        self.confidence, self.coverage = confidence, coverage
        self.k = min(DEFAULT_K, len(dataset) - 1)
        self.missing: list[int] = []  # rows without a thumbnail

    def write(self, name: str, version: str) -> None:
        """Write all files."""
        for entry in FOLDERS:
            (self.folder / entry).mkdir()
        write_static_page(self.folder)
        self._write_thumbnails()
        self._write_report("audit", self._audit)  # first: the calibration needs its copies
        self._write_answers()
        self._write_report("evaluation", self._evaluation)
        labels, paths = self.dataset.labels.tolist(), self.shown.paths
        self._write_data("rows", {"labels": labels, "paths": paths})
        self._write_data("dataset", self._about(name, version))

    def _about(self, name: str, version: str) -> dict[str, Any]:
        now = datetime.now().astimezone()
        about = {
            "name": name,
            "date": f"{now.day} {now:%B %Y}",
            "version": version,
            "thumbnail_side": THUMBNAIL_SIDE,
        }
        return dataset_payload(self.shown) | {
            "metrics": [METRIC],
            "explained": [],
            "most_k": self.k,
            "confidence": self.confidence,
            "coverage": self.coverage,
            "answers_per_file": ANSWERS_PER_FILE,
            "missing": self.missing,
            "export": about,
        }

    def _write_thumbnails(self) -> None:
        """Write a JPEG of each image, and list the images that cannot be read."""

        def content(row: int) -> bytes | None:
            try:
                return thumbnail(self.dataset, row, THUMBNAIL_SIDE)
            except DogsimError:
                return None

        n, threads = len(self.dataset), decoding_threads()
        contents = enumerate(prefetch(content, range(n), 8 * threads, threads))
        for [(row, jpeg)] in track(batched(contents, 1), n, "thumbnails"):
            if jpeg is None:
                self.missing.append(row)
                continue
            file = self.folder / "thumbnails" / str(row // THUMBNAILS_PER_FOLDER) / f"{row}.jpg"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(jpeg)

    def _write_answers(self) -> None:
        """Write the answers to all images, and whether they have prediction sets."""
        calibration, problem = None, None
        try:
            calibration = calibration_for(self.dataset, self.confidence)
        except DogsimError as error:
            problem = self._without_folders(str(error))
        n = len(self.dataset)
        for rows in track(batched(range(n), ANSWERS_PER_FILE), n, "images searched"):
            answers = answers_to(
                np.asarray(self.dataset.features[rows]),
                self.dataset,
                self.k,
                METRIC,
                self.confidence if calibration else None,
                rows,
                calibration=calibration,
                coverage=self.coverage,
            )
            payloads = [answer_payload(each, self.shown, self.confidence) for each in answers]
            name = f"answers-{rows[0] // ANSWERS_PER_FILE}"
            self._write_data(name, [self._short(payload) for payload in payloads])
        state = {"calibration": "failed" if problem else "ready", "calibration_problem": problem}
        self._write_data("status", state | {"network": None, "network_problem": None})

    def _short(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Return an answer whose neighbours are columns, without what the file of rows has."""
        neighbours = payload["neighbours"]
        names = neighbours[0].keys() - {"breed", "label", "path"}
        columns = {name: [each[name] for each in neighbours] for name in sorted(names)}
        columns["distance"] = [float(f"{x:.{DISTANCE_DIGITS}g}") for x in columns["distance"]]
        return payload | {"k": self.k, "metric": METRIC, "neighbours": columns}

    def _write_report(self, name: str, compute: Callable[[], dict[str, Any]]) -> None:
        """Write a report, or why there is none, as the page shows it."""
        try:
            self._write_data(name, compute())
        except DogsimError as error:
            self._write_data(name, {"error": self._without_folders(str(error))})

    def _evaluation(self) -> dict[str, Any]:
        return evaluation_report(self.shown).payload

    def _audit(self) -> dict[str, Any]:
        """Return the findings without a plan: nothing can be decided."""
        payload = findings_payload(audit(self.dataset), self.dataset)
        for file in payload["files"]:
            path = self.shown.paths[file["row"]]
            if path != file["path"]:
                file |= {"path": path, "folder": ""}
        lines = map(self._without_folders, payload["left_out"])
        return payload | {"plan": None, "left_out": list(lines)}

    def _without_folders(self, line: str) -> str:
        """Return a line of text without the folder of the images, and other absolute paths."""
        for path, shown in self._changed_paths():
            line = line.replace(path, shown)
        return line.replace(self.dataset.root, "their folder") if self.dataset.root else line

    def _changed_paths(self) -> Iterator[tuple[str, str]]:
        pairs = zip(self.dataset.paths, self.shown.paths, strict=True)
        return ((path, shown) for path, shown in pairs if path != shown)

    def _write_data(self, name: str, content: Any) -> None:
        text = json.dumps(valid_unicode_in(content), allow_nan=False, separators=(",", ":"))
        file = self.folder / "data" / f"{name}.js"
        file.write_text(f"dogsimData({json.dumps(name)},{text});\n", encoding="ascii")
