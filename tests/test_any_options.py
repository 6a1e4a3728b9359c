"""Test random options of all commands: valid, invalid and hostile ones.

A command must end with 0, 1 or 2, report an error in one line, print valid JSON with --json, change
none of its inputs and leave no incomplete file. Commands, options and their types are read from the
app, and a word in the help of an option selects its valid values; so new options are covered.

A second test draws the layout of a folder, creates its dataset with random options for labels and
queries it, with standard streams that are closed or cannot be written. The labels must be those of
`folder_model`.

``pytest --slow`` runs for `DOGSIM_MACHINE_SECONDS`, starting with the seed `DOGSIM_MACHINE_SEED`.
"""

import inspect
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import folder_model
import layouts
import pytest
import typer
from commands import Hang, with_timeout
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from stoppable_run import FAULTS, STREAMS, Done, Server
from typer.models import OptionInfo
from typer.testing import CliRunner
from world import MADE_BY, half_written, make_world, put_back, snapshot

from dogsim import Dataset
from dogsim.cli import app
from dogsim.cli.option import OPTION_TABLES, option_values
from dogsim.plumbing.terminal import JOINERS

UNHURRIED = settings(
    deadline=None, database=None, print_blob=True, suppress_health_check=list(HealthCheck)
)
pytestmark = pytest.mark.skipif(os.name != "posix", reason="named pipes, alarms and odd names")

MAX_COMMAND_SECONDS = 120  # on a busy machine
IMAGES = (
    *("photos", "photos/pug/1.png", "photos/whippet/$5_$7.png", "photos/pug/-3.png"),
    *("photos/whippet/犬 🐶.png", "photos/whippet/\x1b[31mred.png", "photos/pug/\udcff.png"),
    *("photos/whippet/cut.png", "photos/pug/text.jpg", "pipe.png", "link.png", "photos/pug"),
)
DATASETS = (
    *("own/dataset.h5", "own/imported.h5", "cut.h5", "empty.h5", "without recipe.h5"),
    *("hostile.h5", "nan.h5", "one.h5", "no breeds.h5", "foreign.h5", "link.h5"),
)
OTHERS = (
    *("own/exported.mat", "cut.mat", "own/head.keras", "text.keras", "notes.txt", "table.csv"),
    *("network.keras", "empty", "own", "loop", "/dev/null", "gone.h5", "photos/gone.png"),
)
TEXTS = (
    *("", " ", "-", "--", "\x1b[31m", "a\nb", "\udcff", "$x$", "%s", "{0}", "犬", "🐶", "\u202e"),
    *("x" * 300, "-x", "../..", "~", "imagenet", "avg_pool", "euclidean", "cosine", "0"),
)
NEW = ("new.h5", "new.keras", "new.mat", "new.csv", "new", "new/in/new.h5", "x" * 250, "\udcff.h5")
NUMBERS = ("1", "2", "3", "5", "0", "-1", "1000000", "99999999999999999999", "nan", "1e3", "", "x")
REALS = ("0.2", "0", "1", "-1", "nan", "inf", "-inf", "1e400", "0,5", "x")
HUGE = {"1000000", "99999999999999999999"}
# Valid values, by the first of these words that the help or the name of an option contains.
VALID = (
    (("REGEX",), ("top", "parent", "table.csv", "(?P<label>.)")),
    (("code,name",), ("table.csv", "")),
    (("PATTERN",), ("*.png", "whippet", "pug/*", "")),
    (("to write", "OUT", "save"), NEW),
    (("head",), ("own/head.keras",)),
    (("weight",), ("network.keras", "imagenet")),
    (("MATLAB",), ("own/exported.mat",)),
    (("dataset",), ("own/dataset.h5", "own/dataset.h5", "one.h5", "without recipe.h5")),
    (("image", "IMAGE", "folder"), IMAGES[:6]),
)


@dataclass(frozen=True)
class Option:
    """An option or argument as declared by the function of its command."""

    flags: tuple[str, ...]  # empty for an argument
    kind: Any
    many: bool
    required: bool
    text: str  # metavar, name and help
    names: tuple[str, ...]  # the valid values, if they are a fixed set


