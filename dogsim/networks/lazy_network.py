"""A network that is loaded when its first image comes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.tensorflow import Compute

if TYPE_CHECKING:
    from dogsim.networks.extractor import Extractor


class LazyNetwork:
    """A function from images to features that is loaded at its first call.

    A pickle does not contain the loaded network: another process loads it again.

    Parameters
    ----------
    load : callable
        Returns the loaded extractor. It has to be picklable for the network to be picklable.
    loaded : callable, optional
        The function, if it is loaded already.
    """

    def __init__(self, load: Callable[[], "Extractor"], loaded: Compute | None = None) -> None:
        self._load, self._loaded = load, loaded

    def load(self) -> Compute:
        """Return the function; load it at the first call."""
        if self._loaded is None:
            self._loaded = self._load().network
        return self._loaded

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features (B, D) of images (B, H, W, 3)."""
        return self.load()(images)

    def __getstate__(self) -> dict[str, Any]:
        return {"_load": self._load, "_loaded": None}
