"""The graph of an ONNX file, completed to a network from pixels to features.

An output becomes features (B, D) according to its shape: (B, D) is used as it is; of tokens
(B, T, D), the output of transformers, the first one, the class token (Dosovitskiy et al. 2021,
arXiv:2010.11929); of a feature map the mean over its positions.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.openvino import OPENVINO_ERRORS, import_openvino
from dogsim.errors import DogsimError, check_known
from dogsim.networks.onnx_cost import check_cost
from dogsim.networks.preprocessing import WHITE, Preprocessing

CHANNEL_AXIS = {"NCHW": 1, "NHWC": 3}
SPATIAL_AXES = {"NCHW": (2, 3), "NHWC": (1, 2)}
FLOAT_TYPES = ("f32", "f16", "bf16")
RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Convert")  # operations that keep the values
RELATIVE_TOLERANCE = 1e-3  # of the largest value: the allowed difference between two computations


class OnnxGraph:
    """The part of an ONNX graph that maps images to features.

    Parameters
    ----------
    file : Path
    layer : str, optional
        Name of the output, or of any other value of the graph, that becomes the features; by
        default the first output that depends on the images only.

    Attributes
    ----------
    metadata : dict of str to str
        The file's notes, "metadata_props".
    outputs : list of str
        Names of all outputs.

    Raises
    ------
    DogsimError
        If OpenVINO cannot read the file, there is no such layer, or its inputs are not one input
        of images.
    """

    def __init__(self, file: Path, layer: str | None = None) -> None:
        self.file = file
        model = _read_model(file)
        notes = model.rt_info["framework"] if model.has_rt_info(["framework"]) else {}
        self.metadata = {name: value.astype(str) for name, value in notes.items()}
        outputs = {each.get_any_name(): each.node.input_value(0) for each in model.outputs}
        self.outputs, name, inputs = list(outputs), "The graph", model.get_parameters()
        for name, output in (
            {layer: _find_value(model, layer)}.items() if layer else outputs.items()
        ):
            inputs = _inputs_of(model, output)
            if len(inputs) == 1 and (layout := _image_layout(inputs[0])):
                self.layer, self.output, self.input, self.layout = name, output, inputs[0], layout
                return
        received = [f"{each.get_friendly_name()} {each.get_partial_shape()}" for each in inputs]
        raise DogsimError(
            f"{name} of {file} takes {' and '.join(received) or 'nothing'}. Expected one input of "
            "colour images, (B, 3, S, S) or (B, S, S, 3) of float: export only the image part of "
            "the network."
        )

    @property
    def size(self) -> int | None:
        """Height and width of the input images; None if any size is possible.

        Raises `DogsimError` if they are not square.
        """
        shape, axes = self.input.get_partial_shape(), SPATIAL_AXES[self.layout]
        sides = {shape[axis].get_length() for axis in axes if shape[axis].is_static}
        if len(sides) > 1:
            raise DogsimError(f"{self.file} takes {shape}. Expected square images.")
        return sides.pop() if sides else None

    def network(self, preprocessing: Preprocessing, with_map: bool = False) -> tuple[Any, str]:
        """Build the network from pixels to features.

        Parameters
        ----------
        preprocessing : Preprocessing
            No field may be missing.
        with_map : bool
            Whether the feature map, whose mean the features are, is an output as well.

        Returns
        -------
        network : openvino.Model
            From (B, S, S, 3) uint8 to features (B, D) float32, with `with_map` to the
            map (B, h, w, D) and the features. B is dynamic, or 1 if the graph supports no more.
        description : str
            How the features are computed.

        Raises
        ------
        DogsimError
            If the graph does not take images of that size, takes too long or too much memory, its
            output has no such shape, its values are not finite, or with `with_map` the features are
            not the mean of a map.
        """
        size = preprocessing.image_size or 0
        self._set_size(size)
        features, description = self._features()
        outputs = [self._map(), features] if with_map else [features]
        try:
            check_cost(import_openvino().Model(outputs, [self.input]), self.file)
            network = self._with_preprocessing(outputs, preprocessing)
            self._set_batch(network, size)
        except OPENVINO_ERRORS as error:
            raise DogsimError(
                f"{self.file} cannot be computed for one image: {_reason(error)}. Export it with a "
                "batch that is dynamic, or of 1."
            ) from error
        return network, description

    def _set_size(self, size: int) -> None:
        """Fix the size of the input, which makes the shapes of all values known."""
        openvino = import_openvino()
        if self.size not in (None, size):
            raise DogsimError(
                f"Received image_size={size}. {self.file} takes {self.size} x {self.size} pixels "
                "only."
            )
        shape = [self.input.get_partial_shape()[0], size, size, size]
        shape[CHANNEL_AXIS[self.layout]] = 3
        try:
            openvino.Model([self.output], [self.input]).reshape(openvino.PartialShape(shape))
        except OPENVINO_ERRORS as error:
            raise DogsimError(
                f"{self.file} takes no images of {size} x {size} pixels: {_reason(error)}."
            ) from error

    def _features(self) -> tuple[Any, str]:
        """Return the features (B, D) of the layer, and a description of them."""
        operations = import_openvino().opset13
        shape, features, description = self.output.get_partial_shape(), self.output, self.layer
        if shape.rank == 3:
            description = f"the first of the {shape[1]} tokens of {self.layer}"
            features = operations.gather(features, np.int64(0), np.int64(1)).output(0)
        elif shape.rank == 4:
            axes = SPATIAL_AXES[self.layout]
            sides = " x ".join(str(shape[axis]) for axis in axes)
            description = f"the mean of the {sides} positions of {self.layer}"
            features = operations.reduce_mean(features, np.array(axes)).output(0)
        shape = features.get_partial_shape()
        if shape.rank != 2 or shape[1].is_dynamic:
            raise DogsimError(
                f"{self.layer} of {self.file} gives {self.output.get_partial_shape()}. Expected "
                f"(B, D), (B, T, D) or a map. Outputs are: {', '.join(self.outputs)}."
            )
        return features, description

    def _map(self) -> Any:
        """Find the map (B, h, w, D) whose mean the features seem to be."""
        output, node = self.output, self.output.get_node()
        while node.get_type_name() in RESHAPING:
            node = node.input_value(0).get_node()
        if node.get_type_name() == "ReduceMean":
            output = node.input_value(0)
        if output.get_partial_shape().rank != 4:
            raise self._no_mean()
        if self.layout == "NCHW":
            to_nhwc = np.array([0, 2, 3, 1])
            output = import_openvino().opset13.transpose(output, to_nhwc).output(0)
        return output

    def _no_mean(self) -> DogsimError:
        return DogsimError(
            f"The features {self.layer} of {self.file} are not the mean of a feature map. "
            "Expected an output that is a map, or the mean of one; only these can be explained."
        )

    def _with_preprocessing(self, outputs: list[Any], preprocessing: Preprocessing) -> Any:
        """Return a model from uint8 (B, S, S, 3) to float32 that normalises its pixels."""
        openvino = import_openvino()
        model = openvino.preprocess.PrePostProcessor(openvino.Model(outputs, [self.input]))
        images = model.input()
        images.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        images.model().set_layout(openvino.Layout(self.layout))
        floats = images.preprocess().convert_element_type(openvino.Type.f32)
        floats.mean([WHITE * value for value in preprocessing.mean or ()])
        floats.scale([WHITE * value for value in preprocessing.std or ()])
        for number in range(len(outputs)):
            model.output(number).tensor().set_element_type(openvino.Type.f32)
        return model.build()

    def _set_batch(self, network: Any, size: int) -> None:
        """Make the batch dynamic if two random images give the same alone and together, else 1."""
        noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
        results = [_run(network, image[None]) for image in noise]
        alone = np.concatenate([features for *_, features in results])  # (2, D)
        if not np.isfinite(alone).all():
            raise DogsimError(f"{self.layer} of {self.file} gives values that are NaN or infinite.")
        for *maps, features in results:
            if maps and not _close(maps[0].mean(axis=(1, 2)), features):
                raise self._no_mean()
        try:
            dynamic = _close(_run(network, noise)[-1], alone)
        except OPENVINO_ERRORS:
            dynamic = False
        network.reshape([-1 if dynamic else 1, size, size, 3])


def _read_model(file: Path) -> Any:
    """Read an ONNX file as an `openvino.Model`."""
    openvino = import_openvino()
    # Without this check OpenVINO tries all its formats, some of which print to stderr.
    if not openvino.frontend.FrontEndManager().load_by_framework("onnx").supported(str(file)):
        raise DogsimError(
            f"{file} is not an ONNX file, or is truncated. Expected one as torch.onnx.export or "
            "tf2onnx write them."
        )
    try:
        return openvino.Core().read_model(file)
    except OPENVINO_ERRORS as error:
        raise DogsimError(f"OpenVINO cannot read {file}: {_reason(error)}.") from error


def _find_value(model: Any, layer: str) -> Any:
    """Find a value of a graph by its name; raise `DogsimError` with the nearest names."""
    found = {
        name: output
        for node in model.get_ordered_ops()
        if node.get_type_name() not in ("Constant", "Parameter", "Result")
        for output in node.outputs()
        for name in output.get_names()
    }
    check_known("layer", layer, found)
    return found[layer]


def _inputs_of(model: Any, output: Any) -> list[Any]:
    """List the inputs of a graph that an output depends on."""
    visited, stack = set(), [output.get_node()]
    while stack:
        node = stack.pop()
        if node.get_name() not in visited:
            visited.add(node.get_name())
            stack += [value.get_node() for value in node.input_values()]
    return [each for each in model.get_parameters() if each.get_name() in visited]


def _image_layout(parameter: Any) -> str:
    """Return the layout of an input of colour images, "" for any other input."""
    shape = parameter.get_partial_shape()
    if shape.rank != 4 or parameter.get_element_type().get_type_name() not in FLOAT_TYPES:
        return ""
    lengths = [side.get_length() if side.is_static else None for side in shape]
    if lengths[3] == 3 and lengths[1] != 3:
        return "NHWC"
    return "NCHW" if lengths[1] in (3, None) else ""  # all dynamic, as Hugging Face exports them


def _run(network: Any, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Compute all outputs of a network for one batch, in float32."""
    network.reshape(list(images.shape))
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
    outputs = list(import_openvino().Core().compile_model(network, "CPU", hints)(images).values())
    if any(len(each) != len(images) for each in outputs):
        raise RuntimeError(f"of {len(images)} it makes {[len(each) for each in outputs]}")
    return outputs


def _close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    tolerance = RELATIVE_TOLERANCE * max(np.abs(other).max(), 1e-12)
    return np.allclose(one, other, rtol=0, atol=tolerance)


def _reason(error: Exception) -> str:
    """Return the last line of OpenVINO's message, which follows where it happened."""
    lines = [line.strip(" -.") for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
