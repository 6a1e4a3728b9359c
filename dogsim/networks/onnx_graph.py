"""The graph of an ONNX file, made a network that takes pixels and gives features.

What a graph gives becomes features (B, D) by its shape: (B, D) is taken as it is, of tokens
(B, T, D), as transformers give them, the first, which stands for the whole picture (the class token
of Dosovitskiy et al. 2021, arXiv:2010.11929), and of a map the mean over its places.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.openvino import import_openvino
from dogsim.errors import DogsimError, unknown
from dogsim.networks.preprocessing import Pixels

COLOURS = {"NCHW": 1, "NHWC": 3}  # where a layout has red, green and blue
PLACES = {"NCHW": (2, 3), "NHWC": (1, 2)}
FLOATS = ("f32", "f16", "bf16")
RESHAPING = ("Reshape", "Squeeze", "Unsqueeze", "Convert")  # what leaves the numbers as they are
SAME = 1e-3  # of the largest number: by so much two ways to compute it may differ


class OnnxGraph:
    """The part of a graph that makes features of pictures.

    Parameters
    ----------
    file : Path
    layer : str, optional
        The output that gives the features, or anything that has a name in the graph; by default
        the first output that pictures alone decide.

    Raises
    ------
    DogsimError
        If OpenVINO cannot read the file, there is no such layer, or it takes no pictures or more.
    """

    def __init__(self, file: Path, layer: str | None = None) -> None:
        self.file = file
        try:
            model = import_openvino().Core().read_model(file)
        except RuntimeError as error:
            raise DogsimError(f"OpenVINO cannot read {file}: {_told(error)}.") from error
        outputs = {each.get_any_name(): each.node.input_value(0) for each in model.outputs}
        self.outputs, name, inputs = list(outputs), "The graph", model.get_parameters()
        for name, output in {layer: _named(model, layer)}.items() if layer else outputs.items():
            inputs = _inputs_of(model, output)
            if len(inputs) == 1 and (layout := _layout(inputs[0])):
                self.layer, self.output, self.input, self.layout = name, output, inputs[0], layout
                return
        taken = [f"{each.get_friendly_name()} {each.get_partial_shape()}" for each in inputs]
        raise DogsimError(
            f"{name} of {file} takes {' and '.join(taken) or 'nothing'}. Expected one input of "
            "pictures in colour, (B, 3, S, S) or (B, S, S, 3) of float: export the part of the "
            "network that sees them."
        )

    @property
    def size(self) -> int | None:
        """Height and width of the pictures it takes, None where it takes any.

        Raises `DogsimError` if they are not square.
        """
        shape = self.input.get_partial_shape()
        sides = {shape[axis].get_length() for axis in PLACES[self.layout] if shape[axis].is_static}
        if len(sides) > 1:
            raise DogsimError(f"{self.file} takes {shape}. Expected square pictures.")
        return sides.pop() if sides else None

    def network(self, pixels: Pixels, places: bool = False) -> tuple[Any, str]:
        """Let it take pixels and give features.

        Parameters
        ----------
        pixels : Pixels
            How it wants them, in full.
        places : bool
            Whether it is to give the map as well that its features are the mean of.

        Returns
        -------
        network : openvino.Model
            From (B, S, S, 3) uint8 to features (B, D) float32, with `places` to the map
            (B, h, w, D) and the features. B is free, or 1 where the graph can do no more.
        made : str
            What its features are.

        Raises
        ------
        DogsimError
            If it takes no pictures of that size, gives nothing of the kind, numbers that are none,
            or with `places` its features are no such mean.
        """
        self._take(pixels.image_size)
        features, made = self._features()
        network = self._of_bytes([self._map(), features] if places else [features], pixels)
        self._let_batch(network, pixels.image_size)
        return network, made

    def _take(self, size: int) -> None:
        """Let it take pictures of that size, so that all shapes behind are known."""
        openvino = import_openvino()
        fixed = self.size
        if fixed not in (None, size):
            raise DogsimError(
                f"Received image_size={size}. {self.file} takes {fixed} x {fixed} pixels only."
            )
        shape = [self.input.get_partial_shape()[0], size, size, size]
        shape[COLOURS[self.layout]] = 3
        try:
            openvino.Model([self.output], [self.input]).reshape(openvino.PartialShape(shape))
        except RuntimeError as error:
            raise DogsimError(
                f"{self.file} takes no pictures of {size} x {size} pixels: {_told(error)}."
            ) from error

    def _features(self) -> tuple[Any, str]:
        """Make features (B, D) of the layer, and tell how."""
        from openvino import opset13

        shape, features, made = self.output.get_partial_shape(), self.output, self.layer
        if shape.rank == 3:
            made = f"the first of the {shape[1]} tokens of {self.layer}"
            features = opset13.gather(features, np.int64(0), np.int64(1)).output(0)
        elif shape.rank == 4:
            places = PLACES[self.layout]
            sides = " x ".join(str(shape[axis]) for axis in places)
            made = f"the mean of the {sides} places of {self.layer}"
            features = opset13.reduce_mean(features, np.array(places)).output(0)
        shape = features.get_partial_shape()
        if shape.rank != 2 or shape[1].is_dynamic:
            raise DogsimError(
                f"{self.layer} of {self.file} gives {self.output.get_partial_shape()}. Expected "
                f"(B, D), (B, T, D) or a map. Outputs are: {', '.join(self.outputs)}."
            )
        return features, made

    def _map(self) -> Any:
        """Find the map (B, h, w, D) that the features seem to be the mean of."""
        from openvino import opset13

        output, node = self.output, self.output.get_node()
        while node.get_type_name() in RESHAPING:
            node = node.input_value(0).get_node()
        if node.get_type_name() == "ReduceMean":
            output = node.input_value(0)
        if output.get_partial_shape().rank != 4:
            raise self._no_mean()
        if self.layout == "NCHW":
            output = opset13.transpose(output, np.array([0, 2, 3, 1])).output(0)
        return output

    def _no_mean(self) -> DogsimError:
        return DogsimError(
            f"The features {self.layer} of {self.file} are no mean over the places of a picture. "
            "Explained can be an output that is a map, or the mean of one."
        )

    def _of_bytes(self, outputs: list[Any], pixels: Pixels) -> Any:
        """Let the graph take uint8, (B, S, S, 3), and give float32."""
        openvino = import_openvino()
        whole = openvino.preprocess.PrePostProcessor(openvino.Model(outputs, [self.input]))
        taken = whole.input()
        taken.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        taken.model().set_layout(openvino.Layout(self.layout))
        floats = taken.preprocess().convert_element_type(openvino.Type.f32)
        floats.mean(pixels.numbers("mean")).scale(pixels.numbers("std"))
        for number in range(len(outputs)):
            whole.output(number).tensor().set_element_type(openvino.Type.f32)
        return whole.build()

    def _let_batch(self, network: Any, size: int) -> None:
        """Free the batch if noise gives the same in one as alone, else let it be 1; or refuse."""
        noise = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
        try:
            found = [_run(network, picture[None]) for picture in noise]
        except RuntimeError as error:
            raise DogsimError(
                f"{self.file} cannot be computed for one picture: {_told(error)}. Export it with a "
                "batch that is free, or of 1."
            ) from error
        alone = np.concatenate([features for *_, features in found])
        if not np.isfinite(alone).all():
            raise DogsimError(f"{self.layer} of {self.file} gives numbers that are none (NaN).")
        for *maps, features in found:
            if maps and not _close(maps[0].mean(axis=(1, 2)), features):
                raise self._no_mean()
        try:
            free = _close(_run(network, noise)[-1], alone)
        except RuntimeError:
            free = False
        network.reshape([-1 if free else 1, size, size, 3])


def _named(model: Any, layer: str) -> Any:
    """Find what has a name in a graph; raises `DogsimError` with the nearest name."""
    found = {
        name: output
        for node in model.get_ordered_ops()
        if node.get_type_name() not in ("Constant", "Parameter", "Result")
        for output in node.outputs()
        for name in output.get_names()
    }
    if layer not in found:
        raise unknown("layer", layer, found)
    return found[layer]


def _inputs_of(model: Any, output: Any) -> list[Any]:
    """List those inputs of a graph that an output depends on."""
    seen, left = set(), [output.get_node()]
    while left:
        node = left.pop()
        if node.get_name() not in seen:
            seen.add(node.get_name())
            left += [value.get_node() for value in node.input_values()]
    return [each for each in model.get_parameters() if each.get_name() in seen]


def _layout(parameter: Any) -> str:
    """Tell in which layout an input has pictures in colour, "" if it has none."""
    shape = parameter.get_partial_shape()
    if shape.rank != 4 or parameter.get_element_type().get_type_name() not in FLOATS:
        return ""
    lengths = [side.get_length() if side.is_static else None for side in shape]
    if lengths[3] == 3 and lengths[1] != 3:
        return "NHWC"
    return "NCHW" if lengths[1] in (3, None) else ""  # all free, as Hugging Face leaves them


def _run(network: Any, pictures: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Compute all outputs for so many pictures at once, once."""
    network.reshape(list(pictures.shape))
    core, exact = import_openvino().Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    found = list(core.compile_model(network, "CPU", exact)(pictures).values())
    if any(len(each) != len(pictures) for each in found):
        raise RuntimeError(f"of {len(pictures)} it makes {[len(each) for each in found]}")
    return found


def _close(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return np.allclose(one, other, rtol=0, atol=SAME * max(np.abs(other).max(), 1e-12))


def _told(error: RuntimeError) -> str:
    """Tell what OpenVINO says, which comes last, below where it happened."""
    return [line.strip(" -.") for line in str(error).splitlines() if line.strip()][-1]
