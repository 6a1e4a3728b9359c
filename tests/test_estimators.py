"""scikit-learn's own checks, and the same results as the functions of the package."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clouds import cloud
from commands import python
from conftest import LITE
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from dogsim import Dataset, DogsimError, classify, extract_features, load_extractor
from dogsim.classify import answers_to
from dogsim.estimators import ImageFeatures, LazyClassifier


def expected_failures(estimator: Any) -> dict[str, str]:
    if getattr(estimator, "metric", "") == "cosine":
        return {"check_estimators_dtypes": "it has a row of zeros, which has no direction"}
    return {}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [LazyClassifier(), LazyClassifier(3, "cosine", "distance", 0.9), ImageFeatures(LITE)],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


def test_features_are_those_of_extract_features(breeds_dir: Path, colours: str) -> None:
    paths = sorted(breeds_dir.rglob("*.png"))
    expected = extract_features(paths, load_extractor(weights=colours))
    features = ImageFeatures(weights=colours, batch_size=4)
    np.testing.assert_array_equal(features.fit_transform(paths), expected)
    opened = [Image.open(path) for path in paths]
    np.testing.assert_array_equal(features.transform(opened), expected)
    stacked = np.stack([np.asarray(each) for each in opened])
    np.testing.assert_array_equal(features.transform(stacked), expected)
    assert features.get_feature_names_out()[-1] == "imagefeatures2"
    copied = pickle.loads(pickle.dumps(features))  # without the network
    np.testing.assert_array_equal(copied.transform(paths[:1]), expected[:1])


def test_predictions_are_those_of_classify(stored: Path, breeds_dir: Path) -> None:
    dataset = Dataset.open(stored)
    colours = ImageFeatures(weights=str(dataset.recipe.weights if dataset.recipe else ""))
    paths = list(map(dataset.image_file, range(len(dataset))))
    lazy = make_pipeline(colours, LazyClassifier(3))
    lazy.fit(paths, [dataset.breed(row) for row in range(len(dataset))])
    queries = [Image.new("RGB", (9, 9), colour) for colour in ("red", "white", "maroon")]
    expected = classify(queries, dataset, k=3)
    assert lazy.predict(queries).tolist() == [each.breed for each in expected]
    rows = lazy[-1].kneighbors(colours.transform(queries), return_distance=False)
    assert rows.tolist() == [each.indices.tolist() for each in expected]


@pytest.mark.parametrize("vote", ["uniform", "distance"])
def test_neighbours_and_probabilities(vote: str) -> None:
    gallery, queries = cloud(200), cloud(60).features
    lazy = LazyClassifier(7, vote=vote).fit(gallery.features, gallery.labels)
    theirs = KNeighborsClassifier(7, weights=vote).fit(gallery.features, gallery.labels)
    np.testing.assert_allclose(
        lazy.predict_proba(queries), theirs.predict_proba(queries), atol=1e-5
    )
    for mine, other in (
        (lazy.kneighbors(queries), theirs.kneighbors(queries)),
        (lazy.kneighbors(n_neighbors=3), theirs.kneighbors(n_neighbors=3)),  # of each sample
    ):
        np.testing.assert_array_equal(mine[1], other[1])
    if vote == "uniform":
        answers = answers_to(queries, gallery, 7)
        assert [gallery.breeds[label] for label in lazy.predict(queries)] == [
            x.breed for x in answers
        ]


def test_a_tie_goes_to_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    lazy = LazyClassifier(2).fit([[0.0], [1.0], [9.0]], ["whippet", "pug", "pug"])
    assert lazy.predict([[0.1], [0.9]]).tolist() == ["whippet", "pug"]
    pug, whippet = lazy.predict_proba([[0.1]])[0]
    assert pug < whippet == pytest.approx(0.5)
    assert LazyClassifier(99).fit([[0.0], [1.0]], [0, 1]).predict([[0.9]]).tolist() == [1]
    note = "Only 2 samples can be neighbours: k is 2 instead of 99.\n"
    assert capsys.readouterr().err == note


def test_prediction_sets_are_those_of_classify() -> None:
    gallery, queries = cloud(200), cloud(20).features
    lazy = LazyClassifier(confidence=0.9).fit(gallery.features, gallery.labels)
    unnamed = replace(gallery, breeds=("0", "1", "2", "3"))
    answers = answers_to(queries, unnamed, 5, confidence=0.9)
    for mine, theirs in zip(lazy.trust(queries), answers, strict=True):
        assert theirs.trust is not None
        assert (mine.breeds, mine.unknown) == (theirs.trust.breeds, theirs.trust.unknown)
        np.testing.assert_array_equal(mine.p_values, theirs.trust.p_values)
    with pytest.raises(DogsimError, match="Expected the coverage"):
        clone(lazy).set_params(confidence=None).fit(gallery.features, gallery.labels).trust(queries)


def test_in_a_grid_search() -> None:
    gallery = cloud(120)
    search = GridSearchCV(LazyClassifier(), {"k": [1, 9], "metric": ["cosine", "cityblock"]}, cv=3)
    assert search.fit(gallery.features, gallery.labels).best_score_ > 0.5


def test_invalid_input(colours: str) -> None:
    with pytest.raises(DogsimError, match=r"Received one image, 'a\.jpg'. Expected a list"):
        ImageFeatures(LITE).transform("a.jpg")
    with pytest.raises(DogsimError, match="There is no image"):
        ImageFeatures(weights=colours).transform(["gone.jpg"])
    with pytest.raises(DogsimError, match="did you mean 'resnet50'"):
        ImageFeatures("resnet5").fit(["a.jpg"])
    for wrong, message in (
        (LazyClassifier(metric="cosin"), "did you mean 'cosine'"),
        (LazyClassifier(vote="far"), "Unknown vote"),
        (LazyClassifier(confidence=2), "Received confidence=2"),
    ):
        with pytest.raises(DogsimError, match=message):
            wrong.fit([[0.0], [1.0]], [0, 1])
    gallery = LazyClassifier().fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(DogsimError, match="Received k=3. Expected 1 to 2"):
        gallery.kneighbors([[0.0]], 3)
    with pytest.raises(DogsimError, match="Received k=0"):
        gallery.set_params(k=0).predict([[0.0]])
    with pytest.raises(NotFittedError):
        LazyClassifier().predict([[0.0]])


def test_without_scikit_learn() -> None:
    code = "import sys; sys.modules['sklearn.base'] = None; import dogsim.estimators"
    message = python("-c", code).stderr.splitlines()[-1]
    assert message.startswith("dogsim.errors.DogsimError: The estimators need scikit-learn 1.6")
    assert message.endswith('Run: pip install --upgrade "dogsim[sklearn]"')
