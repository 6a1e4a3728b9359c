"""Feature maps: the vectors, position by position, whose mean the features of an image are.

They are computed in float32, whatever the precision of a dataset's features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.choose import choose_engine
from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError
from dogsim.networks.loading import load_network
from dogsim.networks.protocols import Network
from dogsim.networks.trained_models import Head, load_head
from dogsim.networks.views import mirrored
from dogsim.plumbing.arrays import nonzero_lengths
from dogsim.recipe import Recipe

NORMALIZATION_TO_LENGTH_1 = "UnitNormalization"
AFFINE = ("Dense", "Normalization", "BatchNormalization", "Rescaling", "Dropout")  # at inference
Floats: TypeAlias = NDArray[np.float32]
ComputeMaps: TypeAlias = Callable[[NDArray[np.uint8]], tuple[Floats, Floats]]


@dataclass(frozen=True)
class FeatureMaps:
    """A function from images to their feature maps and features.

    Attributes
    ----------
    network : callable
        Maps (B, H, W, 3) uint8 to the last feature map (B, h, w, D) and its mean, the features
        (B, D), both float32.
    head : Head, optional
        The head that follows: a chain of affine layers and normalisations to length 1.
    """

    network: ComputeMaps
    head: Head | None = None

    def __call__(self, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        """Compute the maps (B, h, w, E) and the features (B, E) of images (B, H, W, 3) uint8.

        The mean of an image's map is its features, up to rounding.
        """
        maps, features = self.network(images)
        if self.head is None:
            return maps, features
        pairs = zip(maps, features, strict=True)
        return np.stack([_through(self.head, *pair) for pair in pairs]), self.head(features)


def load_feature_maps(recipe: Recipe, network: Network) -> FeatureMaps:
    """Load the network of a recipe with its last feature map as a second output.

    Parameters
    ----------
    recipe : Recipe
    network : Network
        The network of the recipe, see `dogsim.networks.extractor_for.check_own_weights`.

    Raises
    ------
    DogsimError
        If features of this recipe are not the mean of a map, its head is not affine, or a file is
        missing or has changed.
    """
    head = None
    if recipe.head_sha256:
        head = load_head(recipe.head, recipe.head_sha256, recipe.head_layer)
        _check_affine(head, Path(recipe.head))
    if recipe.views not in ("none", "flip"):
        raise DogsimError(
            f"These features are of views {recipe.views}, whose maps show different parts of an "
            "image. Expected views none or flip."
        )
    loaded, _ = load_network(network, choose_engine(network.engine)[0], "float32", with_map=True)

    def compute(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        features, maps = sorted(loaded.outputs(images), key=np.ndim)
        return maps, features

    return FeatureMaps(_averaged_with_mirror(compute) if recipe.views == "flip" else compute, head)


def _averaged_with_mirror(network: ComputeMaps) -> ComputeMaps:
    """Return a function that averages an image and its mirror, whose map is mirrored back.

    Features are scaled to length 1 before they are averaged, and each map by the same factor.
    """

    def normalized(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        maps, features = network(images)
        lengths = nonzero_lengths(features, np.float32)  # (B, 1)
        return maps / lengths[:, None, None], features / lengths

    def mean(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        (maps, features), (other_maps, others) = normalized(images), normalized(mirrored(images))
        return np.mean([maps, mirrored(other_maps)], axis=0), np.mean([features, others], axis=0)

    return mean


def _through(head: Head, feature_map: Floats, features: Floats) -> Floats:
    """Map the feature map (h, w, D) of one image through the head, (h, w, E).

    An affine layer maps the mean of vectors to the mean of the mapped vectors. So does a
    normalisation, if each position is divided by the length of the mean.
    """
    rows, mean = feature_map.reshape(-1, feature_map.shape[-1]), features[None]
    for layer in head.model.layers:
        if _kind(layer) == NORMALIZATION_TO_LENGTH_1:
            length = np.linalg.norm(mean)
            rows, mean = rows / length, mean / length
        else:
            rows, mean = (layer(x, training=False).numpy() for x in (rows, mean))
    return rows.reshape(*feature_map.shape[:-1], -1)


def _check_affine(head: Head, file: Path) -> None:
    chain = isinstance(head.model, import_keras().Sequential)
    others = [layer for layer in head.model.layers if not _is_affine(layer)]
    if others or not chain:
        what = f"{_kind(others[0])} {others[0].name}" if others else "branches"
        raise DogsimError(
            f"The head {file} has {what}, so its features are not a sum over the positions of a "
            f"feature map. Expected a chain of {', '.join(AFFINE)} (without activation) and "
            f"{NORMALIZATION_TO_LENGTH_1}, as dogsim project --layer general makes one, or the "
            "dataset that was projected."
        )


def _is_affine(layer: Any) -> bool:
    known = _kind(layer) in (*AFFINE, NORMALIZATION_TO_LENGTH_1)
    return known and layer.get_config().get("activation", "linear") == "linear"


def _kind(layer: Any) -> str:
    return type(layer).__name__
