"""Networks in ONNX files: features from outputs of any shape, and errors for other files."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import dogsim, dogsim_json, python, refusal
from conftest import LITE
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Node, Transformer, colours, save

from dogsim import (
    DogsimError,
    Extractor,
    create_dataset,
    explain,
    extract_features,
    extractor_for,
    load_extractor,
)
from dogsim.networks import onnx_network
from dogsim.networks.efficientnet_lite import weights_file
from dogsim.networks.extractor import NetworkOptions
from dogsim.sources.sample import sample_queries

pytest.importorskip("openvino", reason="OpenVINO is not installed")

IMAGES = np.random.default_rng(1).integers(0, 256, (19, 16, 16, 3), np.uint8)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
PREPROCESSING = {"mean": MEAN, "std": STD}
STORED = {"mean": "0.4,0.5,0.6", "std": "0.2,0.25,0.3"}  # as in a recipe
PREPARED = (IMAGES / 255 - MEAN) / STD


def load(file: str, layer: str | None = None, **more: Any) -> Extractor:
    return load_extractor("onnx", file, layer, **{**PREPROCESSING, "precision": "float32", **more})


def test_a_vision_transformer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features are the class token as NumPy computes it, for a dynamic batch and for 1."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # a cached network says nothing
    images = np.random.default_rng(2).integers(0, 256, (17, 32, 32, 3), np.uint8)
    network = Transformer()
    expected = network.tokens((images / 255 - MEAN) / STD)[:, 0]
    for batch in ("batch", 1):
        extractor = load(network.save(tmp_path / f"{batch}.onnx", batch))
        message = capsys.readouterr().err
        assert "features of" in message
        assert "are the first of the 17 tokens of last_hidden_state. --layer may name" in message
        for n in (1, 17):  # one by one and in chunks
            np.testing.assert_allclose(extractor(images[:n]), expected[:n], rtol=1e-3, atol=1e-3)
    assert (extractor.recipe.layer, extractor.recipe.image_size) == ("last_hidden_state", 32)
    pooled = load(str(tmp_path / "1.onnx"), "pooler_output")
    np.testing.assert_allclose(pooled(images), np.tanh(expected), rtol=1e-3, atol=1e-3)
    assert pooled.recipe.fingerprint != extractor.recipe.fingerprint
    quick = load(str(tmp_path / "batch.onnx"), precision="auto")(images)
    assert (quick * expected).sum() / np.linalg.norm(quick) / np.linalg.norm(expected) > 0.999


@pytest.mark.parametrize(
    ("batch", "kind", "layer"),
    [
        ("batch", TensorProto.FLOAT16, None),
        (1, TensorProto.FLOAT, "map"),
        (4, TensorProto.FLOAT, "pooled"),
    ],
)
def test_a_map_and_its_mean(tmp_path: Path, batch: Any, kind: int, layer: str | None) -> None:
    inputs = {"pixels": (batch, 3, 16, 16)}
    file = colours(tmp_path / "net.onnx", kind=kind, inputs=inputs)
    features = load(file, layer)(IMAGES)
    np.testing.assert_allclose(features, PREPARED.mean(axis=(1, 2)), rtol=3e-3, atol=3e-3)
    assert features.dtype == np.float32


def test_channels_last_and_any_size(tmp_path: Path) -> None:
    """TensorFlow exports NHWC, and Hugging Face leaves all axes dynamic."""
    last = [
        ("Neg", "pixels", "negative", {}),
        ("Neg", "negative", "map", {}),
        ("ReduceMean", "map", "features", {"axes": [1, 2], "keepdims": 0}),
    ]
    nhwc = save(tmp_path / "nhwc.onnx", last, inputs={"pixels": ("b", 16, 16, 3)})
    free = colours(tmp_path / "free.onnx", inputs={"pixels": ("b", "c", "h", "w")})
    for extractor in (load(nhwc), load(nhwc, "map"), load(free, image_size=16)):
        np.testing.assert_allclose(
            extractor(IMAGES), PREPARED.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5
        )
    with pytest.raises(DogsimError, match="Give --image-size"):
        load(free)
    with pytest.raises(DogsimError, match="takes 16 x 16 pixels only"):
        load(nhwc, image_size=32)


def test_preprocessing_from_the_metadata(tmp_path: Path) -> None:
    file = colours(tmp_path / "net.onnx", notes={**STORED, "location": "Berlin"})
    recipe = load_extractor("onnx", file).recipe
    assert {name: getattr(recipe, name) for name in STORED} == STORED


def test_a_graph_that_mixes_a_batch_is_computed_image_by_image(tmp_path: Path) -> None:
    nodes: list[Node] = [
        ("GlobalAveragePool", "pixels", "each", {}),
        ("ReduceMean", "each", "all", {"axes": [0]}),
        ("Add", "each all", "sum", {}),
        ("Flatten", "sum", "features", {}),
    ]
    extractor = load(save(tmp_path / "mixing.onnx", nodes))
    np.testing.assert_allclose(
        extractor(IMAGES), 2 * PREPARED.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5
    )


def test_an_output_that_depends_on_images_only(tmp_path: Path) -> None:
    """CLIP is exported with two inputs; its image features need no text."""
    nodes: list[Node] = [
        ("GlobalAveragePool", "pixels", "pooled", {}),
        ("Flatten", "pooled", "image_embeds", {}),
        ("MatMul", "image_embeds text", "logits", {}),
    ]
    inputs = {"text": (3, "n"), "pixels": ("b", 3, 16, 16)}
    outputs = {"logits": ("b", "n"), "image_embeds": ("b", 3)}
    file = save(tmp_path / "clip.onnx", nodes, inputs=inputs, outputs=outputs)
    extractor = load(file)
    assert extractor.recipe.layer == "image_embeds"
    np.testing.assert_allclose(extractor(IMAGES), PREPARED.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    with pytest.raises(DogsimError, match=r"logits of .* takes text \[3,\?\] and pixels"):
        load(file, "logits")


NONSENSE = b"hello"
GROUP = b"\x3b\x3c"  # a field type that protocol buffers no longer have


def with_nodes(*nodes: Any, **more: Any) -> Any:
    return lambda file: save(file, nodes, **more)


def with_unreadable_name(file: Path) -> None:
    save(file, [("Frobnicate", "pixels", "features", {})])
    file.write_bytes(file.read_bytes().replace(b"Frob", b"Fr\xd9b"))


def part(nodes: Sequence[Node], inputs: str = "", outputs: str = "features") -> Any:
    """Return the graph of a branch of a condition, or of the body of a loop."""
    kinds = {"i": TensorProto.INT64, "more": TensorProto.BOOL, "again": TensorProto.BOOL}

    def values(names: str) -> list[Any]:
        pairs = [(name, kinds.get(name, TensorProto.FLOAT)) for name in names.split()]
        return [helper.make_tensor_value_info(name, kind, None) for name, kind in pairs]

    made = [
        helper.make_node(kind, taken.split(), given.split(), **attributes)
        for kind, taken, given, attributes in nodes
    ]
    return helper.make_graph(made, "part", values(inputs), values(outputs))


TWICE: Node = ("Add", "sum sum", "twice", {})
BODY = part([TWICE, ("Identity", "more", "again", {})], "i more sum", "again twice")
LOOP: Node = ("Loop", "count true flat", "features", {"body": BODY})
FLAT: Node = ("Flatten", "pixels", "flat", {})
BRANCHES = {"then_branch": part([LOOP]), "else_branch": part([("Abs", "flat", "features", {})])}
ENDLESS = {"count": np.array(2**62), "true": np.array(True)}

WRONG = {  # how the file is made, and the error
    "text": (lambda file: file.write_bytes(NONSENSE), "is not an ONNX file, or is truncated"),
    "empty": (lambda file: file.write_bytes(b""), "is not an ONNX file, or is truncated"),
    "group": (lambda file: file.write_bytes(GROUP), "is not an ONNX file, or is truncated"),
    "notes alone": (lambda file: file.write_bytes(b"\x72\x00"), "is not an ONNX file"),
    "unknown": (with_nodes(("Frobnicate", "pixels", "features", {})), "operations: Frobnicate"),
    "two inputs": (
        with_nodes(
            ("Add", "a b", "features", {}), inputs={"a": ("b", 3, 8, 8), "b": ("b", 3, 8, 8)}
        ),
        "features of .* takes a .* and b .* Expected one input of colour images",
    ),
    "grey": (with_nodes(("Flatten", "x", "features", {}), inputs={"x": ("b", 1, 8, 8)}), "takes x"),
    "a sound": (with_nodes(("Relu", "x", "features", {}), inputs={"x": ("b", 100)}), "takes x"),
    "integers": (
        with_nodes(("Flatten", "pixels", "features", {}), kind=TensorProto.INT64),
        "takes pixels .* of float",
    ),
    "oblong": (
        with_nodes(("Flatten", "x", "features", {}), inputs={"x": ("b", 3, 8, 9)}),
        "Expected square images",
    ),
    "a number": (
        with_nodes(("ReduceMean", "pixels", "features", {"keepdims": 0}), outputs={"features": ()}),
        r"features of .* gives \[\]. Expected",
    ),
    "no numbers": (
        with_nodes(("Sub", "pixels pixels", "zero", {}), ("Div", "zero zero", "features", {})),
        "values that are NaN or infinite",
    ),
    "a batch of 4": (
        with_nodes(
            ("Reshape", "pixels shape", "features", {}),
            weights={"shape": np.array([4, -1])},
            inputs={"pixels": (4, 3, 16, 16)},
        ),
        "cannot be computed for one image: .* Export it with a batch that is dynamic, or of 1",
    ),
    "an endless loop": (
        with_nodes(FLAT, LOOP, weights=ENDLESS),
        "computed in a loop. Expected a network without loops",
    ),
    "an endless loop in a condition": (
        with_nodes(FLAT, ("If", "true", "features", BRANCHES), weights=ENDLESS),
        "computed in a loop",
    ),
    "a huge value": (
        with_nodes(
            ("Tile", "pixels count", "tiles", {}),
            ("GlobalAveragePool", "tiles", "features", {}),
            weights={"count": np.array([1, 1, 10**5, 10**5])},
        ),
        r"a value of \[.*1600000,1600000\] numbers for one image. Expected 536,870,912 at most",
    ),
    "a name that is not UTF-8": (with_unreadable_name, "OpenVINO cannot read"),
    "another size": (
        with_nodes(
            ("Add", "pixels positions", "features", {}),
            weights={"positions": np.zeros((1, 3, 8, 8), np.float32)},
            inputs={"pixels": ("b", 3, "h", "w")},
        ),
        "takes no images of 16 x 16 pixels",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_errors_are_one_line(kind: str, tmp_path: Path) -> None:
    make, message = WRONG[kind]
    make(tmp_path / "net.onnx")
    with pytest.raises(DogsimError, match=message) as caught:
        load(str(tmp_path / "net.onnx"), image_size=None if kind == "oblong" else 16)
    assert "\n" not in str(caught.value)


def test_wrong_options(tmp_path: Path, colours_net: str) -> None:
    whole = Path(colours_net).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    wrong: list[tuple[Any, str]] = [
        (("onnx",), "Name it: --weights FILE.onnx"),
        (("onnx", "gone.onnx"), "There is no weight file gone.onnx"),
        (("onnx", str(tmp_path / "cut.onnx")), "is truncated"),
        (("onnx", colours_net), "contains the preprocessing. Give --mean and --std"),
        (("onnx", colours_net, "polled"), "Unknown layer 'polled'; did you mean 'pooled'?"),
        (("resnet50", colours_net), "An ONNX file is a network of its own: --backbone onnx"),
    ]
    for options, message in wrong:
        with pytest.raises(DogsimError, match=message):
            load_extractor(*options)
    with pytest.raises(DogsimError, match="TensorFlow can neither compute nor train it"):
        load(colours_net, engine="tensorflow")
    with pytest.raises(DogsimError, match=r"mean=0.4,0.5,0.6, .* for efficientnet-lite2, which"):
        NetworkOptions(backbone=LITE, mean=MEAN, std=STD).load()


def test_mean_and_std_are_numbers(colours_net: str) -> None:
    recipe = load(colours_net).recipe
    assert (recipe.mean, recipe.std) == tuple(STORED.values())
    assert load(colours_net, mean=0, std=1).recipe.mean == "0,0,0"
    for wrong in (128, "0.5,0.5,0.5", (0.5, 0.5)):
        with pytest.raises(DogsimError, match="Received mean=.* Expected one number, or three"):
            load(colours_net, mean=wrong)


@pytest.fixture(scope="module")
def colours_net(tmp_path_factory: pytest.TempPathFactory) -> str:
    return colours(tmp_path_factory.mktemp("onnx") / "colours.onnx")


def with_external_weights(folder: Path, location: str) -> Path:
    """Write a network with its weights in w.bin, and another location in the ONNX file."""
    nodes: list[Node] = [("Flatten", "pixels", "flat", {}), ("MatMul", "flat w", "features", {})]
    weights = {"w": np.random.default_rng(4).normal(size=(768, 8)).astype(np.float32)}
    file = folder / "net.onnx"
    model = onnx.load(save(file, nodes, weights))
    onnx.save(model, file, save_as_external_data=True, location="w.bin", size_threshold=0)
    (entry,) = [x for x in model.graph.initializer[0].external_data if x.key == "location"]
    entry.value = location
    file.write_bytes(model.SerializeToString())
    return file


def test_external_weights(tmp_path: Path) -> None:
    file = with_external_weights(tmp_path, "w.bin")
    one = load(str(file))
    weights = np.fromfile(tmp_path / "w.bin", np.float32)
    flat = PREPARED.transpose(0, 3, 1, 2).reshape(19, -1)
    np.testing.assert_allclose(one(IMAGES), flat @ weights.reshape(768, 8), rtol=1e-3, atol=1e-3)
    (tmp_path / "w.bin").write_bytes((2 * weights).tobytes())
    two = load(str(file))  # the same graph with other weights
    assert one.recipe.weights_sha256 != two.recipe.weights_sha256
    np.testing.assert_allclose(two(IMAGES), 2 * one(IMAGES), rtol=1e-3, atol=1e-3)
    with pytest.raises(DogsimError, match="weights_sha256"):
        extractor_for(one.recipe)
    (tmp_path / "w.bin").unlink()
    with pytest.raises(DogsimError, match="weights in w.bin, which does not exist"):
        load(str(file))


@pytest.mark.parametrize("location", ["../w.bin", "in/../../w.bin", "/etc/hostname", "link.bin"])
def test_external_weights_in_another_folder_are_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    (folder / "in").mkdir(parents=True)
    file = with_external_weights(folder, location)
    shutil.move(folder / "w.bin", tmp_path / "w.bin")
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(DogsimError, match="is outside of its folder: refused"):
        load(str(file))


def test_external_weights_are_found_in_every_part_of_the_graph(tmp_path: Path) -> None:
    """Even in a constant of a branch."""
    far = TensorProto(name="far", dims=[1], data_type=1, data_location=TensorProto.EXTERNAL)
    far.external_data.add(key="location", value="../far.bin")
    constant = helper.make_node("Constant", [], ["c"], value=far)
    given = [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])]
    branch = helper.make_graph([constant], "branch", [], given)
    yes = {"value": numpy_helper.from_array(np.array(True))}
    both = {"then_branch": branch, "else_branch": branch}
    nodes: list[Node] = [("Constant", "", "yes", yes), ("If", "yes", "features", both)]
    with pytest.raises(DogsimError, match=r"refers to weights in ../far.bin, .* refused"):
        load(save(tmp_path / "net.onnx", nodes))


def test_queries_use_the_recipe(
    breeds_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = tmp_path / "onnx" / "net.onnx", tmp_path / "d.h5"
    file.parent.mkdir()
    colours(file)
    config = tmp_path / "preprocessor_config.json"
    config.write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    made = create_dataset(breeds_dir, out, "onnx", str(file), "map")
    assert made.recipe
    assert {name: getattr(made.recipe, name) for name in STORED} == STORED
    config.unlink()  # the recipe contains it
    monkeypatch.setattr(onnx_network, "OnnxGraph", None)  # the converted network is in the cache
    images = [made.image_file(row) for row in range(len(made))]
    again = extract_features(images, extractor_for(made.recipe))
    np.testing.assert_allclose(again, made.features, rtol=1e-5, atol=1e-6)
    assert create_dataset(breeds_dir, out).recipe == made.recipe  # updates with the same recipe
    assert dogsim_json("info", out)["std"] == STORED["std"]
    moved = shutil.move(file, tmp_path / "moved.onnx")
    asked = ["classify", breeds_dir / "striped" / "1.png", "-k", 1, "--dataset", out]
    assert dogsim_json(*asked, "--weights", moved)["results"][0]["breed"] == "striped"
    with pytest.raises(DogsimError, match="mean=0.1,0.1,0.1. The dataset needs mean=0.4,0.5,0.6"):
        made.recipe.require(replace(made.recipe, mean="0.1,0.1,0.1"), "an extractor")


def test_explain(colours_net: str, tmp_path: Path) -> None:
    for layer, shape in [(None, (16, 16)), ("map", (16, 16))]:
        why = explain(IMAGES[0], IMAGES[1], load(colours_net, layer), "sqeuclidean")
        assert why.query_parts.shape == shape
        assert why.sum == pytest.approx(why.distance, rel=1e-4)
    transformer = load(Transformer().save(tmp_path / "vit.onnx"))
    with pytest.raises(DogsimError, match="last_hidden_state of .* are not the mean of a"):
        explain(IMAGES[0], IMAGES[1], transformer)
    largest: list[Node] = [
        ("GlobalMaxPool", "pixels", "most", {}),
        ("Flatten", "most", "features", {}),
    ]
    with pytest.raises(DogsimError, match="not the mean of a feature map. Expected an output"):
        explain(IMAGES[0], IMAGES[1], load(save(tmp_path / "most.onnx", largest)))


def test_commands(breeds_dir: Path, colours_net: str, tmp_path: Path) -> None:
    network = ["--backbone", "onnx", "--weights", colours_net, "--mean", "0.5", "--std", "1/255"]
    images = sorted((breeds_dir / "striped").iterdir())[:2]
    answer = dogsim_json("distance", *images, *network, "--metric", "euclidean")
    assert answer["backbone"] == "onnx"
    assert answer["distance"] > 0
    why = dogsim_json("explain", *images, *network, "--save", tmp_path)["pairs"][0]
    assert why["sum"] == pytest.approx(why["distance"] ** 2, rel=1e-3)
    dogsim("create-dataset", breeds_dir, "-o", tmp_path / "d.h5", *network)
    other = refusal("create-dataset", breeds_dir, "-o", tmp_path / "d.h5", "--mean", "0.25")
    assert "mean=0.25" in other  # and no network that was not named
    assert "resnet50" not in other
    asked = ["explain", *images, "--dataset", tmp_path / "d.h5", "--mean", "0.5"]
    assert "Received --mean with a dataset" in refusal(*asked)
    wrong = ["distance", *images, *network[:4], "--mean", "128", "--std", "1"]
    assert "Received mean=(128.0, 128.0, 128.0). Expected one number, or three" in refusal(*wrong)
    wrong[-3] = "a,b,c"
    assert "Received mean=a,b,c. Expected one number, or three" in refusal(*wrong)


def test_the_preprocessing_belongs_to_the_network(colours_net: str) -> None:
    """The options of one network are not used for another."""
    like: dict[str, Any] = {
        "backbone": "onnx",
        "weights": colours_net,
        "layer": "map",
        "image_size": 16,
    }
    like |= {"engine": "openvino", "precision": "float32"}
    numbers, like = like | PREPROCESSING, like | STORED
    assert NetworkOptions().with_defaults(like) == NetworkOptions(**numbers)
    assert NetworkOptions(resize="crop").with_defaults(like).mean == MEAN
    for other in (NetworkOptions(backbone="resnet50"), NetworkOptions(weights="other.onnx")):
        filled = other.with_defaults(like)
        assert (filled.mean, filled.std, filled.image_size) == (None, None, None)
    assert (
        NetworkOptions(backbone="vgg16").with_defaults(like | {"mean": "", "std": ""}).image_size
        is None
    )
    recipe = load(colours_net, "map").recipe
    gone = replace(recipe, weights="/gone/net.onnx")
    assert (
        NetworkOptions(**numbers | {"weights": gone.weights}).known_recipe(gone) == gone
    )  # no file is needed


EXPORT = """
import sys
import torch
from efficientnet_lite_pytorch import EfficientNet

network = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=sys.argv[1]).eval()
network._dropout = network._fc = torch.nn.Identity()  # the output is the pooling
free = {"input_names": ["pixels"], "dynamic_axes": {"pixels": {0: "batch"}}}
torch.onnx.export(network, (torch.zeros(1, 3, 260, 260),), sys.argv[2], **free)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(find_spec, ("torch", "onnxscript", "efficientnet_lite_pytorch"))),
    reason="PyTorch: pip install torch onnxscript efficientnet_lite_pytorch",
)
def test_real_weights_exported_by_pytorch(tmp_path: Path) -> None:
    """EfficientNet-Lite2 exported by PyTorch, with external weights, gives our features."""
    file = tmp_path / "lite2.onnx"
    exported = python("-c", EXPORT, weights_file("EfficientNetLite2"), file)
    assert exported.returncode == 0, exported.stderr
    found = load(str(file), mean=127 / 255, std=128 / 255)
    ours = load_extractor(LITE, precision="float32")
    one, two = (extract_features(sample_queries(), extractor) for extractor in (found, ours))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    assert ((one * two).sum(axis=1) / lengths).min() > 0.9999
