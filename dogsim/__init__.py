"""dogsim: which of the pictures I know look most like this one?

The functions in the order of the method, and the classes of what they take and give:

Pictures
    find_images: the image files of a folder
    load_image: a file, array or PIL image as the pixels that a network takes

Features
    feature_extract, extract_features: of one picture, of many
    load_extractor, extractor_for, Extractor: the network, by its name, or as a dataset needs it
    Recipe: how features were made
    BACKBONES, choose_engine: which networks there are, and what computes here

Known pictures
    Dataset: their features, breeds and paths, in memory and in a file
    create_dataset, update_dataset, Update: of a folder of breed folders; what has changed in it
    sample_dataset, sample_queries: drawings that come along
    stanford_dogs: photos of 120 breeds, downloaded
    import_mat, export_mat: from MATLAB and to it

Nearest
    dist_calc, mink, nearest, METRICS: distances, the k smallest, both in bounded memory
    expand: nearest by more than one picture
    ImageDistance, ResNetDistance: how far two pictures are apart

Answers
    majority_vote: what the neighbours say
    classify, Answer: pictures in, breeds out

How good they are
    accuracy, Accuracy: over all pictures, or those of a test set
    hold_out: pictures to judge by, apart from those to learn from
    audit, Audit: copies, suspicious labels and poor pictures of a dataset

Looking
    result_grid, result_grids, heat_maps, accuracy_figures, breed_tree: figures
    show_or_save: on the screen, or to files
    explain, Explanation: which parts of two pictures bring them together or apart

Learning
    train_ranking, Ranking, project: a head that weighs features; a dataset goes through it
    load_head, Head, save_model: heads and networks in files
    train_classifier, load_classifier, Classifier, calibration_error: a softmax on the features
    fine_tune, augment: the network itself, by triplets of pictures
    sample_triplets, ranking_loss, discriminant: the parts of deep ranking

Networks from their blocks
    convolution_block, identity_block, inception_module: of ResNet and Inception
    resnet50, googlenet, alexnet, multiscale: whole ones

What a program needs
    DogsimError: what the user can mend, in one line
    say, printable: text in a terminal

`dogsim.estimators` has all of this for scikit-learn.
"""

# As in MATLAB a file is its function: `from dogsim import feature_extract` gives the function of
# `dogsim/feature_extract.py`. The public names and their modules stand in `__init__.pyi`: type
# checkers read them there, and so does this file. A module is imported at the first use of one of
# its names, so that `import dogsim` loads neither TensorFlow nor matplotlib.

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

__version__ = "1.0.0"

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
