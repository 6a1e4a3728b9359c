"""One rule labels the images of a folder and the queries."""

from pathlib import Path

import pytest

from dogsim import DogsimError
from dogsim.image_files.label_rule import LabelRule

BREEDS = ("beagle", "Maltese dog", "pug")


def labelled(rule: LabelRule, *paths: str) -> dict[str, str]:
    """Return the breed of each path, "" if it has none."""
    found = rule.label_images(paths)
    return {
        path: found.breeds[label] if label >= 0 else ""
        for path, label in zip(paths, found.labels, strict=True)
    }


def test_folders() -> None:
    paths = ("Fruit/Apple/1.jpg", "Fruit/Kiwi/old/1.jpg", "0.jpg")
    assert [*labelled(LabelRule(), *paths).values()] == ["Fruit", "Fruit", ""]
    assert [*labelled(LabelRule("parent"), *paths).values()] == ["Apple", "old", ""]


@pytest.mark.parametrize("name", ["0.jpg", "a/0.jpg", "0", "a/0", "set/a/0.jpg", "set\\a\\0"])
def test_a_table_with_or_without_suffix_and_folders(tmp_path: Path, name: str) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f"id,breed\n{name},boston_bull\n")
    found = LabelRule(str(file)).label_images(["a/0.jpg", "a/1.jpg"])
    assert (found.breeds, found.labels.tolist()) == (("boston bull",), [0, -1])
    (note,) = found.notes
    assert "1 of 2 images have no row" in note
    assert note.endswith("such as a/1.jpg.")


def test_a_table_finds_its_columns_by_name_or_takes_the_first_two(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    for text in ("label,size,path\npug,3,0.jpg\n", "\ufeffid,breed,size\n0,pug,3\n\n"):
        file.write_text(text, encoding="utf-8")
        assert labelled(LabelRule(str(file)), "0.jpg") == {"0.jpg": "pug"}
    file.write_text("path,label\n0.jpg,\n9.jpg,pug\n")
    found = LabelRule(str(file)).label_images(["0.jpg"])
    assert found.labels.tolist() == [-1]
    assert [note.split(" in ")[0] for note in found.notes] == [
        "1 of 2 rows",
        "None of the images has a label. --labels FILE.csv takes labels from a table, --labels "
        "REGEX from the names of the files.",
    ]


def test_equal_names_in_two_folders_are_not_mixed_up(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\na/0.jpg,pug\nb/0.jpg,beagle\n")
    rule = LabelRule(str(file))
    assert [*labelled(rule, "a/0.jpg", "x/b/0.jpg", "0.jpg").values()] == ["pug", "beagle", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\n0.jpg,pug\n0.jpg,beagle\n", "two labels for 0.jpg: pug and beagle"),
        (b"path,label\n0.jpg\n", "Row 2 of .* has 1 columns"),
        (b"path\n0.jpg\n", "with the header 'path'"),
        (b"", "with the header ''"),
        (b"path,label\n\xff,pug\n", "Cannot read the labels in"),
        (None, "No such file"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "labels.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DogsimError, match=message):
        LabelRule(str(file)).label_images(["0.jpg"])


def test_a_regular_expression_on_the_file_name() -> None:
    rule = LabelRule(r"(?P<label>.+)_\d+")
    paths = ("Abyssinian_12.jpg", "x/american_pit_bull_terrier_100.jpg", "readme.jpg")
    expected = ["Abyssinian", "american pit bull terrier", ""]
    assert [*labelled(rule, *paths).values()] == expected
    for text in (r"^(?P<label>\D+)_\d+$", r"^(?P<label>\D+)_\d+\.jpg$", "(?P<label>pug)|other"):
        assert labelled(LabelRule(text), "pug_1.jpg") == {"pug_1.jpg": "pug"}


@pytest.mark.parametrize("labels", ["tops", "(.+)_", "(?P<label>", ""])
def test_other_rules_are_refused(labels: str) -> None:
    with pytest.raises(DogsimError, match="Expected top, parent, the path of a CSV file"):
        LabelRule(labels)


def test_names_of_codes(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text("code,name\nn02085620,Chihuahua\n7,pug\n")
    rule = LabelRule("parent", str(file))
    paths = ("n02085620-x/1.jpg", "7/1.jpg", "8/1.jpg")
    assert [*labelled(rule, *paths).values()] == ["Chihuahua", "pug", "8"]
    assert rule.label_images(paths).notes == (f"{file} has no name for 1 label, such as 8.",)


def test_merged_labels_are_reported_and_signs_are_no_separators() -> None:
    names = ("1", "-1", "-", "_", "+", "=", "T-shirt", "T shirt", "a", "A")
    found = LabelRule().label_images([f"{name}/0.jpg" for name in (*names, "a")])
    assert set(found.breeds) == {"1", "-1", "-", "_", "+", "=", "A", "T shirt"}
    assert found.notes == (
        "Merged into the breed 'A': 'A' (1) and 'a' (2), with the number of images of each.",
        "Merged into the breed 'T shirt': 'T shirt' (1) and 'T-shirt' (1), with the number of "
        "images of each.",
    )


def test_parts_of_a_dataset_at_the_top_are_reported() -> None:
    paths = ["train/pug/1.jpg", "Val/pug/1.jpg"]
    (note,) = LabelRule().label_images(paths).notes
    assert note.startswith("The folders Val, train became breeds.")
    assert "--labels parent" in note
    assert LabelRule("parent").label_images(paths).notes == ()


@pytest.mark.parametrize(
    ("path", "breed"),
    [
        ("photos/pug/2023/1.jpg", "pug"),
        ("n02085936-Maltese_dog/7.jpg", "Maltese dog"),
        ("pug/beagle.jpg", "pug"),
        ("beagle_1.jpg", "beagle"),
        ("Maltese-Dog (2).jpg", "Maltese dog"),
        ("pugs.jpg", None),
        ("/root/of/dataset/none/pug/1.jpg", None),
        ("/root/of/dataset/pug/new/1.jpg", "pug"),
    ],
)
def test_queries(path: str, breed: str | None) -> None:
    assert LabelRule().label_of_query(path, "/root/of/dataset", BREEDS) == breed


def test_a_query_of_one_of_two_classes_with_the_same_name() -> None:
    paths = ("n02012849-crane/1.jpg", "n03126707-crane/1.jpg")
    breeds = LabelRule().label_images(paths).breeds
    assert breeds == ("crane (n02012849)", "crane (n03126707)")
    for root in ("", "/photos"):
        queries = [LabelRule().label_of_query(f"{root}/{path}", root, breeds) for path in paths]
        assert queries == list(breeds)


def test_queries_by_the_other_rules(tmp_path: Path) -> None:
    assert LabelRule("parent").label_of_query("pug/2023/1.jpg", "", BREEDS) is None
    assert LabelRule("parent").label_of_query("x/pug/1.jpg", "", BREEDS) == "pug"
    assert LabelRule("(?P<label>[a-z]+)[0-9]").label_of_query("x/pug7.jpg", "", BREEDS) == "pug"
    file = tmp_path / "labels.csv"
    file.write_text("path,label\n7.jpg,pug\n")
    assert LabelRule(str(file)).label_of_query("x/7.jpg", "", BREEDS) == "pug"
    assert LabelRule(str(file)).label_of_query("x/8.jpg", "", BREEDS) is None
    file.unlink()
    assert LabelRule(str(file)).label_of_query("x/beagle_8.jpg", "", BREEDS) == "beagle"
