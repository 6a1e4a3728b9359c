"""Query expansion: computed by hand, its effect, and invalid options."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import breeds_in_noise, cloud
from commands import dogsim, dogsim_json, refusal
from numpy.typing import NDArray

from dogsim import Dataset, DogsimError, accuracy, classify, expand, hold_out, nearest
from dogsim.classify import answers_to
from dogsim.retrieval import own_neighbours
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.query_expansion import (
    COSINE_POWER,
    EXPANSION_NEIGHBOURS,
    _ExpandedSearch,
    check_rank,
    rankings,
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache folder."""
    monkeypatch.setattr("dogsim.plumbing.cache.cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def expanded_features(dataset: Dataset) -> NDArray[np.float32]:
    assert isinstance(dataset.search, _ExpandedSearch)
    return dataset.search.expanded


def test_by_hand() -> None:
    angles = np.array([0.0, 0.2, 0.5])
    known = np.c_[np.cos(angles), np.sin(angles)]
    three = Dataset(7 * known, np.zeros(3, int), tuple("abc"), ("pug",))  # only directions matter
    weights = np.cos(angles[:, None] - angles) ** COSINE_POWER  # 1 for the image itself
    expected = weights @ known
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert expanded_features(expand(three)) == pytest.approx(expected, abs=1e-6)
    # The query is not in the dataset: it is averaged with all three.
    query = known[0] + weights[0] @ known
    query /= np.linalg.norm(query)
    apart = np.linalg.norm(expected - query, axis=1)
    distances, rows = nearest(expand(three), 9 * known[:1], 3)
    assert distances[0] == pytest.approx(np.sort(apart), abs=1e-6)
    assert rows[0].tolist() == np.argsort(apart).tolist()
    # Leave-one-out: it is averaged with the two others, as in the gallery.
    alone = np.linalg.norm(expected - expected[0], axis=1)
    assert nearest(expand(three), three, 2, exclude=range(3))[0][0] == pytest.approx(
        np.sort(alone[1:]), abs=1e-6
    )


def test_opposite_images_do_not_affect_each_other() -> None:
    two = Dataset(np.array([[1.0, 0.0], [-1.0, 0.1]]), np.zeros(2, int), ("a", "b"), ("pug",))
    assert expanded_features(expand(two))[0] == pytest.approx([1, 0])
    one = two.take([0])
    assert expanded_features(expand(one)) == pytest.approx(one.features)


def test_expansion_improves_the_precision() -> None:
    rng = np.random.default_rng(4)
    labels = (np.arange(240) % 4).astype(np.int32)
    features = np.eye(4)[labels].repeat(8, axis=1) + rng.normal(0, 0.9, (240, 32))
    known = Dataset(features.astype(np.float32), labels, tuple(map(str, range(240))), tuple("abcd"))
    gallery, queries = hold_out(known, 0.3)
    found = Evaluation(gallery, queries, vote="distance").compare(rankings(gallery), [5, 20])
    for name, ranked, metric in (
        ("raw", gallery, "euclidean"),
        ("unit", gallery, "cosine"),
        ("expand", expand(gallery), "euclidean"),
    ):
        for k in (5, 20):
            each = accuracy(ranked, k, queries, metric=metric, vote="distance")
            assert found.pop(0) == (name, each)
    assert not found
    expanded, unit = (
        accuracy(one, 20, queries, metric="cosine") for one in (expand(gallery), gallery)
    )
    assert expanded.precision_at_k > unit.precision_at_k + 0.03
    assert len(gallery) > EXPANSION_NEIGHBOURS


def test_neighbours_are_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, queries = cloud(100), cloud(5).features
    first = nearest(expand(known), queries, 7)
    (file,) = cache.glob("near-*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(own_neighbours, "_search", lambda *_: pytest.fail("computed again"))
        again = nearest(expand(cloud(100)), queries, 7)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    file.write_bytes(file.read_bytes()[:200])
    np.testing.assert_array_equal(nearest(expand(known), queries, 7)[1], first[1])


def test_options_that_exclude_expansion() -> None:
    for wrong, message in (
        (("expnd", "cosine"), "Unknown rank 'expnd'; did you mean 'expand'"),
        (("expand", "cityblock"), "metric 'cityblock' with rank 'expand'"),
        (("expand", "cosine", "matlab"), "rank 'expand' with protocol matlab"),
    ):
        with pytest.raises(DogsimError, match=message):
            check_rank(*wrong)
    known = expand(cloud(60))
    with pytest.raises(DogsimError, match="metric 'cityblock' with rank 'expand'"):
        nearest(known, known.features[:1], 3, "cityblock")
    with pytest.raises(DogsimError, match="rank 'expand' with a confidence"):
        answers_to(known.features[:1], known, 3, confidence=0.9)
    nothing = replace(cloud(9), features=np.zeros((9, 2), np.float32))
    with pytest.raises(DogsimError, match="all zeros"):
        nearest(expand(nothing), np.ones((1, 2)), 3)


def test_accuracy_compares_rankings(tmp_path: Path) -> None:
    file = tmp_path / "d.h5"
    breeds_in_noise(4, 30).save(file)
    result = dogsim_json("accuracy", "--dataset", file, "-k", 5, "--compare")
    assert [each["rank"] for each in result["compare"]] == ["raw", "unit", "expand"]
    raw, unit, best = result["compare"]
    assert raw["precision_at_k"] == result["precision_at_k"]
    assert raw["vote_accuracy_ci95"][0] < raw["vote_accuracy"] < raw["vote_accuracy_ci95"][1]
    by_itself = dogsim_json("accuracy", "--dataset", file, "-k", 5, "--rank", "expand")
    assert by_itself["precision_at_k"] == best["precision_at_k"]
    printed = dogsim("accuracy", "--dataset", file, "-k", 5, "--compare").stdout
    assert f"{unit['precision_at_k']:.4f}" in printed
    assert "expand" in printed
    several = ("accuracy", "--dataset", file, "-k", 5, "-k", 9, "--compare")
    lines = dogsim_json(*several, "--vote", "distance")["compare"]
    assert [(line["rank"], line["k"]) for line in lines[:3]] == [
        ("raw", 5),
        ("raw", 9),
        ("unit", 5),
    ]
    assert "--protocol matlab" in refusal(*several, "--protocol", "matlab")
    assert "Unknown rank" in refusal("accuracy", "--dataset", file, "--rank", "best")


def test_classify_and_show_with_expansion(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    image = breeds_dir / "striped" / "0.png"
    arguments = (image, "-k", 3, "--dataset", stored, "--rank", "expand")
    result = dogsim_json("classify", *arguments)
    assert result["rank"] == "expand"
    (expected,) = classify(image, expand(stored), k=3)
    (answer,) = result["results"]
    assert [each["distance"] for each in answer["neighbours"]] == expected.distances.tolist()
    assert 0 < expected.distances[0] < 2
    assert dogsim_json("show", *arguments, "--save", tmp_path)["grids"] == [str(tmp_path / "0.png")]
    assert "with a confidence" in refusal("classify", *arguments, "--confidence", 0.5)
    assert "metric 'chebyshev'" in refusal("show", *arguments, "--metric", "chebyshev")
