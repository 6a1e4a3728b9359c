"""Fine-tuning: train the network of a dataset on its images, from a given layer on."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.engines._keras import import_keras
from dogsim.engines.tensorflow import Prepare
from dogsim.errors import DogsimError, as_flag, check_known, shown, unknown
from dogsim.images import Source, load_image
from dogsim.learning.architectures import multiscale
from dogsim.learning.augmentation import augment
from dogsim.learning.ranking_losses import mean_triplet_loss
from dogsim.learning.training import (
    HELD_OUT_FRACTION,
    STEPS_PER_ROUND,
    Ranking,
    as_counts,
    check_positive,
    check_seed,
    gradient_step,
    hold_out,
    train_in_rounds,
    train_until_best,
    trainable,
)
from dogsim.learning.triplets import triplet_batches
from dogsim.networks.extractor_for import check_own_weights, require_recipe
from dogsim.networks.heads import embed
from dogsim.networks.protocols import require_trainable
from dogsim.networks.training_record import read_training_record, record_training
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import prefetch, usable_cpus
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import image_keys

Architecture = Literal["same", "multiscale"]
NETWORKS: tuple[Architecture, ...] = get_args(Architecture)
PREFETCHED_BATCHES = 2  # batches of images that are read while the network computes
EVALUATION_BATCH_SIZE = 32


def fine_tune(
    dataset: DatasetOrFile,
    from_layer: str | None,
    weights: str | os.PathLike[str] | None = None,
    gap: float = 0.2,
    learning_rate: float | None = None,
    batch_size: int = 16,
    max_steps: int = 500,
    patience: int = 4,
    seed: int = 0,
    workers: int | None = None,
    augmented: bool = False,
    network: Architecture = "same",
) -> Ranking:
    """Train the network of a dataset on its images with the triplet ranking loss.

    Triplets are drawn beforehand. Three networks with shared weights embed query, positive and
    negative as unit vectors. Held-out images, searched among each other, determine when to stop.

    Parameters
    ----------
    dataset : Dataset or path
        Its image files are read by several threads; breeds with fewer than 4 images are left out.
    from_layer : str or None
        This layer and all later ones are trained, except batch normalisation layers, whose
        statistics are unreliable in small batches. None trains no layer of the dataset's network,
        only the new layers of ``network="multiscale"``.
    weights : path, optional
        Path of the dataset's weight file, if it has moved.
    gap : float
        Margin of the loss; unit vectors are 0 to 2 apart.
    learning_rate : float, optional
        Of Adam, by default 1e-5, or 1e-3 if only new layers are trained.
    batch_size : int
        Triplets per step.
    max_steps, patience : int
        Stop after `max_steps` steps, or after `patience` rounds of 25 steps without improvement.
    seed : int
    workers : int, optional
        Number of threads that read images, by default one per CPU.
    augmented : bool
        Flip and crop the images at random, see `dogsim.augment`.
    network : {"same", "multiscale"}
        ``"multiscale"`` adds two shallow paths to the network, see `dogsim.multiscale`.

    Returns
    -------
    Ranking
        Its model maps prepared pixels to features. Saved as a ``.keras`` file it is a weight file
        of the same backbone; with ``"multiscale"`` its features are those of layer ``embedding``.

    Raises
    ------
    DogsimError
        If the dataset has no recipe or features of a head, its network or an image cannot be
        loaded, the layer is unknown, a number is out of range or the dataset is too small.
    """
    dataset = as_dataset(dataset)
    check_known("network", network, NETWORKS)
    check_positive(gap=gap, learning_rate=1 if learning_rate is None else learning_rate)
    rate = learning_rate or (1e-5 if from_layer is not None else 1e-3)
    batch_size, max_steps = as_counts(batch_size=batch_size, max_steps=max_steps)
    as_counts(patience=patience, workers=1 if workers is None else workers)
    augmented = as_flag("augmented", augmented)
    known = trainable(dataset)
    part, held = hold_out(known, HELD_OUT_FRACTION, check_seed(seed), least=2)
    tuned = _load_network(require_recipe(dataset.recipe), from_layer, weights, network, seed)
    rows = triplet_batches(part.labels, max_steps, batch_size, seed)
    batches = tuned.batches(part, rows, workers, seed if augmented else None)
    losses: list[float] = []
    rounds = train_in_rounds(tuned.triplet_step(gap, rate), batches, max_steps, losses)
    progress = track(rounds, max_steps, "steps, stops early")
    k = int(np.unique(held.labels, return_counts=True)[1].min()) - 1
    history, best = train_until_best(
        tuned.model, progress, lambda: tuned.precision(held, k), patience
    )
    steps = min(best * STEPS_PER_ROUND, max_steps)
    trained_on = read_training_record(Path(weights or tuned.recipe.weights))
    if steps:  # otherwise the weights have not changed
        trained_on = np.union1d(image_keys(known), trained_on)
    record_training(tuned.model, trained_on)
    return Ranking(tuned.model, history[0], history, best, steps, k, tuple(losses))


def load_batches(
    batches: Iterable[Sequence[Source]],
    size: int,
    resize: str,
    workers: int | None = None,
    augment_seed: int | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of images, (B, size, size, 3) uint8, loaded in advance by threads.

    With `augment_seed` the images are augmented; the same seed gives the same images for any
    number of threads. Raises as `load_image` does.
    """

    def load(numbered: tuple[int, Sequence[Source]]) -> NDArray[np.uint8]:
        number, batch = numbered
        images = (load_image(source, size, resize) for source in batch)
        if augment_seed is None:
            return np.stack(list(images))
        rng = np.random.default_rng([augment_seed, number])
        return np.stack([augment(image, rng) for image in images])

    threads = workers or usable_cpus()
    return prefetch(load, enumerate(batches), PREFETCHED_BATCHES, threads=threads)


