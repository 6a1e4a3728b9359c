"""Any arguments of any public function: only `DogsimError` is raised, and nothing is left behind.

Each argument of each function is replaced by values that do not fit it, by values that fit, and by
values that nearly fit. A call raises `DogsimError` or returns. It ends soon, prints no warning and
writes nothing outside the folder of the test. The functions are those of `dogsim.__init__.pyi` and
the methods of their results: a new one has to be added to `calls`. ``pytest --slow`` draws ten
times as many values.
"""

import inspect
import io
import os
import re
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import with_timeout
from PIL import Image

import dogsim
from dogsim import Dataset, DogsimError, Extractor
from dogsim.networks.extractor import NetworkOptions
from dogsim.sources import archives, sample

pytestmark = pytest.mark.skipif(os.name != "posix", reason="alarms and odd names")

CALLS, SLOW_CALLS = 500, 5000
SEED = 0
PATIENCE = 30  # seconds of one call, on a machine that others use as well
# Results, which hold what they are given, and constants.
NO_FUNCTIONS = {
    *("Accuracy", "Answer", "Audit", "Explanation", "Ranking", "Update", "Recipe", "Head"),
    *("Classifier", "Extractor", "DogsimError", "BACKBONES", "METRICS", "PublishedAccuracy"),
}
WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate"}


@dataclass(frozen=True)
class Call:
    """A function with arguments that fit; `optional` can be given as well."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    optional: tuple[str, ...] = ()


class Hostile:
    """An object whose conversion fails."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("no array")


def values(four: Dataset, folder: Path) -> list[Any]:
    """Return one value of each kind; iterators are new at each call."""
    return [
        *(None, True, False, 0, -1, 1, 2, 3, 3.5, -0.0, 1e300, 2**70, 1j),
        *(float("nan"), float("inf"), "", " ", "x", "0.9", "\0", "a" * 5000, "\ud800", "a/b"),
        *("euclidean", "imagenet", "colours.keras", "photos", "photos/pug/0.png", "d.h5", "new.h5"),
        *("d.h5/below.h5", "/dev/null", "loop", "new/in/new.h5", "犬.keras", "two\nlines"),
        *(b"", b"\xff\xd8\xff", [], [1], [None], ["a"], [[1, 2], [3]], [[0.5, 0.5]], (), {}, set()),
        *({"a": 1}, {"a": (1, 2, 3)}, object(), Hostile(), len, Dataset, range(3), iter([1, 2])),
        *(np.zeros(0), np.zeros((0, 3)), np.zeros((2, 0)), np.zeros((3, 3, 3), np.uint8)),
        *(np.zeros((2, 2), complex), np.array(["a"]), np.array([None, 1]), np.zeros((2,) * 5)),
        *(
            np.ma.array([1, 2], mask=[False, True]),
            np.array(3),
            np.float32(2),
            np.int8(3),
            np.uint8(1),
        ),
        *(np.datetime64("2020-01-01"), np.ones((3, 3)) * np.nan, np.ones(3), np.array([0, 1])),
        *(
            np.array([2**40, -(2**40)]),
            np.array([[0, 1], [1, 0]]),
            np.bool_(True),
            np.full((3, 3), np.inf),
        ),
        *(folder / "photos", folder / "gone", folder / "d.h5", Image.new("RGB", (4, 4))),
        *(four, four.take([0]), four.take([]), replace(four, features=four.features * np.nan)),
        *(replace(four, features=four.features * 0), np.random.default_rng(0), ("a", 1), slice(2)),
    ]


