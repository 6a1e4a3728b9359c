"""dogsim: which of the pictures I know look most like this one?

As in MATLAB a file is its function: ``from dogsim import feature_extract`` gives the function of
``dogsim/feature_extract.py``. Names are looked up at first use, so that ``import dogsim`` loads
neither TensorFlow nor matplotlib. Type checkers read them from ``__init__.pyi``.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "accuracy": ("Accuracy", "accuracy"),
    "networks.backbones": ("BACKBONES", "Extractor", "extractor_for", "load_extractor"),
    "networks.building_blocks": (
        "convolution_block",
        "identity_block",
        "inception_module",
        "resnet50",
    ),
    "classify": ("Answer", "classify", "majority_vote"),
    "create_dataset": ("create_dataset",),
    "dataset": ("Dataset",),
    "learning.deep_ranking": ("Ranking", "ranking_loss", "sample_triplets", "train_ranking"),
    "learning.discriminant": ("discriminant",),
    "figures.display": ("show_or_save",),
    "dist_calc": ("METRICS", "dist_calc", "mink", "nearest"),
    "networks.engines": ("choose_engine",),
    "errors": ("DogsimError",),
    "learning.fine_tune": ("fine_tune",),
    "feature_extract": ("extract_features", "feature_extract"),
    "networks.heads": ("Head", "load_head", "save_model"),
    "learning.hold_out": ("hold_out",),
    "image_distance": ("ImageDistance", "ResNetDistance"),
    "images": ("find_pictures", "load_image"),
    "sources.matlab": ("export_mat", "import_mat"),
    "figures.grid": ("result_grid",),
    "learning.project": ("project",),
    "recipe": ("Recipe",),
    "sources.sample": ("sample_dataset", "sample_queries"),
    "sources.stanford_dogs": ("stanford_dogs",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dogsim' has no attribute {name!r}")
    return getattr(import_module(f"dogsim.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return ["__version__", *_MODULE_OF]


class _Package(ModuleType):
    """Keeps ``dogsim.accuracy`` the function once the module of that name has been imported.

    Python binds every imported submodule as an attribute of its package. A submodule whose name
    is promised to a function is not bound here; ``from dogsim.accuracy import ...`` still finds it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _MODULE_OF):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
