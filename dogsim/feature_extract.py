"""Features of images."""

from collections.abc import Iterable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, as_integer, shown
from dogsim.images import Source, as_images, load_image
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.plumbing.threads import batched, decoding_threads, prefetch
from dogsim.recipe import Recipe


def feature_extract(image: Source, extractor: Extractor | None = None) -> NDArray[np.float32]:
    """Compute the features of one image.

    MATLAB: ``feature_extract.m``, that is
    ``activations(net, imresize(img, [224 224]), 'avg_pool')``.

    Parameters
    ----------
    image : path, array or PIL image
        See `dogsim.load_image`.
    extractor : Extractor, optional
        From `dogsim.load_extractor`; by default that function's default, loaded once.

    Returns
    -------
    (D,) float32
        2048 numbers for ResNet-50.

    Raises
    ------
    DogsimError
        If the image cannot be read.

    >>> from dogsim import load_extractor
    >>> extractor = load_extractor("efficientnet-lite2")
    >>> feature_extract(np.zeros((50, 80, 3), np.uint8), extractor).shape
    (1280,)
    """
    extractor = _default_extractor() if extractor is None else extractor
    return np.asarray(extract_features([image], extractor)[0])


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
    batch_size = as_integer("batch_size", batch_size)
    check_extractor(extractor)
    recipe = extractor.recipe
    load = partial(load_image, size=recipe.image_size, resize=recipe.resize)
    loaded = prefetch(load, as_images(images), ahead=batch_size, threads=decoding_threads())
    features = [extractor(np.stack(batch)) for batch in batched(loaded, batch_size)]  # each (B, D)
    if not features:
        raise DogsimError("Received no image. Expected at least one.")
    return np.concatenate(features)


def check_extractor(extractor: object, recipe: Recipe | None = None) -> None:
    """Raise `DogsimError` unless it is an extractor, and one for features of the given recipe."""
    if not isinstance(extractor, Extractor):
        raise DogsimError(
            f"Received {shown(extractor)} as the extractor. Expected one of dogsim.load_extractor "
            "or dogsim.extractor_for."
        )
    if recipe:
        recipe.require(extractor.recipe, "an extractor")


@cache
def _default_extractor() -> Extractor:
    return NetworkOptions(few=True).load()
