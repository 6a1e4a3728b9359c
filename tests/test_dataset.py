import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from dogsim import (
    accuracy,
    accuracy_figures,
    breed_tree,
    classify,
    export_mat,
    fine_tune,
    hold_out,
    import_mat,
    nearest,
    project,
    train_classifier,
    train_ranking,
)
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.files import replacing
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import STAMP_DTYPE
from dogsim.storage.hdf5 import ReplacedError, map_rows

RECIPE = Recipe("resnet50", "imagenet", "ab" * 32, "avg_pool", 224)


def same(a: Dataset, b: Dataset) -> bool:
    return (
        np.array_equal(a.features, b.features)
        and np.array_equal(a.labels, b.labels)
        and (a.paths, a.breeds, a.recipe, a.root) == (b.paths, b.breeds, b.recipe, b.root)
    )


@pytest.mark.parametrize("recipe", [None, RECIPE])
def test_round_trip(tmp_path: Path, recipe: Recipe | None) -> None:
    dataset = Dataset(
        np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
        np.array([1, -1, 0], np.int32),
        ("chien/été.jpg", "犬/1 2.jpg", "a"),
        ("Löwchen", "秋田犬"),
        recipe,
        "/photos of dogs",
        boxes=np.array([[1, 2, 3, 4, 5, 6], [0] * 6, [0.5] * 6]),
    )
    dataset.save(tmp_path / "d.h5")
    opened = Dataset.open(tmp_path / "d.h5")
    assert same(opened, dataset)
    assert opened.features.dtype == np.float32
    assert opened.labels.dtype == np.int32
    assert {path.name for path in tmp_path.iterdir()} == {"d.h5"}


def test_a_dataset_opens_in_plain_h5py(tmp_path: Path, four: Dataset) -> None:
    Dataset(four.features, four.labels, four.paths, four.breeds, RECIPE, "/r").save(tmp_path / "d")
    with h5py.File(tmp_path / "d") as file:
        assert file["features"].dtype == np.float32
        assert file["features"].shape == (4, 1)
        assert file["labels"].dtype == np.int32
        assert file["labels"][()].tolist() == [0, 0, 1, 1]
        assert file["paths"].asstr()[0] == "pug/0.jpg"
        assert list(file["breeds"].asstr()) == ["pug", "whippet"]
        assert dict(file.attrs) == {
            "format": "dogsim-dataset",
            "format_version": 1,
            "root": "/r",
            "label_rule": "top",
            "label_names": "",
            "exclude": "",
            "scene_rule": "none",
            "made_by": "",
            "backbone": "resnet50",
            "weights": "imagenet",
            "weights_sha256": "ab" * 32,
            "layer": "avg_pool",
            "image_size": 224,
            "resize": "squash",
            "engine": "tensorflow",
            "precision": "float32",
            "head": "",
            "head_sha256": "",
            "boxes": "",
            "margin": 0,
            "views": "none",
            "head_layer": "",
            "mean": "",
            "std": "",
        }


def write_by_h5py(path: Path, **attributes: object) -> None:
    """Write a dataset file with h5py only, like another program."""
    with h5py.File(path, "w") as file:
        file["features"] = np.eye(3, dtype="f4")
        file["labels"] = np.array([0, -1, 0], "i4")
        file["paths"] = ["a/1.jpg", "2.jpg", "a/3.jpg"]
        file["breeds"] = ["a"]
        file.attrs.update({"format": "dogsim-dataset", "format_version": 1, **attributes})


def test_a_file_of_another_program_opens(tmp_path: Path) -> None:
    write_by_h5py(tmp_path / "d.h5", root="/photos")
    dataset = Dataset.open(tmp_path / "d.h5")
    assert dataset.recipe is None
    assert [dataset.breed(row) for row in range(3)] == ["a", "unknown", "a"]
    assert dataset.image_file(0) == Path("/photos/a/1.jpg")


