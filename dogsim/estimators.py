"""scikit-learn estimators: a transformer of images to features, and the k-nearest-neighbour vote.

They call the functions of the package in pipelines, grid searches and cross-validation. ``X`` and
``y`` are scikit-learn's names for the samples and their classes.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.dist_calc import check_metric, nearest
from dogsim.engines.choose import Engine, Precision
from dogsim.errors import DogsimError, as_integer, path_text
from dogsim.feature_extract import extract_features
from dogsim.image_files.square import Resize
from dogsim.images import Cropped, Source
from dogsim.networks.extractor import NetworkOptions
from dogsim.networks.views import Views
from dogsim.plumbing.terminal import note
from dogsim.recipe import ChannelValues
from dogsim.trust.calibration import calibration_for
from dogsim.trust.conformal import (
    DEFAULT_COVERAGE,
    PredictionSet,
    check_confidence,
    check_coverage,
    prediction_sets,
)
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
except ImportError as missing:  # scikit-learn is not installed, or is older than 1.6
    raise DogsimError(
        "The estimators need scikit-learn 1.6 or later, which is not installed. "
        'Run: pip install --upgrade "dogsim[sklearn]"'
    ) from missing

FEATURE_DTYPES = (np.float32, np.float64)
TIE_MARGIN = 1e-9  # relative; makes the probability of the predicted class the largest in a tie


class ImageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of images to features, as `dogsim.extract_features`; fitting learns nothing.

    The network is loaded at the first image and stays loaded. Estimators with equal parameters
    share it. A copy or a pickle of an estimator does not contain the network.

    Parameters
    ----------
    backbone, weights, layer, resize, engine, precision, views, mean, std, image_size
        As for `dogsim.load_extractor`.
    batch_size : int
        Number of images in a batch.

    Attributes
    ----------
    backbone_ : str
        The backbone that `fit` has chosen if neither `backbone` nor `weights` was given, so that
        another machine uses the same one.

    >>> ImageFeatures("efficientnet-lite2").transform([np.zeros((50, 80, 3), np.uint8)]).shape
    (1, 1280)
    """

    def __init__(
        self,
        backbone: str | None = None,
        weights: str | os.PathLike[str] | None = None,
        layer: str | None = None,
        resize: Resize = "squash",
        engine: Engine = "auto",
        precision: Precision = "auto",
        views: Views = "none",
        batch_size: int = 32,
        mean: ChannelValues | None = None,
        std: ChannelValues | None = None,
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

    def fit(self, X: Any, y: Any = None) -> "ImageFeatures":
        """Check the parameters; raise `DogsimError` for an unknown name or a missing file.

        Without a name of the network, the one that is used is chosen and stored.
        """
        options = self._network_options
        options.check()
        self.backbone_ = options.resolved().backbone
        return self

    def transform(self, X: Iterable[Source]) -> NDArray[np.float32]:
        """Compute the features of images, (n, D) float32.

        Parameters
        ----------
        X : iterable of n paths, arrays or PIL images, or (n, h, w, 3) uint8
            See `dogsim.load_image`.

        Raises
        ------
        DogsimError
            If there are no images, one cannot be read, or the network is not available.
        """
        if isinstance(X, str | bytes | os.PathLike | Image.Image | Cropped):
            raise DogsimError(f"Received one image, {X!r:.60}. Expected a list of images.")
        return extract_features(iter(X), _load(self._fitted_options), self.batch_size)

    @property
    def _network_options(self) -> NetworkOptions:
        options = self.get_params()
        del options["batch_size"]
        if self.weights is not None:
            options["weights"] = path_text("the weight file", self.weights)
        return NetworkOptions(**options)

    @property
    def _fitted_options(self) -> NetworkOptions:
        options = self._network_options
        unnamed = options.backbone is None and options.weights is None
        return replace(options, backbone=getattr(self, "backbone_", None)) if unnamed else options

    @property
    def _n_features_out(self) -> int:
        """The number of features, from which scikit-learn makes their names."""
        extractor = _load(self._fitted_options)
        side = extractor.recipe.image_size
        return len(extractor(np.zeros((1, side, side, 3), np.uint8))[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # images: paths or pixels
        tags.input_tags.string = True
        tags.requires_fit = False
        tags.no_validation = True
        return tags


_load = lru_cache(maxsize=2)(NetworkOptions.load)


class LazyClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The vote of the k nearest neighbours, as in `dogsim.classify`; ties go to the nearest.

    Parameters
    ----------
    k : int
        Number of neighbours that vote; if there are fewer samples, all of them vote, and `fit`
        prints a note.
    metric : str
        One of `dogsim.METRICS`.
    vote : {"uniform", "distance"}
        The weight of a vote: 1, or 1 / distance.
    confidence : float, optional
        The coverage of the sets of `trust`, such as 0.9.
    coverage : {"breed", "average"}
        Whether the confidence holds for the samples of every class, or for all on average.

    Attributes
    ----------
    classes_ : (c,) array
    dataset_ : Dataset
        The samples, with the classes as breeds.

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
        coverage: str = DEFAULT_COVERAGE,
    ) -> None:
        self.k = k
        self.metric = metric
        self.vote = vote
        self.confidence = confidence
        self.coverage = coverage

    def fit(self, X: ArrayLike, y: ArrayLike) -> "LazyClassifier":
        """Store features (n, d) and their classes (n,).

        Raises `DogsimError` for an unknown metric, vote or coverage or an invalid confidence, and
        what scikit-learn raises for other input.
        """
        check_metric(self.metric)
        check_vote(self.vote)
        check_coverage(self.coverage)
        if self.confidence is not None:
            check_confidence(self.confidence)
        features, classes = validate_data(self, X, y, dtype=FEATURE_DTYPES)
        if as_integer("k", self.k) > len(features):
            n = len(features)
            note(f"Only {n} samples can be neighbours: k is {n} instead of {self.k}.")
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
        """Find the nearest neighbours of features (m, d).

        By default these are the stored samples, each without itself among its neighbours. Returns
        distances and rows (m, k), nearest first, or the rows alone. Raises `DogsimError` if
        `n_neighbors` is larger than the number of samples.
        """
        check_is_fitted(self)
        gallery = self.dataset_
        excluded = np.arange(len(gallery)) if X is None else None
        queries = gallery.features if X is None else self._validated(X)
        k = min(self.k, len(gallery) - (X is None)) if n_neighbors is None else n_neighbors
        distances, rows = nearest(gallery, queries, k, self.metric, excluded)
        return (distances, rows) if return_distance else rows

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the classes (m,) of features (m, d)."""
        labels = majority_vote(*self._votes(X))  # (m,); raises before `fit`
        return np.asarray(self.classes_[labels])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the fraction of the vote for each class, (m, c), in the order of `classes_`.

        In a tie the fraction of the predicted class is larger by 1e-9. The fractions are not
        calibrated probabilities; `trust` returns sets with a guaranteed coverage.
        """
        labels, weights = self._votes(X)  # (m, k)
        rows = np.arange(len(labels))
        fractions = np.zeros((len(labels), len(self.classes_)))  # (m, c)
        np.add.at(fractions, (rows[:, None], labels), 1 if weights is None else weights)
        fractions[rows, majority_vote(labels, weights)] *= 1 + TIE_MARGIN
        return np.asarray(fractions / fractions.sum(axis=1, keepdims=True))

    def trust(self, X: ArrayLike) -> list[PredictionSet]:
        """Return the prediction sets of features (m, d), with the coverage `confidence`.

        Raises `DogsimError` without a confidence, or if there are too few samples for it; see
        `dogsim.trust.conformal`.
        """
        check_is_fitted(self)
        if self.confidence is None:
            raise DogsimError("Received confidence=None. Expected the coverage, such as 0.9.")
        calibration = calibration_for(self.dataset_, self.confidence)
        features = self._validated(X)
        return prediction_sets(calibration, features, self.confidence, coverage=self.coverage)

    def _votes(self, X: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.float64] | None]:
        """Return the labels of the neighbours (m, k) and the weights of their votes."""
        distances, rows = self.kneighbors(X)
        return self.dataset_.labels[rows], vote_weights(distances, self.vote)

    def _validated(self, X: ArrayLike) -> Any:
        return validate_data(self, X, reset=False, dtype=FEATURE_DTYPES)
