"""Benchmark several implementations in one run: warm, in turn, with median and range.

python scripts/benchmark.py extract PHOTOS --weights FILE     # images per second
python scripts/benchmark.py memory PHOTOS --weights FILE      # peak memory, few and many images
python scripts/benchmark.py answer DATASET PHOTO              # whole commands, cold and warm
python scripts/benchmark.py search                            # neighbours, n x d x k x queries
python scripts/benchmark.py history                           # their ratios, from commit to commit
python scripts/benchmark.py decode                            # from JPEG to pixels, by megapixels
python scripts/benchmark.py steps PHOTOS --weights FILE       # processor time of each step
"""

import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from importlib.util import find_spec
from itertools import cycle, islice, product
from pathlib import Path
from typing import Annotated, Any

import h5py
import numpy as np
import typer
from PIL import Image

import dogsim
from dogsim.create_dataset import bring_up_to_date
from dogsim.engines.choose import ENGINES, PRECISIONS, Engine, Precision, has_engine
from dogsim.engines.tensorflow import gpus
from dogsim.folders.extraction import quantization_images
from dogsim.folders.listing import list_images
from dogsim.folders.run_options import RunOptions
from dogsim.image_files.files import read_image_file
from dogsim.image_files.square import min_decoded_side, squared
from dogsim.images import open_image
from dogsim.networks.extractor import NetworkOptions
from dogsim.networks.keras_network import KerasNetwork
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.tables import table
from race import Runner, Runs, milliseconds, race, rates
from search_history import append, commit, plot
from searches import MAIN_WAYS, SEARCHES, from_disk, measured, note_missing, ratio_to

