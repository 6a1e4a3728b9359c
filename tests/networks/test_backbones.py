from pathlib import Path

import numpy as np
import pytest

from dogsim.networks.backbones import BACKBONES
from dogsim.networks.extractor import load_extractor

IMAGES = np.random.default_rng(2).integers(0, 256, (3, 224, 224, 3), np.uint8)


SIZES = {
    **{name: 2048 for name in BACKBONES if name.startswith(("resnet", "inception"))},
    **{"resnet18": 512, "resnet34": 512},
    **{"vgg16": 512, "vgg19": 512, "efficientnet-lite0": 1280},
    **{"densenet121": 1024, "densenet169": 1664, "densenet201": 1920},
}


QUICK = {"resnet50", "resnet18", "resnet34", "vgg16", "efficientnet-lite0"}


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES],
)
def test_every_backbone_is_kerass(name: str, tmp_path: Path) -> None:
    """Features equal those of plain Keras code, from a weight file without the top."""
    import keras

    if name in ("resnet18", "resnet34"):
        pytest.importorskip("keras_hub", reason="Keras Hub: pip install 'dogsim[hub]'")
    spec = BACKBONES[name]
    model = spec.build(top=False)
    model.save_weights(tmp_path / "w.weights.h5")
    image = np.resize(IMAGES, (1, spec.image_size, spec.image_size, 3))
    features = load_extractor(name, str(tmp_path / "w.weights.h5"), precision="float32")(image)
    pixels = spec.prepare(image.astype(np.float32))
    plain = keras.layers.GlobalAveragePooling2D()(model(pixels, training=False)).numpy()
    assert features.shape == (1, SIZES[name])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, plain, rtol=1e-4, atol=1e-4 * abs(plain).max())
