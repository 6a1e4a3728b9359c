"""Test random histories of a folder and its dataset against a model.

A state machine creates and changes folders of images, runs create-dataset with random options,
stops it at random lines, and damages its files. After every step the result must equal that of
`folder_model`, as must the answers of audit and classify. A dataset that was opened in an earlier
step has the rows of that step, or raises `ReplacedError`. ``pytest --slow`` runs it for
`DOGSIM_MACHINE_SECONDS`, starting with the seed `DOGSIM_MACHINE_SEED`.
"""

import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import folder_model
import h5py
import layouts
import numpy as np
import pytest
from folder_model import Expected, Part
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from PIL import Image
from stoppable_run import HANGS, Done, Server, Stop

from dogsim import Dataset, nearest
from dogsim.errors import DogsimError
from dogsim.storage.hdf5 import ReplacedError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks, and stops by signals of POSIX")

FOLDERS = (
    *(
        "pug",
        "Pug",
        "caf\u00e9",
        "cafe\u0301",
        "red_setter",
        "Red-Setter",
        "deep/er",
        "名犬 $1",
    ),
    *("n02012849-crane", "n03126707-crane", ".hidden", "", "=1+1", "-o", "photo.png"),
    *("1", "-1", "a", "A", "T-shirt", "T shirt", "n02012849", "@eaDir", "__MACOSX"),
)
NESTED = ("train/pug", "val/Pug", "pug/@eaDir")
NAMES = (
    *("1.png", "2.JPG", "3.gif", "4.jpeg", "-v.png", "two\nlines.png", "=1+1.png"),
    *("\udcff.png", ".5.png", "notes.txt", "\x1b[31m.png"),
    *("plain", "1.jpg_large", "drawing.svg", "pug_1.png", "-1_2.png"),
)
ROOTS = ("photos", "moved")
HEADER = 1000  # bytes of a shard before its features
BYTES = 3000  # of every file, so that all sizes are equal


