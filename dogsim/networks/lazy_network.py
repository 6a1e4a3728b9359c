"""A network that is loaded when it is first used."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.tensorflow import Compute


class LazyNetwork:
    """A function from images to features that is loaded at its first call.

    A pickle of it does not contain what is loaded: another process loads it again.

    Parameters
    ----------
    load : callable
        Returns the function. It has to be picklable for the extractor to be picklable.
    """

    def __init__(self, load: Callable[[], Compute], loaded: Compute | None = None) -> None:
        self._load, self._loaded = load, loaded

    def load(self) -> Compute:
        """Return the function; load it at the first call."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features (B, D) of images (B, H, W, 3)."""
        return self.load()(images)

    def __getstate__(self) -> dict[str, Any]:
        return {"_load": self._load, "_loaded": None}
