"""The examples in README and docs/ run and print the output that is shown.

A page has `console` blocks with a command per line, or `$ command` and its output below; `python`
blocks, which share their variables; and `text` blocks with the output of the block before.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from commands import dogsim
from conftest import REPOSITORY
from onnx_models import Transformer
from PIL import Image
from printed import same

from dogsim import export_mat, sample_dataset, sample_queries, train_classifier
from dogsim.learning.apply_head import project

PAGES = ["README.md", *(f"docs/{page.name}" for page in sorted((REPOSITORY / "docs").glob("*.md")))]
SERVED = "docs/page-and-api.md"  # its examples need a server: tests/web/test_server.py runs them
# Pages whose commands train something or take some seconds.
LONG = {"docs/classifier.md", "docs/deep_ranking.md", "docs/ranking.md", "docs/lessons.md"}
LONG |= {"docs/card-hard.md", "docs/apply.md", "docs/audit.md", "docs/explain.md"}
MAX_WORDS = {"README.md": 700, "docs/glossary.md": 1200}  # a glossary is not read as a whole
# Commands that other tests run, because they need the network, minutes, or other folders.
ELSEWHERE = re.compile(
    r"dogsim (stanford-dogs|caltech101|apply|lessons)|pip |ray "
    r"|python |.* --from-layer|.* --network|.* Images "
    r"|.* --boxes|.* --cluster"
)


OF_REPOSITORY = r"https://(raw\.githubusercontent|github)\.com/dogsim/dogsim/(blob/)?main/"
SITE = "https://dogsim.github.io/dogsim/"


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def links_of(page: str) -> Iterator[str]:
    """Yield the path in the repository of each link to a file or to a page of the site."""
    for link in re.findall(r"\]\(([^)#]+)", text_of(page)):
        if file := re.match(OF_REPOSITORY, link):
            yield link.removeprefix(file[0])
        elif link.startswith(SITE):
            name = link.removeprefix(SITE).removesuffix(".html")
            yield "docs" if name == "api/index" else f"docs/{name}.md"  # the API is generated
        elif not link.startswith("http"):
            path = ((REPOSITORY / page).parent / link).resolve()
            yield path.relative_to(REPOSITORY).as_posix()


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[tuple[str, str | None]]:
    """Yield the commands of a console block, each with the shown output or None."""
    if "$ " not in block:
        yield from ((line, None) for line in block.splitlines() if line.strip())
        return
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


@pytest.fixture
def here(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with the images that the pages use; for README the whole sample."""
    monkeypatch.chdir(tmp_path)
    # Most drawings look alike: no copies are found in any time, and the answers are the same.
    monkeypatch.setattr("dogsim.trust.calibration.MAX_COMPARISON_SECONDS", 1)
    sample = Path(sample_dataset().root)
    for breed in sample.iterdir():
        (tmp_path / "photos" / breed.name).mkdir(parents=True)
        for image in sorted(breed.iterdir())[: None if page == "README.md" else 3]:
            (tmp_path / "photos" / breed.name / image.name).symlink_to(image)
    # The nearest image of this whippet is the same on all processors; that of a beagle is not.
    for name in ("my_dog.jpg", "photo.jpg"):
        (tmp_path / name).symlink_to(sample_queries()[11])
    (tmp_path / "data").symlink_to(REPOSITORY / "data")
    (tmp_path / "your_dog.jpg").symlink_to(sample / "pug" / "01.jpg")
    (tmp_path / "more_dogs").mkdir()
    for name in ("whippet", "pug"):
        (tmp_path / "more_dogs" / f"{name}.jpg").symlink_to(sample / name / "02.jpg")
    person = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    Image.fromarray(person).save(tmp_path / "person.png")
    return tmp_path


def provide(file: str) -> None:
    """Create a file that a page uses but does not create."""
    path = Path(file)
    path.parent.mkdir(exist_ok=True)
    known = sample_dataset()
    if file.endswith(".mat"):
        export_mat(known, file)
    elif file == "c.keras":
        train_classifier(known).save(file)
    elif file == "ranked.h5":
        project(known, "head.keras").save(file)
    elif file.endswith(".onnx"):
        Transformer().save(path)
    elif file.endswith(".h5"):
        some = np.arange(len(known))[("test" in file or file == "others.h5") :: 2]
        known.take(some).save(file)


def run(command: str) -> str:
    """Run a command of the app after creating its inputs; return its output."""
    app, name, *arguments = shlex.split(command, comments=True)
    assert app == "dogsim", command
    outputs = {arguments[i + 1] for i, each in enumerate(arguments) if each in ("-o", "--csv")}
    outputs |= set(arguments[1:2]) if name in ("import-mat", "export-mat") else set()
    for file in arguments:
        known = file.endswith((".h5", ".mat", ".keras", ".onnx")) and file not in outputs
        if known and not Path(file).exists():
            provide(file)
    printed: str = dogsim(name, *arguments).stdout
    return printed


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in LONG else ())
        for page in PAGES
        if page != SERVED
    ],
)
def test_page(page: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    printed = ""
    for language, block in blocks(page):
        if language == "console":
            for command, shown in commands(block):
                if ELSEWHERE.match(command):
                    continue
                printed = run(command)
                if shown is not None:
                    same(printed, shown)
        elif language == "python":
            capsys.readouterr()
            exec(block, names)
            printed = capsys.readouterr().out
        elif language == "text":
            same(printed, block)


@pytest.mark.parametrize("page", PAGES)
def test_page_is_short_and_complete(page: str) -> None:
    """A page is not longer than `MAX_WORDS`, without tables; links and blocks are valid."""
    text = text_of(page)
    if page == "README.md":  # its links are addresses, and its examples are long
        text = re.sub(r"^```.*?^```$|\(https://\S+\)", "", text, flags=re.DOTALL | re.MULTILINE)
    prose = " ".join(line for line in text.splitlines() if not line.startswith("|"))
    assert len(prose.split()) <= MAX_WORDS.get(page, 600)
    assert {language for language, _ in blocks(page)} <= {"", "console", "python", "text"}
    for link in links_of(page):
        assert (REPOSITORY / link).exists(), link
    for language, block in blocks(page):
        assert language or not block.startswith("dogsim "), "a command that no test runs"


def test_every_page_can_be_found() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting += [link for link in links_of(page) if link.endswith(".md") and link not in reached]
    assert set(PAGES) <= reached


def test_the_map_names_every_subpackage_and_step() -> None:
    text = text_of("docs/map.md")
    for package in sorted((REPOSITORY / "dogsim").glob("*/__init__.py")):
        assert f"| `{package.parent.name}/` |" in text, package.parent.name
    for path in re.findall(r"`((?:dogsim|scripts|tests)/[\w/.]+)`", text):
        assert (REPOSITORY / path).exists(), path


def test_set_up_is_what_ci_runs() -> None:
    ci = (REPOSITORY / ".ci" / "run").read_text()
    assert 'pip install ".[test]" && pytest' in text_of("README.md")
    assert 'pip install --quiet ".[test]" && pytest' in ci
    assert "pip install . && python scripts/main.py" in text_of("README.md")