def _contents() -> list[bytes]:
    """Return the contents of files: images, and other contents."""
    contents = []
    for number, kind in enumerate(("png", "jpeg", "gif", "bmp", "png", "jpeg")):
        file, size = BytesIO(), (16 + 8 * (number % 3), 16 + 5 * (number // 3))
        image = Image.new("RGB", size, (40 * number, 255 - 30 * number, 7 * number))
        # Checks of all widths, so that no image is nearly the same as another one.
        for x, y in np.ndindex(4, 4):
            if (x * y + number * (x + 1) * (y + 2)) % 7 < 3:
                image.paste((255, 200, 9 * number), (4 * x, 4 * y, 4 * x + 4, 4 * y + 4))
        image.save(file, kind)
        contents.append(file.getvalue())
    contents += [b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n", contents[0][:60], contents[1][:300]]
    return [*(content.ljust(BYTES, b"\0") for content in contents), b""]


CONTENTS = _contents()
BY_HASH = {sha256(content).hexdigest(): content for content in CONTENTS}
Location: TypeAlias = tuple[int, str]  # a root, and a way to write it
some = st.integers(0, 999)  # selects one of the existing files
options = st.fixed_dictionaries(
    {},
    optional={
        "backbone": st.sampled_from(("resnet50", "vgg16", "resnet5")),
        "weights": st.sampled_from(("imagenet", "a.weights.h5", "b.weights.h5", "gone.h5")),
        "layer": st.sampled_from(("avg_pool", "conv5_block3_out")),
        "resize": st.sampled_from(("squash", "crop", "pad", "fit")),
        "engine": st.sampled_from(("auto", "tensorflow")),
        "precision": st.sampled_from(("auto", "float32", "bfloat16")),
        "batch-size": st.sampled_from((1, 2, 5, 1000, 0, -1)),
    },
)
flags = st.sets(st.sampled_from(("--strict", "--restart", "--verify", "--force")), max_size=2)
stops = st.builds(
    Stop,
    st.sampled_from((signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)).map(int),
    st.integers(0, 2500),
)
locations = st.tuples(some, st.sampled_from(("{}", "./{}/", "{home}/{}", "photos/../{}")))


# Ways to read the features of a dataset; each returns them all.
READS: tuple[Callable[[Dataset, Any], Any], ...] = (
    lambda dataset, _: dataset.features[:],
    lambda dataset, _: dataset.features[::-1][::-1],
    lambda dataset, _: dataset.features[np.arange(len(dataset))],
    lambda dataset, _: np.stack(list(dataset.features)),
    lambda dataset, _: np.asarray(dataset.take(range(len(dataset))).features),
    lambda dataset, _: dataset.to_frame().iloc[:, 2:].to_numpy(),
    lambda dataset, features: features[nearest(dataset, features, 1)[1][:, 0]],
    lambda dataset, features: features[nearest(features, dataset, 1)[1][:, 0]],
)


@dataclass
class Opened:
    """A dataset that was opened, and its rows at that time."""

    dataset: Dataset
    paths: tuple[str, ...]
    breeds: list[str]
    features: Any


class History(RuleBasedStateMachine):
    """A folder of images, its dataset, and the changes of both."""

    server: Server
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="history-")).resolve()
        self.name, self.time = "d.h5", 10**18
        self.opened: list[Opened] = []
        (self.home / "labels.csv").write_text("path,label\npug/1.png,pug\n")
        (self.home / "names.csv").write_text("code,name\npug,Mops\n")
        for name in ("a.weights.h5", "b.weights.h5"):
            (self.home / name).write_text(name)
        for number, name in enumerate(("pug/1.png", "pug/2.JPG", "whippet/3.gif", "whippet/4.png")):
            self.put(self.home / "photos" / name, number)
            self.put(self.home / "elsewhere" / name, number + 2)

    @initialize(name=st.sampled_from(("d.h5", "d.dogsim")))
    def choose_output(self, name: str) -> None:
        """Choose a file or a folder of shards as the output."""
        self.name = name

    @property
    def out(self) -> Path:
        return self.home / self.name

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    # Selection of files.

    def roots(self) -> list[Path]:
        return [self.home / name for name in ROOTS if (self.home / name).is_dir()]

    def entries(self, folders: bool) -> list[Path]:
        """List all files or folders below the roots and elsewhere, without following links."""
        found = []
        for root in [*self.roots(), self.home / "elsewhere"]:
            for folder, inside, files in os.walk(root):
                found += [Path(folder, name) for name in (inside if folders else files)]
        return sorted(found)

    def pick(self, number: int, folders: bool = False) -> Path | None:
        entries = self.entries(folders)
        return entries[number % len(entries)] if entries else None

    def tick(self) -> int:
        self.time += 1_000_000_007
        return self.time

    def put(self, file: Path, content: int) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_symlink() or file.exists():
                file.unlink()
            file.write_bytes(CONTENTS[content])
        except OSError:  # a file instead of a folder, or a name that the system rejects
            return
        os.utime(file, ns=(self.tick(), self.time))

    # Changes of images.

    @rule(
        root=st.sampled_from(ROOTS),
        folder=st.sampled_from(FOLDERS + NESTED),
        name=st.sampled_from(NAMES),
        content=st.integers(0, len(CONTENTS) - 1),
    )
    def add(self, root: str, folder: str, name: str, content: int) -> None:
        self.put(self.home / root / folder / name, content)

    @rule(number=some, content=st.integers(0, len(CONTENTS) - 1), same_time=st.booleans())
    def change(self, number: int, content: int, same_time: bool) -> None:
        """Replace the content of a file; `same_time` keeps its modification time."""
        file = self.pick(number)
        if file and file.is_file() and not file.is_symlink():
            before = file.stat().st_mtime_ns
            self.put(file, content)
            if same_time:
                os.utime(file, ns=(before, before))

    @rule(number=some)
    def touch(self, number: int) -> None:
        file = self.pick(number)
        if file and file.is_file():
            os.utime(file, ns=(self.tick(), self.time))

    @rule(number=some)
    def remove(self, number: int) -> None:
        if file := self.pick(number):
            file.unlink()

    @rule(number=some)
    def remove_folder(self, number: int) -> None:
        if folder := self.pick(number, folders=True):
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)

    @rule(number=some, name=st.sampled_from(NAMES))
    def rename(self, number: int, name: str) -> None:
        if file := self.pick(number):
            _try(lambda: file.rename(file.with_name(name)))

    @rule(number=some, name=st.sampled_from(FOLDERS[:6] + FOLDERS[7:]))
    def rename_folder(self, number: int, name: str) -> None:
        folder = self.pick(number, folders=True)
        if folder and name:
            _try(lambda: folder.rename(folder.with_name(name)))

    @rule(number=some, folder=st.sampled_from(FOLDERS))
    def move(self, number: int, folder: str) -> None:
        file = self.pick(number)
        if file and (self.home / "photos" / folder).is_dir():
            _try(lambda: file.rename(self.home / "photos" / folder / file.name))

    @rule(
        number=some,
        folders=st.booleans(),
        folder=st.sampled_from(FOLDERS),
        name=st.sampled_from(NAMES + FOLDERS[:4]),
        kind=st.sampled_from(("link", "relative", "hard", "dangling", "loop", "root", "pipe")),
    )
    def link(self, number: int, folders: bool, folder: str, name: str, kind: str) -> None:
        target, new = self.pick(number, folders), self.home / "photos" / folder / name
        if not target or os.path.lexists(new):
            return
        _try(lambda: new.parent.mkdir(parents=True, exist_ok=True))
        if not new.parent.is_dir():
            return
        make = {
            "link": lambda: new.symlink_to(target),
            "relative": lambda: new.symlink_to(os.path.relpath(target, new.parent)),
            "hard": lambda: os.link(target, new),
            "dangling": lambda: new.symlink_to("gone.png"),
            "loop": lambda: new.symlink_to(new),
            "root": lambda: new.symlink_to(self.home / "photos"),
            "pipe": lambda: os.mkfifo(new),
        }
        _try(make[kind])

    @rule(copy=st.booleans())
    def move_root(self, copy: bool) -> None:
        """Move or copy all images to a folder with another name."""
        old, new = self.home / ROOTS[0], self.home / ROOTS[1]
        if new.is_dir():
            old, new = new, old
        if not old.is_dir():
            return
        if new.is_dir():
            shutil.rmtree(new)
        if copy and not any(folder_model.is_pipe(f) for f in self.entries(False) if f.exists()):
            _try(lambda: shutil.copytree(old, new, symlinks=True))
        elif not new.exists():
            old.rename(new)

    # Changes of the tables of labels.

    @rule(
        header=layouts.headers,
        rows=st.lists(st.tuples(some, layouts.forms, layouts.labels), max_size=8),
        fault=layouts.faults,
    )
    def write_labels(
        self, header: tuple[str, str], rows: list[tuple[int, str, str]], fault: str
    ) -> None:
        lines = []
        for number, form, label in rows:
            if file := self.pick(number):
                path = Path(*file.relative_to(self.home).parts[1:]).as_posix()
                lines.append(layouts.label_row(path, form, label))
        layouts.write_labels(self.home / "labels.csv", header, lines, fault)

    @rule(
        names=st.dictionaries(
            st.sampled_from((*FOLDERS[:6], *FOLDERS[8:])), layouts.labels, max_size=5
        )
    )
    def write_names(self, names: dict[str, str]) -> None:
        layouts.write_labels(self.home / "names.csv", ("code", "name"), names.items())

    # Changes of the dataset.

    @rule(rows=st.lists(some, min_size=1, max_size=6))
    def overwrite_output(self, rows: list[int]) -> None:
        """Write another dataset into the file itself, as cp and programs that synchronise do."""
        target = folder_model.file_of(self.out)
        if target.name != "index.h5" and (part := self.readable()) and part.rows:
            other = self.home / "other.h5"
            chosen = dict.fromkeys(row % len(part.rows) for row in rows)
            Dataset.open(target).take([*chosen]).save(other)
            content = other.read_bytes()
            other.unlink()
            with target.open("r+b") as file:
                file.write(content)
                file.truncate()
            os.utime(target, ns=(self.tick(), self.time))

    @rule(
        kind=st.sampled_from(
            ("cut", "taken", "without stamps", "headed", "hdf5", "text", "empty", "folder", "gone")
        ),
        part=st.floats(0, 1),
    )
    def replace_output(self, kind: str, part: float) -> None:
        target = folder_model.file_of(self.out)
        if not target.is_file():
            if target.is_dir():
                target.rmdir()
            return
        if kind == "cut":
            os.truncate(target, int(part * target.stat().st_size))
        elif kind in ("taken", "without stamps", "headed"):
            _rewrite(target, kind)
        else:
            target.unlink()
            if kind == "hdf5":
                h5py.File(target, "w").close()
            elif kind == "folder":
                target.mkdir()
            elif kind != "gone":
                target.write_text("mine" if kind == "text" else "")

    @rule()
    def link_output(self) -> None:
        """Move the output and replace it by a link."""
        if folder_model.file_of(self.out).is_file() and not self.out.is_symlink():
            (self.home / "disk").mkdir(exist_ok=True)
            partial = self.home / "d.h5.partial"
            if not (self.home / "disk" / "d.h5.partial").exists() and partial.exists():
                partial.rename(self.home / "disk" / "d.h5.partial")
            if not (self.home / "disk" / self.name).is_dir():
                self.out.replace(self.home / "disk" / self.name)
                self.out.symlink_to(f"disk/{self.name}")

    @rule(
        kind=st.sampled_from(
            ("cut", "zeros", "text", "gone", "mine", "file", "empty marker", "table", "mend")
        ),
        finished=st.booleans(),
        number=some,
        part=st.floats(0, 1),
    )
    def damage_checkpoints(self, kind: str, finished: bool, number: int, part: float) -> None:
        """Damage a shard of an unfinished run or, in a folder of shards, any shard."""
        files, folder = folder_model.shard_files(self.out, not finished), self.partial()
        if kind == "table":
            self.table().write_text("mine")
        elif kind == "mend":
            self.mend()
        elif not folder.is_dir():
            if kind == "file" and not folder.exists() and folder.suffix != ".dogsim":
                folder.write_text("mine")
            elif folder.suffix != ".dogsim":
                folder.unlink(missing_ok=True)
        elif kind == "file":
            shutil.rmtree(folder)
        elif kind == "mine":
            (folder / "mine.h5").write_text("mine")
        elif kind == "empty marker":
            (folder / "restart").write_text("")
        elif files:
            file = files[number % len(files)]
            size = file.stat().st_size
            if kind == "gone":
                file.unlink()
            elif str(file) in self.finished():  # only its features are still needed
                os.truncate(file, int(part * min(size, HEADER)))
            elif kind == "cut":
                os.truncate(file, int(part * size))
            else:
                file.write_bytes(bytes(size) if kind == "zeros" else b"mine")

    def mend(self) -> None:
        """Remove the files that the messages ask the user to move away."""
        for file in folder_model.shard_files(self.out, finished=False):
            if file.read_bytes() == b"mine":
                file.unlink()
        table = self.table()
        if table.exists() and table.read_text() == "mine":
            table.unlink()

    # The command, in every second step.

    @rule(at=locations)
    def run(self, at: Location) -> None:
        self.run_and_check(at)

    @rule(at=locations, flags=flags, stop=st.none() | stops)
    def run_with_flags(self, at: Location, flags: set[str], stop: Stop | None) -> None:
        self.run_and_check(at, {}, flags, stop)

    @rule(at=locations, given=options, flags=flags, stop=st.none() | stops)
    def run_with_options(
        self, at: Location, given: dict[str, Any], flags: set[str], stop: Stop | None
    ) -> None:
        self.run_and_check(at, given, flags, stop)

    @rule(at=locations, chosen=layouts.layouts)
    def run_with_layout(self, at: Location, chosen: dict[str, Any]) -> None:
        self.run_and_check(at, layout=chosen)

    @rule(at=locations, chosen=layouts.layouts, flags=flags, stop=st.none() | stops)
    def run_with_layout_stopped(
        self, at: Location, chosen: dict[str, Any], flags: set[str], stop: Stop | None
    ) -> None:
        self.run_and_check(at, {}, flags, stop, chosen)

    @rule(at=locations, stop=stops)
    def run_stopped(self, at: Location, stop: Stop) -> None:
        self.run_and_check(at, {}, {"--batch-size=1"}, stop)

    @rule(at=locations, stop=stops, resize=st.sampled_from(("squash", "crop", "pad")))
    def restart_stopped(self, at: Location, stop: Stop, resize: str) -> None:
        self.run_and_check(at, {"resize": resize}, {"--restart", "--batch-size=1"}, stop)

    @rule(at=locations)
    def run_by_force(self, at: Location) -> None:
        self.run_and_check(at, {}, {"--force"})

    def run_and_check(
        self,
        at: Location,
        given: Mapping[str, Any] = {},
        chosen: Set[str] = frozenset(),
        stop: Stop | None = None,
        layout: Mapping[str, Any] = {},
    ) -> None:
        number, style = at
        roots = self.roots()
        root = roots[number % len(roots)] if roots else self.home / "photos"
        if style.startswith("photos") and not (self.home / "photos").is_dir():
            style = "{}"
        arguments = ["create-dataset", style.format(root.name, home=self.home), "-o", self.name]
        arguments += ["--json", *chosen]
        arguments += layouts.options_of({**given, **layout})
        os.chdir(self.home)
        expected = self.expected(root, given, layout, chosen)
        file = folder_model.file_of(self.out)
        inputs, output, work = self.inputs(), self.state(file), self.work()
        done = self.server.run(arguments, self.home, stop)
        self.report = (arguments, stop, expected.refused, done)
        assert self.inputs() == inputs, self.report
        assert done.code != HANGS, self.report
        if self.state(file) != output:
            assert not expected.refused, self.report
            self.check_file(expected)
        if done.code in (0, 1):
            self.check_end(done, expected, output)
            if expected.refused and expected.early:
                assert self.work() == work, self.report
        else:
            self.check_stopped(done, stop)
        self.check_rows()

    def expected(
        self, root: Path, given: Mapping[str, Any], layout: Mapping[str, Any], chosen: Set[str]
    ) -> Expected:
        wrong: set[tuple[str, object]]
        wrong = {("backbone", "resnet5"), ("weights", "gone.h5"), ("resize", "fit")}
        wrong |= {("batch-size", 0), ("batch-size", -1)}
        table = self.table()
        table_of_mine = table.exists() and table.read_text() == "mine"
        if given.items() & wrong or (table_of_mine and "--force" not in chosen):
            return Expected(refused="an option or a table")
        named = {name: value for name, value in given.items() if name != "batch-size"}
        return folder_model.expected(root, self.out, named, layout, chosen)

    # Queries.

    @rule()
    def audit(self) -> None:
        """Audit the dataset; images are duplicates if their content or their features are equal."""
        part, done = self.readable(), self.run_query("audit", self.name)
        if not part:
            assert done.code == 1, self.report
            return
        root, paths = Path(part.root), list(part.rows)
        keys = [self.keys(root / path, *part.rows[path]) for path in paths]
        known = {paths[i]: keys[i] for i, label in enumerate(part.labels) if label >= 0}
        if done.code:
            distinct = {min(keys) for keys in known.values()}
            assert len(distinct) < 2 or len(_joined(known)) < 2, self.report
            return
        found = json.loads(done.stdout)
        key_of = dict(zip(paths, keys, strict=True))
        for group in found["duplicates"]:
            assert len(_joined({path: key_of[path] for path in group})) == 1, (self.report, group)
        group_of = {path: i for i, group in enumerate(found["duplicates"]) for path in group}
        first: dict[str, str] = {}
        for path in paths:
            stamp = part.rows[path][0]
            if part.stamped and (root / path).is_file():
                twin = first.setdefault(stamp.sha256, path)
                same = twin == path or group_of.get(twin, -1) == group_of.get(path, -2)
                assert same, (self.report, twin, path)

    @rule(content=st.integers(0, len(CONTENTS) - 1), k=st.sampled_from((1, 2, 3, 5)))
    def classify(self, content: int, k: int) -> None:
        """Query the dataset with a new image or with one of its own."""
        (self.home / "query").write_bytes(CONTENTS[content])
        part = self.readable()
        done = self.run_query("classify", "query", "--dataset", self.name, "-k", str(k))
        digest = sha256(CONTENTS[content]).hexdigest()
        paths = list(part.rows) if part else []
        own = next((p for p in paths if part and part.rows[p][0].sha256 == digest), None)
        query = (
            folder_model.row_of(CONTENTS[content], part.recipe) if part and part.recipe else None
        )
        others = [path for path in paths if path != own]
        if not part or not part.recipe or query is None or k > len(others):
            assert done.code == 1, self.report
            return
        assert done.code == 0, self.report
        (result,) = json.loads(done.stdout)["results"]
        far = {p: np.linalg.norm(np.float64(part.rows[p][1]) - np.float64(query)) for p in others}
        breed = {
            p: part.breeds[x] if x >= 0 else "" for p, x in zip(paths, part.labels, strict=True)
        }
        near = sorted(others, key=lambda path: far[path])[:k]  # stable: ties in order of the rows
        neighbours = result["neighbours"]
        assert [each["path"] for each in neighbours] == near, (self.report, near)
        assert [each["breed"] for each in neighbours] == [breed[p] or "unknown" for p in near]
        assert np.allclose([each["distance"] for each in neighbours], [far[path] for path in near])
        votes = Counter(breed[path] for path in near if breed[path])
        winner = max(votes, key=lambda name: votes[name], default="unknown")  # in a tie the nearest
        assert (result["breed"], result["in_dataset"]) == (winner, own), (self.report, winner, own)

    def run_query(self, *arguments: str) -> Done:
        """Run a command that changes nothing."""
        os.chdir(self.home)
        before = self.inputs(), self.state(folder_model.file_of(self.out)), self.work()
        done = self.server.run([*arguments, "--json"], self.home)
        self.report = [*arguments], None, "", done
        assert (self.inputs(), self.state(folder_model.file_of(self.out)), self.work()) == before
        assert done.code in (0, 1), self.report
        lines = [line for line in done.stderr.splitlines() if line.startswith("dogsim: ")]
        assert len(lines) == done.code, self.report
        assert "Traceback" not in done.stderr, self.report
        assert not done.code or not done.stdout, self.report
        return done

    def readable(self) -> Part | None:
        """Read the dataset with h5py; None if there is none or it is damaged."""
        with suppress(OSError, KeyError, AssertionError):
            return folder_model.part(folder_model.file_of(self.out))
        return None

    def keys(self, file: Path, stamp: folder_model.Stamp, row: Any) -> set[str]:
        """Return keys of which two images share one if they are the same."""
        keys = {stamp.sha256, repr(row.tolist())}
        with suppress(OSError):
            if file.is_file():  # it may have been replaced
                keys.add(sha256(file.read_bytes()).hexdigest())
        return keys - {""}

    @rule()
    def open(self) -> None:
        """Open the dataset, and keep it open during the next steps."""
        if part := self.readable():
            dataset = Dataset.open(self.out)
            names = [part.breeds[label] if label >= 0 else "unknown" for label in part.labels]
            features = np.array([row for _, row in part.rows.values()])
            self.opened = [*self.opened[-2:], Opened(dataset, tuple(part.rows), names, features)]

    @invariant()
    def check_opened(self) -> None:
        for each in self.opened:
            dataset, features = each.dataset, each.features
            assert dataset.paths == each.paths
            assert [dataset.breed(row) for row in range(len(dataset))] == each.breeds
            for read in READS:
                try:
                    rows = read(dataset, features)
                except ReplacedError:
                    continue
                except DogsimError:  # a shard is missing
                    if self.name == "d.h5":
                        raise
                    continue
                assert np.array_equal(rows, features)

    # Checks.

    def check_end(self, done: Done, expected: Expected, output: object) -> None:
        assert done.code == bool(expected.refused), self.report
        lines = [line for line in done.stderr.splitlines() if line.startswith("dogsim: ")]
        assert len(lines) == done.code, self.report
        assert "Traceback" not in done.stderr, self.report
        if done.code == 1:
            assert done.stdout == "", self.report
            return
        result = json.loads(done.stdout)
        assert {name: result[name] for name in expected.counts} == expected.counts, self.report
        assert result["images"] == len(expected.rows), self.report
        skipped = {each["path"]: each["reason"] for each in result["skipped"]}
        assert len(skipped) == len(result["skipped"]), self.report
        assert skipped.keys() == expected.skipped.keys(), (self.report, expected.skipped)
        for path, reason in expected.skipped.items():
            assert skipped[path].startswith(reason), (self.report, path, reason)
            assert skipped[path], self.report
        self.check_file(expected)
        self.check_queries_of_rows()
        merged = folder_model.breeds(expected.texts)[2]
        notes = [x for x in done.stderr.splitlines() if x.startswith("Merged into the breed ")]
        assert len(notes) == min(merged, 10), self.report
        self.check_table(skipped)
        mine = str(self.partial() / "mine.h5")
        assert not self.work().keys() - self.finished() - {mine}, self.report
        left = {path.name for path in self.home.iterdir()} | {
            path.name for path in Path(os.path.realpath(self.out)).parent.iterdir()
        }
        assert not [name for name in left if name.endswith(".tmp")], (self.report, left)

    def check_file(self, expected: Expected) -> None:
        """Compare the finished file with the model."""
        made = folder_model.part(folder_model.file_of(self.out))
        paths = sorted(expected.rows, key=lambda path: path.split("/"))
        assert list(made.rows) == paths, self.report
        labels, breeds, _ = folder_model.breeds(folder_model.label_texts(paths, expected.layout))
        assert (made.labels, made.breeds) == (labels, breeds), (self.report, labels, breeds)
        assert made.layout == expected.layout, self.report
        assert made.root == expected.root, self.report
        assert made.recipe == expected.recipe, (self.report, made.recipe, expected.recipe)
        for path, (stamp, row) in expected.rows.items():
            assert made.rows[path][0] == stamp, (self.report, path)
            assert np.array_equal(made.rows[path][1], row), (self.report, path)

    def check_queries_of_rows(self) -> None:
        """Check that an image with a label, as a query, has this label."""
        dataset = Dataset.open(self.out)
        for row, label in enumerate(dataset.labels.tolist()):
            if label >= 0:
                breed = dataset.label_of_path(dataset.image_file(row))
                assert breed == dataset.breeds[label], (self.report, dataset.paths[row], breed)

    def check_table(self, skipped: dict[str, str]) -> None:
        table = self.table()
        assert table.exists() == bool(skipped), self.report
        if skipped:
            lines = table.read_text().splitlines()
            assert lines[0] == "path,reason", self.report
            assert len(lines) == 1 + len(skipped), self.report

    def check_stopped(self, done: Done, stop: Stop | None) -> None:
        """Check the message of a run that was stopped."""
        assert stop, self.report
        allowed = {
            signal.SIGKILL: {-signal.SIGKILL},
            signal.SIGINT: {130},
            signal.SIGTERM: {143, -signal.SIGTERM},
        }
        assert done.code in allowed[signal.Signals(stop.signal)], self.report
        assert done.stdout == "" or done.code == -signal.SIGKILL, self.report
        assert "Traceback" not in done.stderr, self.report
        if done.code > 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith("dogsim: ")]
            assert len(lines) <= 1, self.report  # none before it begins or while it prints one
            assert "dogsim: " not in lines, self.report
            if found := re.search(r"The features of (\d+) images", "".join(lines)):
                shards = [folder_model.shard(file) for file in folder_model.shard_files(self.out)]
                assert int(found[1]) == sum(len(each.rows) for each in shards if each), self.report

    def check_rows(self) -> None:
        """Check that every stored row has the features of the image with the stored hash."""
        shards = folder_model.shard_files(self.out, finished=False)
        for file in [folder_model.file_of(self.out), *shards]:
            try:
                part = folder_model.part(file)
            except (OSError, KeyError, AssertionError):
                continue
            if part.stamped and part.recipe and not part.recipe["head_sha256"]:
                for path, (stamp, row) in part.rows.items():
                    true = folder_model.row_of(BY_HASH[stamp.sha256], part.recipe)
                    assert true is not None, (self.report, file, path)
                    assert np.array_equal(row, true), (self.report, file, path)

    @invariant()
    def count_steps(self) -> None:
        History.steps += 1

    # State before and after a run.

    def partial(self) -> Path:
        return folder_model.partial(self.out)

    def table(self) -> Path:
        return self.home / f"{self.name}.skipped.csv"

    def inputs(self) -> dict[str, object]:
        """Return the state of all files that no run may change."""
        files = [*self.entries(False), *self.entries(True), *self.home.glob("*.weights.h5")]
        files += [self.home / "labels.csv", self.home / "names.csv"]
        return {str(file): self.state(file) for file in files}

    def state(self, file: Path) -> object:
        status = file.lstat() if os.path.lexists(file) else None
        if status is None or file.is_dir() or not file.is_file():
            return status and (status.st_mode, file.is_symlink() and file.readlink())
        link = file.is_symlink() and file.readlink()
        return status.st_mode, status.st_mtime_ns, link, file.read_bytes()

    def finished(self) -> set[str]:
        """Return the files that belong to the finished dataset."""
        shards = folder_model.shard_files(self.out, finished=False)
        known = {*shards} - {*folder_model.shard_files(self.out)}
        return {str(file) for file in (*known, folder_model.file_of(self.out))}

    def work(self) -> dict[str, bytes]:
        """Return the checkpoints, without shards that a power failure has damaged."""
        folder, found = self.partial(), {}
        for file in folder.iterdir() if folder.is_dir() else ():
            try:
                whole = not folder_model.SHARD.fullmatch(file.name) or folder_model.shard(file)
            except folder_model.RefusedError:
                whole = True
            if whole and file.is_file() and not file.name.startswith("."):
                found[str(file)] = file.read_bytes()
        return found


