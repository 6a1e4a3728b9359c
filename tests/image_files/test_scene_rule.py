"""Scenes come from folders, a table, or the names of files."""

from pathlib import Path

import pytest

from dogsim.errors import DogsimError
from dogsim.image_files.layout import SceneRule

PATHS = ["pug/a/1.jpg", "pug/a/2.jpg", "pug/b/1.jpg", "whippet/9_x.jpg", "whippet/9_y.jpg"]


def numbers(rule: SceneRule) -> list[int]:
    found = rule.number_images(PATHS)
    assert found is not None
    return [*found.tolist()]


def test_folder_and_regular_expression() -> None:
    assert numbers(SceneRule("folder")) == [0, 0, 1, 2, 2]
    assert SceneRule().number_images(PATHS) is None
    rule = SceneRule(r"(?P<scene>\d)_")
    assert numbers(rule) == [0, 1, 2, 3, 3]
    (note,) = rule.notes(PATHS)
    assert note.startswith("3 images without a scene by")
    assert note.endswith("such as pug/a/1.jpg: each is its own scene.")


def test_table(tmp_path: Path) -> None:
    table = tmp_path / "scenes.csv"
    table.write_text("path,scene\na/1.jpg,first\nb/1.jpg,first\nwhippet/9_x,2\n")
    rule = SceneRule.from_option(table, SceneRule())
    assert rule.scenes == str(table)
    assert numbers(rule) == [0, 1, 0, 2, 3]
    (note,) = rule.notes(PATHS)
    assert note.startswith(f"2 of 5 images have no row in {table} and stay without a scene")


@pytest.mark.parametrize("scenes", ["burst", "(?P<scene>", r"(?P<label>\d)", 3])
def test_refused(scenes: object) -> None:
    with pytest.raises(DogsimError, match="Expected none, auto, folder"):
        SceneRule.from_option(scenes, SceneRule())  # type: ignore[arg-type]


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    rule = SceneRule.from_option(tmp_path / "gone.csv", SceneRule())
    with pytest.raises(DogsimError, match="Cannot read the scenes in"):
        rule.read_tables()