@dataclass(frozen=True, eq=False)
class _Network:
    """A network in training, with its preprocessing and the recipe of its input."""

    model: Any
    prepare: Prepare
    recipe: Recipe

    def batches(
        self,
        dataset: Dataset,
        batches: Iterable[NDArray[np.integer]],
        workers: int | None = None,
        augment_seed: int | None = None,
    ) -> Iterator[Any]:
        """Yield the prepared pixels (B, S, S, 3) of batches of rows of a dataset."""
        sources = ([dataset.source(row) for row in rows] for rows in batches)
        size, resize = self.recipe.image_size, self.recipe.resize
        for images in load_batches(sources, size, resize, workers, augment_seed):
            yield self.prepare(images.astype(np.float32))

    def triplet_step(self, gap: float, learning_rate: float) -> Callable[[Any], float]:
        """Return a function that trains on a batch of queries, positives and negatives."""
        import tensorflow as tf

        def loss_of(pixels: Any) -> Any:
            embeddings = tf.math.l2_normalize(self.model(pixels, training=False), axis=1)
            return mean_triplet_loss(embeddings, gap)

        return gradient_step(self.model, loss_of, learning_rate)

    def precision(self, held: Dataset, k: int) -> float:
        """Compute precision@k of held-out images, searched among each other."""
        rows = np.array_split(np.arange(len(held)), -(-len(held) // EVALUATION_BATCH_SIZE))
        features = [embed(self.model, pixels) for pixels in self.batches(held, rows)]
        searched = replace(held, features=np.concatenate(features))
        return accuracy(searched, k, metric="cosine").precision_at_k


def _load_network(
    recipe: Recipe,
    from_layer: str | None,
    weights: str | os.PathLike[str] | None,
    network: Architecture,
    seed: int,
) -> _Network:
    """Load the dataset's network and mark the layers to be trained; add new paths if required."""
    if recipe.head_sha256:
        raise DogsimError(
            f"Received a dataset with features of the head {recipe.head}. "
            "Expected the dataset that the head was applied to: its features are the network's."
        )
    model, prepare, _ = require_trainable(check_own_weights(recipe, weights).network).load_model()
    names = [layer.name for layer in model.layers]
    if from_layer is not None and not isinstance(from_layer, str):
        raise DogsimError(f"Received {shown(from_layer)} as the layer. Expected a name, or None.")
    if from_layer is not None and from_layer not in names:
        raise unknown("layer", from_layer, names)
    trained = False
    for layer in model.layers:
        trained = trained or layer.name == from_layer
        fixed = isinstance(layer, import_keras().layers.BatchNormalization)
        layer.trainable = trained and not fixed
    if network == "multiscale":
        import_keras().utils.set_random_seed(seed)
        model = multiscale(model)
    if not model.trainable_variables:
        raise DogsimError(f"No layer from {from_layer} on has weights to train.")
    return _Network(model, prepare, recipe)
