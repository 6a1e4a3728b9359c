"""Commands that train on a dataset: deep-ranking, project, train-classifier."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli import option
from dogsim.cli.common import check_dataset_output, description, open_dataset, print_result
from dogsim.errors import DogsimError, counted

if TYPE_CHECKING:
    from dogsim.dataset import Dataset
    from dogsim.learning.training import Ranking


FromLayer = Annotated[
    str | None,
    typer.Option(help="Fine-tune the network itself on the images, from this layer on."),
]
Augment = Annotated[bool, typer.Option("--augment", help="Flip and crop the images at random.")]
Rotate = Annotated[
    float | None,
    typer.Option(help="Also rotate the images at random, by at most this many degrees, 0 to 45."),
]
ImageWorkers = Annotated[
    int | None, typer.Option(help="Threads that read images.  [default: one per CPU]")
]
ImageRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of the images, if they have moved, for --from-layer."),
]


def deep_ranking(
    file: option.File,
    out: option.KerasOut,
    negatives: Annotated[
        str | None,
        option.one_of(
            "negatives",
            "{}. proxies: learned vectors of each breed; near: triplets, near negatives weigh "
            "most; drawn: triplets drawn uniformly, with negatives of other breeds; in-class: "
            "with less similar negatives of the same breed; mixture: half of each; pairs: pairs "
            "with the contrastive loss.  [default: proxies]",
        ),
    ] = None,
    gap: Annotated[
        float, typer.Option(help="Margin: how much nearer images of the same breed should be.")
    ] = 0.2,
    width: Annotated[
        int | None, typer.Option(help="Length of the embedding.  [default: breeds - 1]")
    ] = None,
    from_layer: FromLayer = None,
    network: Annotated[
        str, option.one_of("network", "{}. multiscale: add two shallow paths; trained on images.")
    ] = "same",
    augmented: Augment = False,
    rotate: Rotate = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Triplets per step.  [default: 16]")
    ] = None,
    workers: ImageWorkers = None,
    weights: option.Weights = None,
    start: Annotated[
        str | None,
        option.one_of("start", "Initial weights of the head: {}.  [default: discriminant]"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of Adam.  [default: 3e-3; with triplets 1e-3, with --from-layer "
            "1e-5]"
        ),
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Stop after this many rounds of 25 steps without improvement.")
    ] = 4,
    root: ImageRoot = None,
    hold_back: Annotated[
        float | None,
        typer.Option(
            help="Fraction of each breed's images to exclude from training, such as 0.2: they "
            "calibrate the result for --confidence."
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(help="Maximum number of steps.  [default: 500; with proxies 760]"),
    ] = None,
    proxies_per_breed: Annotated[
        int | None,
        typer.Option(
            help="Number of proxies of each breed, for several appearances.  [default: 3]"
        ),
    ] = None,
    seed: option.Seed = 0,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Train an embedding on a dataset's features and store it as a head.

    With `--from-layer` the network is trained as well, and OUT is a network for `--weights`; with
    `--network multiscale` it is one for `--weights OUT --layer embedding`.

    Example: `dogsim deep-ranking dogs.h5 -o head.keras`
    """
    from dogsim.learning.training import hold_out
    from dogsim.networks.trained_models import save_model

    on_images = from_layer is not None or network != "same"
    head_options = _given(negatives=negatives, width=width, start=start)
    head_options |= _given(proxies_per_breed=proxies_per_breed)
    image_options = _given(weights=weights, batch_size=batch_size, workers=workers)
    folder = _given(root=root, augment=augmented or None, rotate=rotate)
    unused = head_options if on_images else image_options | folder
    _refuse_unused(on_images, unused, "--from-layer or --network")
    dataset = _checked_for_training(file, out, force, root, weights)
    if hold_back is not None:
        dataset, _ = hold_out(dataset, hold_back, seed, least=1)
    options = _given(gap=gap, patience=patience, seed=seed)
    options |= _given(learning_rate=learning_rate, max_steps=max_steps)
    if on_images:
        from dogsim.learning.fine_tune import fine_tune

        options |= {"network": network, "augmented": augmented, "rotation": rotate or 0.0}
        trained = fine_tune(dataset, from_layer, **options, **image_options)
    else:
        from dogsim.learning.deep_ranking import train_ranking

        trained = train_ranking(dataset, **options, **head_options)
    save_model(trained.model, out)
    _print_ranking(trained, out, as_json)


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that the user gave."""
    return {name: value for name, value in options.items() if value is not None}


def _refuse_unused(on_images: bool, unused: dict[str, Any], options: str) -> None:
    """Raise `DogsimError` for an option that would have no effect."""
    use = "heads only: leave out" if on_images else "networks only: add"
    for name, value in unused.items():
        raise DogsimError(
            f"Received --{name.replace('_', '-')} {value}. It is for {use} {options}."
        )


def _print_ranking(trained: "Ranking", out: Path, as_json: bool) -> None:
    start, learned = trained.history[0], trained.history[trained.best]
    why = "" if trained.steps else ": no round improved the ranking of the held-out images"
    text = (
        f"{out}: {counted(trained.steps, 'step')}{why}\n"
        f"precision@{trained.k} of held-out images: {trained.raw:.4f} raw, "
        f"{start:.4f} at the start, {learned:.4f} trained"
    )
    result = {
        "out": str(out),
        "steps": trained.steps,
        "k": trained.k,
        "precision_raw": trained.raw,
        "precision_before": start,
        "precision_after": learned,
    }
    print_result(result, as_json, text)


def project(
    file: option.File,
    head: Annotated[Path, typer.Option(help="Head trained by dogsim deep-ranking.")],
    out: option.Out,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Output layer of the head: general, or an empty text for its last layer.  "
            "[default: the last one, if it was trained on all breeds of the dataset]"
        ),
    ] = None,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Embed a dataset's features, and all later queries, with a head.

    Example: `dogsim project dogs.h5 --head head.keras -o ranked.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.apply_head import project as apply_head

    check_dataset_output(out, [file, head], "project", force)
    made = apply_head(Dataset.open(file), head, layer)
    made.save(out, "project")
    size = counted(made.features.shape[1], "number")
    text = f"{out}: {counted(len(made), 'image')}, {size} each"
    print_result({"dataset": str(out), **description(made)}, as_json, text)


def train_classifier(
    file: option.File,
    out: option.KerasOut,
    max_epochs: Annotated[
        int | None, typer.Option(help="Maximum number of epochs.  [default: 100]")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help="Learning rate of Adam.  [default: 0.6 / number of features; with --from-layer "
            "1e-5]"
        ),
    ] = None,
    dropout: Annotated[
        float | None,
        typer.Option(help="Fraction of the features that each step drops.  [default: 0.5]"),
    ] = None,
    from_layer: FromLayer = None,
    augmented: Augment = False,
    rotate: Rotate = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per step, for --from-layer.  [default: 16]")
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option(help="Maximum number of steps, for --from-layer.  [default: 500]")
    ] = None,
    workers: ImageWorkers = None,
    weights: option.Weights = None,
    root: ImageRoot = None,
    seed: option.Seed = 0,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Train a softmax classifier on a dataset's features.

    With `--from-layer` the later layers of the network are trained as well, and OUT is a network
    for `--weights`.

    Example: `dogsim train-classifier train.h5 -o c.keras`, then
    `dogsim accuracy --dataset train.h5 --test test.h5 --classifier c.keras`
    """
    on_features = _given(max_epochs=max_epochs, dropout=dropout)
    on_images = _given(batch_size=batch_size, max_steps=max_steps, workers=workers)
    on_images |= _given(weights=weights, augment=augmented or None, rotate=rotate, root=root)
    _refuse_unused(bool(from_layer), on_features if from_layer else on_images, "--from-layer")
    rate = _given(learning_rate=learning_rate)
    if from_layer is None:
        return _classifier_on_features(file, out, force, as_json, seed=seed, **on_features, **rate)
    on_images |= {"augmented": augmented, "rotation": rotate or 0.0}
    for name in ("augment", "rotate", "root"):
        on_images.pop(name, None)
    dataset = _checked_for_training(file, out, force, root, weights)
    from dogsim.learning.fine_tune import fine_tune
    from dogsim.networks.trained_models import save_model

    trained = fine_tune(dataset, from_layer, loss="softmax", seed=seed, **on_images, **rate)
    save_model(trained.model, out)
    before, after = trained.history[0], trained.history[trained.best]
    why = "" if trained.steps else ": no round improved the accuracy of the held-out images"
    text = (
        f"{out}: {counted(trained.steps, 'step')}{why}\n"
        f"accuracy of held-out images: {before:.4f} with the softmax on the features, "
        f"{after:.4f} fine-tuned"
    )
    result = {"out": str(out), "steps": trained.steps}
    return print_result(
        result | {"accuracy_before": before, "accuracy_after": after}, as_json, text
    )


