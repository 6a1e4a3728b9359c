"""dogsim: which of the pictures I know look most like this one?

As in MATLAB a file is its function: ``from dogsim import feature_extract`` gives the function of
``dogsim/feature_extract.py``. The public names and their modules stand in ``__init__.pyi`` and
nowhere else: type checkers read them there, and so does this file. A module is imported at the
first use of one of its names, so that ``import dogsim`` loads neither TensorFlow nor matplotlib.
"""

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_MODULE_OF = {
    name: module
    for module, name in re.findall(r"^from (\S+) import (\w+) as \2$", _STUB, re.MULTILINE)
}
__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'dogsim' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Keeps ``dogsim.accuracy`` the function once the module of that name has been imported.

    Python binds every imported submodule as an attribute of its package. A submodule whose name
    is promised to a function is not bound here; ``from dogsim.accuracy import ...`` still finds it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _MODULE_OF):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
