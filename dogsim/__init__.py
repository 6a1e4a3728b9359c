"""Image similarity: find the known images most similar to a query, and predict its breed.

The public functions and classes, in the order of the method:

Images and features
    find_images, load_image: list the images of a folder; load one as the pixels of a network
    feature_extract, extract_features: compute the features of one image, of many
    load_extractor, extractor_for, Extractor: a network, by its name or for a dataset
    Recipe: how features were made
    BACKBONES, choose_engine: the networks, and the inference engine

Datasets
    Dataset: features, breeds and paths of the known images, in memory and in a file
    create_dataset, update_dataset, Update: from a folder of breed folders
    sample_dataset, sample_queries: drawings that come with the package
    stanford_dogs, caltech101: photos of 120 breeds, or of 101 classes, downloaded
    import_mat, export_mat: from and to MATLAB

Neighbours and their vote
    dist_calc, mink, nearest, METRICS: distances, and the k smallest of them
    expand: search with query expansion
    majority_vote: the breed with the most votes
    classify, Answer: images to breeds
    ImageDistance, ResNetDistance: the distance between two images
    VGGDistance, InceptionDistance, DenseNetDistance: the same with other networks

Evaluation
    accuracy, Accuracy: scores over all images, or over those of a test set
    published_accuracy, PublishedAccuracy: by the protocol of the MATLAB project
    hold_out: split a dataset into a gallery and a test set
    audit, Audit: duplicates, suspicious labels and outliers of a dataset

Figures
    result_grid, result_grids, heat_maps, accuracy_figures, breed_tree: draw a figure
    show_or_save: show figures, or save them to files
    explain, Explanation: which places of two images increase or reduce their distance

Learning
    train_ranking, Ranking, project: train a head by deep ranking; apply it to a dataset
    load_head, Head, save_model: heads and networks in files
    train_classifier, load_classifier, Classifier, calibration_error: a softmax on the features
    fine_tune, augment: train the network itself
    sample_triplets, ranking_loss, discriminant: the parts of deep ranking
    sample_pairs, contrastive_loss: pairs of images instead of triplets
    convolution_block, identity_block, inception_module: the blocks of ResNet and Inception
    resnet50, googlenet, alexnet, multiscale: networks made of blocks

For programs
    DogsimError: raised for every mistake that the user can fix
    say, printable: text for a terminal
    run_script: the command line of a script, from the parameters of its main function

The scikit-learn estimators are in `dogsim.estimators`.
"""

# As in MATLAB, a file is its function: `from dogsim import feature_extract` imports the function of
# `dogsim/feature_extract.py`. Type checkers and this file read the public names and their modules
# from `__init__.pyi`. A module is imported at the first use of one of its names, so that
# `import dogsim` loads neither TensorFlow nor matplotlib.

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
    """A package whose attribute ``accuracy`` stays the function after its module is imported.

    Python binds every imported submodule as an attribute of its package. Submodules with the name
    of a public function are not bound; ``from dogsim.accuracy import ...`` still finds them.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _MODULE_OF):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
