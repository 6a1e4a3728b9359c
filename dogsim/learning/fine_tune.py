"""Deep ranking on pictures: the network itself learns, from a named layer up."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.engines._keras import import_keras
from dogsim.engines.choose import Prepare
from dogsim.errors import DogsimError, unknown
from dogsim.images import Source, load_image
from dogsim.learning.architectures import multiscale
from dogsim.learning.augmentation import augment
from dogsim.learning.hold_out import hold_out
from dogsim.learning.training import (
    HELD_OUT,
    ROUND,
    Ranking,
    check_numbers,
    gradient_step,
    train_until_best,
    trainable,
)
from dogsim.learning.triplets import ranking_loss, sample_triplets
from dogsim.networks.extractor_for import check_own_weights, require_recipe
from dogsim.networks.heads import embed
from dogsim.networks.training_record import picture_keys, read_memory, remember
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import prefetch, usable_cpus
from dogsim.recipe import Recipe

NETWORKS = ("same", "multiscale")
AHEAD = 2  # batches whose pictures are being read while the network computes


def fine_tune(
    dataset: DatasetOrFile,
    from_layer: str | None,
    weights: str | None = None,
    gap: float = 0.2,
    learning_rate: float | None = None,
    batch_size: int = 16,
    max_steps: int = 500,
    patience: int = 4,
    seed: int = 0,
    workers: int | None = None,
    augmented: bool = False,
    network: str = "same",
) -> Ranking:
    """Train the network that made a dataset, on its pictures, with the triplet ranking loss.

    Triplets are drawn beforehand; three networks that share their weights embed query, positive
    and negative as unit vectors. Held-out pictures, asked of each other, say when to stop.

    Parameters
    ----------
    dataset : Dataset or path
        Its picture files are read, by several threads; breeds with fewer than 4 are left out.
    from_layer : str or None
        This layer and all after it learn, but for batch normalisations, whose statistics a small
        batch would spoil. None, for a new network only: nothing of the one that is there.
    weights : str, optional
        Where the dataset's weight file lies now, if that has moved.
    gap : float
        Of the loss; unit vectors are 0 to 2 apart.
    learning_rate : float, optional
        Of Adam, by default 1e-5, or 1e-3 where only new layers learn.
    batch_size : int
        Triplets a step.
    max_steps, patience : int
        Stop after so many steps, or when so many rounds of 25 have brought nothing better.
    seed : int
    workers : int, optional
        Threads that read pictures, by default one a processor.
    augmented : bool
        Mirror pictures and crop them a little, see `dogsim.augment`.
    network : {"same", "multiscale"}
        ``"multiscale"`` sets two shallow paths beside the network, see `dogsim.multiscale`.

    Returns
    -------
    Ranking
        Its model takes prepared pixels and ends in the features: as a ``.keras`` file it is a
        weight file of that backbone, of ``"multiscale"`` with the layer ``embedding``.

    Raises
    ------
    DogsimError
        If the dataset has no recipe or went through a head, its network or a picture cannot be
        loaded, the layer is unknown, a number is out of range or the dataset is too small.
    """
    dataset = as_dataset(dataset)
    if network not in NETWORKS:
        raise unknown("network", network, NETWORKS)
    rate = learning_rate or (1e-5 if from_layer else 1e-3)
    check_numbers(gap=gap, learning_rate=rate, batch_size=batch_size, max_steps=max_steps)
    check_numbers(patience=patience, workers=1 if workers is None else workers)
    known = trainable(dataset)
    part, held = hold_out(known, HELD_OUT, seed, least=2)
    recipe = require_recipe(dataset.recipe)
    model, prepare = _network(recipe, from_layer, weights)
    if network == "multiscale":
        import_keras().utils.set_random_seed(seed)
        model = multiscale(model)
    if not model.trainable_variables:
        raise DogsimError(f"No layer from {from_layer} up has weights that could learn.")
    k = int(np.unique(held.labels, return_counts=True)[1].min()) - 1
    triplets = sample_triplets(part.labels, max_steps * batch_size, seed)
    batches = (
        [part.source(row) for row in batch.T.ravel()] for batch in np.split(triplets, max_steps)
    )
    losses: list[float] = []
    loaded = load_batches(
        batches, recipe.image_size, recipe.resize, workers, seed if augmented else None
    )
    rounds = track(
        _training(model, prepare, loaded, gap, rate, losses), max_steps, "steps, stops early"
    )
    history, best = train_until_best(
        model, rounds, lambda: _score(model, prepare, held, recipe, k), patience
    )
    learned_before = read_memory(Path(weights or recipe.weights))
    remember(model, np.union1d(picture_keys(known.features, known.stamps), learned_before))
    return Ranking(model, history[0], history, best, min(best * ROUND, max_steps), k, tuple(losses))


def load_batches(
    batches: Iterable[Sequence[Source]],
    size: int,
    resize: str,
    workers: int | None = None,
    augment_seed: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Load batches of pictures in threads, some ahead of the one that is asked for.

    With `augment_seed` pictures are mirrored and cropped a little; the same seed does the same to
    them, however many threads there are. Yields (B, size, size, 3) uint8; raises what `load_image`
    raises.
    """

    def load(numbered: tuple[int, Sequence[Source]]) -> NDArray[np.uint8]:
        number, batch = numbered
        images = (load_image(picture, size, resize) for picture in batch)
        if augment_seed is None:
            return np.stack(list(images))
        rng = np.random.default_rng([augment_seed, number])
        return np.stack([augment(image, rng) for image in images])

    return prefetch(load, enumerate(batches), AHEAD, threads=workers or usable_cpus())


