"""A plan that its owner has edited, applied to a dataset."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.tables import write_csv_lines
from dogsim.storage.edits import Edit, relabel
from dogsim.trust.apply_plan import apply_plan
from dogsim.trust.plan import Plan, PlanRow, plan_lines

PATHS = ("pug/1.jpg", "pug/2.jpg", "x.jpg", "whippet/1.jpg")
# Names of files as a system may have them, with what spreadsheets and CSV treat specially.
NAMES = st.text(
    st.characters(exclude_characters="\0") | st.sampled_from("'=+-@\\\udce9\n\r;,\" "), min_size=1
)


@pytest.fixture
def dogs() -> Dataset:
    stamps = np.zeros(4, [("size", "<i8"), ("mtime_ns", "<i8"), ("sha256", "S64")])
    stamps["size"], stamps["sha256"] = [1, 2, 3, 4], [b"a" * 64, b"b" * 64, b"c" * 64, b"d" * 64]
    return Dataset(
        np.eye(4, dtype=np.float32),
        np.array([0, 0, -1, 1], np.int32),
        PATHS,
        ("pug", "whippet"),
        stamps=stamps,
        boxes=np.arange(24.0).reshape(4, 6),
        learned=np.array([True, False, True, False]),
    )


def plan_of(folder: Path, *rows: tuple[str, ...], header: str = "path,decision,label") -> Plan:
    file = folder / "plan.csv"
    write_csv_lines(file, [header.split(","), *rows])
    return Plan.read(file)


def test_images_are_removed_and_relabelled(dogs: Dataset, tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        ("pug/1.jpg", "remove", "pug"),
        ("pug/2.jpg", "keep", "Whippet"),
        ("x.jpg", "keep", "akita"),
        ("whippet/1.jpg", "keep", "whippet"),
    )
    applied = apply_plan(dogs, plan)
    made = applied.dataset
    assert applied.removed == ("pug/1.jpg",)
    assert applied.relabelled == {"pug/2.jpg": "whippet", "x.jpg": "akita"}
    assert made.paths == PATHS[1:]
    assert made.breeds == ("akita", "whippet")  # no pug is left
    assert list(map(made.breed, range(3))) == ["whippet", "akita", "whippet"]
    assert np.array_equal(made.features, np.eye(4)[1:])
    for name in ("stamps", "boxes", "learned"):
        assert np.array_equal(getattr(made, name), getattr(dogs, name)[1:])
    assert made.edits == (
        Edit("pug/1.jpg", True, "", 1, 0, "a" * 64),
        Edit("pug/2.jpg", False, "whippet", 2, 0, "b" * 64),
        Edit("x.jpg", False, "akita", 3, 0, "c" * 64),
    )


def test_a_plan_can_be_applied_again_and_changed_later(dogs: Dataset, tmp_path: Path) -> None:
    first = plan_of(tmp_path, ("pug/1.jpg", "remove", ""), ("x.jpg", "keep", "pug"))
    once = apply_plan(dogs, first).dataset
    again = apply_plan(once, first)
    assert (again.removed, again.relabelled) == ((), {})
    assert (again.dataset.paths, again.dataset.edits) == (once.paths, once.edits)
    later = apply_plan(once, plan_of(tmp_path, ("x.jpg", "remove", "")))
    assert [(edit.path, edit.removed) for edit in later.dataset.edits] == [
        ("pug/1.jpg", True),
        ("x.jpg", True),
    ]
    with pytest.raises(DogsimError, match=r"Line 2 of .*pug/1\.jpg was removed .*--forget-edits"):
        apply_plan(once, plan_of(tmp_path, ("pug/1.jpg", "keep", "")))


def test_an_empty_label_changes_nothing_and_unknown_removes_the_label(
    dogs: Dataset, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, ("pug/1.jpg", "keep", ""), ("pug/2.jpg", "keep", "unknown"))
    applied = apply_plan(dogs, plan)
    assert applied.relabelled == {"pug/2.jpg": ""}
    assert applied.dataset.labels.tolist() == [0, -1, -1, 1]


def test_a_breed_called_unknown_is_a_breed(dogs: Dataset, tmp_path: Path) -> None:
    named = Dataset(dogs.features, dogs.labels, dogs.paths, ("pug", "unknown"))
    applied = apply_plan(named, plan_of(tmp_path, ("x.jpg", "keep", "unknown")))
    assert applied.relabelled == {"x.jpg": "unknown"}
    assert applied.dataset.breed(2) == "unknown"
    assert applied.dataset.labels[2] == 1


def test_one_changed_label_counts_among_rows_with_the_present_one(
    dogs: Dataset, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, ("pug/1.jpg", "keep", "pug"), ("pug/1.jpg", "keep", "whippet"))
    assert apply_plan(dogs, plan).relabelled == {"pug/1.jpg": "whippet"}
    plan = plan_of(tmp_path, ("pug/1.jpg", "keep", "akita"), ("pug/1.jpg", "keep", "whippet"))
    with pytest.raises(DogsimError, match=r"Line 3 of .*'whippet' for pug/1\.jpg.*line 2"):
        apply_plan(dogs, plan)


def test_contradicting_and_other_decisions(tmp_path: Path) -> None:
    rows = ("a.jpg", "keep", ""), ("b.jpg", "keep", ""), ("a.jpg", "remove", "")
    with pytest.raises(DogsimError, match=r"Line 4 of .*remove for a\.jpg, and keep in line 2"):
        plan_of(tmp_path, *rows)
    with pytest.raises(DogsimError, match=r"Line 2 of .*decision 'delete'\. Expected keep or rem"):
        plan_of(tmp_path, ("a.jpg", "delete", ""))
    with pytest.raises(DogsimError, match="columns path, decision"):
        plan_of(tmp_path, header="path,label")


def test_a_plan_of_another_dataset(dogs: Dataset, tmp_path: Path) -> None:
    rows = ("pug/1.jpg", "keep", ""), ("pug/7.jpg", "keep", ""), ("pug/8.jpg", "remove", "")
    with pytest.raises(DogsimError, match=r"Line 3 of .*no image pug/7\.jpg and 1 more"):
        apply_plan(dogs, plan_of(tmp_path, *rows))


def test_an_image_must_remain(
    dogs: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DogsimError, match="removes all 4 images"):
        apply_plan(dogs, plan_of(tmp_path, *((path, "remove", "") for path in PATHS)))
    header = "path,decision,kind,group"
    rows = [("pug/1.jpg", "remove", "same file", "3"), ("pug/2.jpg", "remove", "Same File", "3")]
    apply_plan(dogs, plan_of(tmp_path, *rows, ("x.jpg", "remove", "poor", ""), header=header))
    assert "keeps no image of 1 group of copies, such as group 3" in capsys.readouterr().err


@given(
    st.lists(
        st.tuples(NAMES, st.sampled_from(["keep", "remove"]), NAMES, NAMES, NAMES),
        unique_by=lambda row: row[0],
        min_size=1,
    )
)
def test_a_written_plan_is_read_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, Any, str, str, str]],
) -> None:
    file = tmp_path_factory.mktemp("plans") / "plan.csv"
    written = [
        PlanRow(path, "copy", 3, how, label, new, why) for path, how, label, new, why in rows
    ]
    write_csv_lines(file, plan_lines(written))
    plan = Plan.read(file)
    assert [*plan.rows] == [row.path for row in written]
    for row in written:
        [read] = plan.rows[row.path]
        assert plan.removes(row.path) == (row.decision == "remove")
        cells = (row.kind, str(row.group), row.label, row.suggested, row.reason)
        columns = ("kind", "group", "label", "suggested label", "reason")
        assert tuple(map(read.text, columns)) == cells


@given(
    st.lists(st.integers(-1, 2), min_size=1, max_size=8),
    st.permutations(["pug", "whippet", "akita"]),
    st.dictionaries(
        st.integers(0, 7), st.sampled_from(["", "pug", "Whippet", "new dog", "new-dog"])
    ),
    st.data(),
)
def test_relabelling_agrees_with_names(
    labels: list[int], breeds: list[str], changes: dict[int, str], data: st.DataObject
) -> None:
    """The labels as names, changed one by one in Python."""
    n = len(labels)
    paths, changes = list(map(str, range(n))), {row: changes[row] for row in changes if row < n}
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
    names = [breeds[label] if label >= 0 else "" for label in labels]
    new = min((name for row, name in changes.items() if "new" in name and kept[row]), default="")
    spelling = {"Whippet": "whippet", "new dog": new, "new-dog": new}
    changed = [spelling.get(name := changes.get(row, names[row]), name) for row in range(n)]
    expected = [name for name, keep in zip(changed, kept, strict=True) if keep]
    by_path = {str(row): name for row, name in changes.items()}
    found, remaining = relabel(np.array(labels, np.int32), breeds, paths, by_path, kept)
    assert [remaining[label] if label >= 0 else "" for label in found] == expected
    assert {*remaining} == {*breeds, *expected} - ({*names} - {*expected}) - {""}
    assert [*remaining] == sorted(remaining) or breeds != sorted(breeds)
