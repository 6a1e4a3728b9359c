import pickle
from pathlib import Path

import numpy as np
import pytest

from dogsim.errors import DogsimError
from dogsim.images import load_image
from dogsim.networks import efficientnet_lite
from dogsim.networks.efficientnet_lite import EfficientNetLite0, preprocess_input

# The name of each photo, and its class in ImageNet.
CLASSES = {
    "Chow-Chow.jpg": 260,
    "Doberman.jpg": 236,
    "German-shepherd.jpg": 235,
    "golder-retriever-puppy.jpeg": 207,
    "pug.jpg": 254,
}


def test_architecture_equals_the_paper() -> None:
    model = EfficientNetLite0(weights=None)
    assert model.output_shape == (None, 1000)
    convolutions = [x for x in model.layers if x.name.endswith("conv")]
    assert len(convolutions) == 1 + 16 * 3 - 1 + 1  # the first block does not expand
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trained == 4_652_008


GOLDEN = {818: 0.0274226, 782: 0.0254142, 604: 0.0217259, 644: 0.0189990, 631: 0.0184838}


def test_golden_probabilities() -> None:
    """Computed by PyTorch with the same file, for an image that is easy to reproduce."""
    rows, columns = np.mgrid[0:224, 0:224]
    image = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    probabilities = EfficientNetLite0()(preprocess_input(image[None].astype(np.float32))).numpy()[0]
    for label, probability in GOLDEN.items():
        assert probabilities[label] == pytest.approx(probability, rel=1e-3)


@pytest.mark.real_data
def test_photos_are_classified(real_data: Path) -> None:
    images = np.stack([load_image(real_data / "data" / "query_images" / name) for name in CLASSES])
    probabilities = EfficientNetLite0()(preprocess_input(images.astype(np.float32))).numpy()
    assert probabilities.argmax(axis=1).tolist() == list(CLASSES.values())
    assert probabilities.max(axis=1).min() >= 0.8


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(DogsimError, match=r"not the expected file.*--force-reinstall"):
        EfficientNetLite0()


def test_unpickling_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'harm')!r}, 'w')",)

    with (tmp_path / "evil.pth").open("wb") as file:
        pickle.dump(Evil(), file)
    with pytest.raises(DogsimError, match=r"asks for builtins.eval: refused"):
        efficientnet_lite._read_pytorch(tmp_path / "evil.pth")
    assert not (tmp_path / "harm").exists()
