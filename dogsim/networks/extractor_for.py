"""The extractor of a dataset, with checks that its files are still the same."""

import os
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from dogsim.engines.choose import choose_engine
from dogsim.engines.model_cache import cached_model
from dogsim.engines.openvino import OpenVinoNetwork, convert
from dogsim.engines.tensorflow import Compute
from dogsim.errors import DogsimError
from dogsim.networks.extractor import PREPROCESSING, Extractor, NetworkOptions
from dogsim.networks.heads import head_file_sha256, load_head
from dogsim.networks.lazy_network import LazyNetwork
from dogsim.networks.weights import given_file
from dogsim.recipe import Recipe


def extractor_for(
    recipe: Recipe | None,
    weights: str | os.PathLike[str] | None = None,
    head: str | os.PathLike[str] | None = None,
) -> Extractor:
    """Return the extractor that a dataset was made with; its network is loaded at the first call.

    Parameters
    ----------
    recipe : Recipe or None
        The recipe of the dataset.
    weights, head : path, optional
        The present paths of its weight file and its head, if they have moved.

    Raises
    ------
    DogsimError
        If the dataset has no recipe, or the weight file or the head is missing or not the one that
        the dataset was made with.
    """
    recipe = require_recipe(recipe)
    weights, head = _text(weights), _text(head)
    options = check_own_weights(recipe, weights)
    check_own_head(recipe, head)
    network = options.network
    engine, precision = choose_engine(network.engine, few=options.few)
    present = replace(
        recipe,
        weights=network.facts["weights"],
        head=head or recipe.head,
        engine=engine,
        precision=precision,
    )
    return Extractor(present, _lazy(recipe, weights, head))


def lazy_extractor_for(
    recipe: Recipe | None, weights: str | None = None, head: str | None = None
) -> Extractor:
    """Return what `extractor_for` does, but check files that the recipe names at the first call.

    Queries that are images of the dataset need none of them. `weights` and `head`, if given, are
    checked at once.
    """
    recipe = require_recipe(recipe)
    if weights is not None:
        check_own_weights(recipe, weights)
    if head is not None:
        check_own_head(recipe, head)
    return Extractor(recipe, _lazy(recipe, weights, head))


def check_own_weights(recipe: Recipe, weights: str | None) -> NetworkOptions:
    """Raise `DogsimError` unless the weights of a dataset are present; opens no other weights.

    Parameters
    ----------
    recipe : Recipe
    weights : str or None
        The present path of its weight file, if that has moved.

    Returns
    -------
    NetworkOptions
        The options of the dataset's network.
    """
    names = ("backbone", "layer", "resize", "views", *(PREPROCESSING if recipe.mean else ()))
    fields = {name: getattr(recipe, name) for name in names}
    options = NetworkOptions(weights=weights or recipe.weights, few=True, **fields)
    try:
        given_file(recipe.weights if weights is None else weights)
    except DogsimError as error:
        raise DogsimError(
            f"There is no weight file {options.weights}, with which the dataset was made. Name the "
            f"file with SHA-256 {recipe.weights_sha256[:16]}...: --weights FILE."
        ) from error
    known = options.known_recipe(recipe)
    if known is not None:
        recipe.require(_with_head_of(recipe, known, recipe.head), f"the weights {options.weights}")
    return options


def check_own_head(recipe: Recipe, head: str | None) -> None:
    """Raise `DogsimError` unless the head of a dataset is present; opens no other file.

    `head` is its present path, if it has moved.
    """
    if recipe.head_sha256:
        head_file_sha256(Path(head or recipe.head), recipe.head_sha256)
    elif head:
        raise DogsimError(f"Received the head {head}. This dataset was made without a head.")


def require_recipe(recipe: Recipe | None) -> Recipe:
    """Return the recipe of a dataset; raises `DogsimError` if it has none."""
    if recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so it cannot answer image "
            "queries. dogsim accuracy can evaluate it; dogsim create-dataset makes one that "
            "answers."
        )
    return recipe


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _lazy(recipe: Recipe, weights: str | None, head: str | None) -> LazyNetwork:
    return LazyNetwork(partial(_load_network, recipe, weights, head))


@lru_cache(maxsize=1)
def _load_network(recipe: Recipe, weights: str | None, head: str | None) -> Compute:
    """Load the network of a dataset; the last one is kept and shared by all its extractors."""
    options = check_own_weights(recipe, weights)
    check_own_head(recipe, head)
    extractor = options.load()
    if recipe.head_sha256:
        extractor = _through_head(extractor, Path(head or recipe.head), recipe)
    recipe.require(extractor.recipe, f"the weights {options.weights}")
    return extractor.network


def _with_head_of(dataset: Recipe, recipe: Recipe, file: str) -> Recipe:
    sha256, layer = dataset.head_sha256, dataset.head_layer
    return replace(recipe, head=file, head_sha256=sha256, head_layer=layer)


def _through_head(extractor: Extractor, file: Path, dataset: Recipe) -> Extractor:
    recipe = _with_head_of(dataset, extractor.recipe, str(file))
    if recipe.engine == "openvino":
        head: Any = OpenVinoNetwork(_converted_head(file, recipe), "float32")
    else:
        head = load_head(file, recipe.head_sha256, recipe.head_layer)
    return Extractor(recipe, lambda images: head(extractor.network(images)))


def _converted_head(file: Path, recipe: Recipe) -> Any:
    key = {"name": "head", "head_sha256": recipe.head_sha256}
    if recipe.head_layer:
        key["head_layer"] = recipe.head_layer

    def convert_head() -> Any:
        model = load_head(file, recipe.head_sha256, recipe.head_layer).model
        return convert(model, None, model.input_shape[1:])

    return cached_model(lambda: key, convert_head)