def _checked_for_training(
    file: Path, out: Path, force: bool, root: Path | None, weights: str | None
) -> "Dataset":
    """Open the dataset of a network to be trained; raise `DogsimError` if OUT is in use."""
    from dogsim.networks.trained_models import check_model_name, has_training_record
    from dogsim.plumbing.files import check_output, check_replaceable

    check_output(check_model_name(out), [file, Path(weights) if weights else None])
    check_replaceable(out, has_training_record, force)
    dataset = open_dataset(file, None, root=root)
    check_output(out, [Path(dataset.recipe.weights)] if dataset.recipe else [])
    return dataset


def _classifier_on_features(
    file: Path, out: Path, force: bool, as_json: bool, **options: Any
) -> None:
    """Train a softmax on the features of a dataset file."""
    from dogsim.dataset import Dataset
    from dogsim.learning.classifier import is_classifier
    from dogsim.learning.classifier import train_classifier as train
    from dogsim.networks.trained_models import check_model_name
    from dogsim.plumbing.files import check_output, check_replaceable

    check_output(check_model_name(out), [file])
    check_replaceable(out, is_classifier, force)
    dataset = Dataset.open(file)
    made = train(dataset, **options)
    made.save(out)
    breeds, size = counted(len(made.breeds), "breed"), dataset.features.shape[1]
    text = f"{out}: classifies {breeds} from {counted(size, 'feature')}"
    print_result({"out": str(out), "breeds": made.breeds, "epochs": made.epochs}, as_json, text)
