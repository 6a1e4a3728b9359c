"""How fast is it? Everything side by side in one run, interleaved, medians.

python scripts/benchmark.py extract PHOTOS --weights FILE     # pictures a second
python scripts/benchmark.py memory PHOTOS --weights FILE      # peak memory, few and many
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import typer
from PIL import Image

import dogsim
from dogsim._keras import import_keras
from dogsim.backbones import find_backbone
from dogsim.tables import table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
Photos = Annotated[Path, typer.Argument(help="A folder of breed folders.")]
Weights = Annotated[str, typer.Option(help="imagenet, or a weight file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command()
def extract(
    photos: Photos,
    weights: Weights = "imagenet",
    backbone: str = "resnet50",
    count: int = 1000,
    repeats: int = 3,
    as_json: Json = False,
) -> None:
    """Files to finished HDF5 file: the usual way, our engines, and inference alone."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = repeated(photos, Path(temporary) / "photos", count), Path(temporary) / "d.h5"
        module: Any = import_module("dogsim.create_dataset")
        module.load_extractor = load = cache(dogsim.load_extractor)  # loading is not timed
        ways: dict[str, Callable[[], object]] = {
            "usual way": usual_way(folder, out, weights, backbone)
        }
        for engine, precision in engines():
            extractor = load(backbone, weights, None, "squash", engine, precision)
            ways[f"{engine} {precision}"] = partial(
                dogsim.create_dataset,
                *(folder, out, backbone, weights),
                engine=engine,
                precision=precision,
                restart=True,
            )
        fastest = f"inference alone, {engine} {precision}"
        size = extractor.recipe.image_size
        files = dogsim.find_pictures(folder)[:256]
        pixels = np.stack([dogsim.load_image(file, size) for file in files])
        ways[fastest] = lambda: [extractor(pixels) for _ in range(count // len(pixels))]
        rates = side_by_side(ways, repeats, {fastest: count // len(pixels) * len(pixels)}, count)
    rows = [
        {
            "way": name,
            "pictures_per_second": round(rate, 1),
            "times_the_usual": round(rate / rates["usual way"], 2),
            "of_the_ceiling": round(rate / rates[fastest], 2),
        }
        for name, rate in rates.items()
    ]
    show({"pictures": count, "repeats": repeats, "results": rows}, as_json)


@app.command()
def memory(
    photos: Photos,
    weights: Weights = "imagenet",
    backbone: str = "resnet50",
    counts: tuple[int, int] = (2000, 20000),
    as_json: Json = False,
) -> None:
    """Peak memory of a whole run over few and over many pictures."""
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            folder = repeated(photos, Path(temporary) / "photos", count)
            command = ["create-dataset", folder, "-o", folder.with_name("d.h5")]
            command += ["--weights", weights, "--backbone", backbone]
            code = "from dogsim.cli import app; app()"
            start = time.perf_counter()
            run = subprocess.Popen([sys.executable, "-c", code, *map(str, command)])
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        rows.append(
            {
                "pictures": count,
                "peak_mb": round(usage.ru_maxrss / 1024),
                "seconds": round(time.perf_counter() - start),
                "exit": run.returncode,
            }
        )
    show({"results": rows}, as_json)


def usual_way(folder: Path, out: Path, weights: str, backbone: str) -> Callable[[], None]:
    """Pillow and Keras' `predict`, file by file and batch by batch, as tutorials have it."""
    keras, spec = import_keras(), find_backbone(backbone)
    if weights.endswith(".keras"):
        model = keras.models.load_model(weights, compile=False)
        model = keras.Model(model.inputs, model.get_layer("avg_pool").output)
    else:
        builder = getattr(import_module(spec.module), spec.builder)
        model = builder(include_top=False, pooling="avg", weights=weights)
    files = dogsim.find_pictures(folder)

    def run() -> None:
        features = []
        for i in range(0, len(files), 32):
            batch = []
            for file in files[i : i + 32]:
                image = Image.open(file).convert("RGB").resize((spec.image_size,) * 2)
                batch.append(np.asarray(image, np.float32))
            features.append(model.predict(spec.prepare(np.stack(batch)), batch_size=32, verbose=0))
        with h5py.File(out, "w") as file:
            file["features"] = np.concatenate(features)

    return run


def engines() -> list[tuple[str, str]]:
    """List the engines installed here, each at its best precision, the fastest last."""
    best = dogsim.choose_engine()[0]
    names = ["tensorflow", best] if best != "tensorflow" else [best]
    return [("tensorflow", "float32"), *(dogsim.choose_engine(name) for name in names)]


def side_by_side(
    ways: dict[str, Callable[[], object]], repeats: int, counts: dict[str, int], count: int
) -> dict[str, float]:
    """Run all ways in turn, again and again; things a second by the median of each."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: counts.get(name, count) / statistics.median(times[name]) for name in ways}


def repeated(photos: Path, folder: Path, count: int) -> Path:
    """Make a folder of breed folders with `count` links to photos, each as often as it takes."""
    pictures = cycle(dogsim.find_pictures(photos))
    for i, picture in enumerate(islice(pictures, count)):
        (folder / picture.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / picture.parent.name / f"{i}{picture.suffix}").symlink_to(picture.resolve())
    return folder


def show(result: dict[str, Any], as_json: bool) -> None:
    """Print a result as JSON, or its rows as a table."""
    if as_json:
        print(json.dumps(result))
        return
    print(table(result["results"]))


if __name__ == "__main__":
    app()
