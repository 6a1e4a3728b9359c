"""dogsim as scikit-learn expects it: pictures become features, and neighbours vote.

Both are the functions of the method in scikit-learn's clothes, for pipelines, grid searches and
cross-validation. ``X`` and ``y`` are its names for what is known and how it is called.
"""

import os
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.dist_calc import check_metric, nearest
from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features
from dogsim.images import Cropped, Source
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.trust.calibration import calibration_for
from dogsim.trust.conformal import PredictionSet, check_confidence, prediction_sets
from dogsim.vote import check_vote, majority_vote, vote_weights

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
    )
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as missing:  # there is none, or one from before 1.6
    raise DogsimError(
        "The estimators take scikit-learn 1.6 or later, which is not installed. "
        "Run: pip install --upgrade 'dogsim[sklearn]'"
    ) from missing

FLOATS = (np.float32, np.float64)
TIE = 1e-9


class PictureFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns pictures into features, as `dogsim.extract_features` does; it learns nothing.

    The network is loaded at the first picture and stays loaded, for equal estimators the same one;
    an estimator that is copied or pickled does not carry it along.

    Parameters
    ----------
    backbone, weights, layer, resize, engine, precision, views, mean, std, image_size
        As for `dogsim.load_extractor`.
    batch_size : int
        How many pictures go through the network at once.

    >>> PictureFeatures("efficientnet-lite0").transform([np.zeros((50, 80, 3), np.uint8)]).shape
    (1, 1280)
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        weights: str = "imagenet",
        layer: str | None = None,
        resize: str = "squash",
        engine: str = "auto",
        precision: str = "auto",
        views: str = "none",
        batch_size: int = 32,
        mean: str | None = None,
        std: str | None = None,
        image_size: int | None = None,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.layer = layer
        self.resize = resize
        self.engine = engine
        self.precision = precision
        self.views = views
        self.batch_size = batch_size
        self.mean = mean
        self.std = std
        self.image_size = image_size

    def fit(self, X: Any, y: Any = None) -> "PictureFeatures":
        """Check what was asked for; raises `DogsimError` for a name or file that there is not."""
        self._wanted.check()
        return self

    def transform(self, X: Iterable[Source]) -> NDArray[np.float32]:
        """Compute the features of pictures.

        Parameters
        ----------
        X : iterable of n paths, arrays or PIL images, or (n, h, w, 3) uint8
            As `dogsim.load_image` takes each.

        Returns
        -------
        (n, D) float32

        Raises
        ------
        DogsimError
            If there is no picture, one cannot be read, or the network cannot be had.
        """
        if isinstance(X, str | bytes | os.PathLike | Image.Image | Cropped):
            raise DogsimError(f"Received one picture, {X!r:.60}. Expected a list of pictures.")
        return extract_features(iter(X), _loaded(self._wanted), self.batch_size)

    @property
    def _wanted(self) -> NetworkOptions:
        options = self.get_params()
        del options["batch_size"]
        return NetworkOptions(**options)

    @property
    def _n_features_out(self) -> int:
        """How many features there are, by which scikit-learn names them."""
        extractor = _loaded(self._wanted)
        side = extractor.recipe.image_size
        return len(extractor(np.zeros((1, side, side, 3), np.uint8))[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # but pictures, by their paths or as they are
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.no_validation = True
        return tags


@lru_cache(maxsize=2)
def _loaded(wanted: NetworkOptions) -> Extractor:
    return wanted.load()


class LazyClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Lets the k nearest vote, as `dogsim.classify` does, exactly; ties go to the nearest.

    Parameters
    ----------
    k : int
        How many neighbours vote; all, where fewer are known.
    metric : str
        One of `dogsim.METRICS`.
    vote : {"uniform", "distance"}
        Every neighbour has one vote, or one that weighs 1 / distance.
    confidence : float, optional
        What `trust` promises, such as 0.9.

    Attributes
    ----------
    classes_ : (c,) array
    dataset_ : Dataset
        What was learned by heart, with the classes for breeds.

    >>> angles = np.linspace(0, 3, 8)
    >>> X, y = np.c_[np.cos(angles), np.sin(angles)], ["pug"] * 4 + ["whippet"] * 4
    >>> LazyClassifier(k=3).fit(X, y).predict([[0.9, 0.1], [-0.9, 0.1]]).tolist()
    ['pug', 'whippet']
    """

    def __init__(
        self,
        k: int = 20,
        metric: str = "euclidean",
        vote: str = "uniform",
        confidence: float | None = None,
    ) -> None:
        self.k = k
        self.metric = metric
        self.vote = vote
        self.confidence = confidence

    def fit(self, X: ArrayLike, y: ArrayLike) -> "LazyClassifier":
        """Keep features (n, d) and their classes (n,).

        Raises `DogsimError` for a metric, vote or confidence that is none, and what scikit-learn
        raises for other input.
        """
        check_metric(self.metric)
        check_vote(self.vote)
        if self.confidence is not None:
            check_confidence(self.confidence)
        features, classes = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(classes)
        self.classes_, labels = np.unique(classes, return_inverse=True)
        names = tuple(map(str, self.classes_))
        paths = tuple(f"row {i}" for i in range(len(labels)))
        self.dataset_ = Dataset(features, labels.astype(np.int32), paths, names)
        return self

    def kneighbors(
        self,
        X: ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,
    ) -> Any:
        """Find the nearest of features (m, d), by default of each that is known, itself left out.

        Returns distances and rows (m, k), nearest first, or the rows alone. Raises `DogsimError` if
        `n_neighbors` are more than there are.
        """
        check_is_fitted(self)
        known = self.dataset_
        own = np.arange(len(known)) if X is None else None
        asked = known.features if X is None else self._checked(X)
        k = min(self.k, len(known) - (X is None)) if n_neighbors is None else n_neighbors
        distances, rows = nearest(known, asked, k, self.metric, own)
        return (distances, rows) if return_distance else rows

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Name the class of each of features (m, d), (m,)."""
        winners = majority_vote(*self._votes(X))
        named: NDArray[Any] = self.classes_[winners]
        return named

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Tell which share of the vote each class has, (m, c), in the order of `classes_`.

        Of shares that are the same, that of the class which `predict` names is the largest, by
        1e-9. A share is no promise; `trust` makes one.
        """
        labels, weights = self._votes(X)
        rows = np.arange(len(labels))
        shares = np.zeros((len(labels), len(self.classes_)))
        np.add.at(shares, (rows[:, None], labels), 1 if weights is None else weights)
        shares[rows, majority_vote(labels, weights)] *= 1 + TIE
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))

    def trust(self, X: ArrayLike) -> list[PredictionSet]:
        """Find for each of features (m, d) the set of classes that `confidence` promises.

        Raises `DogsimError` without a confidence, or if so much cannot be promised; see
        `dogsim.trust.conformal`.
        """
        check_is_fitted(self)
        if self.confidence is None:
            raise DogsimError("Received confidence=None. Expected one to promise, as 0.9.")
        calibration = calibration_for(self.dataset_, self.confidence)
        return prediction_sets(calibration, self._checked(X), self.confidence)

    def _votes(self, X: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
        """Labels of the neighbours (m, k), and what their votes weigh."""
        distances, rows = self.kneighbors(X)
        return self.dataset_.labels[rows], vote_weights(distances, self.vote)

    def _checked(self, X: ArrayLike) -> Any:
        return validate_data(self, X, reset=False, dtype=FLOATS)
