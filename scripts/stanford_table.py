"""Measure k-nearest neighbours on Stanford Dogs with the frozen features of several networks.

    python scripts/stanford_table.py
    python scripts/stanford_table.py --file "SigLIP ViT-B/16=siglip.onnx"
    python scripts/stanford_table.py tables --photos dogs --boxes Annotation
    python scripts/stanford_table.py tables --features "ResNet-50=dogs.h5" --cropped

Two splits: the official lists, whose test images are compared with the training images, and the
open-set split of papers on metric learning: the second half of the breeds, whose images are
compared with each other. Nothing is trained, so the first half of the breeds is not used. Without
the official lists, a fifth of each breed is held out instead.

Stanford Dogs is downloaded into the folder unless other photos are given. A network whose weights
cannot be had is skipped, with the reason. A run that was stopped is continued: the folder keeps
the features, and each result in results.jsonl.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dogsim import Dataset, DogsimError, create_dataset, hold_out, say
from dogsim.errors import check_known
from dogsim.plumbing.terminal import note, printable
from dogsim.retrieval.evaluation import Evaluation
from dogsim.sources.stanford_dogs import official_splits

K = 20
HELD_OUT_FRACTION = 0.2
WHOLE, CROPPED = "whole", "cropped"
OFFICIAL, HELD_OUT, OPEN_SET = "official", "held out", "open set"
COLUMNS = ("photos", "split", "network", "gallery", "queries", "R@1", "P@20", "MAP@R", "vote")


class Network(NamedTuple):
    """A row of the table: a backbone, and the file of its weights if there is one."""

    name: str
    backbone: str
    file: str = ""


NETWORKS = (
    Network("ResNet-50", "resnet50"),
    Network("EfficientNet-Lite0", "efficientnet-lite0"),
    Network("EfficientNet-Lite2", "efficientnet-lite2"),
    Network("ConvNeXt-Tiny", "convnexttiny"),
    Network("ConvNeXt-Base", "convnextbase"),
    Network("DINOv2 ViT-S/14", "hub:dinov2_small"),
    Network("DINOv2 ViT-B/14", "hub:dinov2_base"),
    Network("SigLIP ViT-B/16", "onnx"),
)


class Published(NamedTuple):
    """A result of others on Stanford Dogs."""

    method: str
    value: str
    source: str


PUBLISHED = (
    Published(
        "fully connected layer trained on frozen features: classification accuracy",
        "0.935",
        "Ding et al., AAAI 2026, arXiv:2511.12321",
    ),
    Published(
        "the same, trained with sequences of augmented images (SEQ)",
        "0.963",
        "Ding et al., AAAI 2026, arXiv:2511.12321",
    ),
)


@dataclass(frozen=True)
class Result:
    """Scores of a network on one split."""

    source: str  # of the photos
    photos: str  # WHOLE or CROPPED
    split: str
    network: str
    file: str
    gallery: int
    queries: int
    scores: tuple[float, ...]  # recall@1, precision@20, MAP@R, vote accuracy

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of the table, see `COLUMNS`."""
        sizes = (f"{self.gallery:,}", f"{self.queries:,}")
        names = (self.photos, self.split, self.network)
        return (*names, *sizes, *(f"{score:.3f}" for score in self.scores))


@dataclass(frozen=True)
class Job:
    """A network to be measured on photos that are whole or cropped."""

    network: Network
    source: str
    photos: str
    read: Callable[[], Dataset]

    def results(self, of: list[Result]) -> list[Result]:
        """Return the results of this job among all results."""
        key = (self.source, self.photos, self.network.name, self.network.file)
        return [each for each in of if (each.source, each.photos, each.network, each.file) == key]


def networks(files: Mapping[str, str]) -> list[Network]:
    """Return the rows of the table, with the files that the user has named."""
    known = {network.name: network for network in NETWORKS}
    for name, file in files.items():
        if not file.endswith(".onnx"):
            check_known("network", name, list(known))
        backbone = "onnx" if file.endswith(".onnx") else known[name].backbone
        known[name] = Network(name, backbone, file)
    return list(known.values())


def jobs(arguments: argparse.Namespace) -> tuple[list[Job], dict[str, list[str]]]:
    """List what is to be measured, and the official lists if there are any."""
    kind = CROPPED if arguments.cropped else WHOLE
    if arguments.features:
        files = named(arguments.features)
        return [
            Job(Network(name, ""), file, kind, partial(Dataset.open, file))
            for name, file in files.items()
        ], {}
    folder: Path = arguments.folder
    lists, images, boxes = {}, arguments.photos, arguments.boxes
    if images is None:
        lists = official_splits(folder, arguments.archives, annotations=True)
        images, boxes = folder / "Images", folder / "Annotation"
    kinds = {kind: ""} if boxes is None else {WHOLE: "", CROPPED: boxes}
    return [
        Job(network, str(images), kind, partial(features, folder, images, network, kind, boxes))
        for network in networks(named(arguments.file))
        for kind, boxes in kinds.items()
    ], lists


