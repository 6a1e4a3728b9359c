import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from dogsim import (
    Dataset,
    DogsimError,
    discriminant,
)


def breeds_in_noise(breeds: int = 6, pictures: int = 24, seed: int = 0) -> Dataset:
    """Eight numbers tell the breed; 24 louder ones are noise that hides it."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(breeds), pictures).astype(np.int32)
    means = np.random.default_rng(99).normal(0, 2, (breeds, 8))
    signal = means[labels] + rng.normal(0, 1, (len(labels), 8))
    features = np.hstack([signal, rng.normal(0, 4, (len(labels), 24))]).astype(np.float32)
    paths = tuple(f"{label}/{i}.jpg" for i, label in enumerate(labels))
    return Dataset(features, labels, paths, tuple("abcdefghij"[:breeds]))


def test_discriminant_is_scikit_learns() -> None:
    data = breeds_in_noise()
    mean, directions = discriminant(data.features, data.labels, shrinkage=0.3)
    ours = (data.features - mean) @ directions
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.3)
    theirs = lda.fit(data.features, data.labels).transform(data.features)
    # scikit-learn shrinks after scaling, so directions agree nearly, and up to sign and length
    agreement = np.abs(np.diag(np.corrcoef(ours.T, theirs.T)[: ours.shape[1], ours.shape[1] :]))
    assert (agreement > 0.97).all()
    with pytest.raises(DogsimError, match="1 breed"):
        discriminant(data.features, data.labels * 0)
    with pytest.raises(DogsimError, match="all the same"):
        discriminant(data.features, np.arange(len(data)))
