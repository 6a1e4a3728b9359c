"""The map behind the features: the vectors, place by place, that average pooling takes the mean of.

They are computed in float32, whatever precision a dataset's features have. The network that gives
them is kept ready to run like any other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.engines._keras import import_keras
from dogsim.engines.choose import choose_engine
from dogsim.engines.openvino import import_openvino
from dogsim.errors import DogsimError
from dogsim.networks.conversion import converted
from dogsim.networks.heads import Head, load_head
from dogsim.networks.views import mirrored
from dogsim.plumbing.vectors import nonzero_lengths, unit_vectors
from dogsim.recipe import Recipe

if TYPE_CHECKING:
    from dogsim.networks.extractor import NetworkOptions

LENGTH_1 = "UnitNormalization"
AFFINE = ("Dense", "Normalization", "BatchNormalization", "Rescaling", "Dropout")  # at inference
Floats: TypeAlias = NDArray[np.float32]
Run: TypeAlias = Callable[[NDArray[np.uint8]], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Places:
    """Maps pictures to their features, and to the vectors of which these are the mean.

    Attributes
    ----------
    network : callable
        Maps (B, H, W, 3) uint8 to the last map (B, h, w, D) and its pooled features (B, D), both
        float32 and of one pass.
    head : Head, optional
        What the features go through: a chain of affine layers and of such that bring to length 1.
    """

    network: Run
    head: Head | None = None

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Compute the places (B, h, w, E) and the features (B, E) of pictures (B, H, W, 3) uint8.

        The mean of a picture's places is its features, up to rounding.
        """
        maps, features = self.network(images)
        if self.head is None:
            return maps, features
        pairs = zip(maps, features, strict=True)
        return np.stack([self._through_head(*pair) for pair in pairs]), self.head(features)

    def _through_head(self, places: Floats, features: Floats) -> Floats:
        """Send the places (h, w, D) of one picture through the head, (h, w, E).

        An affine layer maps the mean of vectors to the mean of what it maps them to. So does a
        division by a length, if every place is divided by that of the mean.
        """
        rows, mean = places.reshape(-1, places.shape[-1]), features[None]
        for layer in self.head.model.layers if self.head else ():
            if _kind(layer) == LENGTH_1:
                length = np.linalg.norm(mean)
                rows, mean = rows / length, mean / length
            else:
                rows, mean = (layer(x, training=False).numpy() for x in (rows, mean))
        return rows.reshape(*places.shape[:-1], -1)


def load_places(recipe: Recipe, options: "NetworkOptions") -> Places:
    """Load the network of a recipe with its last feature map as a second output.

    Parameters
    ----------
    recipe : Recipe
    options : NetworkOptions
        The network of the recipe, see `dogsim.networks.extractor_for.check_own_weights`.

    Raises
    ------
    DogsimError
        If features of this recipe are no mean over places, its head is not linear, or a file is
        gone or another one by now.
    """
    head = None
    if sha256 := recipe.head_sha256:
        head = load_head(recipe.head, sha256, recipe.head_layer)
    if head:
        _check_linear(head, Path(recipe.head))
    if recipe.views not in ("none", "flip"):
        raise DogsimError(
            f"These features are of views {recipe.views}, whose places lie in different parts of a "
            "picture. Explained can be views none and flip."
        )
    run = _run(options)
    return Places(_both_ways(run) if recipe.views == "flip" else run, head)


def _run(options: "NetworkOptions") -> Run:
    """Load what gives the last map and the features of one view."""
    network = options.network
    if choose_engine(network.engine)[0] == "tensorflow":
        return _run_tensorflow(*options.keras_network.model(places=True)[:2])
    return _run_openvino(converted(network, places=True))


def _both_ways(network: Run) -> Run:
    """Let a network see pictures and their mirrors, whose maps are mirrored back.

    A mean of means is the mean of the maps, each divided by the length of its own mean.
    """

    def mean(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        (maps, features), (their_maps, theirs) = network(images), network(mirrored(images))
        places = maps / _lengths(features) + mirrored(their_maps / _lengths(theirs))
        both = unit_vectors(features, np.float32) + unit_vectors(theirs, np.float32)
        return np.asarray(places / 2, np.float32), np.asarray(both / 2, np.float32)

    return mean


def _lengths(features: Floats) -> Floats:
    """Return the lengths of features (B, D) as divisors (B, 1, 1, 1) of maps."""
    return nonzero_lengths(features, np.float32)[:, None, None]


def _run_openvino(model: Any) -> Run:
    """Make what `convert` has given run, picture by picture, on all cores."""
    openvino = import_openvino()

    model.reshape([1, *list(model.input(0).partial_shape)[1:]])
    hints = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(model, "CPU", hints).create_infer_request()
    lock = Lock()  # threads share it, and it has one place for what it computes

    def network(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        with lock:
            found = [list(request.infer({0: image[None]}).values()) for image in images]
        features, maps = zip(*(sorted(each, key=np.ndim) for each in found), strict=True)
        return np.concatenate(maps), np.concatenate(features)

    return network


def _run_tensorflow(model: Any, prepare: Callable[[Any], Any]) -> Run:
    import tensorflow as tf

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)])  # type: ignore[untyped-decorator]
    def both(pixels: Any) -> Any:
        return model(prepare(tf.cast(pixels, tf.float32)), training=False)

    def network(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        maps, features = both(images)
        return maps.numpy(), features.numpy()

    return network


def _check_linear(head: Head, file: Path) -> None:
    chain = isinstance(head.model, import_keras().Sequential)
    bent = [layer for layer in head.model.layers if not _is_linear(layer)]
    if bent or not chain:
        what = f"{_kind(bent[0])} {bent[0].name}" if bent else "branches"
        raise DogsimError(
            f"The head {file} has {what}, so its features are no sum over the places of a picture. "
            f"Explained can be a chain of {', '.join(AFFINE)} (without activation) and {LENGTH_1}, "
            "as dogsim project --layer general ends it, or the dataset that it was projected from."
        )


def _is_linear(layer: Any) -> bool:
    known = _kind(layer) in (*AFFINE, LENGTH_1)
    return known and layer.get_config().get("activation", "linear") == "linear"


def _kind(layer: Any) -> str:
    return type(layer).__name__
