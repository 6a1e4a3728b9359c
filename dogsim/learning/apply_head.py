"""Apply a trained head to the features of a dataset."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError, as_path
from dogsim.image_files.labels import breed_key
from dogsim.networks.trained_models import (
    GENERAL_LAYER,
    HEAD_NAME_PREFIX,
    head_name,
    load_head,
    read_trained_breeds,
)
from dogsim.plumbing.terminal import note
from dogsim.retrieval.identity import learned, learned_by


def project(
    dataset: DatasetOrFile, head: str | os.PathLike[str], layer: str | None = None
) -> Dataset:
    """Embed a dataset's features with a head, which becomes part of its recipe.

    Parameters
    ----------
    dataset : Dataset or path
        With features (n, D).
    head : path
        A ``.keras`` file of `dogsim deep-ranking`, which maps (D,) to (E,). Queries of the new
        dataset are embedded with it as well, so do not move the file.
    layer : str, optional
        Output layer of the head: ``"general"``, or ``""`` for its last layer, the probabilities of
        the training breeds. By default the last layer if the dataset has no other breeds, else
        ``"general"``.

    Returns
    -------
    Dataset
        With features (n, E) and the same images and breeds. `Dataset.learned` marks the images
        that the head was trained on.

    Raises
    ------
    DogsimError
        If the head cannot be loaded or was trained on other features, or the features of the
        dataset are those of a head already.
    """
    dataset, file = as_dataset(dataset), as_path("the head", head)
    recipe = dataset.recipe
    if recipe and recipe.head_sha256:
        raise DogsimError(
            f"Received a dataset with features of the head {recipe.head}. "
            "Expected the dataset that this head was applied to."
        )
    layer = _output_layer(dataset, file) if layer is None else layer
    loaded = load_head(file, layer=layer)
    if recipe:
        name = loaded.model.name
        # Heads of datasets without a recipe and of other programs have other names.
        if name.startswith(HEAD_NAME_PREFIX) and name != head_name(recipe):
            raise DogsimError(
                f"The head {head} was trained on features of another network, layer or resize mode "
                f"than {recipe.backbone}, {recipe.layer}, {recipe.resize}. "
                "Train one on this dataset: dogsim deep-ranking."
            )
        path = str(file.resolve())
        recipe = replace(recipe, head=path, head_sha256=loaded.sha256, head_layer=layer)
    trained_on = learned(dataset) | learned_by(dataset, file)
    features = loaded(dataset.features[:])
    return replace(dataset, features=features, recipe=recipe, learned=trained_on, search=None)


def _output_layer(dataset: Dataset, head: Path) -> str:
    """Return "", the last layer, if the head was trained on all breeds, or `GENERAL_LAYER`."""
    trained_breeds = {breed_key(breed) for breed in read_trained_breeds(head)}
    labels = np.unique(dataset.labels[dataset.labels >= 0])
    breeds = map(dataset.breed_of_label, labels)
    new = [breed for breed in breeds if breed_key(breed) not in trained_breeds]
    if not trained_breeds or not new:
        return ""
    others = " and others" if new[1:] else ""
    note(
        f"The head was not trained on {new[0]}{others}: its output layer is "
        f"--layer {GENERAL_LAYER}."
    )
    return GENERAL_LAYER
