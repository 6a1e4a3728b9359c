"""The README's examples run as they stand."""

import re
import shlex
from pathlib import Path

import pytest
from commands import dogsim
from conftest import REPOSITORY

from dogsim import sample_dataset
from dogsim.create_dataset import create_dataset
from dogsim.sources.matlab import export_mat

README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = [
    line
    for language, block in BLOCKS
    for line in block.splitlines()
    if not language and line.startswith("dogsim ")
]


def test_python_examples(capsys: pytest.CaptureFixture[str]) -> None:
    examples = [block for language, block in BLOCKS if language == "python"]
    assert len(examples) == 2
    for example in examples:
        exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert "beagle looks like beagle (8 of 8 votes)" in lines
    assert float(lines[-3]) > 0.9
    assert 0 < float(lines[-2]) < 1
    assert lines[-1] == "(12, 12)"


def test_commands(breeds_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command of the README, with the sample's network where it names none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(breeds_dir)
    for name in ("my_dog.jpg", "your_dog.jpg"):
        (tmp_path / name).symlink_to(breeds_dir / "striped" / "0.png")
    (tmp_path / "more_dogs").symlink_to(breeds_dir / "striped")
    photos = create_dataset("photos", "photos.h5", "efficientnet-lite0")
    export_mat(photos, "data.mat")
    for name in ("dogs.h5", "dogs/train.h5", "dogs/test.h5"):
        Path(name).parent.mkdir(exist_ok=True)
        sample_dataset().save(name)
    assert len(COMMANDS) >= 14
    for command in COMMANDS:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "stanford-dogs":  # has tests of its own, with archives made there
            continue
        if arguments[0] in ("create-dataset", "distance"):
            arguments += ["--backbone", "efficientnet-lite0"]
        if "--dataset" in arguments:  # six pictures have no 20 neighbours
            arguments = ["2" if word == "20" else word for word in arguments]
            arguments += [] if "2" in arguments else ["-k", "2"]
        dogsim(*arguments)


def test_set_up_is_what_ci_runs() -> None:
    ci = (REPOSITORY / ".ci" / "run").read_text()
    assert 'pip install ".[test]" && pytest' in README
    assert 'pip install --quiet ".[test]" && pytest' in ci
    assert "pip install . && python scripts/main.py" in README
    for path in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (REPOSITORY / path).exists()
