"""How far two pictures are apart, as a network sees them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from dogsim.dist_calc import check_metric, dist_calc, unit_vectors
from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features
from dogsim.images import Source
from dogsim.networks.extractor import NetworkOptions

ROUNDING = 1e-12  # what the metric of a picture and itself may come to, instead of 0
DEPTHS = {18: "resnet18", 34: "resnet34", 50: "resnet50", 101: "resnet101", 152: "resnet152"}


class ImageDistance:
    """Measures the distance between the features of pictures.

    The network takes nearly all of the time, which grows as its work does: 1.8, 3.6, 3.8, 7.6 and
    11.3 G multiply-adds a picture for ResNets of 18, 34, 50, 101 and 152 layers (He et al. 2016,
    table 1); with 50 layers 20 pictures a second on two cores without AMX. All pairs of n pictures
    take 24 n^2 bytes at once: 24 MB for 1,000 of them, 2.4 GB for 10,000.

    Parameters
    ----------
    backbone : str
        A name of `dogsim.BACKBONES`, such as ``"vgg16"``, ``"inceptionv3"`` or
        ``"densenet121"``, or ``"onnx"`` or ``"hub:PRESET"``.
    metric : str
        One of `dogsim.METRICS`.
    layer : str, optional
        The layer whose output the features are, by default the global average pooling.
    normalize : bool
        Bring features to length 1, so that the brightness of a feature map counts for nothing.
    weights : str
        ``"imagenet"`` or a file, see `dogsim.load_extractor`.
    mean, std, image_size
        Of an ONNX file, see `dogsim.load_extractor`.

    Raises
    ------
    DogsimError
        If the backbone, metric, layer or weight file is unknown or the weights cannot be had.

    >>> distance = ImageDistance("efficientnet-lite0")
    >>> white, black = np.full((9, 9), 255, np.uint8), np.zeros((9, 9), np.uint8)
    >>> distance.compute(white, white), distance.compute(white, black) > 0.01
    (0.0, True)
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        metric: str = "cosine",
        layer: str | None = None,
        normalize: bool = True,
        weights: str = "imagenet",
        mean: str | None = None,
        std: str | None = None,
        image_size: int | None = None,
    ) -> None:
        check_metric(metric)
        self.metric = metric
        self.normalize = normalize
        self.extractor = NetworkOptions(
            backbone=backbone,
            weights=weights,
            layer=layer,
            mean=mean,
            std=std,
            image_size=image_size,
            few=True,
        ).load()

    def compute(self, image1: Source, image2: Source) -> float:
        """Compute the distance between two pictures: paths, arrays or PIL images.

        Returns 0 for the same picture; cosine distances go up to 2. Raises `DogsimError` if a
        picture cannot be read.
        """
        return float(self.compute_batch([image1, image2])[0, 1])

    def compute_batch(
        self, images_list: Iterable[Source], batch_size: int = 32
    ) -> NDArray[np.float64]:
        """Compute the distances between all pictures of a list.

        Parameters
        ----------
        images_list : iterable of n paths, arrays or PIL images
        batch_size : int
            How many pictures go through the network at once.

        Returns
        -------
        (n, n) float64
            Symmetric, with a diagonal of zeros.

        Raises
        ------
        DogsimError
            If there is no picture or one cannot be read.
        """
        features: NDArray[np.floating] = extract_features(images_list, self.extractor, batch_size)
        if self.normalize:
            features = unit_vectors(features)
        distances: NDArray[np.float64] = dist_calc(features, features, self.metric)
        distances = (distances + distances.T) / 2
        distances[distances < ROUNDING] = 0
        return distances


class ResNetDistance(ImageDistance):
    """`ImageDistance` by a ResNet of a given depth.

    Parameters
    ----------
    model_depth : {18, 34, 50, 101, 152}
        18 and 34 come from Keras Hub: ``pip install dogsim[hub]``.
    metric, layer, normalize, weights
        As for `ImageDistance`.

    Raises
    ------
    DogsimError
        If there is no such depth, Keras Hub is needed and missing, or as `ImageDistance` does.

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
        weights: str = "imagenet",
    ) -> None:
        if model_depth not in DEPTHS:
            depths = ", ".join(map(str, DEPTHS))
            raise DogsimError(f"Received model_depth={model_depth}. Expected one of {depths}.")
        super().__init__(DEPTHS[model_depth], metric, layer, normalize, weights)
