"""Accuracy of the k nearest neighbours of a dataset."""

from dataclasses import dataclass

import numpy as np

from dogsim.dataset import DatasetOrFile, as_dataset
from dogsim.errors import DogsimError, counted
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import Accuracy

PUBLISHED_PRECISION = 0.5653  # of the MATLAB project, on the 20,580 photos of Stanford Dogs
PUBLISHED_K, PUBLISHED_QUERIES = 20, 50
DRAWS = 1000  # of the queries: one draw of 50 is too small a sample


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


@dataclass(frozen=True)
class PublishedAccuracy:
    """Precision of a dataset by the protocol of the MATLAB project, over many draws of its queries.

    Attributes
    ----------
    queries, draws : int
        Number of queries of a draw, and of draws.
    gallery, k : int
    protocol, metric : str
    precision_at_k : float
        Mean over the draws, see `Accuracy`.
    precision_at_k_ci95 : (float, float)
        Interval that contains the precision of 95 % of the draws.
    published : float
        Precision that the MATLAB project measured on all photos of Stanford Dogs.
    """

    queries: int
    draws: int
    gallery: int
    k: int
    protocol: str
    metric: str
    precision_at_k: float
    precision_at_k_ci95: tuple[float, float]
    published: float = PUBLISHED_PRECISION

    def __str__(self) -> str:
        low, high = self.precision_at_k_ci95
        return (
            f"{self.draws} draws of {self.queries} queries, gallery of {self.gallery} images, "
            f"k = {self.k}, counted as in MATLAB\n\n"
            f"precision@k       {self.precision_at_k:.4f}, in 95 % of the draws {low:.4f} to "
            f"{high:.4f}\nMATLAB published  {self.published:.4f}, on the 20,580 photos of "
            "Stanford Dogs"
        )


def published_accuracy(dataset: DatasetOrFile, seed: int = 0) -> PublishedAccuracy:
    """Compute the accuracy by the protocol with which the MATLAB project measured 56.53 %.

    MATLAB: ``accuracy.m``. 50 images are the queries, k is 20, each query is its own first
    neighbour, and the first 19 neighbours count. The draw is repeated 1,000 times.

    Parameters
    ----------
    dataset : Dataset or path
    seed : int
        Random seed for drawing the queries.

    Raises
    ------
    DogsimError
        If fewer than 50 images have a known breed.

    >>> from dogsim import sample_dataset
    >>> published_accuracy(sample_dataset()).precision_at_k > 0.99
    True
    """
    evaluation = Evaluation(as_dataset(dataset), protocol="matlab")
    n = len(evaluation.rows)
    if n < PUBLISHED_QUERIES:
        raise DogsimError(
            f"Received a dataset with {counted(n, 'image')} of known breed. Expected "
            f"{PUBLISHED_QUERIES} or more, the number of queries of the MATLAB project."
        )
    found = evaluation.neighbours(PUBLISHED_K)
    of_queries, rng = found.hits.mean(axis=1), np.random.default_rng(seed)  # (n,)
    draws = [rng.choice(n, PUBLISHED_QUERIES, replace=False) for _ in range(DRAWS)]
    precisions = of_queries[np.array(draws)].mean(axis=1)  # (DRAWS,)
    low, high = np.quantile(precisions, [0.025, 0.975]).tolist()
    return PublishedAccuracy(
        queries=PUBLISHED_QUERIES,
        draws=DRAWS,
        gallery=len(evaluation.dataset),
        k=PUBLISHED_K,
        protocol=evaluation.protocol,
        metric=evaluation.metric,
        precision_at_k=float(precisions.mean()),
        precision_at_k_ci95=(low, high),
    )