def options_of(command: Callable[..., None]) -> list[Option]:
    """Read the options of a command from its annotations for Typer."""
    found = []
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        if parameter.annotation is typer.Context:
            continue
        kind, declared = get_args(parameter.annotation)[:2]
        kinds = [each for each in (kind, *get_args(kind)) if each is not type(None)]
        many = get_origin(kind) is list or any(get_origin(each) is list for each in kinds)
        inner = [arm for each in kinds for arm in (each, *get_args(each))]
        simple = next(
            arm for arm in inner if get_origin(arm) in (None, Literal) and arm is not type(None)
        )
        is_option = isinstance(declared, OptionInfo)
        # Within Annotated, the default is a name, too.
        named = (declared.default, *(declared.param_decls or ()))
        flags = tuple(flag for flag in named if str(flag).startswith("-"))
        flags = flags or (f"--{name.replace('_', '-')}",)
        found.append(
            Option(
                flags=flags if is_option else (),
                kind=simple,
                many=many,
                required=parameter.default is parameter.empty,
                text=f"{declared.metavar} {name} {declared.help}",
                names=tuple(option_values(name)) if name in OPTION_TABLES else (),
            )
        )
    return found


COMMANDS = {
    str(command.callback.__name__).replace("_", "-"): options_of(command.callback)
    for command in app.registered_commands
    if command.callback
}


def values(option: Option) -> st.SearchStrategy[str]:
    """Draw a value for an option, valid ones more often than others."""
    if option.kind is int:
        return st.sampled_from(NUMBERS[:3]) | st.sampled_from(NUMBERS)
    if option.kind is float:
        return st.sampled_from(REALS[:3]) | st.sampled_from(REALS)
    text = option.text
    valid = next((pool for words, pool in VALID if any(word in text for word in words)), None)
    words = option.names or valid or tuple(word.strip(".,:;[]()") for word in text.split())
    every = (*IMAGES, *DATASETS, *OTHERS, *TEXTS, *NEW)
    return st.sampled_from(words) | st.sampled_from(words) | st.sampled_from(every)


@st.composite
def calls(draw: Callable[[Any], Any]) -> list[str]:
    """Draw a command with options."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words, arguments = [name], []
    if name == "serve":  # otherwise it would not end
        words += ["--export", draw(st.sampled_from(NEW))]
    for option in COMMANDS[name]:
        if "--export" in option.flags:
            continue
        if not option.flags:
            count = draw(st.integers(0, 3)) if option.many else 1
            arguments += [draw(values(option)) for _ in range(count)]
        elif draw(st.integers(0, 19)) < (19 if option.required else 3):
            flag = draw(st.sampled_from(option.flags))
            if option.kind is bool:
                words.append(flag)
            elif flag.startswith("--") and draw(st.booleans()):
                words.append(f"{flag}={draw(values(option))}")
            else:
                words += [flag, draw(values(option))]
    return [*words, *(["--"] if draw(st.booleans()) else []), *arguments]


class World:
    """The working folder of the commands, and a copy from which it is restored."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.root, self.copy, self.runs = folder / "world", folder / "copy", 0
        self.root.mkdir()
        make_world(self.root, network)
        ignore = shutil.ignore_patterns("pipe.png")
        shutil.copytree(self.root, self.copy, symlinks=True, ignore=ignore)
        self.before = snapshot(self.root)

    def check(self, call: list[str], default: str) -> None:
        self.runs += 1
        environment = {"DOGSIM_DATASET": default or None}
        try:
            with with_timeout(MAX_COMMAND_SECONDS):
                done = CliRunner().invoke(app, call, env=environment)
        except Hang:
            assert HUGE & {word.split("=")[-1] for word in call}, ("it hangs", call)
            put_back(self.root, self.copy, self.before, snapshot(self.root))
            return
        after = snapshot(self.root)
        new = after.keys() - self.before.keys()
        half = half_written(self.root, new)
        changed = [name for name in self.before if after.get(name) != self.before[name]]
        allowed = [name for name in changed if self.may_change(name, call)]
        put_back(self.root, self.copy, self.before, after)
        report = (call, default, done.exit_code, done.stdout, done.stderr)
        assert changed == allowed, (report, changed)
        assert half == [], (report, half)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise AssertionError(report) from done.exception
        check_output(call, Done(done.exit_code, done.stdout, done.stderr), report)

    def may_change(self, name: str, call: list[str]) -> bool:
        named = [Path(word.split("=", 1)[-1]) for word in call[1:]]
        target = (self.root / name).resolve()
        if not any(_resolved(each) == target for each in named):
            return False
        return "--force" in call or MADE_BY.get(name) == call[0]