END_TO_END, ALONE = "end to end", "inference alone"
BATCH = 32  # images that the network computes at once, the default of create-dataset
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
    """Measure the rates from image files to dataset: plain Keras, the engines, inference alone.

    If TensorFlow has a GPU, plain Keras uses it too, and the other engines use the CPU.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = repeated(photos, Path(temporary) / "photos", count)
        network: dict[str, Any] = {"folder": str(folder), "weights": weights, "backbone": backbone}
        runners = {"usual way": Runner(plain_keras, **network)}
        for engine, precision, device in engines():
            how: dict[str, Any] = {"engine": engine, "precision": precision, "device": device}
            runners[" ".join(how.values())] = Runner(with_engine, **network, **how)
        times = race(runners, repeats)
    median = {run: statistics.median(taken) for run, taken in times.items()}
    rows = [
        {
            "way": way,
            "run": run,
            **rates(taken, count),
            "times_the_usual": round(median["usual way", END_TO_END] / median[way, run], 2),
            "of_inference_alone": round(median[way, ALONE] / median[way, run], 2)
            if (way, ALONE) in median
            else None,
        }
        for (way, run), taken in times.items()
    ]
    computer = processor() | {"gpus": gpus()}
    result = {"processor": computer, "images": count, "repeats": repeats, "results": rows}
    show(result, as_json)


@app.command()
def memory(
    photos: Photos,
    weights: Weights = "imagenet",
    backbone: str = "resnet50",
    counts: tuple[int, int] = (2000, 20000),
    as_json: Json = False,
) -> None:
    """Measure the peak memory of a whole run with few and with many images."""
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
                "images": count,
                "peak_mb": round(usage.ru_maxrss / 1024),
                "seconds": round(time.perf_counter() - start),
                "exit": run.returncode,
            }
        )
    show({"results": rows}, as_json)


@app.command()
def answer(
    dataset: Annotated[Path, typer.Argument(help="A dataset file.")],
    photo: Annotated[Path, typer.Argument(help="A query image.")],
    repeats: int = 5,
    as_json: Json = False,
) -> None:
    """Measure the duration of whole commands, the first time with a network and afterwards."""
    recipe = dogsim.Dataset.open(dataset).recipe
    assert recipe, "the dataset has no recipe"
    network = ["--backbone", recipe.backbone, "--weights", recipe.weights]
    with tempfile.TemporaryDirectory() as folder:
        commands: dict[str, list[Any]] = {
            "classify": ["classify", photo, "--dataset", dataset],
            "distance": ["distance", photo, photo, *network],
            "show --save": ["show", photo, "--dataset", dataset, "--save", Path(folder) / "grids"],
            "accuracy": ["accuracy", "--dataset", dataset],
        }
        times: dict[tuple[str, str], list[float]] = {}
        for turn in range(repeats):
            for name, command in commands.items():
                cache = Path(folder) / f"cache {turn} {name}"
                for start in ("cold", "warm"):
                    times.setdefault((name, start), []).append(seconds_of(cache, command))
    rows = [
        {
            "command": name,
            "start": start,
            "seconds": round(statistics.median(taken), 2),
            "fastest": round(min(taken), 2),
            "slowest": round(max(taken), 2),
        }
        for (name, start), taken in times.items()
    ]
    show({"processor": processor(), "repeats": repeats, "results": rows}, as_json)


def seconds_of(cache: Path, command: list[Any]) -> float:
    """Run dogsim in a new process, with a folder as the user cache, and return its duration."""
    code = (
        "import sys, pathlib, platformdirs; cache = pathlib.Path(sys.argv.pop(1))\n"
        "platformdirs.user_cache_path = lambda name: cache\n"
        "from dogsim.cli import app; app()"
    )
    start = time.perf_counter()
    arguments = [sys.executable, "-c", code, cache, *command]
    subprocess.run([str(each) for each in arguments], check=True, capture_output=True)
    return time.perf_counter() - start


@app.command()
def decode(size: int = 224, repeats: int = 5, as_json: Json = False) -> None:
    """Measure decoding from JPEG bytes to network input: with dogsim, and at full size."""
    ways = {way: Runner(decodings, way=way, size=size) for way in ("dogsim", "decoded whole")}
    rows: list[dict[str, Any]] = [
        {"megapixels": megapixels, "way": way, **milliseconds(taken)}
        for (way, megapixels), taken in race(ways, repeats).items()
    ]
    rows.sort(key=lambda row: float(row["megapixels"]))
    show({"processor": processor(), "repeats": repeats, "results": rows}, as_json)


def decodings(way: str, size: int) -> Runs:
    """Prepare the decoding of an image of each size."""
    runs: dict[str, Callable[[], object]] = {}
    for width, height in ((500, 375), (1600, 1200), (2592, 1944), (4000, 3000), (6000, 4000)):
        content = photo_like(width, height)
        decoding = dogsim.load_image if way == "dogsim" else decoded_whole
        runs[f"{width * height / 1e6:.1f}"] = partial(decoding, content, size)
    return runs


def decoded_whole(content: bytes, size: int) -> Image.Image:
    """Decode an image at full size, then resize it."""
    return Image.open(io.BytesIO(content)).resize((size, size), Image.Resampling.BICUBIC)


def photo_like(width: int, height: int) -> bytes:
    """Return a JPEG of coloured shapes with sensor noise."""
    rng = np.random.default_rng(0)
    shapes = Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    smooth = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noisy = (smooth + rng.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)
    written = io.BytesIO()
    Image.fromarray(noisy).save(written, "jpeg", quality=90)
    return written.getvalue()


@app.command()
def steps(
    photos: Photos,
    weights: Weights = "imagenet",
    backbone: str = "resnet50",
    count: int = 200,
    repeats: int = 5,
    as_json: Json = False,
) -> None:
    """Measure the processor time of each step from a file to a row; the network uses all cores."""
    extractor = dogsim.load_extractor(backbone, weights)
    files = dogsim.find_images(photos)[:count]
    extractor(np.zeros((BATCH, *[extractor.recipe.image_size] * 2, 3), np.uint8))  # compile it
    turns = [steps_of(files, extractor) for _ in range(repeats)]
    rows = [
        {"step": step, **milliseconds([turn[step] / len(files) for turn in turns])}
        for step in turns[0]
    ]
    show({"processor": processor(), "photos": len(files), "results": rows}, as_json)


def steps_of(files: list[Path], extractor: dogsim.Extractor) -> dict[str, float]:
    """Return the processor time of each step for all files, seconds."""
    size, resize = extractor.recipe.image_size, extractor.recipe.resize
    taken: dict[str, float] = {}

    def each(step: str, function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        start = time.process_time()
        results = [function(item) for item in items]
        taken[step] = time.process_time() - start
        return results

    contents = each("read", read_image_file, files)
    each("hash", bytes_sha256, contents)
    decode = partial(open_image, at_least=min_decoded_side(size, resize))
    images = each("decode", decode, contents)
    pixels = np.stack(each("resize", partial(squared, size=size, resize=resize), images))
    batches = [pixels[first : first + BATCH] for first in range(0, len(pixels), BATCH)]
    features = np.concatenate(each("network", extractor, batches))  # (n, d)
    names = tuple(f"dog/{number}.jpg" for number in range(len(files)))
    rows = dogsim.Dataset(features, np.zeros(len(files), np.int32), names, ("dog",))
    with tempfile.TemporaryDirectory() as folder:
        each("write", rows.save, [Path(folder) / "rows.h5"])
    return taken


def processor() -> dict[str, Any]:
    """Return the name of the CPU, its cores and the features that determine the speed."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {name.strip(): text.strip() for name, text in facts.items()}
    flags = facts.get("flags", facts.get("Features", "")).split()
    relevant = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    return {
        "name": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "features": [name for name in relevant if name in flags],
    }


