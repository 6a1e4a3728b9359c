"""Networks in int8: quantized on the user's images, cached, and errors if that is impossible."""

from pathlib import Path

import numpy as np
import pytest
from conftest import LITE

from benchmark import processor
from dogsim import Dataset, accuracy, create_dataset, extractor_for, load_extractor, update_dataset
from dogsim.engines import model_cache
from dogsim.errors import DogsimError
from dogsim.folders.extraction import quantization_images
from dogsim.folders.listing import list_images
from dogsim.images import load_image

pytest.importorskip("openvino")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(model_cache, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> str:
    """File of a network with two layers with weights."""
    import keras

    keras.utils.set_random_seed(3)
    layers = [
        keras.Input((32, 32, 3)),
        keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.Conv2D(64, 3, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(name="avg_pool"),
    ]
    file = tmp_path_factory.mktemp("edges") / "edges.keras"
    keras.Sequential(layers).save(file)
    return str(file)


def without_nncf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogsim.plumbing.optional.find_spec", lambda _: None)


@pytest.mark.extra
def test_a_dataset_in_int8(
    folder: Path,
    breeds_dir: Path,
    edges: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Quantized once with NNCF; updates and queries do not need it."""
    pytest.importorskip("nncf", reason="NNCF: pip install 'dogsim[int8]'")
    one, other, exact = (tmp_path / f"{name}.h5" for name in ("one", "other", "exact"))
    made = create_dataset(breeds_dir, one, weights=edges, precision="int8")
    printed = capfd.readouterr()
    assert "Quantizing resnet50 to int8 on 6 images" in printed.err
    assert printed.out == ""  # NNCF reports on stdout, which is for results
    assert (made.recipe.engine, made.recipe.precision) == ("openvino", "int8")  # type: ignore[union-attr]
    floats = create_dataset(breeds_dir, exact, weights=edges, precision="float32")
    assert not np.array_equal(made.features, floats.features)
    cosine = (made.features * floats.features).sum(axis=1) / np.prod(
        [np.linalg.norm(x.features, axis=1) for x in (made, floats)], axis=0
    )
    assert cosine.min() > 0.99
    without_nncf(monkeypatch)
    monkeypatch.setattr("dogsim.networks.keras_network.KerasNetwork.convert", None)
    again = create_dataset(breeds_dir, other, weights=edges, precision="int8")
    assert np.array_equal(again.features, made.features)
    assert update_dataset(breeds_dir, one).kept == 6
    with pytest.raises(DogsimError, match=r"precision=float32. The dataset needs precision=int8"):
        create_dataset(breeds_dir, one, precision="float32")
    with pytest.raises(DogsimError, match=r"precision=int8. The dataset needs precision=float32"):
        create_dataset(breeds_dir, exact, precision="int8")
    query = extractor_for(made.recipe)
    assert query.recipe.precision != "int8"
    size = query.recipe.image_size
    features = query(np.stack([load_image(breeds_dir / made.paths[0], size)]))
    assert np.linalg.norm(features - made.features, axis=1).argmin() == 0


def test_a_missing_network_or_quantizer(
    folder: Path, breeds_dir: Path, edges: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DogsimError, match="The cache has no vgg16 in int8"):
        load_extractor("vgg16", edges, precision="int8")
    without_nncf(monkeypatch)
    with pytest.raises(DogsimError, match=r'pip install "dogsim\[int8\]"'):
        create_dataset(breeds_dir, tmp_path / "d.h5", weights=edges, precision="int8")
    assert not (tmp_path / "d.h5").exists()


def test_quantization_images(breeds_dir: Path, tmp_path: Path) -> None:
    images = list_images(breeds_dir).images
    some = quantization_images(breeds_dir, images, "squash", 32)
    assert [each.shape for each in some] == [(32, 32, 3)] * 6
    assert np.array_equal(some, quantization_images(breeds_dir, images, "squash", 32))
    assert len(quantization_images(breeds_dir, images * 51, "squash", 32)) == 300
    (tmp_path / "bad.jpg").write_text("not an image")
    with pytest.raises(DogsimError, match=r"No image sampled from .* \(1 file\)"):
        quantization_images(tmp_path, list_images(tmp_path).images, "squash", 32)


@pytest.mark.slow
@pytest.mark.real_data
def test_int8_answers_as_well(folder: Path, real_data: Path, tmp_path: Path) -> None:
    """On 1,200 real photos; a CPU without VNNI loses more: 0.012 of P@1, 0.014 of P@5."""
    pytest.importorskip("nncf", reason="NNCF: pip install 'dogsim[int8]'")
    photos = real_data / "data" / "stanford_dogs_224"
    made: list[Dataset] = [
        create_dataset(photos, tmp_path / f"{name}.h5", LITE, precision=name)
        for name in ("float32", "int8")
    ]
    vnni = {"avx_vnni", "avx512_vnni"} & set(processor()["features"])
    for k in (1, 5, 20):
        exact, int8 = (accuracy(dataset, k=k) for dataset in made)
        assert int8.precision_at_k > exact.precision_at_k - (0.01 if vnni else 0.02)
        assert int8.vote_accuracy > exact.vote_accuracy - 0.02
