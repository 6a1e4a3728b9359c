"""The extractor of a dataset, with checks that its files are still the same."""

import os
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from dogsim.engines.choose import choose_engine
from dogsim.engines.model_cache import cached_model
from dogsim.engines.openvino import OpenVinoNetwork, convert
from dogsim.errors import DogsimError, path_text, shown
from dogsim.networks.extractor import PREPROCESSING, Extractor, NetworkOptions
from dogsim.networks.loading import LazyNetwork
from dogsim.networks.trained_models import Head, head_file_sha256, load_head
from dogsim.networks.weights import given_file
from dogsim.recipe import Recipe, with_channel_numbers


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
    head = None if head is None else path_text("the head", head)
    extractor = lazy_extractor_for(recipe, weights, head)
    recipe = extractor.recipe
    network = check_own_weights(recipe, weights).network
    check_own_head(recipe, head)
    engine, precision = choose_engine(network.engine, few=True)
    present = replace(
        recipe,
        weights=network.facts["weights"],
        head=head or recipe.head,
        engine=engine,
        precision=precision,
    )
    return replace(extractor, recipe=present)


def lazy_extractor_for(
    recipe: Recipe | None,
    weights: str | os.PathLike[str] | None = None,
    head: str | os.PathLike[str] | None = None,
) -> Extractor:
    """Return the extractor of `extractor_for`, whose files are checked at the first call only.

    Queries that are images of the dataset need no file. `weights` and `head` are checked at once if
    they are given.
    """
    recipe = require_recipe(recipe)
    if weights is not None:
        check_own_weights(recipe, weights)
    if head is not None:
        check_own_head(recipe, head)
    paths = (None if path is None else os.fspath(path) for path in (weights, head))
    return Extractor(recipe, LazyNetwork(partial(_load_extractor, recipe, *paths)))


def check_own_weights(recipe: Recipe, weights: str | os.PathLike[str] | None) -> NetworkOptions:
    """Raise `DogsimError` unless the weights of a dataset are present; opens no other weights.

    Parameters
    ----------
    recipe : Recipe
    weights : path or None
        The present path of its weight file, if that has moved.

    Returns
    -------
    NetworkOptions
        The options of the dataset's network.
    """
    names = ("backbone", "layer", "resize", "views", *(PREPROCESSING if recipe.mean else ()))
    fields = with_channel_numbers({name: getattr(recipe, name) for name in names})
    weights = path_text("the weight file", recipe.weights if weights is None else weights)
    options = NetworkOptions(weights=weights, few=True, **fields)
    try:
        given_file(weights)
    except DogsimError as error:
        raise DogsimError(
            f"There is no weight file {options.weights}, with which the dataset was made. Name the "
            f"file with SHA-256 {recipe.weights_sha256[:16]}...: --weights FILE."
        ) from error
    known = options.known_recipe(recipe)
    if known is not None:
        recipe.require(_with_head_of(recipe, known, recipe.head), f"the weights {options.weights}")
    return options


def check_own_head(recipe: Recipe, head: str | os.PathLike[str] | None) -> None:
    """Raise `DogsimError` unless the head of a dataset is present; opens no other file.

    `head` is its present path, if it has moved.
    """
    if recipe.head_sha256:
        head_file_sha256(Path(head or recipe.head), recipe.head_sha256)
    elif head:
        raise DogsimError(f"Received the head {head}. This dataset was made without a head.")


def require_recipe(recipe: Recipe | None) -> Recipe:
    """Return the recipe of a dataset; raise `DogsimError` if it has none."""
    if recipe is not None and not isinstance(recipe, Recipe):
        raise DogsimError(f"Received {shown(recipe)} as the recipe. Expected a Recipe.")
    if recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so it cannot answer image "
            "queries. dogsim accuracy can evaluate it; dogsim create-dataset makes one that "
            "answers."
        )
    return recipe


@lru_cache(maxsize=1)
def _load_extractor(recipe: Recipe, weights: str | None, head: str | None) -> Extractor:
    """Load the extractor of a dataset; the last one is cached and serves all its extractors."""
    options = check_own_weights(recipe, weights)
    check_own_head(recipe, head)
    extractor = options.load()
    if recipe.head_sha256:
        extractor = _through_head(extractor, Path(head or recipe.head), recipe)
    recipe.require(extractor.recipe, f"the weights {options.weights}")
    return extractor


def _with_head_of(dataset: Recipe, recipe: Recipe, file: str) -> Recipe:
    sha256, layer = dataset.head_sha256, dataset.head_layer
    return replace(recipe, head=file, head_sha256=sha256, head_layer=layer)


def _through_head(extractor: Extractor, file: Path, dataset: Recipe) -> Extractor:
    """Return an extractor that ends in the head of a dataset, computed by the same engine."""
    recipe = _with_head_of(dataset, extractor.recipe, str(file))

    def load() -> Head:
        return load_head(file, recipe.head_sha256, recipe.head_layer)

    def convert_head() -> Any:
        model = load().model
        return convert(model, None, model.input_shape[1:])

    if recipe.engine == "openvino":
        key = {"name": "head", "head_sha256": recipe.head_sha256, "head_layer": recipe.head_layer}
        head: Any = OpenVinoNetwork(cached_model(lambda: key, convert_head), "float32")
    else:
        head = load()
    return Extractor(recipe, lambda images: head(extractor.network(images)))
