"""Deep ranking: train an embedding of stored features that ranks images of the same breed first.

After Wang et al. 2014, "Learning fine-grained image similarity with deep ranking"
(arXiv:1404.4661): in a triplet of a query, a positive and a negative, the positive should be nearer
by a margin. The three networks of the paper share their weights, so here one network embeds all
images of a batch, and each of them is query, positive and negative in turn.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, check_known, shown
from dogsim.learning.discriminant import discriminant
from dogsim.learning.proxies import train_proxies, with_proxies
from dogsim.learning.ranking_losses import mean_triplet_loss, weighted_ranking_loss
from dogsim.learning.training import (
    HELD_OUT_FRACTION,
    STEPS_PER_ROUND,
    Ranking,
    as_counts,
    check_dropout,
    check_learning_rate,
    check_positive,
    check_seed,
    gradient_step,
    hold_out,
    train_in_rounds,
    train_until_best,
    trainable,
)
from dogsim.learning.triplets import balanced_batches, triplet_batches
from dogsim.networks.trained_models import embed, head_name, record_training
from dogsim.plumbing.arrays import unit_vectors
from dogsim.plumbing.terminal import track
from dogsim.retrieval.identity import image_keys

Negatives = Literal["proxies", "near", "drawn", "in-class", "mixture", "pairs"]
Start = Literal["discriminant", "random"]
NEGATIVES: tuple[Negatives, ...] = get_args(Negatives)
STARTS: tuple[Start, ...] = get_args(Start)
MAX_BREEDS_PER_BATCH, MAX_IMAGES_PER_BREED = 128, 8
TRIPLETS_PER_BATCH = 1024  # if they are drawn beforehand
MAX_K = 20  # neighbours behind the precision that selects the best round
TRIPLET_DEFAULTS: dict[str, Any] = {"dropout": 0.15, "learning_rate": 1e-3, "max_steps": 500}
PROXY_DEFAULTS: dict[str, Any] = {"dropout": 0.7, "learning_rate": 3e-3, "max_steps": 760}
DEFAULTS = {"proxies": PROXY_DEFAULTS | {"proxies_per_breed": 3}}  # others: `TRIPLET_DEFAULTS`
IN_CLASS_FRACTIONS = {"in-class": 1.0, "mixture": 0.5}  # of triplets that are drawn beforehand


@dataclass(frozen=True)
class _Options:
    """Training options; the fields are parameters of `train_ranking`."""

    negatives: Negatives
    gap: float
    width: int | None
    patience: int
    seed: int
    start: Start
    dropout: float
    learning_rate: float
    max_steps: int
    proxies_per_breed: int = 1  # not used with triplets

    def __post_init__(self) -> None:
        check_positive(gap=self.gap)
        check_learning_rate(self.learning_rate)
        names = "max_steps", "patience", "proxies_per_breed"
        counts = {name: getattr(self, name) for name in names}
        for name, count in zip(counts, as_counts(**counts), strict=True):
            object.__setattr__(self, name, count)
        check_dropout(self.dropout)


@dataclass(frozen=True, eq=False)
class _Split:
    """The training images, and their split into a gallery and held-out queries."""

    images: Dataset
    gallery: Dataset
    queries: Dataset

    @property
    def k(self) -> int:
        # with all images as neighbours, every ranking would have the same precision
        return min(MAX_K, len(self.gallery) // 2)

    def precision(self, head: Any = None) -> float:
        """Compute precision@k of the held-out queries, with the features or through a head."""
        gallery, queries = self.gallery, self.queries
        if head is not None:
            gallery, queries = (
                replace(x, features=embed(head, x.features)) for x in (gallery, queries)
            )
        return accuracy(gallery, self.k, queries).precision_at_k


def train_ranking(
    dataset: DatasetOrFile,
    negatives: Negatives = "proxies",
    gap: float = 0.2,
    width: int | None = None,
    dropout: float | None = None,
    learning_rate: float | None = None,
    max_steps: int | None = None,
    patience: int = 4,
    seed: int = 0,
    start: Start = "discriminant",
    proxies_per_breed: int | None = None,
) -> Ranking:
    """Train an embedding of a dataset's stored features that ranks a breed's images first.

    The loss is a softmax over proxies, which ranks better (see `dogsim.learning.proxies`), or the
    triplet ranking loss. With triplets the embedding is a linear map from unit vectors to unit
    vectors. Training starts from linear discriminant analysis, which is often hard to improve, or
    from random weights. A tenth of each breed is held out to determine the best number of steps.
    Then the training is repeated with all images for this number of steps, which is 0 if no round
    is better than the start. With proxies the training takes either all steps or none.

    Parameters
    ----------
    dataset : Dataset or path
        At least two breeds with 4 images or more. Breeds with fewer images, and images of unknown
        breed, are left out.
    negatives : {"proxies", "near", "drawn", "in-class", "mixture", "pairs"}
        ``"proxies"``: the proxies of all other breeds, in every step. ``"near"``: all
        triplets of batches of up to 128 breeds x 8 images, with most weight on near negatives.
        ``"drawn"``: triplets drawn beforehand, with out-of-class negatives, drawn uniformly.
        ``"in-class"``: with less similar images of the query's breed as negatives, see
        `sample_triplets`. ``"mixture"``: half of each. ``"pairs"``: the contrastive loss.
    gap : float
        Margin of the loss. The paper uses 1. Unit vectors are 0 to 2 apart, those of different
        breeds about 1.4; with a margin of 0.2, triplets in the right order have no gradient.
    width : int, optional
        Length of the embeddings, by default and at most the number of breeds - 1.
    dropout : float
        Fraction of the features that each step drops, by default 0.7 with proxies, else 0.15.
    learning_rate : float
        Of Adam, by default 0.003 with proxies, else 0.001.
    max_steps, patience : int
        Stop after `max_steps` steps (by default 760 with proxies, else 500), or after `patience`
        rounds of 25 steps without improvement. With proxies the learning rate decays to 0 at the
        last step.
    seed : int
        The same seed gives the same head on the same machine.
    start : {"discriminant", "random"}
        Initial weights. ``"random"`` shows what the ranking loss teaches by itself.
    proxies_per_breed : int, optional
        Number of proxies of each breed, by default 3; a breed with fewer images has one for each
        image. With triplets there are no proxies.

    Raises
    ------
    DogsimError
        If `negatives` is unknown, a number is out of range, the dataset is too small, or
        `proxies_per_breed` is given with triplets.
    """
    dataset = as_dataset(dataset)
    check_known("negatives", negatives, NEGATIVES)
    check_known("start", start, STARTS)
    if negatives != "proxies" and proxies_per_breed is not None:
        raise DogsimError(
            f"Received proxies_per_breed={shown(proxies_per_breed)} with negatives='{negatives}'. "
            "Expected it with negatives='proxies' only."
        )
    given = {"dropout": dropout, "learning_rate": learning_rate, "max_steps": max_steps}
    given["proxies_per_breed"] = proxies_per_breed
    rest = DEFAULTS.get(negatives, TRIPLET_DEFAULTS).copy()
    rest.update((name, x) for name, x in given.items() if x is not None)
    options = _Options(
        negatives=negatives,
        gap=gap,
        width=width,
        patience=patience,
        seed=check_seed(seed),
        start=start,
        **rest,
    )
    images = trainable(dataset)
    split = _Split(images, *hold_out(images, HELD_OUT_FRACTION, seed, least=1))
    train = _train_with_proxies if negatives == "proxies" else _train_with_triplets
    return train(split, options)


def _train_with_proxies(split: _Split, options: _Options) -> Ranking:
    """Train on the gallery; if that improves on the start, train again on all images."""

    def train(dataset: Dataset, head: Any, steps: int) -> tuple[Any, list[float]]:
        proxies, owners, losses = train_proxies(
            head,
            dataset.features,
            dataset.labels,
            options.learning_rate,
            steps,
            options.seed,
            options.proxies_per_breed,
        )
        return with_proxies(head, proxies, owners, dataset.features), losses

    raw, head, images = split.precision(), _initial_head(split.gallery, options), split.images
    before = split.precision(head)
    trial, losses = train(split.gallery, head, options.max_steps)
    after = split.precision(trial)
    steps = options.max_steps if after > before else 0
    model, _ = train(images, _initial_head(images, options), steps)
    breeds = {images.breed_of_label(label) for label in np.unique(images.labels)}
    record_training(model, image_keys(images), breeds)
    best = int(after > before)
    return Ranking(model, raw, (before, after), best, steps, split.k, tuple(losses))


def _train_with_triplets(split: _Split, options: _Options) -> Ranking:
    """Find the best number of steps on the gallery, then train on all images for this number."""
    raw, losses, images = split.precision(), list[float](), split.images
    trial, steps = _initial_head(split.gallery, options), options.max_steps
    rounds = track(
        _triplet_rounds(trial, split.gallery, options, steps, losses), steps, "steps, stops early"
    )
    history, best = train_until_best(
        trial, rounds, lambda: split.precision(trial), options.patience
    )
    model, steps = _initial_head(images, options), min(best * STEPS_PER_ROUND, steps)
    if steps:
        again = _triplet_rounds(model, images, options, steps, [])
        deque(track(again, steps, "steps on all images"), maxlen=0)
    record_training(model, image_keys(images))
    return Ranking(model, raw, history, best, steps, split.k, tuple(losses))


def _initial_head(dataset: Dataset, options: _Options) -> Any:
    """Build a head with the directions of discriminant analysis, or random ones, as weights."""
    keras = import_keras()
    layers = keras.layers
    units = unit_vectors(dataset.features)
    mean, directions = discriminant(units, dataset.labels, options.width)
    variance = float(((units - mean) ** 2).sum(axis=1).mean())
    if options.negatives == "proxies":  # normalise to variance 1 per feature, not in total
        variance /= len(mean)
    head = keras.Sequential(
        [
            keras.Input((units.shape[1],)),
            layers.UnitNormalization(),
            layers.Normalization(mean=mean, variance=np.full_like(mean, variance)),
            layers.Dropout(options.dropout, seed=options.seed),
            layers.Dense(directions.shape[1], use_bias=False, name="embedding"),
            layers.UnitNormalization(),
        ],
        name=head_name(dataset.recipe),
    )
    if options.start == "random":
        drawn = np.random.default_rng(options.seed).normal(size=directions.shape)
        directions = drawn.astype(np.float32)
    length = np.linalg.norm((units - mean) @ directions, axis=1).mean() / np.sqrt(variance)
    head.get_layer("embedding").set_weights([directions / length])
    return head


def _triplet_rounds(
    head: Any, dataset: Dataset, options: _Options, steps: int, losses: list[float]
) -> Iterator[range]:
    """Train a head with the ranking loss, see `train_in_rounds`."""
    if options.negatives == "near":
        counts = np.unique(dataset.labels, return_counts=True)[1]
        images_per_breed = int(min(MAX_IMAGES_PER_BREED, counts.min()))
        batches = balanced_batches(
            dataset.labels, MAX_BREEDS_PER_BATCH, images_per_breed, options.seed
        )

        def loss_of(features: Any) -> Any:
            embeddings = head(features, training=True)
            return weighted_ranking_loss(embeddings, images_per_breed, options.gap)
    else:
        fraction = IN_CLASS_FRACTIONS.get(options.negatives, 0.0)
        drawn = dataset.labels, steps, TRIPLETS_PER_BATCH, options.seed
        batches = triplet_batches(*drawn, dataset.features, fraction)

        def loss_of(features: Any) -> Any:
            embeddings = head(features, training=True)
            return mean_triplet_loss(embeddings, options.gap, options.negatives == "pairs")

    step = gradient_step(head, loss_of, options.learning_rate)
    return train_in_rounds(step, (dataset.features[rows] for rows in batches), steps, losses)