@app.command()
def search(
    dataset: Annotated[
        Path | None, typer.Argument(help="Dataset file; else synthetic features.")
    ] = None,
    ks: Annotated[list[int], typer.Option("--k", "-k")] = [20, 100],  # noqa: B006 - typer needs a list
    repeats: int = 5,
    sizes: list[int] = [1000, 12_000],  # noqa: B006
    dimensions: list[int] = [2048],  # noqa: B006
    queries: Annotated[
        list[int], typer.Option(help="Numbers of queries; 0: all images, each left out once.")
    ] = [1, 300, 0],  # noqa: B006
    threads: Annotated[list[int], typer.Option(help="Of every way.")] = [1, 2],  # noqa: B006
    disk: int = 0,
    as_json: Json = False,
) -> None:
    """Search neighbours with dogsim and other libraries, in turn.

    A ratio is the median of the ratios of the times in the same turn, with the lowest and the
    highest. On one thread it is of processor times. --disk N adds one query to a file with N x 256
    features.
    """
    note_missing(tuple(SEARCHES))
    rows = []
    for (n, d), number in product([(0, 0)] if dataset else product(sizes, dimensions), threads):
        source = {"file": str(dataset or ""), "n": n, "d": d}
        name = dataset.name if dataset else f"{n} x {d}"
        found = measured(source, ks, queries, number, repeats)
        rows += [{"features": name, **row} for row in found]
    if disk:
        rows.append(from_disk(disk, ks[0], repeats))
    result = {"processor": processor(), "repeats": repeats, "ratio_to": ratio_to()}
    show(result | {"results": rows}, as_json)


@app.command()
def history(
    file: Annotated[
        Path, typer.Argument(help="One JSON object in each line; its figure is FILE.png.")
    ] = Path("results/search_history.jsonl"),
    repeats: int = 5,
    sizes: list[int] = [1000, 12_000],  # noqa: B006 - typer needs a list
    dimension: int = 2048,
    threads: Annotated[list[int], typer.Option(help="Of every way.")] = [1, 2],  # noqa: B006
) -> None:
    """Measure the search and append its ratios, with commit and processor, to a file; plot it."""
    note_missing(MAIN_WAYS)
    ratios = {}
    for n, number in product(sizes, threads):
        source = {"file": "", "n": n, "d": dimension}
        for row in measured(source, [20, 100], [1, 300, 0], number, repeats, MAIN_WAYS):
            if row["way"] == MAIN_WAYS[0]:
                run = f"{n} x {dimension}, {row['run']}, {number} threads"
                ratios[run] = row["ratio"]
    entry = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "processor": processor(),
        "ratio_to": ratio_to(),
        "ratios": ratios,
    }
    append(file, entry)
    print(f"{file}: " + "; ".join(f"{run}: {ratio}" for run, ratio in ratios.items()))
    print(plot(file))


