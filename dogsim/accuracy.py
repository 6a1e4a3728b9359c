"""Accuracy of the k nearest neighbours of a dataset."""

from dogsim.dataset import DatasetOrFile, as_dataset
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import Accuracy


def accuracy(
    dataset: DatasetOrFile,
    k: int | None = None,
    testset: DatasetOrFile | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
    vote: str = "uniform",
) -> Accuracy:
    """Compute the accuracy of the k nearest neighbours.

    MATLAB: ``accuracy.m``.

    Parameters
    ----------
    dataset : Dataset or path
        The gallery.
    k : int, optional
        Number of neighbours; by default 20, or all images of a smaller dataset.
    testset : Dataset or path, optional
        The queries. By default the dataset's own images (leave-one-out): each query is left out
        of the gallery by its row.
    n_test : int, optional
        Number of queries to draw at random; by default all. MATLAB: 50.
    metric : str
        One of `dogsim.METRICS`.
    protocol : {"honest", "matlab"}
        ``"matlab"`` counts as the MATLAB project did: the query is its own first neighbour, and
        the first k - 1 of the k neighbours count.
    seed : int
        Random seed for drawing the queries.
    vote : {"uniform", "distance"}
        Weight of each neighbour's vote: 1, or 1 / distance.

    Raises
    ------
    DogsimError
        If k, `n_test`, the metric, the protocol or the vote is wrong, no query has a known breed,
        or the test set is not comparable with the dataset or has no breed in common with it.

    >>> import numpy as np
    >>> from dogsim import Dataset
    >>> four = Dataset(np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1]),
    ...                ("a", "b", "c", "d"), ("pug", "whippet"))
    >>> accuracy(four, k=1).precision_at_k, accuracy(four, k=3).recall_at_k
    (1.0, 1.0)
    """
    evaluation = Evaluation(
        as_dataset(dataset),
        None if testset is None else as_dataset(testset),
        n_test=n_test,
        metric=metric,
        protocol=protocol,
        seed=seed,
        vote=vote,
    )
    return evaluation.accuracy(k)
