"""Fine-tuning: train the network of a dataset on its images, from a given layer on."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.engines.tensorflow import Prepare, import_keras
from dogsim.errors import DogsimError, as_flag, check_known, shown, unknown
from dogsim.learning.architectures import multiscale
from dogsim.learning.augmentation import check_rotation, load_batches
from dogsim.learning.classifier import softmax_on_features
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
from dogsim.networks.protocols import require_trainable
from dogsim.networks.trained_models import embed, read_training_record, record_training
from dogsim.plumbing.terminal import track
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import image_keys

Architecture = Literal["same", "multiscale"]
Loss = Literal["triplet", "contrastive", "softmax"]
NETWORKS: tuple[Architecture, ...] = get_args(Architecture)
LOSSES: tuple[Loss, ...] = get_args(Loss)
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
    loss: Loss = "triplet",
    rotation: float = 0.0,
) -> Ranking:
    """Train the network of a dataset on its images, from a layer on: unfreeze its later layers.

    With the triplet ranking loss, triplets are drawn beforehand, and three networks with shared
    weights embed query, positive and negative as unit vectors. With ``loss="softmax"`` a softmax is
    first trained on the stored features; then it and the layers are trained by cross-entropy.
    Held-out images determine when to stop: their precision, searched among each other, or the
    accuracy of the softmax.

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
        Triplets per step, or images with ``loss="softmax"``.
    max_steps, patience : int
        Stop after `max_steps` steps, or after `patience` rounds of 25 steps without improvement.
    seed : int
    workers : int, optional
        Number of threads that read images, by default one per CPU.
    augmented : bool
        Flip and crop the images at random, see `dogsim.augment`.
    network : {"same", "multiscale"}
        ``"multiscale"`` adds two shallow paths to the network, see `dogsim.multiscale`.
    loss : {"triplet", "contrastive", "softmax"}
        ``"contrastive"``: two pairs of each triplet, see `dogsim.contrastive_loss`.
    rotation : float
        Rotate the images at random by at most so many degrees, 0 to 45; implies `augmented`.

    Returns
    -------
    Ranking
        Its model maps prepared pixels to features. Saved as a ``.keras`` file it is a weight file
        of the same backbone; with ``"multiscale"`` its features are those of layer ``embedding``.
        With ``loss="softmax"`` its history is the accuracy of the held-out images, and k is 1.

    Raises
    ------
    DogsimError
        If the dataset has no recipe or features of a head, its network or an image cannot be
        loaded, the layer is unknown, a number is out of range or the dataset is too small.
    """
    dataset = as_dataset(dataset)
    check_known("network", network, NETWORKS)
    check_known("loss", loss, LOSSES)
    if loss == "softmax" and network != "same":
        raise DogsimError(f"Received loss='softmax' with network={network!r}. Expected 'same'.")
    check_positive(gap=gap, learning_rate=1 if learning_rate is None else learning_rate)
    rate = learning_rate or (1e-5 if from_layer is not None else 1e-3)
    batch_size, max_steps = as_counts(batch_size=batch_size, max_steps=max_steps)
    as_counts(patience=patience, workers=1 if workers is None else workers)
    turned = check_rotation(rotation)
    augment_seed = check_seed(seed) if as_flag("augmented", augmented) or turned else None
    options = _TuningOptions(
        loss, gap, rate, batch_size, max_steps, seed, workers, augment_seed, turned
    )
    known = trainable(dataset)
    part, held = hold_out(known, HELD_OUT_FRACTION, check_seed(seed), least=2)
    tuned = _load_network(require_recipe(dataset.recipe), from_layer, weights, network, seed)
    start = _softmax_training if loss == "softmax" else _triplet_training
    ranking = _train(start(tuned, part, held, options), tuned.model, max_steps, patience)
    trained_on = read_training_record(Path(weights or tuned.recipe.weights))
    if ranking.steps:  # otherwise the weights have not changed
        trained_on = np.union1d(image_keys(known), trained_on)
    record_training(tuned.model, trained_on)
    return ranking


@dataclass(frozen=True)
class _TuningOptions:
    """Training options; the fields are parameters of `fine_tune`."""

    loss: Loss
    gap: float
    learning_rate: float
    batch_size: int
    max_steps: int
    seed: int
    workers: int | None
    augment_seed: int | None
    rotation: float


@dataclass(frozen=True, eq=False)
class _Training:
    """The trained model, its optimiser step, its batches, and its score on held-out images."""

    model: Any
    step: Callable[[Any], float]
    batches: Iterator[Any]
    score: Callable[[], float]
    k: int = 1


def _train(training: _Training, network: Any, max_steps: int, patience: int) -> Ranking:
    """Train in rounds until the score stops improving."""
    losses: list[float] = []
    rounds = train_in_rounds(training.step, training.batches, max_steps, losses)
    progress = track(rounds, max_steps, "steps, stops early")
    history, best = train_until_best(training.model, progress, training.score, patience)
    steps = min(best * STEPS_PER_ROUND, max_steps)
    return Ranking(network, history[0], history, best, steps, training.k, tuple(losses))


def _triplet_training(
    tuned: "_Network", part: Dataset, held: Dataset, options: _TuningOptions
) -> _Training:
    """Prepare the training on triplets, or on pairs with the contrastive loss."""
    import tensorflow as tf

    def loss_of(pixels: Any) -> Any:
        embeddings = tf.math.l2_normalize(tuned.model(pixels, training=False), axis=1)
        return mean_triplet_loss(embeddings, options.gap, options.loss == "contrastive")

    rows = triplet_batches(part.labels, options.max_steps, options.batch_size, options.seed)
    step = gradient_step(tuned.model, loss_of, options.learning_rate)
    k = int(np.unique(held.labels, return_counts=True)[1].min()) - 1
    batches = tuned.batches(part, rows, options)
    return _Training(tuned.model, step, batches, lambda: tuned.precision(held, k), k)


def _softmax_training(
    tuned: "_Network", part: Dataset, held: Dataset, options: _TuningOptions
) -> _Training:
    """Train a softmax on the stored features and prepare the training of both by cross-entropy."""
    keras, breeds = import_keras(), np.unique(part.labels)
    head = softmax_on_features(part, options.seed)
    model = keras.Model(tuned.model.inputs[0], head(tuned.model.outputs[0]))
    cross_entropy = keras.losses.SparseCategoricalCrossentropy()

    def loss_of(pixels: Any, labels: Any) -> Any:
        return cross_entropy(labels, model(pixels, training=False))

    rng, size = np.random.default_rng(options.seed), min(options.batch_size, len(part))
    rows = [rng.choice(len(part), size, replace=False) for _ in range(options.max_steps)]
    labels = (np.searchsorted(breeds, part.labels[batch]) for batch in rows)
    batches = zip(tuned.batches(part, rows, options), labels, strict=True)

    def score() -> float:
        """Compute the accuracy of the softmax on the held-out images."""
        found = tuned.compute(model, held).argmax(axis=1)
        return float(np.mean(breeds[found] == held.labels))

    return _Training(model, gradient_step(model, loss_of, options.learning_rate), batches, score)


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
        options: _TuningOptions | None = None,
    ) -> Iterator[Any]:
        """Yield the prepared pixels (B, S, S, 3) of batches of rows of a dataset."""
        sources = ([dataset.source(row) for row in rows] for rows in batches)
        size, resize = self.recipe.image_size, self.recipe.resize
        how = (options.workers, options.augment_seed, options.rotation) if options else ()
        for images in load_batches(sources, size, resize, *how):
            yield self.prepare(images.astype(np.float32))

    def compute(self, model: Any, dataset: Dataset) -> NDArray[np.float32]:
        """Compute the outputs (n, D) of a model for the images of a dataset."""
        rows = np.array_split(np.arange(len(dataset)), -(-len(dataset) // EVALUATION_BATCH_SIZE))
        return np.concatenate([embed(model, pixels) for pixels in self.batches(dataset, rows)])

    def precision(self, held: Dataset, k: int) -> float:
        """Compute precision@k of held-out images, searched among each other."""
        searched = replace(held, features=self.compute(self.model, held))
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
