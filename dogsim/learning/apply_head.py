"""A dataset's features go through a head."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError
from dogsim.image_files.labels import breed_key
from dogsim.networks.heads import GENERAL, NAMED, head_name, load_head
from dogsim.networks.training_record import read_breeds
from dogsim.plumbing.terminal import note
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import learned, learned_by


def project(
    dataset: DatasetOrFile, head: str | os.PathLike[str], layer: str | None = None
) -> Dataset:
    """Send a dataset's features through a head, which becomes part of its recipe.

    Parameters
    ----------
    dataset : Dataset or path
        With features (n, D).
    head : path
        A ``.keras`` file of `dogsim deep-ranking`, (D) to (E). Queries of the new dataset go
        through it as well, so it must stay where it is.
    layer : str, optional
        Where the head ends: ``"general"``, or ``""`` for its last layer. By default at the last,
        which gives the probabilities of the breeds that it has learned, if the dataset has no
        others; else where it is general.

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
    layer = _layer_for(dataset, Path(head)) if layer is None else layer
    loaded = load_head(head, layer=layer)
    if recipe:
        _require_same_features(loaded.model.name, recipe, head)
        path = str(Path(head).resolve())
        recipe = replace(recipe, head=path, head_sha256=loaded.sha256, head_layer=layer)
    seen = learned(dataset) | learned_by(dataset, Path(head))
    features = loaded(dataset.features)
    return replace(dataset, features=features, recipe=recipe, learned=seen, search=None)


def _layer_for(dataset: Dataset, head: Path) -> str:
    """Choose the head's last layer where it has learned all breeds of a dataset that it names."""
    learned_breeds = {breed_key(breed) for breed in read_breeds(head)}
    labels = np.unique(dataset.labels[dataset.labels >= 0])
    new = [
        breed
        for breed in map(dataset.breed_of_label, labels)
        if breed_key(breed) not in learned_breeds
    ]
    if not learned_breeds or not new:
        return ""
    others = " and others" if new[1:] else ""
    note(f"The head has not learned {new[0]}{others}: it ends at --layer {GENERAL}.")
    return GENERAL


def _require_same_features(name: str, recipe: Recipe, head: str | os.PathLike[str]) -> None:
    # a head of a dataset without recipe, or of another program, has no such name
    if name.startswith(NAMED) and name != head_name(recipe):
        raise DogsimError(
            f"The head {head} was trained on features of another network, layer or kind of "
            f"picture than {recipe.backbone}, {recipe.layer}, {recipe.resize}. "
            "Train one on this dataset: dogsim deep-ranking."
        )
