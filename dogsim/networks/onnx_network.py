"""A network of an ONNX file, whatever framework wrote it: OpenVINO computes it.

Nothing of such a file is run but its graph, and that is made of OpenVINO's own operations.
"""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from dogsim.errors import DogsimError
from dogsim.networks.backbones import ONNX
from dogsim.networks.onnx_file import OnnxFile, read_onnx
from dogsim.networks.onnx_graph import OnnxGraph
from dogsim.networks.preprocessing import Pixels, pixels_told
from dogsim.networks.weights import IMAGENET, given_file
from dogsim.plumbing.terminal import note


@dataclass(frozen=True)
class OnnxNetwork:
    """A network of an ONNX file, up to the output that gives the features.

    `weights` and `layer` are those of `load_extractor`. What `pixels` leaves open is found in the
    file or beside it.
    """

    weights: str = IMAGENET
    layer: str | None = None
    pixels: Pixels = field(default_factory=Pixels)
    engine: ClassVar[str] = "openvino"

    def check(self) -> None:
        """Raise `DogsimError` if there is no such file."""
        if self.weights == IMAGENET:
            raise DogsimError("Received no ONNX file. Name it: --weights FILE.onnx.")
        given_file(self.weights)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return Path(self.weights).name

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What of the recipe it decides; the file is opened if some of it was not given.

        Raises `DogsimError` if something is neither given nor told.
        """
        pixels, layer = self.pixels, self.layer
        if pixels.missing or not layer:
            told, graph = pixels_told(self._file.path, self._file.notes), self._graph()
            layer = graph.layer
            pixels = pixels.filled(Pixels(image_size=graph.size or 0)).filled(told)
        if missing := pixels.missing:
            raise DogsimError(
                f"Neither {self.weights} nor a file beside it tells how it wants its pixels. Give "
                f"{' and '.join(missing)}, as it has learned; ImageNet's are "
                "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225."
            )
        weights = str(Path(self.weights).resolve())
        return {"backbone": ONNX, "weights": weights, "layer": layer, **asdict(pixels)}

    def sha256(self) -> str:
        """SHA-256 of the file, and of those of its weights that lie beside it."""
        return self._file.sha256

    @property
    def made_from(self) -> dict[str, Any]:
        """What decides about it."""
        asked = {name: self.facts[name] for name in ("layer", "mean", "std", "image_size")}
        return {"name": ONNX, **asked, "weights_sha256": self.sha256()}

    def convert(self, places: bool = False) -> Any:
        """Make it an `openvino.Model` from (B, S, S, 3) uint8 to features (B, D) float32.

        With `places` it gives the map (B, h, w, D) as well that these are the mean of. Raises
        `DogsimError` if the file is none of an image network, or its features are no such mean.
        """
        graph, pixels = self._graph(), Pixels(*(self.facts[name] for name in vars(self.pixels)))
        network, made = graph.network(pixels, places)
        others = [name for name in graph.outputs if name != graph.layer]
        also = f" --layer may name another output: {', '.join(others)}." if others else ""
        note(f"The features of {self.name} are {made}.{also}")
        return network

    def model(self, places: bool = False) -> NoReturn:
        """Raise `DogsimError`: it is no Keras model."""
        raise DogsimError(
            f"The network {self.weights} is for OpenVINO. TensorFlow can neither compute nor train "
            "it: leave --engine out, or take a network of Keras."
        )

    @cached_property
    def _file(self) -> OnnxFile:
        return read_onnx(Path(self.weights))

    def _graph(self) -> OnnxGraph:
        """Read the graph of a file that has been looked at."""
        return OnnxGraph(self._file.path, self.layer)
