"""How good the answers are breed by breed, and where they go wrong."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from dogsim.retrieval.evaluation import Neighbours


@dataclass(frozen=True)
class BreedScore:
    """How good the answers are for the queries of one breed."""

    breed: str
    queries: int
    precision_at_k: float
    vote_accuracy: float


@dataclass(frozen=True)
class Confusion:
    """How often the vote takes one breed for another.

    Attributes
    ----------
    breed, taken_for : str
    count : int
        In how many queries.
    part : float
        Of all queries of that breed.
    """

    breed: str
    taken_for: str
    count: int
    part: float


def per_breed(found: Neighbours, k: int, vote: str = "uniform") -> list[BreedScore]:
    """Judge every breed by itself at k, the worst vote first."""
    precision = (found.labels[:, :k] == found.truth[:, None]).mean(axis=1)
    right = found.answers(k, vote) == found.truth
    scores = []
    for label in np.unique(found.truth):
        of = found.truth == label
        scores.append(
            BreedScore(
                breed=found.breeds[label],
                queries=int(of.sum()),
                precision_at_k=float(precision[of].mean()),
                vote_accuracy=float(right[of].mean()),
            )
        )
    return sorted(scores, key=lambda score: (score.vote_accuracy, score.precision_at_k))


def confusions(found: Neighbours, k: int, vote: str = "uniform") -> list[Confusion]:
    """List the pairs of breeds that the vote of k confuses, the most frequent first."""
    answers = found.answers(k, vote)
    queries = Counter(found.truth.tolist())
    pairs = Counter(zip(found.truth.tolist(), answers.tolist(), strict=True))
    return [
        Confusion(
            breed=found.breeds[truth],
            taken_for=found.breeds[answer] if answer >= 0 else "unknown",
            count=count,
            part=count / queries[truth],
        )
        for (truth, answer), count in pairs.most_common()
        if truth != answer
    ]
