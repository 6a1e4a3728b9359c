"""The file of a model records its training images."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import breeds_in_noise
from commands import dogsim, dogsim_json

from dogsim import Dataset, DogsimError, load_classifier, project, save_model, train_ranking
from dogsim.learning.classifier import METADATA_ENTRY, is_classifier
from dogsim.networks.trained_models import (
    BREEDS_ENTRY,
    KEYS_ENTRY,
    has_training_record,
    read_trained_breeds,
    read_training_record,
)
from dogsim.retrieval.identity import image_keys, learned
from dogsim.storage.dataset_file import STAMP_DTYPE


def test_images_are_identified_by_features_or_files() -> None:
    features = np.array([[1, -0.0], [2, 3]], np.float32)
    stamps = np.zeros(2, STAMP_DTYPE)
    stamps["sha256"] = [b"0123456789abcdef" * 4, b"f" * 64]
    plain = Dataset(features, np.zeros(2, int), ("a", "b"), ("pug",))
    keys = image_keys(replace(plain, stamps=stamps))
    assert keys.shape == (2, 2)
    assert keys[0, 1] == 0x0123456789ABCDEF
    assert np.array_equal(keys[:, :1], image_keys(replace(plain, features=np.abs(features))))


def test_accuracy_reports_training_images(tmp_path: Path) -> None:
    known, fresh = breeds_in_noise(), breeds_in_noise(seed=1)
    head = tmp_path / "head.keras"
    save_model(train_ranking(known, max_steps=25).model, head)
    assert has_training_record(head)
    assert not learned(known).any()
    for name, data in (("known", known), ("fresh", fresh)):
        project(data, head).save(tmp_path / f"{name}.h5")
    head.unlink()  # the datasets contain the record
    assert learned(Dataset.open(tmp_path / "known.h5")).all()
    assert learned(Dataset.open(tmp_path / "known.h5").take([3])).tolist() == [True]
    assert not learned(Dataset.open(tmp_path / "fresh.h5")).any()
    judge = ("accuracy", "-k", 5, "--dataset", tmp_path / "known.h5")
    assert dogsim_json(*judge)["trained_on"] == len(known)
    assert dogsim_json(*judge, "--n-test", 7)["trained_on"] == 7
    line = dogsim(*judge).stderr
    assert line.count("\n") == 1
    assert line.startswith(f"{len(known)} of {len(known)} queries are images")
    held_out = dogsim(*judge, "--test", tmp_path / "fresh.h5", "--json")
    assert '"trained_on": 0' in held_out.stdout
    assert held_out.stderr == ""


def test_a_damaged_file_has_no_record(tmp_path: Path) -> None:
    file = tmp_path / "m.keras"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA_ENTRY, '{"breeds": ["a"]}')
        archive.writestr(KEYS_ENTRY, np.arange(20, dtype="<u8").tobytes())
        archive.writestr(BREEDS_ENTRY, '["a", "b"]')
    whole = file.read_bytes()
    for position in range(len(whole)):
        file.write_bytes(whole[:position] + b"\xff" + whole[position + 1 :])
        assert len(read_training_record(file)) in (0, 20)
        assert len(read_trained_breeds(file)) in (0, 2)
        with pytest.raises(DogsimError):
            load_classifier(file)
        is_classifier(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(KEYS_ENTRY, b"123456789")
        archive.writestr(BREEDS_ENTRY, "[" * 100_000)
    assert (len(read_training_record(file)), read_trained_breeds(file)) == (1, ())


def test_images_with_other_features_are_identified_by_their_files(tmp_path: Path) -> None:
    """The features were computed again and differ slightly."""
    known = breeds_in_noise()
    stamps = np.zeros(len(known), STAMP_DTYPE)
    stamps["sha256"] = [f"{row:064x}"[::-1].encode() for row in range(len(known))]
    head = tmp_path / "head.keras"
    save_model(train_ranking(replace(known, stamps=stamps), max_steps=1).model, head)
    again = replace(known, features=known.features + np.float32(1e-3))
    assert not learned(project(again, head)).any()
    assert learned(project(replace(again, stamps=stamps), head)).all()


def test_other_files_have_no_training_record(tmp_path: Path) -> None:
    (tmp_path / "text.keras").write_text("no model")
    for name in ("text.keras", "gone.keras"):
        assert len(read_training_record(tmp_path / name)) == 0
        assert not has_training_record(tmp_path / name)
