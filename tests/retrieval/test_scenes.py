"""Images of the query's scene are left out; the rest is as in a plain computation."""

from dataclasses import replace

import numpy as np
import pytest
from clouds import cloud
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.learning.training import hold_out
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.own_neighbours import nearest_in_other_scenes
from dogsim.retrieval.query_expansion import expand


def with_scenes(dataset: Dataset, n_scenes: int, seed: int = 0) -> Dataset:
    scenes = np.random.default_rng(seed).integers(0, n_scenes, len(dataset)).astype(np.int32)
    return replace(dataset, scenes=scenes)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 99))
def test_neighbours_are_those_of_a_plain_computation(n_scenes: int, k: int, seed: int) -> None:
    dataset = with_scenes(cloud(60), n_scenes, seed)
    scenes, rows = dataset.scenes, np.arange(60)
    assert scenes is not None
    distances = cdist(dataset.features, dataset.features)
    distances[scenes[:, None] == scenes] = np.inf
    expected = np.argsort(distances, axis=1, kind="stable")[:, :k]
    found, indices = nearest_in_other_scenes(dataset, rows, k)
    assert (found == np.take_along_axis(distances, expected, axis=1)).all()
    assert (indices == expected).all()


def shots(features: list[float], labels: list[int], scenes: list[int]) -> Dataset:
    """Return a dataset of one feature."""
    n, breeds = len(features), ("pug", "whippet")
    numbers = np.array(scenes, np.int32)
    paths = tuple(f"{i}.jpg" for i in range(n))
    return Dataset(
        np.array(features, np.float32)[:, None],
        np.array(labels, np.int32),
        paths,
        breeds,
        scenes=numbers,
    )


def test_scores_by_hand() -> None:
    """Two shots of each of three scenes: pugs at 0 and 3, whippets at 1."""
    dataset = shots([0, 0.1, 3, 3.1, 1, 1.1], [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2])
    burst = accuracy(replace(dataset, scenes=None), k=1)
    result = accuracy(dataset, k=1)
    assert burst.vote_accuracy == 1  # the other shot of each image
    assert result.vote_accuracy == 0  # the pugs are nearest to the whippets, which are alone
    evaluation = Evaluation(dataset)
    assert (evaluation.n_scenes, evaluation.n_single_scene_breeds) == (3, 1)
    assert evaluation.max_k == result.gallery == 4
    two = evaluation.accuracy(3)
    # Among three of four images: a pug at 0 finds both whippets and one of the two other pugs.
    assert two.recall_at_k == pytest.approx((0.5 + 0.5 + 0.5 + 0.5) / 4)
    assert two.chance == pytest.approx((4 * 2 / 4 + 2 * 0) / 6)
    assert evaluation.map_at_r() == pytest.approx((0 + 0 + 0 + 0) / 4)


def test_protocol_matlab_and_test_sets_ignore_scenes() -> None:
    dataset = with_scenes(cloud(60), 20)
    plain, testset = replace(dataset, scenes=None), cloud(20)
    assert accuracy(dataset, k=3, protocol="matlab") == accuracy(plain, k=3, protocol="matlab")
    assert accuracy(dataset, testset=testset, k=3) == accuracy(plain, testset=testset, k=3)
    alone = replace(dataset, scenes=np.arange(60, dtype=np.int32))
    assert accuracy(alone, k=3) == accuracy(plain, k=3)


def test_k_may_not_exceed_what_the_largest_scene_leaves() -> None:
    dataset = shots([0, 1, 2, 3, 4], [0] * 5, [0, 0, 0, 1, 2])
    with pytest.raises(DogsimError, match="Expected 1 to 2"):
        accuracy(dataset, k=3)
    assert accuracy(dataset).k == 2
    with pytest.raises(DogsimError, match="show one scene"):
        accuracy(replace(dataset, scenes=np.zeros(5, np.int32)))


def test_expanded_features_are_averaged_with_other_scenes_only() -> None:
    dataset = with_scenes(cloud(80), 25)
    found, indices = nearest_in_other_scenes(expand(dataset), np.arange(80), 5)
    scenes = dataset.scenes
    assert scenes is not None
    assert (scenes[indices] != scenes[:, None]).all()
    assert (np.diff(found, axis=1) >= 0).all()
    # Moving the other shots of one scene changes nothing for the first shot as a query.
    (scene,) = np.flatnonzero(np.bincount(scenes) >= 3)[:1]
    first, *others = np.flatnonzero(scenes == scene)
    features = dataset.features.copy()
    features[others] = features[first]
    moved = expand(replace(dataset, features=features))
    search = moved.search
    assert search is not None
    original = expand(dataset).search
    assert original is not None
    assert np.array_equal(search.expanded[first], original.expanded[first])  # type: ignore[attr-defined]


def test_hold_out_draws_whole_scenes() -> None:
    dataset = with_scenes(cloud(200), 60)
    rest, held = hold_out(dataset, 0.3)
    assert rest.scenes is not None
    assert held.scenes is not None
    assert not {*rest.scenes.tolist()} & {*held.scenes.tolist()}
    assert 0.2 <= len(held) / 200 <= 0.6
    assert {*rest.labels.tolist()} == {*held.labels.tolist()} == {0, 1, 2, 3}
    alone = shots([0, 1, 2, 3], [0, 0, 1, 1], [5, 5, 6, 7])
    rest, held = hold_out(alone, 0.5, least=1)
    assert {*rest.labels.tolist()} == {0, 1}
    assert held.labels.tolist() == [1]
