"""A network in an ONNX file, exported by any framework and computed by OpenVINO.

Nothing in such a file is executed except its graph, which consists of OpenVINO's own operations.
"""

import mmap
import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from dogsim.engines.choose import Engine
from dogsim.errors import DogsimError
from dogsim.networks.backbones import ONNX
from dogsim.networks.onnx_graph import OnnxGraph
from dogsim.networks.preprocessing import Preprocessing, find_preprocessing
from dogsim.networks.weights import IMAGENET, given_file, weights_sha256
from dogsim.plumbing.terminal import note

# How an ONNX file names another file with weights: TensorProto.external_data (field 13) holds the
# pair ("location", name); protocol buffers write the length of each before it.
EXTERNAL_DATA = re.compile(
    rb"\x6a(?:[\x00-\x7f]|[\x80-\xff][\x00-\x7f])"
    rb"\x0a\x08location\x12([\x00-\x7f]|[\x80-\xff][\x00-\x7f])"
)


@dataclass(frozen=True)
class OnnxNetwork:
    """A network in an ONNX file, up to the output whose values are the features.

    `weights` and `layer` are parameters of `load_extractor`. Fields that are missing in
    `preprocessing` are read from the file's metadata or from a file beside it.
    """

    weights: str = IMAGENET
    layer: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    engine: ClassVar[Engine] = "openvino"

    def check(self) -> None:
        """Raise `DogsimError` if there is no such file."""
        if self.weights == IMAGENET:
            raise DogsimError("Received no ONNX file. Name it: --weights FILE.onnx.")
        given_file(self.weights)

    @property
    def name(self) -> str:
        """Name of the network in messages."""
        return Path(self.weights).name

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of the recipe that the network determines.

        Raises `DogsimError` if the preprocessing is neither given nor found.
        """
        layer, preprocessing = self._layer_and_preprocessing
        weights = str(Path(self.weights).resolve())
        return {"backbone": ONNX, "weights": weights, "layer": layer, **preprocessing.fields}

    @cached_property
    def _layer_and_preprocessing(self) -> tuple[str, Preprocessing]:
        """The layer and the preprocessing; the file is read only if some of it was not given."""
        layer, preprocessing = self.layer, self.preprocessing
        if preprocessing.missing or not layer:
            graph = self._graph()
            layer = graph.layer
            found = find_preprocessing(Path(self.weights), graph.metadata)
            in_graph = Preprocessing(image_size=graph.size)
            preprocessing = preprocessing.completed_by(in_graph).completed_by(found)
        if missing := preprocessing.missing:
            raise DogsimError(
                f"Neither {self.weights} nor a file beside it contains the preprocessing. Give "
                f"{' and '.join(missing)}, as the network was trained; ImageNet's are "
                "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225."
            )
        return layer, preprocessing

    def sha256(self) -> str:
        """Return the SHA-256 of the file, combined with those of its files of external data."""
        digests = [weights_sha256(file) for file in self._files]
        return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()

    @property
    def made_from(self) -> dict[str, Any]:
        """The key of the converted network in the cache."""
        options = {name: self.facts[name] for name in ("layer", "mean", "std", "image_size")}
        return {"name": ONNX, **options, "weights_sha256": self.sha256()}

    def convert(self, with_map: bool = False) -> Any:
        """Convert it to an `openvino.Model` from (B, S, S, 3) uint8 to features (B, D) float32.

        Parameters and errors are those of `OnnxGraph.network`.
        """
        graph = self._graph()
        network, description = graph.network(self._layer_and_preprocessing[1], with_map)
        others = [name for name in graph.outputs if name != graph.layer]
        also = f" --layer may name another output: {', '.join(others)}." if others else ""
        note(f"The features of {self.name} are {description}.{also}")
        return network

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        """The ONNX file and its files of external data."""
        path = Path(self.weights)
        return path, *(_external_file(path, name) for name in _external_names(path))

    def _graph(self) -> OnnxGraph:
        """Read the graph, once the files of external data have been checked."""
        return OnnxGraph(self._files[0], self.layer)


def _external_names(path: Path) -> list[str]:
    """List the names of external files in an ONNX file; OpenVINO does not report them."""
    if not path.stat().st_size:  # an empty file cannot be mapped
        return []
    names = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for found in EXTERNAL_DATA.finditer(content):
            # A varint has seven bits per byte, the lowest first.
            low, high = found[1][0] & 0x7F, found[1][1:]
            length = low | (high[0] << 7 if high else 0)
            names.add(content[found.end() : found.end() + length])
    return sorted(name.replace(b"\0", b"?").decode(errors="replace") for name in names)


def _external_file(path: Path, name: str) -> Path:
    """Find an external file; raise `DogsimError` unless it is in the folder of `path`."""
    folder = path.parent.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise DogsimError(
            f"{path} refers to weights in {name}, which is outside of its folder: refused. Put "
            "both into one folder, as files and not as links."
        )
    if not file.is_file():
        raise DogsimError(
            f"{path} refers to weights in {name}, which does not exist. Put that file beside it."
        )
    return file
