"""Help, completion, and errors in one line."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import COMMANDS, dogsim, loaded_after, python, refusal

from dogsim import Dataset, __version__
from dogsim.cli import COMMANDS as PANELS_OF_COMMANDS
from dogsim.cli.option import OPTION_TABLES, PANELS, option_values, values_text
from dogsim.networks.weights import OFFLINE_BACKBONE


def test_help_has_an_example_of_every_command() -> None:
    listing = dogsim("--help").stdout
    for command in COMMANDS:
        assert command in listing
        assert f"Example: dogsim {command} " in dogsim(command, "--help").stdout


def test_help_has_panels_of_commands() -> None:
    listing = dogsim("--help").stdout
    assert "<bool>" not in listing
    panels = {
        name: text.split("╰")[0] for name, text in re.findall(r"╭─ (.+?) ─(.+?)╯", listing, re.S)
    }
    assert list(panels) == ["Options", *PANELS_OF_COMMANDS]
    assert " audit " in panels["Datasets"]


def test_help_lists_the_valid_names() -> None:
    for name in OPTION_TABLES:
        assert len(option_values(name)) > 1
    for command in COMMANDS:
        printed = " ".join(dogsim(command, "--help").stdout.replace("│", " ").split())
        assert "{}" not in printed.replace("{A", "")
        for name in OPTION_TABLES:
            if f"--{name} " in printed:
                for line in values_text(name).removeprefix("- ").split("\n- "):
                    assert line in printed, (command, name)


def test_help_has_panels_and_flags_without_a_type() -> None:
    known = set()
    for command in COMMANDS:
        printed = dogsim(command, "--help").stdout
        assert "<bool>" not in printed
        known |= set(re.findall(r"│ (?:\*  |   )? *--([\w-]+)", printed))
    named = {name for names in PANELS.values() for name in names.split()}
    assert {name.replace("_", "-") for name in named} <= known  # no name that has changed
    create = dogsim("create-dataset", "--help").stdout
    first, network, advanced = re.split("─ (?:Network|Advanced) ─", create)
    assert "--out" in first
    assert "--backbone" in network
    assert "--cluster" in advanced
    assert "(?P<label>...)" in " ".join(first.replace("│", " ").split())


@pytest.mark.parametrize(
    "command",
    [
        ("classify", "https://x.org/dog.jpg"),
        ("info", "https://x.org/dog.jpg"),
        ("create-dataset", "https://x.org/dog.jpg", "-o", "new.h5"),
        ("import-mat", "https://x.org/dog.jpg", "new.h5"),
        ("classify", "--boxes", "https://x.org/dog.jpg"),
        ("export", "{stored}", "https://x.org/dog.npy"),
    ],
)
def test_a_url_is_no_path(command: tuple[str, ...], stored: Path) -> None:
    line = refusal(*(argument.format(stored=stored) for argument in command))
    assert line.startswith("dogsim: Received the URL https://x.org/dog.")


@pytest.mark.skipif(os.name != "posix", reason="bash")
def test_tab_completion() -> None:
    for line, completions in [
        ("dogsim tre", ["tree"]),
        ("dogsim accuracy --metric c", ["cosine", "cityblock", "chebyshev", "correlation"]),
        ("dogsim create-dataset photos --backbone resnet3", ["resnet34"]),
    ]:
        words = line.split(" ")
        environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        code = "from dogsim.cli import app; app(prog_name='dogsim')"
        done = python("-c", code, _DOGSIM_COMPLETE="complete_bash", **environment)
        assert done.stdout.split() == completions, (line, done)


def test_usage_is_readable() -> None:
    for command in COMMANDS:
        usage = dogsim(command, "--help").stdout.split("Usage:")[1].split("\n\n")[0]
        assert "[[" not in usage
        assert "...]..." not in usage
        assert "...}..." not in usage


def test_it_runs_as_a_module() -> None:
    printed = python("-m", "dogsim", "tree", "--help").stdout
    assert printed.strip().startswith("Usage: python -m dogsim tree")


def test_version() -> None:
    assert dogsim("--version").stdout == f"{__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_output_on_a_full_disk(stored: Path) -> None:
    """It fails with one line, if that can be written, and Python adds nothing at the end."""
    command = f"{shlex.quote(sys.executable)} -m dogsim"
    for line, code, message in (
        (f"{command} info {stored} >/dev/full", 1, b"dogsim: No space left on device.\n"),
        (f"{command} info gone.h5 2>/dev/full", 1, b""),
    ):
        done = subprocess.run(["bash", "-c", line], capture_output=True)
        assert (done.returncode, done.stderr) == (code, message), line


def test_imports_and_help_load_no_heavy_package() -> None:
    assert loaded_after("import dogsim") == set()
    help_text = "from dogsim.cli import app; app(['--help'], standalone_mode=False)"
    assert loaded_after(help_text) == set()


def test_help_is_fast() -> None:
    """It takes 0.2 to 0.6 s, half of it for Typer's rendering, which is the unit of the limit."""

    def seconds(code: str) -> float:
        start = os.times()
        python("-c", code)
        end = os.times()  # CPU time: other programs run on this machine
        return sum(end[2:4]) - sum(start[2:4])

    rendering = min(seconds("import typer.rich_utils, rich.markdown") for _ in range(3))
    assert min(seconds("from dogsim.cli import app; app(['--help'])") for _ in range(3)) < (
        4 * rendering
    )