def test_files_that_are_no_datasets(tmp_path: Path, four: Dataset) -> None:
    four.save(tmp_path / "whole.h5")
    whole = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "short.h5").write_bytes(whole[:-200])
    (tmp_path / "text.h5").write_text("features")
    write_by_h5py(tmp_path / "newer.h5", format_version=3)
    write_by_h5py(tmp_path / "other.h5", format="other")
    write_by_h5py(tmp_path / "ragged.h5")
    with h5py.File(tmp_path / "ragged.h5", "a") as file:
        del file["labels"]
        file["labels"] = np.array([0, 0], "i4")
    write_by_h5py(tmp_path / "beyond.h5")
    with h5py.File(tmp_path / "beyond.h5", "a") as file:
        file["labels"][0] = 5
    write_by_h5py(tmp_path / "lacking.h5")
    with h5py.File(tmp_path / "lacking.h5", "a") as file:
        del file["paths"]
    (tmp_path / "folder.h5").mkdir()
    for name, message in {
        "none.h5": "There is no dataset file",
        "folder.h5": "There is no dataset in the folder",
        "short.h5": "truncated.*cut short",
        "text.h5": "signature",
        "newer.h5": "format version 3 is newer than 2.*Upgrade",
        "other.h5": "format='other'. Expected 'dogsim-dataset'",
        "ragged.h5": r"labels \(2,\) and 3 paths",
        "beyond.h5": "labels from -1 to 5. Expected -1",
        "lacking.h5": "paths",
    }.items():
        with pytest.raises(DogsimError, match=message) as caught:
            Dataset.open(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def replace_table(path: Path, name: str, values: Any) -> Path:
    """Write a dataset file of another program, one of whose tables is replaced."""
    write_by_h5py(path)
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file[name] = values
    return path


def test_values_in_another_file_are_not_read(tmp_path: Path) -> None:
    """HDF5 reads what an external link names; its offset in that file means nothing in this one."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["padding"] = np.zeros(5000)
        other["features"] = np.full((3, 3), 7, "f4")
        other["labels"] = np.array([0, -1, 0], "i4")
    (tmp_path / "raw").write_bytes(np.ones((3, 3), "f4").tobytes())
    layout = h5py.VirtualLayout((3, 3), "f4")
    layout[:] = h5py.VirtualSource("gone.h5", "features", (3, 3))

    write_by_h5py(tmp_path / "external.h5")
    write_by_h5py(tmp_path / "virtual.h5")
    for name in ("external.h5", "virtual.h5"):
        with h5py.File(tmp_path / name, "a") as file:
            del file["features"]
            if name == "virtual.h5":
                file.create_virtual_dataset("features", layout)
            else:
                file.create_dataset("features", (3, 3), "f4", external=[(tmp_path / "raw", 0, 36)])
    link = h5py.ExternalLink("other.h5", "/features")
    labels = h5py.ExternalLink("other.h5", "/labels")
    for file, name in (
        (replace_table(tmp_path / "link.h5", "features", link), "features"),
        (replace_table(tmp_path / "labels.h5", "labels", labels), "labels"),
        (tmp_path / "external.h5", "features"),
        (tmp_path / "virtual.h5", "features"),
    ):
        with pytest.raises(DogsimError, match=f"values of {name} are in another file") as caught:
            Dataset.open(file)
        assert str(caught.value).startswith(str(file))


def test_labels_that_are_no_whole_numbers(tmp_path: Path) -> None:
    """They are not truncated; the whole numbers that MATLAB writes as double are converted."""
    for labels, number in (
        ([0, 0.7, 0], "0.7"),
        ([0, 2**32, 0], "4294967296"),
        ([0, 0, np.nan], "nan"),
    ):
        file = replace_table(tmp_path / "d.h5", "labels", np.array(labels))
        with pytest.raises(DogsimError, match=f"Received {number} in labels. Expected numbers"):
            Dataset.open(file)
    opened = Dataset.open(replace_table(tmp_path / "d.h5", "labels", np.array([0.0, -1.0, 0.0])))
    assert opened.labels.tolist() == [0, -1, 0]
    assert opened.labels.dtype == np.int32


def test_tables_of_another_kind(tmp_path: Path) -> None:
    stamps = np.zeros(3, STAMP_DTYPE)
    stamps["sha256"] = b"\xff\x00zz"
    for name, values, message in (
        ("features", h5py.SoftLink("/features"), "too many links"),
        ("features", np.empty((3, 0), "f4"), r"features \(3, 0\). Expected \(n, d\), d from 1 up"),
        ("features", [[b"a"], [b"b"], [b"c"]], "Cannot read .* as a dataset"),
        ("labels", 0, "labels"),
        ("stamps", stamps, "stamps has a wrong SHA-256. Expected 64 hexadecimal digits"),
    ):
        with pytest.raises(DogsimError, match=message):
            Dataset.open(replace_table(tmp_path / "d.h5", name, values))
    write_by_h5py(tmp_path / "group.h5")
    with h5py.File(tmp_path / "group.h5", "a") as file:
        del file["features"]
        file.create_group("features")
    with pytest.raises(DogsimError, match="features is not a table"):
        Dataset.open(tmp_path / "group.h5")


@pytest.mark.parametrize("chunks", [None, (2, 1024)])
def test_features_that_were_not_written(chunks: tuple[int, int] | None, tmp_path: Path) -> None:
    """HDF5 returns zeros for them, 11 petabytes if so many are asked for."""
    write_by_h5py(tmp_path / "d.h5")
    with h5py.File(tmp_path / "d.h5", "a") as file:
        del file["features"]
        features = file.create_dataset("features", (3, 10**15), "f4", chunks=chunks)
        if chunks:
            features[0, 0] = 1
    with pytest.raises(DogsimError, match=r"features \(3, 1000000000000000\) was never written"):
        Dataset.open(tmp_path / "d.h5")


def test_features_in_chunks_that_are_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any) -> Any:
        raise MemoryError("Unable to allocate 224. GiB")

    monkeypatch.setattr(h5py.Dataset, "__array__", read)
    with pytest.raises(DogsimError, match="Unable to allocate.*stored contiguously as float32"):
        Dataset.open(replace_table(tmp_path / "d.h5", "features", np.eye(3)))


def test_a_file_cut_anywhere_is_an_error_and_never_a_crash(tmp_path: Path, four: Dataset) -> None:
    four.save(tmp_path / "whole.h5")
    whole = (tmp_path / "whole.h5").read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        with pytest.raises(DogsimError):
            Dataset.open(tmp_path / "cut.h5")


def test_saving_to_an_invalid_path(tmp_path: Path, four: Dataset) -> None:
    with pytest.raises(DogsimError, match=r"Received the folder .* as output"):
        four.save(tmp_path)
    with pytest.raises(DogsimError, match=r"There is no folder .*/none"):
        four.save(tmp_path / "none" / "d.h5")
    with pytest.raises(DogsimError, match=r"Cannot write /proc/d.h5|There is no folder"):
        four.save("/proc/d.h5")


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "d.h5").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "d.h5") as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("d.h5", "old")]


def test_label_of_path() -> None:
    dataset = Dataset(
        np.eye(2, dtype=np.float32), np.array([0, 1]), ("a", "b"), ("Siberian husky", "pug")
    )
    for path, breed in {
        "Siberian-Husky.jpg": "Siberian husky",
        "n02110185-Siberian_husky/7.jpg": "Siberian husky",
        "pug/Siberian_husky.jpg": "pug",
        "pugs.jpg": None,
    }.items():
        assert dataset.label_of_path(path) == breed


def test_take(four: Dataset) -> None:
    two = four.take([3, 0, 3])
    assert two.paths == ("whippet/6.jpg", "pug/0.jpg", "whippet/6.jpg")
    assert two.features.tolist() == [[6.0], [0.0], [6.0]]
    assert [two.breed(row) for row in range(3)] == ["whippet", "pug", "whippet"]
    assert (two.breeds, two.recipe, two.root) == (four.breeds, four.recipe, four.root)
    assert len(four.take([])) == 0
    for rows in ([4], [-1], [0.5], [[0]], [True, False, True, False], 1):
        with pytest.raises(DogsimError, match="rows"):
            four.take(rows)


def test_lists_are_converted_to_arrays_without_loss() -> None:
    made = Dataset([[0.0, 1.0]], [0], ["a.jpg"], ["pug"])  # type: ignore[arg-type]
    assert (made.features.shape, made.labels.tolist()) == ((1, 2), [0])
    assert (made.paths, made.breeds) == (("a.jpg",), ("pug",))
    for features, labels in (([[0.0]], [0.0]), ([["x"]], [0]), ([[0.0]], [True])):
        with pytest.raises(DogsimError, match="Received (labels|features) "):
            Dataset(features, labels, ("a",), ("b",))  # type: ignore[arg-type]


def test_repr_is_one_line(four: Dataset) -> None:
    assert repr(four) == ("<Dataset: 4 images of 2 breeds, features (4, 1) of an unknown network>")


def test_mapped_features_stay_on_disk(tmp_path: Path, four: Dataset) -> None:
    four.save(tmp_path / "d.h5")
    assert isinstance(Dataset.open(tmp_path / "d.h5").features, np.memmap)


def test_a_file_that_is_replaced_while_it_is_opened(
    tmp_path: Path, four: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row gets the features of another file."""
    path, other = tmp_path / "d.h5", tmp_path / "other.h5"
    four.save(path)
    four.take([3, 2, 1, 0]).save(other)

    def replaced(stored: Any, file: Path) -> Any:
        if other.exists():
            other.replace(path)
        return map_rows(stored, file)

    monkeypatch.setattr("dogsim.storage.dataset_file.map_rows", replaced)
    opened = Dataset.open(path)
    assert opened.paths == four.paths[::-1]
    assert opened.features.ravel().tolist() == [6, 5, 1, 0]


def test_an_open_dataset_notices_that_its_file_was_changed(tmp_path: Path, four: Dataset) -> None:
    """Overwritten in place, cut short, replaced or removed: no row of another file, no SIGBUS."""
    file, other = tmp_path / "d.h5", tmp_path / "other.h5"
    query = np.zeros((1, 1), np.float32)
    four.save(other)
    content = other.read_bytes()
    changes: list[Callable[[], Any]] = [
        lambda: file.write_bytes(content[: len(content) // 2]),
        lambda: file.write_bytes(content),
        lambda: other.replace(file),
        file.unlink,
    ]
    for change in changes:
        file.write_bytes(content)
        opened = Dataset.open(file)
        assert nearest(opened, query, 2)[1].tolist() == [[0, 1]]
        time.sleep(0.02)  # the clock of a file system is coarse
        change()
        with pytest.raises(ReplacedError, match="was replaced or changed: open it again"):
            nearest(opened, query, 2)
        with pytest.raises(ReplacedError):
            accuracy(opened, 1)
        with pytest.raises(ReplacedError):  # a copy of the whole table
            opened.to_frame()
        with pytest.raises(ReplacedError):
            export_mat(opened, tmp_path / "d.mat")


def test_functions_take_a_dataset_or_its_path(four: Dataset, tmp_path: Path) -> None:
    """A path is opened; the error for anything else names its type."""
    file = tmp_path / "four.h5"
    four.save(file)
    assert [each.paths for each in hold_out(file, 0.5)] == [
        each.paths for each in hold_out(four, 0.5)
    ]
    export_mat(file, tmp_path / "four.mat")
    assert import_mat(tmp_path / "four.mat").breeds == four.breeds
    assert breed_tree(str(file)).axes
    assert [name for name, _ in accuracy_figures(file, 1)]
    functions: list[Callable[[Any], object]] = [
        lambda x: hold_out(x, 0.5),
        breed_tree,
        lambda x: list(accuracy_figures(x, 1)),
        lambda x: export_mat(x, tmp_path / "x.mat"),
        lambda x: project(x, tmp_path / "head.keras"),
        train_classifier,
        train_ranking,
        lambda x: fine_tune(x, "conv5_block1_1_conv"),
        lambda x: accuracy(x, 1),
        lambda x: classify("a.jpg", x),
    ]
    for function in functions:
        with pytest.raises(DogsimError, match="Received list. Expected a Dataset or the path"):
            function([1])
        with pytest.raises(DogsimError, match="There is no dataset file"):
            function(tmp_path / "gone.h5")


def test_a_frame_for_pandas(four: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four.save(tmp_path / "d.h5")
    frame = Dataset.open(tmp_path / "d.h5").to_frame()
    assert frame.columns.tolist() == ["path", "breed", "f0"]
    assert frame["path"].tolist() == list(four.paths)
    assert frame["breed"].tolist() == ["pug", "pug", "whippet", "whippet"]
    assert frame["f0"].dtype == np.float32
    frame.loc[0, "f0"] = 7  # a copy: the file is only mapped
    assert Dataset.open(tmp_path / "d.h5").features[0, 0] == 0
    monkeypatch.setattr("dogsim.plumbing.optional.find_spec", lambda _: None)
    with pytest.raises(DogsimError, match=r'pip install "dogsim\[pandas\]"'):
        four.to_frame()