def _joined(keys_of: Mapping[str, set[str]]) -> list[set[str]]:
    """Join images that share a key, directly or through others; return the keys of each group."""
    groups: list[set[str]] = []
    for keys in keys_of.values():
        shared = [group for group in groups if group & keys]
        groups = [*(group for group in groups if group not in shared), keys.union(*shared)]
    return groups


def _try(act: Any) -> None:
    """Run an action of a user; errors of the system are ignored."""
    with suppress(OSError, shutil.Error):
        act()


def _rewrite(file: Path, kind: str) -> None:
    """Replace a dataset by one in reverse order, or by one of another command."""
    try:
        dataset = Dataset.open(file)
    except ValueError:
        return
    if kind == "taken":
        dataset.take(np.arange(len(dataset))[::-1]).save(file)
    elif kind == "headed":
        dataset.save(file, "project")
    else:
        Dataset(dataset.features, dataset.labels, dataset.paths, dataset.breeds).save(file)


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(".")  # back where it was, at the end
    History.server = Server()
    yield
    History.server.close()


def run_machine(number: int, examples: int, steps: int) -> None:
    print(f"seed {number}")
    run_state_machine_as_test(
        seed(number)(History),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_history() -> None:
    run_machine(0, examples=3, steps=20)


@pytest.mark.slow
def test_many_histories() -> None:
    end = time.monotonic() + float(os.environ.get("DOGSIM_MACHINE_SECONDS", "60"))
    for number in count(int(os.environ.get("DOGSIM_MACHINE_SEED", "1"))):
        if time.monotonic() > end:
            break
        run_machine(number, examples=10, steps=50)
    print(f"{History.steps} steps")