def test_errors_are_one_line(
    stored: Path, breeds_dir: Path, colours: str, tmp_path: Path, four: Dataset
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "text.keras").write_text("no model")
    four.save(tmp_path / "four.h5")
    image, out = breeds_dir / "striped" / "0.png", tmp_path / "out.h5"
    of = ("--dataset", stored)
    create = ("create-dataset", breeds_dir, "-o", out)
    for arguments, message in [
        (("show", tmp_path / "none.jpg", *of), "There is no image or folder"),
        (("show", tmp_path / "empty", *of), "There is no image in the folder"),
        (("classify", tmp_path / "text.jpg", "-k", 1, *of), "no known image format"),
        (("classify", image, "-k", 0, *of), "Received k=0. Expected 1 to 6"),
        (("classify", image, "-k", -2, *of), "Received k=-2"),
        (("classify", image, "-k", 20, *of), "Received k=20. Expected 1 to 6"),
        (("classify", image, "-k", 1, "--metric", "l2", *of), "Unknown metric 'l2'"),
        (("classify", image, "-k", 1, "--dataset", tmp_path / "four.h5"), "does not say how"),
        (("accuracy", "--dataset", tmp_path / "none.h5"), "There is no dataset file"),
        (("accuracy", "--dataset", image), "Cannot read"),
        (("accuracy", "--k", 6, *of), "Received k=6. Expected 1 to 5"),
        (("info", tmp_path), "There is no dataset in the folder"),
        (("info", tmp_path / ("x" * 300)), ""),  # the message is that of the system
        (("create-dataset", breeds_dir, "-o", tmp_path / ("x" * 300)), ""),
        (("create-dataset", breeds_dir, "-o", ""), "Received the folder"),
        (("create-dataset", tmp_path / "none", "-o", out), "There is no folder"),
        (("create-dataset", breeds_dir, "-o", tmp_path), "Received the folder"),
        ((*create, "--backbone", "resnet5"), "did you mean 'resnet50'"),
        ((*create, "--weights", tmp_path / "text.keras"), "as a Keras model"),
        ((*create, "--weights", colours, "--layer", "x"), "Unknown layer 'x'"),
        ((*create, "--resize", "fit"), "Unknown resize 'fit'"),
        ((*create, "--batch-size", 0, "--weights", colours), "batch_size=0"),
        ((*create, "--backbone", "resnet50"), f"--backbone {OFFLINE_BACKBONE}"),
        ((*create, "--weights", "imagenet"), f"--backbone {OFFLINE_BACKBONE}"),
    ]:
        assert message in refusal(*arguments, "--json")
    assert not list(tmp_path.glob("*out*"))


def test_usage_errors_exit_with_2() -> None:
    for arguments in (("nonsense",), ("accuracy", "--k", "many"), ("info",)):
        assert dogsim(*arguments, code=2).stdout == ""


def test_a_terminal_without_unicode(four: Dataset, tmp_path: Path) -> None:
    """Like a pipe on Windows."""
    replace(four, breeds=("犬", "名"), root="\x1b[31mred 🐶").save(tmp_path / "d.h5")
    code = "from dogsim.cli import app; app()"
    for arguments, expected in [
        (("accuracy", "--dataset", tmp_path / "d.h5", "-k", 1, "--per-breed"), r"\u72ac, \u540d"),
        (("info", tmp_path / "d.h5"), r"\x1b[31mred \U0001f436"),
        (("info", tmp_path / "犬\x1b[2J.h5"), r"\u72ac\x1b[2J.h5"),
    ]:
        done = python("-c", code, *arguments, PYTHONIOENCODING="cp1252")
        shown = done.stdout + done.stderr
        assert all(each in shown for each in expected.split(", ")), done
        assert "\x1b" not in shown
        assert "Traceback" not in shown


def test_ctrl_c_prints_one_line(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(path: Path) -> Dataset:
        raise KeyboardInterrupt

    monkeypatch.setattr(Dataset, "open", stopped)
    assert dogsim("info", stored, code=130).stderr == "dogsim: Stopped.\n"
