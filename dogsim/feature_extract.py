"""Features of images."""

from collections.abc import Iterable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError
from dogsim.images import Source, as_images, load_image
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.plumbing.threads import batched, prefetch, usable_cpus


def feature_extract(image: Source, extractor: Extractor | None = None) -> NDArray[np.float32]:
    """Compute the features of one image.

    MATLAB: ``feature_extract.m``, that is
    ``activations(net, imresize(img, [224 224]), 'avg_pool')``.

    Parameters
    ----------
    image : path, array or PIL image
        See `dogsim.load_image`.
    extractor : Extractor, optional
        From `dogsim.load_extractor`; by default ResNet-50 with its ImageNet weights.

    Returns
    -------
    (D,) float32
        2048 numbers for ResNet-50.

    Raises
    ------
    DogsimError
        If the image cannot be read or the default weights are not available.

    >>> from dogsim import load_extractor
    >>> extractor = load_extractor("efficientnet-lite0")
    >>> feature_extract(np.zeros((50, 80, 3), np.uint8), extractor).shape
    (1280,)
    """
    return np.asarray(extract_features([image], extractor or _default_extractor())[0])


def extract_features(
    images: Source | Iterable[Source], extractor: Extractor, batch_size: int = 32
) -> NDArray[np.float32]:
    """Compute the features of many images; only one batch of images is in memory at a time.

    Parameters
    ----------
    images : path, array or PIL image, or iterable of them
        See `dogsim.load_image`.
    extractor : Extractor
        From `dogsim.load_extractor`.
    batch_size : int
        Number of images in a batch.

    Returns
    -------
    (N, D) float32
        Row i has the features of image i.

    Raises
    ------
    DogsimError
        If there are no images, one cannot be read, or `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise DogsimError(f"Received batch_size={batch_size}. Expected a number from 1 up.")
    recipe = extractor.recipe
    load = partial(load_image, size=recipe.image_size, resize=recipe.resize)
    loaded = prefetch(load, as_images(images), ahead=batch_size, threads=usable_cpus())
    features = [extractor(np.stack(batch)) for batch in batched(loaded, batch_size)]  # each (B, D)
    if not features:
        raise DogsimError("Received no image. Expected at least one.")
    return np.concatenate(features)


@cache
def _default_extractor() -> Extractor:
    return NetworkOptions(few=True).load()
