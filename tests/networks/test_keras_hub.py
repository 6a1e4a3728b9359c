"""Networks of Keras Hub: small ones with random weights, served as presets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dogsim_json, refusal
from kaggle import kaggle
from PIL import Image

from dogsim import DogsimError, explain, load_extractor
from dogsim.networks import keras_hub as hub

pytestmark = pytest.mark.extra
SIZE = 56
SHAPE = {"image_shape": (SIZE, SIZE, 3)}
SCALE, OFFSET = [1 / 58, 1 / 57, 1 / 57], [-2.1, -2.0, -1.8]
VIT: dict[str, Any] = {"patch_size": 14, "num_layers": 2, "num_heads": 2, "hidden_dim": 16}
STAGES = [[8, 8, 8, 1, 2, 3], [8, 8, 16, 1, 2, 3]]
# A preset of each family, and the configuration of a small network.
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "dinov2_with_registers_small": (
        "DINOV2",
        # the position embeddings are for larger images
        VIT | {"intermediate_dim": 32, "num_register_tokens": 4, "image_shape": (70, 70, 3)},
    ),
    "dinov3_vit_small_lvd1689m": (
        "DINOV3",
        VIT | SHAPE | {"intermediate_dim": 32, "num_register_tokens": 4},
    ),
    "vit_base_patch16_224_imagenet": ("ViT", VIT | SHAPE | {"mlp_dim": 32}),
    "deit_tiny_distilled_patch16_224_imagenet": ("DeiT", VIT | SHAPE | {"intermediate_dim": 32}),
    "hgnetv2_b4_ssld_stage2_ft_in1k": (
        "HGNetV2",
        SHAPE
        | {"depths": [1, 1], "embedding_size": 8, "hidden_sizes": [8, 16]}
        | {"stem_channels": [3, 8, 8], "hidden_act": "relu", "use_learnable_affine_block": False}
        | {"stackwise_stage_filters": STAGES, "apply_downsample": [False, True]}
        | {"use_lightweight_conv_block": [False, False]},
    ),
    "vgg_16_imagenet": ("VGG", {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [8, 16]}),
    "efficientnet_b0_ra_imagenet": (
        "EfficientNet",
        {"stackwise_kernel_sizes": [3], "stackwise_num_repeats": [1]}
        | {"stackwise_input_filters": [8], "stackwise_output_filters": [16]}
        | {"stackwise_expansion_ratios": [1], "stackwise_squeeze_and_excite_ratios": [0.25]}
        | {"stackwise_strides": [2], "stackwise_block_types": ["v1"]}
        | {"stackwise_width_coefficients": [1.0], "stackwise_depth_coefficients": [1.0]},
    ),
    "csp_darknet_53_ra_imagenet": (
        "CSPNet",
        {"stem_filters": 8, "stem_kernel_size": 3, "stem_strides": 1, "block_type": "dark_block"}
        | {"stackwise_depth": [1, 1], "stackwise_strides": [1, 2], "stage_type": "dark"}
        | {"stackwise_num_filters": [8, 16]},
    ),
    "densenet_121_imagenet": (
        "DenseNet",
        {"stackwise_num_repeats": [1, 1], "compression_ratio": 0.5, "growth_rate": 8},
    ),
    "mit_b0_ade20k_512": (
        "MiT",
        SHAPE
        | {"layerwise_depths": [1, 1], "num_layers": 2, "layerwise_num_heads": [1, 2]}
        | {"layerwise_sr_ratios": [2, 1], "max_drop_path_rate": 0.1, "hidden_dims": [8, 16]}
        | {"layerwise_patch_sizes": [7, 3], "layerwise_strides": [4, 2]},
    ),
    "mobilenet_v3_small_100_imagenet": (
        "MobileNet",
        {"stackwise_expansion": [[8]], "stackwise_num_blocks": [1], "stackwise_padding": [[1]]}
        | {"stackwise_num_filters": [[8]], "stackwise_kernel_size": [[3]]}
        | {"stackwise_num_strides": [[2]], "stackwise_se_ratio": [[0.25]]}
        | {"stackwise_activation": [["hard_swish"]], "output_num_filters": 32}
        | {"depthwise_filters": 8, "depthwise_stride": 2, "depthwise_residual": False}
        | {"last_layer_filter": 16, "squeeze_and_excite": 0.5},
    ),
    "resnet_50_imagenet": (
        "ResNet",
        {"input_conv_filters": [64], "input_conv_kernel_sizes": [7], "block_type": "basic_block"}
        | {"stackwise_num_filters": [64, 64], "stackwise_num_blocks": [1, 1]}
        | {"stackwise_num_strides": [1, 2]},
    ),
    "xception_41_imagenet": (
        "Xception",
        {"stackwise_conv_filters": [[8, 8], [8, 16]], "stackwise_pooling": [True, False]},
    ),
}
FAST = ("dinov2_with_registers_small", "vgg_16_imagenet")
PRESETS = [
    preset if preset in FAST else pytest.param(preset, marks=pytest.mark.slow) for preset in SMALL
]


@pytest.fixture(autouse=True)
def _keras_hub() -> None:
    """Skip without the package, whose import takes seconds: not while tests are collected."""
    pytest.importorskip("keras_hub", reason="Keras Hub: pip install 'dogsim[hub]'")


def save(preset: str, folder: Path) -> Path:
    """Save a small network and its preprocessing as that preset."""
    import keras_hub

    family, config = SMALL[preset]
    getattr(keras_hub.models, f"{family}Backbone")(**config).save_to_preset(str(folder))
    kind = getattr(keras_hub.layers, f"{family}ImageConverter")
    preprocessing = {"image_size": (SIZE, SIZE), "scale": SCALE, "offset": OFFSET}
    kind(**preprocessing).save_to_preset(str(folder))
    return folder


def keras_hub_features(family: str, folder: Path, images: Any) -> Any:
    """Compute features as in the guides of Keras Hub."""
    import keras_hub

    shape = {"input_shape" if family == "EfficientNet" else "image_shape": (SIZE, SIZE, 3)}
    network = getattr(keras_hub.models, f"{family}Backbone").from_preset(str(folder), **shape)
    pixels = keras_hub.layers.ImageConverter.from_preset(str(folder))(images.astype(np.float32))
    found = network.predict(pixels, verbose=0)
    if family == "HGNetV2":
        found = found["stage2"]
    if family in ("DINOV2", "DINOV3", "ViT", "DeiT"):
        return found[:, 0]
    return found.mean(axis=tuple(range(1, found.ndim - 1)))


def test_every_family_is_covered() -> None:
    assert {family for family, _ in SMALL.values()} == {*hub.MAP_FAMILIES, *hub.TOKEN_FAMILIES}
    known = hub.families()
    assert {preset: known[preset] for preset in SMALL} == {
        preset: family for preset, (family, _) in SMALL.items()
    }
    assert len(known) > 80


@pytest.mark.parametrize("preset", PRESETS)
def test_features_equal_keras_hubs(
    preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    folder = save(preset, tmp_path / "preset")
    with kaggle(folder, tmp_path / "cache", monkeypatch):
        extractor = load_extractor(f"hub:{preset}", precision="float32")
    recipe, expected = extractor.recipe, keras_hub_features(SMALL[preset][0], folder, images)
    assert (recipe.backbone, recipe.layer) == (f"hub:{preset}", "output")
    assert recipe.image_size == SIZE
    spread = np.ptp(expected, axis=0).max()
    np.testing.assert_allclose(extractor(images), expected, rtol=1e-3, atol=spread / 200)
    if preset == FAST[1]:
        why = explain(images[0], images[1], extractor, "sqeuclidean")
        assert abs(why.sum / why.distance - 1) < 1e-4
    elif SMALL[preset][0] in hub.TOKEN_FAMILIES:
        with pytest.raises(DogsimError, match="not the mean of a feature map"):
            explain(images[0], images[1], extractor)


def test_queries_need_no_keras_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")  # the network is cached for it
    photos, out = tmp_path / "photos", tmp_path / "d.h5"
    for breed, red in (("pug", 10), ("whippet", 240)):
        (photos / breed).mkdir(parents=True)
        for i in range(2):
            image = Image.new("RGB", (60, 60), (red, 40 * i, 0))
            image.save(photos / breed / f"{i}.png")
    preset = "vgg_16_imagenet"
    with kaggle(save(preset, tmp_path / "preset"), tmp_path / "cache", monkeypatch) as (
        _,
        requested,
    ):
        made = dogsim_json("create-dataset", photos, "-o", out, "--backbone", f"hub:{preset}")
    assert (made["backbone"], made["image_size"]) == (f"hub:{preset}", SIZE)
    assert sorted({file for _, file in requested}) == [
        "config.json",
        "image_converter.json",
        "model.weights.h5",
    ]
    assert hub.weights_file(preset)
    assert hub.weights_file("*") is None
    monkeypatch.setattr(hub, "import_hub", None)
    found = dogsim_json("classify", photos / "pug", "--dataset", out, "-k", "1")
    assert [each["breed"] for each in found["results"]] == ["pug", "pug"]
    again = dogsim_json("create-dataset", photos, "-o", out)
    assert (again["kept"], again["new"]) == (4, 0)


def test_unavailable_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    out = ("-o", tmp_path / "d.h5", "--backbone")
    (tmp_path / "p").mkdir()
    Image.new("RGB", (60, 60)).save(tmp_path / "p" / "1.png")
    for preset, message in (
        ("dinov2_smal", "did you mean 'dinov2_small'?"),
        ("", "Unknown preset ''"),
        ("gemma_2b_en", "Unknown preset 'gemma_2b_en'"),  # a language model
        ("clip_vit_base_patch32", "Unknown preset"),  # of images and texts
        ("efficientnet_es_ra_imagenet", "Unknown preset"),  # its handle belongs to another preset
        ("../../../etc", "Unknown preset"),
        ("*", "Unknown preset '*'"),
        ("**x", "Unknown preset '**x'"),
    ):
        line = refusal("create-dataset", tmp_path / "p", *out, f"hub:{preset}")
        assert message in line, preset
    (tmp_path / "w.weights.h5").touch()
    weights = "--weights", tmp_path / "w.weights.h5"
    line = refusal("create-dataset", tmp_path / "p", *out, "hub:dinov2_small", *weights)
    assert "has weights of its own. Leave --weights out" in line
    with kaggle(tmp_path, tmp_path / "cache", monkeypatch) as (server, _):
        server.http.server_close()
        line = refusal("create-dataset", tmp_path / "p", *out, "hub:dinov2_small")
    assert "The weights of hub:dinov2_small could not be downloaded" in line
    assert str(tmp_path / "cache") in line
    assert not (tmp_path / "d.h5").exists()