def named(pairs: list[str]) -> dict[str, str]:
    """Split texts NAME=FILE."""
    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise DogsimError(f"Received {wrong[0]}. Expected NAME=FILE.")
    return dict(pair.split("=", 1) for pair in pairs)


def features(folder: Path, images: Path, network: Network, kind: str, boxes: Path | str) -> Dataset:
    """Compute the features of all photos, as far as they do not exist."""
    if network.backbone == "onnx" and not network.file:
        raise DogsimError(f'Received no ONNX file. Name it: --file "{network.name}=FILE.onnx".')
    stem = "".join(letter if letter.isalnum() else "-" for letter in network.name)
    out = folder / f"{stem}_{kind}.h5"
    weights = network.file or None
    return create_dataset(images, out, network.backbone, weights, boxes=boxes, strict=True)


def splits(
    dataset: Dataset, lists: Mapping[str, list[str]]
) -> Iterator[tuple[str, Dataset, Dataset | None]]:
    """Yield the name of each split, its gallery and its queries, None for leave-one-out."""
    if lists:
        row_of = {path: row for row, path in enumerate(dataset.paths)}
        train, test = (
            dataset.take([row_of[path] for path in lists[split]]) for split in ("train", "test")
        )
        yield OFFICIAL, train, test
    else:
        gallery, queries = hold_out(dataset, HELD_OUT_FRACTION, least=1)
        yield HELD_OUT, gallery, queries
    # The folders begin with the WordNet numbers, by which the classes of Stanford Dogs are sorted.
    folders = np.array([path.split("/")[0] for path in dataset.paths])
    names = np.unique(folders)
    yield OPEN_SET, dataset.take(np.flatnonzero(np.isin(folders, names[len(names) // 2 :]))), None


def measure(gallery: Dataset, queries: Dataset | None) -> tuple[float, ...]:
    """Compute the four scores of the queries, or of the gallery's images by leave-one-out."""
    evaluation = Evaluation(gallery, queries)
    first, twenty = evaluation.accuracies([1, min(K, evaluation.max_k)])
    return (
        first.precision_at_k,
        twenty.precision_at_k,
        evaluation.map_at_r(),
        twenty.vote_accuracy,
    )


def measured(job: Job, lists: Mapping[str, list[str]], done: set[str]) -> Iterator[Result]:
    """Yield the results of the splits that are not done."""
    for split, gallery, queries in splits(job.read(), lists):
        if split not in done:
            sizes = len(gallery), len(gallery if queries is None else queries)
            names = (job.source, job.photos, split, job.network.name, job.network.file)
            yield Result(*names, *sizes, measure(gallery, queries))


def print_tables(results: list[Result]) -> None:
    """Print the results and the published ones as tables in Markdown."""
    rows = [each.cells for each in results]
    for header, lines in ((COLUMNS, rows), (Published._fields, list(PUBLISHED))):
        say(f"| {' | '.join(header)} |")
        say(f"|{'---|' * len(header)}")
        for line in lines:
            say(f"| {' | '.join(line)} |")
        print()


def arguments_of() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    folder = Path("stanford-dogs")
    add("folder", type=Path, nargs="?", default=folder, help="for photos, features and results")
    add("--from", type=Path, dest="archives", help="folder with the archives of Stanford Dogs")
    add("--photos", type=Path, help="other photos, in a folder for each breed")
    add("--boxes", type=Path, help="boxes of these photos")
    add("--cropped", action="store_true", help="these photos are cropped already")
    add("--file", action="append", default=[], metavar="NAME=FILE", help="weights of a network")
    add("--features", action="append", default=[], metavar="NAME=FILE", help="dataset to measure")
    return parser.parse_args()


def main() -> None:
    arguments = arguments_of()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    todo, lists = jobs(arguments)
    file = arguments.folder / "results.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    results = [Result(**json.loads(line)) for line in lines]
    for job in todo:
        done = {each.split for each in job.results(results)}
        if done == {OFFICIAL if lists else HELD_OUT, OPEN_SET}:
            continue
        try:
            for result in measured(job, lists, done):
                results.append(result)
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(asdict(result)) + "\n")
        except DogsimError as error:
            note(f"{job.network.name}, {job.photos}: skipped. {error}")
    print_tables([each for job in todo for each in job.results(results)])


if __name__ == "__main__":
    try:
        main()
    except DogsimError as error:
        sys.exit(printable(f"stanford_table.py: {error}"))
