"""A dataset's features go through a head."""

import os
from dataclasses import replace
from pathlib import Path

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError
from dogsim.networks.heads import NAMED, head_name, load_head
from dogsim.recipe import Recipe
from dogsim.sameness import learned, learned_by


def project(dataset: DatasetOrFile, head: str | os.PathLike[str]) -> Dataset:
    """Send a dataset's features through a head, which becomes part of its recipe.

    Parameters
    ----------
    dataset : Dataset or path
        With features (n, D).
    head : path
        A ``.keras`` file of `dogsim deep-ranking`, (D) to (E). Queries of the new dataset go
        through it as well, so it must stay where it is.

    Returns
    -------
    Dataset
        With features (n, E), the same pictures and breeds. `Dataset.learned` tells which of them
        the head has learned from.

    Raises
    ------
    DogsimError
        If the head cannot be loaded or was trained on other features, or the dataset went
        through one already.
    """
    dataset = as_dataset(dataset)
    recipe = dataset.recipe
    if recipe and recipe.head_sha256:
        raise DogsimError(
            f"Received a dataset that went through the head {recipe.head} already. "
            "Expected the one that it was made from."
        )
    loaded = load_head(head)
    if recipe:
        _require_same_features(loaded.model.name, recipe, head)
        recipe = replace(recipe, head=str(Path(head).resolve()), head_sha256=loaded.sha256)
    seen = learned(dataset) | learned_by(dataset, Path(head))
    features = loaded(dataset.features)
    return replace(dataset, features=features, recipe=recipe, learned=seen, search=None)


def _require_same_features(name: str, recipe: Recipe, head: str | os.PathLike[str]) -> None:
    # a head of a dataset without recipe, or of another program, has no such name
    if name.startswith(NAMED) and name != head_name(recipe):
        raise DogsimError(
            f"The head {head} was trained on features of another network, layer or kind of "
            f"picture than {recipe.backbone}, {recipe.layer}, {recipe.resize}. "
            "Train one on this dataset: dogsim deep-ranking."
        )