def check_output(call: list[str], done: Done, report: object) -> None:
    """Check the output and the exit status of a command."""
    assert done.code in (0, 1, 2), report
    shown = done.stdout + done.stderr
    if done.code < 2:
        assert all(c.isprintable() or c in f"\n{JOINERS}" for c in shown), report
    assert "Traceback" not in shown, report
    errors = [line for line in done.stderr.splitlines() if line.startswith("dogsim: ")]
    lines = 1 if call[0] != "ask" else len(errors)  # one per input line
    assert len(errors) == (lines if done.code == 1 else 0), report
    if "--json" not in call[: [*call, "--"].index("--")]:
        return
    answers = [done.stdout] if done.code == 0 or done.stdout else []
    for answer in done.stdout.splitlines() if call[0] == "ask" else answers:  # one per input line
        assert isinstance(json.loads(answer, parse_constant=_no_json), dict), report


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def _resolved(path: Path) -> Path | None:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links, a name that is too long
        return None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, colours: str) -> Iterator[World]:
    made, before = World(tmp_path_factory.mktemp("any"), Path(colours)), Path.cwd()
    os.chdir(made.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nbclient.execute", lambda *_, **__: None)  # the lessons take minutes
        yield made
    os.chdir(before)


def draw_calls(world: World, number: int, examples: int) -> None:
    print(f"seed {number}")

    @seed(number)
    @settings(UNHURRIED, max_examples=examples)
    @given(call=calls(), default=st.sampled_from(("own/dataset.h5", "own/dataset.h5", "cut.h5")))
    def check(call: list[str], default: str) -> None:
        world.check(call, default)

    check()


def test_any_options(world: World) -> None:
    draw_calls(world, 0, 8)


@pytest.mark.slow
def test_many_options(world: World) -> None:
    end = time.monotonic() + float(os.environ.get("DOGSIM_MACHINE_SECONDS", "30"))
    for number in count(int(os.environ.get("DOGSIM_MACHINE_SEED", "0"))):
        if time.monotonic() > end:
            break
        draw_calls(world, number, 100)
    print(f"{world.runs} runs")


# Layouts of folders, and faulty streams.

FOLDERS = (
    *("", "pug", "train/pug", "val/pug", "val/Pug", "train/beagle", "pug/2023", "x" * 200),
    *("n02085620-Chihuahua", "n02085620", "n02012849-crane", "n03126707-crane", "crane"),
    *("1", "-1", "-", "_", "a", "A", "T-shirt", "T shirt", "T_shirt", "caf\u00e9", "cafe\u0301"),
    *("@eaDir", "pug/@eaDir", "$RECYCLE.BIN", "__MACOSX", ".hidden", "=1+1", "\x1b[31m"),
)
FILES = (
    *("1.png", "2.JPG", "pug_1.png", "pug_2.png", "beagle 2.png", "-1_2.png", "plain"),
    *("3.jpg_large", "notes.txt", "drawing.svg", ".hidden.png", "\udcff.png", "two\nlines.png"),
)
images = st.lists(
    st.tuples(st.sampled_from(FOLDERS), st.sampled_from(FILES), st.integers(0, 9)),
    min_size=1,
    max_size=12,
    unique_by=lambda image: image[:2],
)
label_rows = st.lists(st.tuples(st.integers(0, 11), layouts.forms, layouts.labels), max_size=8)
new_names = st.dictionaries(
    st.sampled_from(("pug", "n02085620", "1", "-1", "a", "T-shirt")), layouts.labels, max_size=3
)
spoiled: st.SearchStrategy[dict[str, str]] = st.just({}) | st.dictionaries(
    st.sampled_from(STREAMS), st.sampled_from(FAULTS)
)
queries = st.sampled_from(
    (
        *(["info", "d.h5"], ["audit", "d.h5"], ["audit", "d.h5", "--test", "d.h5"]),
        *(["accuracy", "--dataset", "d.h5", "-k", "1"], ["classify", "photos", "-k", "1"]),
        *(["classify", "query.png", "-k", "2", "--keep-self"], ["ask", "-k", "1"]),
        *(["distance", "photos/pug/1.png", "query.png", "--dataset", "d.h5"], ["classify"]),
        *(["export-mat", "d.h5", "d.mat"], ["export", "d.h5", "d.npy"], ["info", "gone.h5"]),
        *(["import-mat", "d.mat", "new.h5"], ["--version"], ["info"], ["no-command"], []),
    )
)


class Layout:
    """A folder of images in some layout, its tables of labels and its dataset."""

    runs = 0

    def __init__(self, home: Path, server: Server) -> None:
        self.home, self.server, self.out = home.resolve(), server, home.resolve() / "d.h5"

    def make(self, drawn: list[tuple[str, str, int]]) -> None:
        """Create the images; some contents are none."""
        for folder, name, number in drawn:
            file = self.home / "photos" / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if number < 8:
                colour = (30 * number, 255 - 20 * number, 9 * number)
                Image.new("RGB", (20 + number, 20), colour).save(file, "PNG")
            else:
                file.write_bytes(b"no image" if number == 8 else b"")
        Image.new("RGB", (20, 20)).save(self.home / "query.png")
        (self.home / "stdin").write_text("query.png\nphotos\ngone.png\n")

    def run(self, arguments: list[str], streams: dict[str, str]) -> Done:
        """Run a command, which changes no image, and check its output."""
        Layout.runs += 1
        before = snapshot(self.home / "photos")
        done = self.server.run(arguments, self.home, None, streams)
        report = (arguments, streams, done)
        assert snapshot(self.home / "photos") == before, report
        assert half_written(self.home, ["d.h5", "d.mat", "new.h5", "d.npy"]) == [], report
        if streams:
            assert done.code in (0, 1, 2), report
            assert "Traceback" not in done.stdout + done.stderr, report
        elif arguments:
            check_output(arguments, done, report)
        return done

    def create(self, layout: dict[str, Any], streams: dict[str, str]) -> None:
        """Create or update the dataset and compare its labels with the model."""
        root = self.home / "photos"
        expected = folder_model.expected(root, self.out, {}, layout, set())
        call = ["create-dataset", "photos", "-o", "d.h5", "--json", *layouts.options_of(layout)]
        done = self.run(call, streams)
        report = (call, streams, done, expected)
        if expected.refused or done.code or streams:
            assert streams or done.code == bool(expected.refused), report
            return
        dataset, result = Dataset.open(self.out), json.loads(done.stdout)
        assert dataset.paths == tuple(sorted(expected.rows, key=lambda path: path.split("/"))), (
            report
        )
        labels, breeds, _ = folder_model.breeds(
            folder_model.label_texts([*dataset.paths], expected.layout)
        )
        assert (dataset.labels.tolist(), list(dataset.breeds)) == (labels, breeds), report
        assert (result["images"], result["breeds"]) == (len(labels), len(breeds)), report
        assert {name: result[name] for name in expected.counts} == expected.counts, report


def draw_layouts(folder: Path, server: Server, number: int, examples: int) -> None:
    print(f"seed {number}")
    homes = count()

    @seed(number)
    @settings(UNHURRIED, max_examples=examples)
    @given(
        drawn=images,
        header=layouts.headers,
        rows=label_rows,
        fault=layouts.faults,
        names=new_names,
        steps=st.lists(st.tuples(layouts.layouts | queries, spoiled), min_size=1, max_size=5),
    )
    def check(
        drawn: list[tuple[str, str, int]],
        header: tuple[str, str],
        rows: list[tuple[int, str, str]],
        fault: str,
        names: dict[str, str],
        steps: list[tuple[dict[str, Any] | list[str], dict[str, str]]],
    ) -> None:
        home = folder / str(next(homes))
        home.mkdir()
        os.chdir(home)
        layout = Layout(home, server)
        layout.make(drawn)
        paths = ["/".join(filter(None, drawn[i % len(drawn)][:2])) for i, _, _ in rows]
        table = [layouts.label_row(path, *row[1:]) for path, row in zip(paths, rows, strict=True)]
        layouts.write_labels(home / "labels.csv", header, table, fault)
        layouts.write_labels(home / "names.csv", ("code", "name"), names.items())
        layout.create({}, {})
        for step, streams in steps:
            if isinstance(step, dict):
                layout.create(step, streams)
            else:
                layout.run(step, streams)
        shutil.rmtree(home)

    check()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.chdir(tmp_path)  # back where it was, at the end
    monkeypatch.setenv("DOGSIM_DATASET", "d.h5")
    made = Server()
    yield made
    made.close()


def test_any_layout(server: Server, tmp_path: Path) -> None:
    draw_layouts(tmp_path, server, 0, 8)


@pytest.mark.slow
def test_many_layouts(server: Server, tmp_path: Path) -> None:
    end = time.monotonic() + float(os.environ.get("DOGSIM_MACHINE_SECONDS", "30"))
    for number in count(int(os.environ.get("DOGSIM_MACHINE_SEED", "0"))):
        if time.monotonic() > end:
            break
        draw_layouts(tmp_path, server, number, 100)
    print(f"{Layout.runs} runs")
