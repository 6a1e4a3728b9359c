"""A dataset's features go through a head."""

import os
from dataclasses import replace
from pathlib import Path

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.heads import load_head


def project(dataset: Dataset, head: str | os.PathLike[str]) -> Dataset:
    """Send a dataset's features through a head, which becomes part of its recipe.

    Parameters
    ----------
    dataset : Dataset
        With features (n, D).
    head : path
        A ``.keras`` file of `dogsim deep-ranking`, (D) to (E). Queries of the new dataset go
        through it as well, so it must stay where it is.

    Returns
    -------
    Dataset
        With features (n, E), the same pictures and breeds.

    Raises
    ------
    DogsimError
        If the head cannot be loaded or takes other features, or the dataset went through one
        already.
    """
    recipe = dataset.recipe
    if recipe and recipe.head_sha256:
        raise DogsimError(
            f"Received a dataset that went through the head {recipe.head} already. "
            "Expected the one that it was made from."
        )
    loaded = load_head(head)
    if recipe:
        recipe = replace(recipe, head=str(Path(head).resolve()), head_sha256=loaded.sha256)
    return replace(dataset, features=loaded(dataset.features), recipe=recipe)
