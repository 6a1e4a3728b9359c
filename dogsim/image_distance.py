"""Distances between images, measured between their features."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from dogsim.dist_calc import check_metric, dist_calc
from dogsim.errors import DogsimError, as_flag, as_integer, path_text
from dogsim.feature_extract import extract_features
from dogsim.images import Source
from dogsim.networks.extractor import NetworkOptions
from dogsim.plumbing.arrays import unit_vectors
from dogsim.recipe import ChannelValues

if TYPE_CHECKING:
    from typing_extensions import Unpack

MAX_ROUNDING_ERROR = 1e-12  # of the distance between an image and itself
RESNET_DEPTHS, VGG_DEPTHS, DENSENET_DEPTHS = (18, 34, 50, 101, 152), (16, 19), (121, 169, 201)


class DistanceOptions(TypedDict, total=False):
    """Options of `ImageDistance` without the network and its preprocessing."""

    metric: str
    layer: str | None
    normalize: bool
    weights: str | os.PathLike[str] | None


class ImageDistance:
    """The distance between the features of images.

    The network needs nearly all of the time, in proportion to its multiply-adds: 1.8, 3.6, 3.8, 7.6
    and 11.3 G for each image in ResNets of 18, 34, 50, 101 and 152 layers (He et al. 2016, table
    1); with 50 layers 20 images a second on two cores without AMX. All pairs of n images need
    24 n^2 bytes of memory: 24 MB for 1,000 images, 2.4 GB for 10,000.

    With L layers, N pixels, D features and batches of B images, the features of an image take
    O(L N) time, a distance O(D), and the features of a batch O(B D) memory.

    Parameters
    ----------
    backbone : str, optional
        A name of `dogsim.BACKBONES`, such as ``"vgg16"``, ``"inceptionv3"`` or
        ``"densenet121"``, or ``"onnx"`` or ``"hub:PRESET"``; by default as for
        `dogsim.load_extractor`.
    metric : str
        One of `dogsim.METRICS`.
    layer : str, optional
        The layer whose output the features are, by default the global average pooling.
    normalize : bool
        Scale features to length 1, so that the overall strength of the activations has no effect.
        `dogsim.explain`, `dogsim.classify` and `dogsim.dist_calc` compare features as they are.
    weights : str or path, optional
        ``"imagenet"`` or a file, see `dogsim.load_extractor`.
    mean, std, image_size
        For an ONNX file, see `dogsim.load_extractor`.

    Raises
    ------
    DogsimError
        If the backbone, metric, layer or weight file is unknown or the weights are not available.

    >>> distance = ImageDistance("efficientnet-lite2")
    >>> white, black = np.full((9, 9), 255, np.uint8), np.zeros((9, 9), np.uint8)
    >>> distance.compute(white, white), distance.compute(white, black) > 0.01
    (0.0, True)
    """

    def __init__(
        self,
        backbone: str | None = None,
        metric: str = "cosine",
        layer: str | None = None,
        normalize: bool = True,
        weights: str | os.PathLike[str] | None = None,
        mean: ChannelValues | None = None,
        std: ChannelValues | None = None,
        image_size: int | None = None,
    ) -> None:
        check_metric(metric)
        self.metric = metric
        self.normalize = as_flag("normalize", normalize)
        self.extractor = NetworkOptions(
            backbone=backbone,
            weights=None if weights is None else path_text("the weight file", weights),
            layer=layer,
            mean=mean,
            std=std,
            image_size=image_size,
            few=True,
        ).load()

    def compute(self, image1: Source, image2: Source) -> float:
        """Compute the distance between two images: paths, arrays or PIL images.

        The distance of an image to itself is 0; cosine distances are at most 2. Raises
        `DogsimError` if an image cannot be read.
        """
        return float(self.compute_batch([image1, image2])[0, 1])

    def compute_batch(
        self, images_list: Iterable[Source], batch_size: int = 32
    ) -> NDArray[np.float64]:
        """Compute the distances between all images of a list.

        Parameters and errors are those of `dogsim.extract_features`.

        Returns
        -------
        (n, n) float64
            Symmetric, with zeros on the diagonal.
        """
        features = extract_features(images_list, self.extractor, batch_size)  # (n, D)
        if self.normalize:
            features = unit_vectors(features)
        distances: NDArray[np.float64] = dist_calc(features, features, self.metric)  # (n, n)
        distances = (distances + distances.T) / 2
        distances[distances < MAX_ROUNDING_ERROR] = 0
        return distances


class ResNetDistance(ImageDistance):
    """`ImageDistance` with a ResNet (He et al. 2016) of a given depth.

    See also `VGGDistance`, `InceptionDistance` and `DenseNetDistance`.

    Parameters
    ----------
    model_depth : {18, 34, 50, 101, 152}
        18 and 34 need Keras Hub: ``pip install "dogsim[hub]"``.
    metric, layer, normalize, weights
        As for `ImageDistance`.

    Raises
    ------
    DogsimError
        If there is no ResNet of that depth, Keras Hub is missing, or as `ImageDistance` does.

    >>> ResNetDistance(19)
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received model_depth=19. Expected one of 18, 34, 50, 101, 152.
    """

    def __init__(
        self,
        model_depth: int = 50,
        metric: str = "cosine",
        layer: str | None = None,
        normalize: bool = True,
        weights: str | os.PathLike[str] = "imagenet",
    ) -> None:
        name = _name_of_depth("resnet", model_depth, RESNET_DEPTHS)
        super().__init__(name, metric, layer, normalize, weights)


class VGGDistance(ImageDistance):
    """`ImageDistance` with a VGG (Simonyan and Zisserman 2015) of 16 or 19 layers.

    Parameters
    ----------
    model_depth : {16, 19}
    metric, layer, normalize, weights
        As for `ImageDistance`, by keyword.

    >>> VGGDistance(11)
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received model_depth=11. Expected one of 16, 19.
    """

    def __init__(self, model_depth: int = 16, **options: "Unpack[DistanceOptions]") -> None:
        super().__init__(_name_of_depth("vgg", model_depth, VGG_DEPTHS), **options)


class InceptionDistance(ImageDistance):
    """`ImageDistance` with Inception-v3 (Szegedy et al. 2016).

    Parameters
    ----------
    metric, layer, normalize, weights
        As for `ImageDistance`, by keyword.
    """

    def __init__(self, **options: "Unpack[DistanceOptions]") -> None:
        super().__init__("inceptionv3", **options)


class DenseNetDistance(ImageDistance):
    """`ImageDistance` with a DenseNet (Huang et al. 2017) of a given depth.

    Parameters
    ----------
    model_depth : {121, 169, 201}
    metric, layer, normalize, weights
        As for `ImageDistance`, by keyword.
    """

    def __init__(self, model_depth: int = 121, **options: "Unpack[DistanceOptions]") -> None:
        super().__init__(_name_of_depth("densenet", model_depth, DENSENET_DEPTHS), **options)


def _name_of_depth(family: str, model_depth: int, depths: tuple[int, ...]) -> str:
    depth = as_integer("model_depth", model_depth)
    if depth not in depths:
        expected = ", ".join(map(str, depths))
        raise DogsimError(f"Received model_depth={depth}. Expected one of {expected}.")
    return f"{family}{depth}"
