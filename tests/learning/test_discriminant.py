import numpy as np
import pytest
from clouds import breeds_in_noise
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from dogsim import (
    DogsimError,
    discriminant,
)


def test_discriminant_agrees_with_scikit_learn() -> None:
    data = breeds_in_noise()
    mean, directions = discriminant(data.features, data.labels, shrinkage=0.3)
    ours = (data.features - mean) @ directions
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.3)
    theirs = lda.fit(data.features, data.labels).transform(data.features)
    # scikit-learn shrinks after scaling: directions agree approximately, up to sign and length
    agreement = np.abs(np.diag(np.corrcoef(ours.T, theirs.T)[: ours.shape[1], ours.shape[1] :]))
    assert (agreement > 0.97).all()
    with pytest.raises(DogsimError, match="1 breed"):
        discriminant(data.features, data.labels * 0)
    with pytest.raises(DogsimError, match="are all identical"):
        discriminant(data.features, np.arange(len(data)))
