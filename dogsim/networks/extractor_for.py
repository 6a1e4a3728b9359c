"""The extractor of a dataset, with the check that its files are still the same."""

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from dogsim.engines.choose import choose_engine, convert, run_openvino
from dogsim.engines.model_cache import keep_network, kept_network
from dogsim.errors import DogsimError
from dogsim.networks.extractor import PIXELS, Extractor, LazyNetwork, NetworkOptions, Run
from dogsim.networks.heads import head_file_sha256, load_head
from dogsim.networks.weights import given_file
from dogsim.recipe import Recipe


def extractor_for(
    recipe: Recipe | None, weights: str | None = None, head: str | None = None
) -> Extractor:
    """Return the extractor that a dataset was made with; its network is loaded at the first call.

    Parameters
    ----------
    recipe : Recipe or None
        The dataset's.
    weights, head : str, optional
        Where its weight file and its head are now, if they have moved.

    Raises
    ------
    DogsimError
        If the dataset has no recipe, or the weight file or the head is missing or not the one it
        was made with.
    """
    recipe = require_recipe(recipe)
    options = check_own_weights(recipe, weights)
    check_own_head(recipe, head)
    engine, precision = choose_engine(options.network.engine, few=options.few)
    file = options.network.facts["weights"]
    now = replace(recipe, weights=file, head=head or recipe.head, engine=engine)
    return Extractor(replace(now, precision=precision), _lazy(recipe, weights, head))


def lazy_extractor_for(
    recipe: Recipe | None, weights: str | None = None, head: str | None = None
) -> Extractor:
    """Return what `extractor_for` does, but check the recipe's own files at the first call only.

    Images of the dataset are answered without them. `weights` and `head`, if given, are checked
    at once.
    """
    recipe = require_recipe(recipe)
    if weights is not None:
        check_own_weights(recipe, weights)
    if head is not None:
        check_own_head(recipe, head)
    return Extractor(recipe, _lazy(recipe, weights, head))


def _lazy(recipe: Recipe, weights: str | None, head: str | None) -> LazyNetwork:
    return LazyNetwork(partial(_load_network, recipe, weights, head))


@lru_cache(maxsize=1)
def _load_network(recipe: Recipe, weights: str | None, head: str | None) -> Run:
    """Load the network of a dataset, and keep the last one: all its extractors share it."""
    options = check_own_weights(recipe, weights)
    check_own_head(recipe, head)
    extractor = options.load()
    if recipe.head_sha256:
        extractor = _through_head(extractor, Path(head or recipe.head), recipe)
    recipe.require(extractor.recipe, f"the weights {options.weights}")
    return extractor.network


def check_own_weights(recipe: Recipe, weights: str | None) -> NetworkOptions:
    """Raise `DogsimError` unless a dataset's weights are there, without opening any others.

    `weights` is where its weight file lies now, if that has moved.
    """
    names = ("backbone", "layer", "resize", "views", *(PIXELS if recipe.mean else ()))
    fields = {name: getattr(recipe, name) for name in names}
    options = NetworkOptions(weights=weights or recipe.weights, few=True, **fields)
    try:
        given_file(recipe.weights if weights is None else weights)
    except DogsimError as error:
        raise DogsimError(
            f"There is no weight file {options.weights}, with which the dataset was made. Say "
            f"where the file with SHA-256 {recipe.weights_sha256[:16]}... lies: --weights FILE."
        ) from error
    found = options.recipe(recipe)
    if found is not None:
        asked = _with_head_of(recipe, found, recipe.head)
        recipe.require(asked, f"the weights {options.weights}")
    return options


def check_own_head(recipe: Recipe, head: str | None) -> None:
    """Raise `DogsimError` unless a dataset's head, if it has one, is there; opens no other.

    `head` is where it lies now, if it has moved.
    """
    if recipe.head_sha256:
        head_file_sha256(Path(head or recipe.head), recipe.head_sha256)
    elif head:
        raise DogsimError(f"Received the head {head}. This dataset went through none.")


def require_recipe(recipe: Recipe | None) -> Recipe:
    """Raise `DogsimError` if a dataset has no recipe."""
    if recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so no picture can be asked of "
            "it. It can be judged (dogsim accuracy); dogsim create-dataset makes one that can."
        )
    return recipe


def _with_head_of(dataset: Recipe, recipe: Recipe, file: str) -> Recipe:
    sha256, layer = dataset.head_sha256, dataset.head_layer
    return replace(recipe, head=file, head_sha256=sha256, head_layer=layer)


def _through_head(extractor: Extractor, file: Path, dataset: Recipe) -> Extractor:
    recipe = _with_head_of(dataset, extractor.recipe, str(file))
    if recipe.engine == "openvino":
        head = run_openvino(_converted_head(file, recipe), "float32")
    else:
        head = load_head(file, recipe.head_sha256, recipe.head_layer)
    return Extractor(recipe, lambda images: head(extractor.network(images)))


def _converted_head(file: Path, recipe: Recipe) -> Any:
    made_from = {"name": "head", "head_sha256": recipe.head_sha256}
    if recipe.head_layer:
        made_from["head_layer"] = recipe.head_layer
    if network := kept_network(made_from):
        return network
    model = load_head(file, recipe.head_sha256, recipe.head_layer).model
    network = convert(model, None, model.input_shape[1:])
    keep_network(network, made_from)
    return network