@pytest.fixture
def world(tmp_path: Path, mean_colours: Extractor, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos, a dataset and a weight file; networks are replaced by mean colours."""

    def load(options: NetworkOptions) -> Extractor:
        options.check()
        return mean_colours

    def refuse(*_: Any, **__: Any) -> Any:
        raise DogsimError("No network connection.")

    monkeypatch.setattr(NetworkOptions, "load", load)
    monkeypatch.setattr(archives, "download", refuse)
    monkeypatch.setattr(sample, "_cached", lambda *_: Dataset.open(tmp_path / "d.h5"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "colours.keras").write_text("no model")
    rng = np.random.default_rng(0)
    for breed in ("pug", "whippet"):
        (tmp_path / "photos" / breed).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (12, 10, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / breed / f"{number}.png")
    files = sorted((tmp_path / "photos").rglob("*.png"))
    Dataset(
        features=dogsim.extract_features(files, mean_colours),
        labels=np.repeat([0, 1], 4).astype(np.int32),
        paths=tuple(file.relative_to(tmp_path / "photos").as_posix() for file in files),
        breeds=("pug", "whippet"),
        recipe=mean_colours.recipe,
        root=str(tmp_path / "photos"),
    ).save(tmp_path / "d.h5")
    return tmp_path


def calls(dataset: Dataset, folder: Path, extractor: Extractor) -> dict[str, Call]:
    """Return a call of each public function, and of the methods of public classes."""
    image = folder / "photos" / "pug" / "0.png"
    pixels = np.zeros((1, 8, 8, 3), np.uint8)
    out = {"out": "new.h5"}
    network = ("resize", "views", "engine", "precision", "mean", "std", "image_size")
    run = ("batch_size", "strict", "restart", "margin")
    create = {"images_dir": "photos", **out, "weights": "colours.keras"}
    extraction = (*network, *run, "verify", "force", "boxes", "labels", "names", "exclude")
    found = {"indices": [0, 1], "distances": [0.0, 1.0]}
    figures = {"figures": [("a", dogsim.breed_tree(dataset))], "save": "figures"}
    measure = dogsim.ImageDistance()
    steps = {"max_steps": 1, "patience": 1}
    listed: dict[str, tuple[Any, ...]] = {
        "accuracy": (dogsim.accuracy, {"dataset": dataset}),
        "accuracy_figures": (dogsim.accuracy_figures, {"dataset": dataset}),
        "audit": (dogsim.audit, {"dataset": dataset}),
        "augment": (dogsim.augment, {"image": pixels[0], "rng": np.random.default_rng(0)}),
        "breed_tree": (dogsim.breed_tree, {"dataset": dataset}),
        "calibration_error": (
            dogsim.calibration_error,
            {"probabilities": [[0.5, 0.5]], "labels": [0]},
        ),
        "choose_engine": (dogsim.choose_engine, {}),
        "classify": (
            dogsim.classify,
            {"images": image, "dataset": dataset, "extractor": extractor},
        ),
        "create_dataset": (dogsim.create_dataset, create, extraction),
        "Dataset": (
            Dataset,
            {name: getattr(dataset, name) for name in ("features", "labels", "paths", "breeds")},
        ),
        "Dataset.breed": (dataset.breed, {"row": 0}),
        "Dataset.breed_of_label": (dataset.breed_of_label, {"label": 0}),
        "Dataset.image_file": (dataset.image_file, {"row": 0}),
        "Dataset.box": (dataset.box, {"row": 0}),
        "Dataset.source": (dataset.source, {"row": 0}),
        "Dataset.label_of_path": (dataset.label_of_path, {"path": image}),
        "Dataset.require_comparable": (dataset.require_comparable, {"testset": dataset}),
        "Dataset.take": (dataset.take, {"rows": [0]}),
        "Dataset.to_frame": (dataset.to_frame, {}),
        "Dataset.open": (Dataset.open, {"path": "d.h5"}),
        "Dataset.save": (dataset.save, {"path": "saved.h5"}),
        "Dataset.write": (dataset.write, {"path": "saved.h5"}),
        "discriminant": (
            dogsim.discriminant,
            {"features": dataset.features, "labels": dataset.labels},
        ),
        "dist_calc": (dogsim.dist_calc, {"dataset": dataset, "testset": dataset}),
        "expand": (dogsim.expand, {"dataset": dataset}),
        "explain": (dogsim.explain, {"image": image, "other": image, "extractor": extractor}),
        "export_mat": (dogsim.export_mat, {"dataset": dataset, "path": "new.mat"}),
        "extract_features": (dogsim.extract_features, {"images": [image], "extractor": extractor}),
        "Extractor.__call__": (extractor.__call__, {"images": pixels}),
        "extractor_for": (dogsim.extractor_for, {"recipe": dataset.recipe}),
        "feature_extract": (dogsim.feature_extract, {"image": image, "extractor": extractor}),
        "find_images": (dogsim.find_images, {"path": "photos"}),
        "fine_tune": (dogsim.fine_tune, {"dataset": dataset, "from_layer": "x", **steps}),
        "heat_maps": (
            dogsim.heat_maps,
            {"query": image, "other": image, "why": None, "names": ("a", "b")},
        ),
        "hold_out": (dogsim.hold_out, {"dataset": dataset, "part": 0.25}),
        "ImageDistance": (dogsim.ImageDistance, {}),
        "ImageDistance.compute": (measure.compute, {"image1": image, "image2": image}),
        "ImageDistance.compute_batch": (measure.compute_batch, {"images_list": [image, image]}),
        "import_mat": (dogsim.import_mat, {"path": "new.mat"}),
        "load_classifier": (dogsim.load_classifier, {"path": "colours.keras"}),
        "load_extractor": (dogsim.load_extractor, {}),
        "load_head": (dogsim.load_head, {"path": "colours.keras"}),
        "load_image": (dogsim.load_image, {"source": image}),
        "majority_vote": (dogsim.majority_vote, {"labels": [[0, 1]]}),
        "mink": (dogsim.mink, {"distances": [[0.0, 1.0]], "k": 1}),
        "nearest": (dogsim.nearest, {"dataset": dataset, "testset": dataset, "k": 1}),
        "printable": (dogsim.printable, {"text": "a"}),
        "project": (dogsim.project, {"dataset": dataset, "head": "colours.keras"}),
        "ResNetDistance": (dogsim.ResNetDistance, {}),
        "VGGDistance": (dogsim.VGGDistance, {}),
        "InceptionDistance": (dogsim.InceptionDistance, {}),
        "DenseNetDistance": (dogsim.DenseNetDistance, {}),
        "published_accuracy": (dogsim.published_accuracy, {"dataset": dataset}),
        "result_grid": (dogsim.result_grid, {"query": image, "dataset": dataset, **found}),
        "result_grids": (
            dogsim.result_grids,
            {"query": image, "found": {"a": (dataset, [0], [0.0])}},
        ),
        "run_script": (run_without_options, {"main": calls}),
        "sample_dataset": (dogsim.sample_dataset, {}),
        "sample_queries": (dogsim.sample_queries, {}),
        "sample_pairs": (dogsim.sample_pairs, {"labels": [0, 0, 1], "n": 2}),
        "sample_triplets": (
            dogsim.sample_triplets,
            {"labels": [0, 0, 0, 1], "n": 2, "features": np.eye(4)[:, :2], "in_class": 0.5},
        ),
        "say": (dogsim.say, {"text": "a"}),
        "show_or_save": (dogsim.show_or_save, figures),
        "caltech101": (
            dogsim.caltech101,
            {"folder": "caltech", "archives": "photos"},
            (*network, *run),
        ),
        "stanford_dogs": (
            dogsim.stanford_dogs,
            {"folder": "dogs", "archives": "photos"},
            (*network, *run),
        ),
        "train_ranking": (dogsim.train_ranking, {"dataset": dataset, **steps}),
        "train_classifier": (
            dogsim.train_classifier,
            {"dataset": dataset, "max_epochs": 1, "patience": 1},
        ),
        "update_dataset": (dogsim.update_dataset, create, extraction),
        **network_calls(dataset),
    }
    return {name: Call(*each) for name, each in listed.items()}


def run_without_options(main: Any) -> None:
    """Run a script; it always ends the process, here because an option is missing."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("sys.argv", ["script.py"])
        dogsim.run_script(main)


def network_calls(dataset: Dataset) -> dict[str, tuple[Any, ...]]:
    """Return the calls of functions that build networks of Keras."""
    import keras

    x, three = keras.Input((8, 8, 4)), keras.ops.zeros((2, 3))
    small = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    head = dogsim.Head(small, "")
    classifier = dogsim.Classifier(
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")]),
        dataset.breeds,
    )

    def inception(x: Any, one: Any = 2, pair: Any = (2, 2), pool: Any = 2, name: Any = None) -> Any:
        return dogsim.inception_module(x, one, pair, pair, pool, name=name)

    return {
        "alexnet": (dogsim.alexnet, {"size": 67, "classes": 2}),
        "Classifier.__call__": (classifier.__call__, {"features": dataset.features}),
        "Classifier.as_json": (classifier.as_json, {"features": dataset.features[0]}),
        "Classifier.evaluate": (classifier.evaluate, {"testset": dataset}),
        "Classifier.names": (classifier.names, {"probabilities": np.eye(2)}),
        "Classifier.save": (classifier.save, {"path": "new.keras"}),
        "convolution_block": (dogsim.convolution_block, {"x": x, "filters": (2, 2, 4)}),
        "googlenet": (dogsim.googlenet, {"input_shape": (64, 64, 3), "classes": 2}),
        "Head.__call__": (head.__call__, {"features": dataset.features}),
        "identity_block": (dogsim.identity_block, {"x": x, "filters": (2, 2, 4)}),
        "inception_module": (inception, {"x": x}),
        "multiscale": (dogsim.multiscale, {"width": 1}),
        "contrastive_loss": (
            dogsim.contrastive_loss,
            {"first": three, "second": three, "same": [True, False, True]},
        ),
        "ranking_loss": (
            dogsim.ranking_loss,
            {"query": three, "positive": three, "negative": three},
        ),
        "resnet50": (dogsim.resnet50, {"input_shape": (32, 32, 3), "classes": 2}),
        "save_model": (dogsim.save_model, {"model": small, "path": "new.keras"}),
    }


class Watch:
    """Records the files that are written outside a folder while it is on."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.outside: list[str] = []
        sys.addaudithook(self.record)  # a hook stays as long as the process

    def record(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or not (event == "open" or event in WRITES):
            return
        path, flags = arguments[0], arguments[2] if event == "open" else os.O_WRONLY
        reads = event == "open" and not (int(flags or 0) & (os.O_WRONLY | os.O_RDWR))
        if reads or isinstance(path, int) or "__pycache__" in str(path) or path == os.devnull:
            return
        full = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - makes no file system call
        if not full.startswith(str(self.folder)):
            self.outside.append(f"{event} {full}")


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


def test_every_public_function_has_a_call(world: Path, mean_colours: Extractor) -> None:
    drawn = calls(Dataset.open(world / "d.h5"), world, mean_colours)
    functions = {name.partition(".")[0] for name in drawn}
    assert {name for name in dir(dogsim) if name[0] != "_"} <= functions | NO_FUNCTIONS


@pytest.mark.parametrize(
    "count", [CALLS, pytest.param(SLOW_CALLS, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_any_arguments(count: int, world: Path, mean_colours: Extractor, watch: Watch) -> None:
    rng = np.random.default_rng(SEED)
    dataset = Dataset.open(world / "d.h5")
    dataset = replace(dataset, features=np.array(dataset.features))  # calls may replace the file
    drawn = calls(dataset, world, mean_colours)
    names = [
        (name, argument)
        for name, call in drawn.items()
        for argument in (*inspect.signature(call.function).parameters, *call.optional)
        if argument != "options"
    ]
    found: dict[str, str] = {}
    watch.folder = world
    try:
        for number in range(count):
            name, argument = names[number % len(names)]
            pool = values(dataset, world)
            value = pool[rng.integers(len(pool))]
            failure = failure_of(drawn[name], {argument: value})
            if failure:
                found.setdefault(f"{name}: {failure}", f"{argument}={value!r:.60}")
    finally:
        watch.folder = None
    assert not found, "\n".join(f"{failure} for {call}" for failure, call in found.items())
    assert watch.outside == []


def failure_of(call: Call, changed: dict[str, Any]) -> str:
    """Return what is wrong with a call, "" if nothing is."""
    output, started = io.StringIO(), time.monotonic()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        try:
            with with_timeout(PATIENCE), redirect_stdout(output), redirect_stderr(output):
                result = call.function(**call.arguments | changed)
                if inspect.isgenerator(result):
                    next(result, None)
        except DogsimError as error:
            return "a message of several lines" if "\n" in str(error) else ""
        except BaseException as error:
            frames = traceback.extract_tb(error.__traceback__)
            inner = [f"{Path(each.filename).name}:{each.lineno}" for each in frames]
            return f"{type(error).__name__}: {error!s:.90} at {' '.join(inner[-3:])}"
    seen = [each for each in warned if not issubclass(each.category, DeprecationWarning)]
    shown = [str(each.message) for each in seen]
    if shown or re.search(r"\w+Warning:", output.getvalue()):
        return f"warns: {[*shown, output.getvalue()][0]:.100}"
    return f"takes {time.monotonic() - started:.0f} s" if time.monotonic() - started > 5 else ""