def _network(recipe: Recipe, from_layer: str | None, weights: str | None) -> tuple[Any, Prepare]:
    """Load the dataset's network, with the layers that are to learn marked, and what it takes."""
    if recipe.head_sha256:
        raise DogsimError(
            f"Received a dataset that went through the head {recipe.head}. "
            "Expected the one that it was made from: the network learns before the head."
        )
    model, prepare, _ = check_own_weights(recipe, weights).network.model()
    names = [layer.name for layer in model.layers]
    if from_layer is not None and from_layer not in names:
        raise unknown("layer", from_layer, names)
    learns = False
    for layer in model.layers:
        learns = learns or layer.name == from_layer
        layer.trainable = learns and not isinstance(layer, import_keras().layers.BatchNormalization)
    return model, prepare


def _training(
    model: Any,
    prepare: Prepare,
    loaded: Iterable[NDArray[np.uint8]],
    gap: float,
    learning_rate: float,
    losses: list[float],
) -> Iterator[range]:
    """Train on batches of queries, positives and negatives, and yield after each round.

    The mean loss of a round is added to `losses`.
    """
    import tensorflow as tf

    def loss_of(pixels: Any) -> Any:
        embeddings = tf.math.l2_normalize(model(pixels, training=False), axis=1)
        query, positive, negative = tf.split(embeddings, 3)
        return tf.reduce_mean(ranking_loss(query, positive, negative, gap))

    step = gradient_step(model, loss_of, learning_rate)
    taken: list[float] = []
    for images in loaded:
        taken.append(step(prepare(images.astype(np.float32))))
        if len(taken) == ROUND:
            losses.append(float(np.mean(taken)))
            yield range(ROUND)
            taken = []
    if taken:
        losses.append(float(np.mean(taken)))
        yield range(len(taken))


def _score(model: Any, prepare: Prepare, held: Dataset, recipe: Recipe, k: int) -> float:
    """Precision@k of the held-out pictures, each asked of the others."""
    rows = np.array_split(np.arange(len(held)), -(-len(held) // 32))
    batches = [[held.source(row) for row in some] for some in rows]
    loaded = load_batches(batches, recipe.image_size, recipe.resize)
    features = np.concatenate(
        [embed(model, prepare(images.astype(np.float32))) for images in loaded]
    )
    return accuracy(replace(held, features=features), k, metric="cosine").precision_at_k
