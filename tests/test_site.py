"""The site has every page and every public name; .ci/run builds it with warnings as errors."""

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

import dogsim
from dogsim.sources import notebooks

DOCS = REPOSITORY / "docs"
SITE = 'needs pip install ".[site]"'


@pytest.mark.extra
def test_every_page_is_in_the_navigation() -> None:
    pytest.importorskip("sphinx", reason=SITE)
    from extension.sections import SECTIONS, navigation

    listed = re.findall(r"<(\w+)>$", (DOCS / "index.rst").read_text(), re.MULTILINE)
    for section in SECTIONS:
        assert section in listed
        pages = navigation((DOCS / f"{section}.md").read_text("utf-8")).splitlines()
        listed += [page for page in pages if re.fullmatch(r"[\w-]+", page)]
    pages = sorted(file.stem for file in DOCS.glob("*.[mr][ds]*") if file.stem != "index")
    assert sorted(listed) == pages  # and none is listed twice


@pytest.mark.extra
def test_every_public_name_is_in_the_reference() -> None:
    pytest.importorskip("sphinx", reason=SITE)
    from extension.reference import file_names, groups, page_of

    names = [name for group in groups(dogsim).values() for name in group]
    assert sorted(names) == sorted(set(dir(dogsim)) - {"__version__"})
    assert len({file_names(dogsim).get(f"dogsim.{n}", n).lower() for n in names}) == len(names)
    assert "   ImageFeatures\n   LazyClassifier\n" in page_of(dogsim)


@pytest.mark.extra
@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("photos.md#labels", "photos.md#labels"),
        ("../README.md", "index.rst"),
        ("../data/page.png", "../data/page.png"),
        ("../data/page.webp", "../data/page.webp"),
        ("../dogsim/vote.py", "CODE/blob/main/dogsim/vote.py"),
        ("../dogsim/trust", "CODE/tree/main/dogsim/trust"),
        ("#here", "#here"),
        ("https://docs.ray.io", "https://docs.ray.io"),
    ],
)
def test_links_of_a_page_on_the_site(link: str, expected: str) -> None:
    pytest.importorskip("sphinx", reason=SITE)
    from extension.links import on_the_site

    found = on_the_site(f"A [page]({link}).", "docs/map.md", "map.md", "CODE")
    assert found == f"A [page]({expected})."


@pytest.mark.extra
def test_the_readme_of_the_site_needs_no_network() -> None:
    pytest.importorskip("sphinx", reason=SITE)
    from extension.links import with_files

    text = with_files((REPOSITORY / "README.md").read_text("utf-8"))
    assert "](data/page.webp)" in text
    assert "](docs/photos.md)" in text
    assert "](CONTRIBUTING.md)" in text
    assert "![" not in re.sub(r"!\[[^\]]*\]\(data/", "", text)  # no image from elsewhere


@pytest.mark.extra
def test_links_of_a_lesson_on_the_site() -> None:
    pytest.importorskip("sphinx", reason=SITE)
    from extension.lessons import on_the_site

    lesson = "[![Colab](B)](C) [a](S/numbers.html#chance) [b](2-judging.ipynb) [c](scripts/tiny.py)"
    assert on_the_site(lesson, "S/", "CODE") == (
        "[Colab](C) [a](../numbers.md#chance) [b](2-judging.ipynb) "
        "[c](CODE/blob/main/scripts/tiny.py)"
    )


def test_the_addresses_are_in_one_place() -> None:
    """In pyproject.toml, from which the site reads them; a notebook cannot read it."""
    address = re.compile(r"dogsim\.github\.io|github\.com/dogsim")
    sources = [*DOCS.rglob("*.py"), *DOCS.glob("*.md"), *(REPOSITORY / "dogsim").rglob("*.py")]
    found = [file for file in map(Path, sources) if address.search(file.read_text("utf-8"))]
    assert [file.name for file in found] == ["notebooks.py"]
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    assert f'urls.Documentation = "{notebooks.SITE}/"' in project
    (source,) = re.findall(r'urls\.Source = "https://github\.com/(.*)"', project)
    assert notebooks.COLAB.endswith(f"/github/{source}/blob/notebooks")


def test_a_release_is_tested_before_it_is_published() -> None:
    """Only the job that publishes has a token, and it waits for the job that tests."""
    text = (REPOSITORY / ".github" / "workflows" / "release.yml").read_text("utf-8")
    build, publish = text.split("\n  publish:\n")
    assert "\npermissions: {}\n" in build
    assert "id-token" not in build
    assert "    needs: build\n" in publish
    assert "id-token: write" in publish
