import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogsim.classify import classify
from dogsim.create_dataset import create_dataset
from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.feature_extract import feature_extract
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.networks.extractor_for import _load_extractor


@pytest.fixture(scope="module")
def dataset(breeds_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("out") / "d.h5"
    return create_dataset(breeds_dir, out, "efficientnet-lite2")


def test_create_dataset(dataset: Dataset, breeds_dir: Path, lite: Extractor) -> None:
    assert dataset.breeds == ("red setter", "striped")
    assert dataset.paths[0] == "n00000001-red_setter/0.png"
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.recipe == lite.recipe
    assert dataset.root == str(breeds_dir)
    for row in range(6):
        alone = feature_extract(dataset.image_file(row), lite)
        np.testing.assert_allclose(dataset.features[row], alone, rtol=1e-3, atol=1e-4)


def test_classify(dataset: Dataset, lite: Extractor) -> None:
    stripes = np.zeros((60, 60, 3), np.uint8)
    stripes[::10] = stripes[1::10] = 255
    red = Image.new("RGB", (33, 44), (200, 0, 0))
    answers = classify([dataset.image_file(4), stripes, red], dataset, k=3, keep_self=True)
    assert [answer.breed for answer in answers] == ["striped", "striped", "red setter"]
    assert answers[0].indices[0] == 4
    assert answers[0].distances[0] == 0
    assert [answer.votes for answer in answers] == [3, 3, 3]
    assert [answer.row for answer in answers] == [4, None, None]
    five = classify(red, dataset, k=5)[0]  # one image instead of a list
    assert (five.breed, five.votes) == ("red setter", 3)
    assert (five.runner_up, five.runner_up_votes) == ("striped", 2)
    again = classify([red], dataset, k=3, extractor=lite)[0]
    assert again.indices.tolist() == answers[2].indices.tolist()


def test_an_image_of_the_dataset_does_not_vote_on_itself(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is recognised by its content; the network is not needed."""
    monkeypatch.setattr(NetworkOptions, "load", lambda _: pytest.fail("The network is not needed"))
    copy = tmp_path / "of another name.png"
    copy.write_bytes(dataset.image_file(4).read_bytes())
    (answer,) = classify(copy, dataset, k=5)
    assert answer.row == 4
    assert sorted(answer.indices.tolist()) == [0, 1, 2, 3, 5]
    distances, indices = nearest(dataset, dataset.features[[4]], 5, exclude=[4])
    assert answer.indices.tolist() == indices[0].tolist()
    assert answer.distances.tolist() == distances[0].tolist()
    with pytest.raises(
        DogsimError, match="Received k=6 for an image of the dataset, which has 5 others"
    ):
        classify(copy, dataset, k=6)
    assert classify(copy, dataset, k=6, keep_self=True)[0].indices[0] == 4


def test_of_two_copies_the_query_itself_does_not_vote(
    breeds_dir: Path, tmp_path: Path, lite: Extractor
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(breeds_dir, folder)
    first, *_ = sorted(folder.glob("*/*.png"))
    twin = first.with_name("twin.png")
    twin.write_bytes(first.read_bytes())
    known = create_dataset(folder, tmp_path / "photos.h5", "efficientnet-lite2")
    for file in (first, twin):
        (answer,) = classify(file, known, k=1)
        assert known.image_file(answer.row) == file  # type: ignore[arg-type]
        assert known.image_file(answer.indices[0]) == ({first, twin} - {file}).pop()


def test_the_network_is_loaded_once(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], NetworkOptions.load

    def counted(options: NetworkOptions) -> Extractor:
        loaded.append(options)
        return load(options)

    monkeypatch.setattr(NetworkOptions, "load", counted)
    _load_extractor.cache_clear()
    for _ in range(3):
        classify(Image.new("RGB", (9, 9)), dataset, k=1)
    assert len(loaded) == 1


def test_a_query_of_another_recipe_is_refused(dataset: Dataset, lite: Extractor) -> None:
    from dataclasses import replace

    cropped = replace(lite, recipe=replace(lite.recipe, resize="crop"))
    with pytest.raises(DogsimError, match="resize=crop. The dataset needs resize=squash"):
        classify([Image.new("RGB", (9, 9))], dataset, 1, extractor=cropped)
    with pytest.raises(DogsimError, match="does not say how its features were made"):
        classify([Image.new("RGB", (9, 9))], replace(dataset, recipe=None), 1)


def test_invalid_folders_and_outputs(tmp_path: Path, breeds_dir: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "bad" / "pug").mkdir(parents=True)
    (tmp_path / "bad" / "pug" / "a.jpg").write_text("no image")
    out = tmp_path / "o.h5"
    for source, target, message in [
        (tmp_path / "none", out, "There is no folder"),
        (tmp_path / "a.png", out, "Expected a folder of breed folders"),
        (tmp_path / "empty", out, "no image in the breed folders"),
        (breeds_dir, tmp_path, "Received the folder .* as output"),
        (breeds_dir, tmp_path / "x" / "o.h5", "There is no folder"),
        (breeds_dir, Path("/proc/o.h5"), "Cannot write|There is no folder"),
    ]:
        with pytest.raises(DogsimError, match=message):
            create_dataset(source, target, "efficientnet-lite2")
    with pytest.raises(DogsimError, match="Unknown layer 'pool'"):
        create_dataset(breeds_dir, out, "efficientnet-lite2", layer="pool")
    with pytest.raises(DogsimError, match=r"No image in .* \(1 file\).*a\.jpg: its content"):
        create_dataset(tmp_path / "bad", out, "efficientnet-lite2")
    assert not list(tmp_path.glob("*.h5"))
