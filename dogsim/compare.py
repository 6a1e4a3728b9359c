"""Several ways to rank the same pictures, judged side by side, so that nobody has to guess."""

from dogsim.accuracy import Accuracy, accuracy
from dogsim.dataset import Dataset
from dogsim.expand import expand


def compared(
    dataset: Dataset,
    k: int = 20,
    testset: Dataset | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> dict[str, Accuracy]:
    """Judge several ways to rank the same pictures.

    Parameters
    ----------
    dataset, k, testset, n_test, seed
        As for `dogsim.accuracy`.

    Returns
    -------
    dict of str to Accuracy
        ``"raw"``: the features as they are; ``"unit"``: of length 1, metric cosine; ``"expand"``:
        as `dogsim.expand` moves them. Of a dataset with views all are of these views.

    Raises
    ------
    DogsimError
        As `dogsim.accuracy` does.
    """
    return {
        "raw": accuracy(dataset, k, testset, n_test, seed=seed),
        "unit": accuracy(dataset, k, testset, n_test, "cosine", seed=seed),
        "expand": accuracy(expand(dataset), k, testset, n_test, seed=seed),
    }
