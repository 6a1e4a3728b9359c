"""Who is asked, and who answers."""

from dataclasses import replace

import numpy as np
import pytest
from clouds import cloud

from dogsim import Dataset, DogsimError
from dogsim.retrieval.evaluation import Search
from dogsim.storage.dataset_file import STAMP_DTYPE


def stamped(dataset: Dataset, *hashes: str) -> Dataset:
    return replace(dataset, stamps=np.array([(1, 1, each) for each in hashes], STAMP_DTYPE))


def test_pictures_in_both_sets_are_told_by_content() -> None:
    gallery, test = cloud(5), cloud(3)
    assert Search(gallery, test).in_both() == 0
    assert Search(gallery, replace(test, paths=gallery.paths[:3])).in_both() == 0  # other roots
    known = np.concatenate([test.features[:1], gallery.features[:2]])
    assert Search(gallery, replace(test, features=known)).in_both() == 2
    same_files = stamped(gallery, *"abcde"), stamped(test, *"f0a")
    assert Search(*same_files).in_both() == 1


def test_only_queries_that_are_asked_are_counted() -> None:
    gallery = cloud(40)
    assert Search(gallery, gallery, n_test=3).in_both() == 3
    assert Search(gallery).in_both() == 0


def test_a_breed_is_the_same_in_another_spelling(four: Dataset) -> None:
    cafe = replace(four, breeds=("Cafe\u0301_au-lait", "whippet"))
    other = replace(four, breeds=("caf\u00e9 au lait", "WHIPPET"))
    assert Search(cafe, other).truth.tolist() == [0, 0, 1, 1]
    twice = replace(four, breeds=("Pug", "pug"))  # one breed, called by two names
    assert Search(twice).neighbours(3).labels.tolist() == [[0] * 3] * 4
    assert Search(twice).of_breed.tolist() == [3] * 4


def test_sets_without_a_breed_in_common_are_refused(four: Dataset) -> None:
    with pytest.raises(DogsimError, match="of the breeds cat, dog, .* the dataset: pug, whippet"):
        Search(four, replace(four, breeds=("cat", "dog")))
    Search(four, replace(four, breeds=("cat", "pug")))  # one is enough
