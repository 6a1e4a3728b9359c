"""A replacement for all networks without weights: the mean of each colour."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.networks.views import average_views
from dogsim.recipe import Recipe

BATCH_SECONDS = 0.01  # so that tests can stop a run in the middle


def colours(images: Any) -> Any:
    time.sleep(BATCH_SECONDS)
    return images.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)


def load(options: NetworkOptions) -> Extractor:
    backbone, resize = options.backbone or "colours", options.resize or "squash"
    engine = "tensorflow" if options.engine == "auto" else options.engine
    precision = "float32" if options.precision == "auto" else options.precision
    recipe = Recipe(backbone, "", "0" * 64, "avg_pool", 16, resize, engine, precision)
    recipe = replace(recipe, views=options.views or "none")
    return Extractor(recipe, average_views(colours, recipe.views))


# Replacements for methods of NetworkOptions.
SEAM = {
    "check": lambda options: None,
    "resolved": lambda options: options,
    "load": load,
    "known_recipe": lambda options, like: load(options).recipe,
}


def stop_after(
    batches: int,
    monkeypatch: pytest.MonkeyPatch,
    stop: type[BaseException] = KeyboardInterrupt,
) -> None:
    """Make the network raise `stop` after a number of batches."""
    left = [batches]

    def load_stopping(options: NetworkOptions) -> Extractor:
        extractor = load(options)

        def network(images: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise stop
            return extractor.network(images)

        return Extractor(extractor.recipe, network)

    monkeypatch.setattr(NetworkOptions, "load", load_stopping)
