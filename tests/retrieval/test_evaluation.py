"""Queries, galleries, and the cache of neighbours."""

from dataclasses import replace

import numpy as np
import pytest
from clouds import cloud

from dogsim import Dataset, DogsimError
from dogsim.retrieval.evaluation import Evaluation
from dogsim.storage.dataset_file import STAMP_DTYPE


def stamped(dataset: Dataset, *hashes: str) -> Dataset:
    return replace(dataset, stamps=np.array([(1, 1, each) for each in hashes], STAMP_DTYPE))


def test_images_in_both_sets_are_recognised_by_content() -> None:
    gallery, test = cloud(5), cloud(3)
    assert Evaluation(gallery, test).count_in_gallery() == 0
    assert (
        Evaluation(gallery, replace(test, paths=gallery.paths[:3])).count_in_gallery() == 0
    )  # the roots differ
    known = np.concatenate([test.features[:1], gallery.features[:2]])
    assert Evaluation(gallery, replace(test, features=known)).count_in_gallery() == 2
    same_files = stamped(gallery, *"abcde"), stamped(test, *"f0a")
    assert Evaluation(*same_files).count_in_gallery() == 1


def test_only_drawn_queries_are_counted() -> None:
    gallery = cloud(40)
    assert Evaluation(gallery, gallery, n_test=3).count_in_gallery() == 3
    assert Evaluation(gallery).count_in_gallery() == 0


def test_breeds_are_compared_without_case_and_unicode_form(four: Dataset) -> None:
    cafe = replace(four, breeds=("Cafe\u0301_au-lait", "whippet"))
    other = replace(four, breeds=("caf\u00e9 au lait", "WHIPPET"))
    assert Evaluation(cafe, other).truth.tolist() == [0, 0, 1, 1]
    twice = replace(four, breeds=("Pug", "pug"))  # one breed with two names
    assert Evaluation(twice).neighbours(3).labels.tolist() == [[0] * 3] * 4
    assert Evaluation(twice)._n_relevant.tolist() == [3] * 4


def test_sets_without_a_breed_in_common_are_refused(four: Dataset) -> None:
    with pytest.raises(DogsimError, match="of the breeds cat, dog, .* the dataset: pug, whippet"):
        Evaluation(four, replace(four, breeds=("cat", "dog")))
    Evaluation(four, replace(four, breeds=("cat", "pug")))  # one common breed is enough
