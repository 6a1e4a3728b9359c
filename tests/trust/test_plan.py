"""The plan of an audit."""

from pathlib import Path

import numpy as np
import pytest

from dogsim.dataset import Dataset
from dogsim.image_files.facts import ImageFacts
from dogsim.plumbing.tables import has_csv_header
from dogsim.trust.findings import Audit, NovelImage, PoorImage, SuspiciousLabel
from dogsim.trust.payload import findings_payload
from dogsim.trust.plan import PLAN_COLUMNS, PlanRow, plan_rows, save_plan


@pytest.fixture
def pugs() -> Dataset:
    """Five pugs, two whippets and an image without a label."""
    paths = *(f"pug/{number}.jpg" for number in range(5)), "whippet/5.jpg", "whippet/6.jpg", "x.jpg"
    labels = np.array([0, 0, 0, 0, 0, 1, 1, -1], np.int32)
    return Dataset(np.eye(8, dtype=np.float32), labels, paths, ("pug", "whippet"))


def decisions(rows: list[PlanRow]) -> dict[str, str]:
    """Map each path to its decision, which is the same in all its rows."""
    found: dict[str, str] = {row.path: row.decision for row in rows}
    assert all(found[row.path] == row.decision for row in rows)
    return found


def test_all_copies_but_one_are_to_be_removed(pugs: Dataset) -> None:
    found = Audit(
        duplicates=(("pug/0.jpg", "pug/1.jpg", "pug/2.jpg"), ("pug/3.jpg", "pug/4.jpg")),
        kinds=("copy", "same file"),
        changes=(("mirrored, grey", "", ""), ("", "")),
        keep=("pug/1.jpg", "pug/3.jpg"),
        poor=(PoorImage("pug/0.jpg", "blurred"),),
        images={"pug/1.jpg": ImageFacts(800, 600, 12345, "2019-05-06T07:08:09")},
    )
    rows = plan_rows(found, pugs)
    assert [(row.path, row.kind, row.group, row.decision, row.reason) for row in rows] == [
        ("pug/0.jpg", "copy", 1, "remove", "copy of pug/1.jpg: mirrored, grey"),
        (
            *("pug/1.jpg", "copy", 1, "keep"),
            "the best of 3 copies: 800 x 600 pixels, 12,345 bytes, 2019-05-06T07:08:09",
        ),
        ("pug/2.jpg", "copy", 1, "remove", "copy of pug/1.jpg"),
        ("pug/3.jpg", "same file", 2, "keep", "the best of 2 copies"),
        ("pug/4.jpg", "same file", 2, "remove", "same file as pug/3.jpg"),
        ("pug/0.jpg", "poor", 0, "remove", "blurred"),
    ]
    assert {row.label for row in rows} == {"pug"}


def test_copies_of_other_labels_are_kept(pugs: Dataset) -> None:
    """One of the labels is wrong, or one image has none: only the owner knows."""
    for other in ("whippet/5.jpg", "x.jpg"):
        found = Audit(
            duplicates=(("pug/0.jpg", other),),
            kinds=("same file",),
            changes=(("", ""),),
            keep=("pug/0.jpg",),
        )
        rows = plan_rows(found, pugs)
        assert set(decisions(rows).values()) == {"keep"}
        assert all("the labels differ" in row.reason for row in rows)
        assert [row.label for row in rows] == ["pug", "whippet" if "5" in other else ""]


def test_images_that_were_not_compared_are_kept(pugs: Dataset) -> None:
    """Equal features may be those of two images with one part in common."""
    found = Audit(
        duplicates=(("pug/0.jpg", "pug/1.jpg"),),
        kinds=("same features",),
        changes=(("", ""),),
        keep=("pug/0.jpg",),
    )
    rows = plan_rows(found, pugs)
    assert [row.decision for row in rows] == ["keep", "keep"]
    assert rows[1].reason == "same features as pug/0.jpg"
    (section,) = (x for x in findings_payload(found, pugs)["sections"] if x["findings"])
    (finding,) = section["findings"]
    assert (finding["suggestion"], len(finding["choices"])) == (None, 1)


def test_an_image_to_keep_is_never_removed(pugs: Dataset) -> None:
    """If a group keeps an image that another group would remove, nothing may be lost."""
    found = Audit(
        duplicates=(("pug/0.jpg", "pug/1.jpg"), ("pug/1.jpg", "pug/2.jpg")),
        kinds=("copy", "copy"),
        changes=(("", "cropped"), ("", "cropped")),
        keep=("pug/0.jpg", "pug/1.jpg"),
    )
    expected = {"pug/0.jpg": "keep", "pug/1.jpg": "keep", "pug/2.jpg": "remove"}
    assert decisions(plan_rows(found, pugs)) == expected


def test_all_other_findings_are_kept(pugs: Dataset) -> None:
    found = Audit(
        scenes=(("pug/0.jpg", "pug/1.jpg"),),
        leaks=(("pug/2.jpg", "query.jpg"),),
        shared_scenes=(("pug/3.jpg", "other.jpg"),),
        labels=(SuspiciousLabel("pug/4.jpg", "pug", "whippet", -0.9, 0.95, "whippet/5.jpg"),),
        novel=(NovelImage("whippet/6.jpg", 0.001),),
        poor=(PoorImage("x.jpg", "blurred"),),
    )
    rows = plan_rows(found, pugs)
    assert set(decisions(rows)) == {*pugs.paths} - {"whippet/5.jpg"}
    assert {row.decision for row in rows} == {"keep"}
    assert [row.kind for row in rows] == [
        *("same scene", "same scene", "leak", "shared scene"),
        *("suspicious label", "novel", "poor"),
    ]
    assert [row.suggested for row in rows if row.suggested] == ["whippet"]
    assert [row.reason for row in rows[:2]] == [
        "another shot of the scene of pug/1.jpg",
        "another shot of the scene of pug/0.jpg",
    ]


def test_an_edited_plan_is_not_lost(
    pugs: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Audit(poor=(PoorImage("pug/0.jpg", "blurred"),))
    plan = save_plan(found, pugs, tmp_path)
    assert (plan, has_csv_header(plan, PLAN_COLUMNS)) == (tmp_path / "plan.csv", True)
    save_plan(found, pugs, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["plan.csv"]
    for number in (1, 2):
        edited = plan.read_text().replace("keep", "remove")
        plan.write_text(edited)
        save_plan(found, pugs, tmp_path)
        assert "keep" in plan.read_text()
        assert (tmp_path / f"plan-{number}.csv").read_text() == edited
        assert f"plan-{number}.csv" in capsys.readouterr().err