def plain_keras(folder: str, weights: str, backbone: str) -> Runs:
    """Prepare the run of Pillow and Keras' `predict`, batch by batch, as in tutorials."""
    model, prepare, size = KerasNetwork(backbone, weights).load_model()
    files = dogsim.find_images(folder)

    def run() -> None:
        features = []
        for i in range(0, len(files), 32):
            batch = []
            for file in files[i : i + 32]:
                image = Image.open(file).convert("RGB").resize((size, size))
                batch.append(np.asarray(image, np.float32))
            features.append(model.predict(prepare(np.stack(batch)), batch_size=32, verbose=0))
        with h5py.File(Path(folder).with_name("usual.h5"), "w") as file:
            file["features"] = np.concatenate(features)

    return {END_TO_END: run}


def with_engine(
    folder: str, weights: str, backbone: str, engine: Engine, precision: Precision, device: str
) -> Runs:
    """Prepare the runs of `create_dataset` with a loaded network, and of the network alone."""
    if device == "CPU":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    root, out = Path(folder), Path(folder).with_name(f"{engine} {precision} {device}.h5")
    images = list_images(root).images
    options = NetworkOptions(
        backbone=backbone,
        weights=weights,
        engine=engine,
        precision=precision,
        quantization_images=partial(quantization_images, root, images, "squash"),
    )
    loaded = LoadedOptions(engine=engine, precision=precision, ready=options.load())
    size = loaded.ready.recipe.image_size
    pixels = np.stack([dogsim.load_image(root / each.path, size) for each in images[:256]])

    def alone() -> None:
        for start in range(0, len(images), len(pixels)):
            loaded.ready(pixels[: len(images) - start])

    return {
        END_TO_END: partial(bring_up_to_date, root, out, loaded, RunOptions(restart=True)),
        ALONE: alone,
    }


@dataclass(frozen=True)
class LoadedOptions(NetworkOptions):
    """Network options whose extractor is loaded already."""

    ready: dogsim.Extractor = field(kw_only=True)

    def load(self) -> dogsim.Extractor:
        return self.ready


def engines() -> list[tuple[Engine, Precision, str]]:
    """List the available engines with precision and device."""
    found: list[tuple[Engine, Precision, str]] = []
    if gpus():
        found.append(("tensorflow", "float32", "GPU"))
    for engine, precision in product(ENGINES[1:], PRECISIONS[1:3]):
        if has_engine(engine, precision):
            found.append((engine, precision, "CPU"))
    int8 = find_spec("openvino") and find_spec("nncf")
    return [*found, ("openvino", "int8", "CPU")] if int8 else found


def repeated(photos: Path, folder: Path, count: int) -> Path:
    """Make a folder of breed folders with `count` copies of photos.

    Identical files would be computed once. So each copy ends in its number, which image decoders
    ignore.
    """
    images = cycle(dogsim.find_images(photos))
    for i, image in enumerate(islice(images, count)):
        (folder / image.parent.name).mkdir(parents=True, exist_ok=True)
        copy = folder / image.parent.name / f"{i}{image.suffix}"
        copy.write_bytes(image.read_bytes() + i.to_bytes(4, "big"))
    return folder


def show(result: dict[str, Any], as_json: bool) -> None:
    """Print a result as JSON, or its rows as a table."""
    if as_json:
        print(json.dumps(result))
        return
    if computer := result.get("processor"):
        print(f"{computer['name']}, {computer['cores']} cores, {' '.join(computer['features'])}")
        if names := computer.get("gpus"):
            print("TensorFlow has " + ", ".join(names))
    print(table(result["results"]))


if __name__ == "__main__":
    app()
