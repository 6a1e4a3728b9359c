"""Measure the cluster and compressed search, and estimate the costs of large datasets.

python scripts/scale.py overhead PHOTOS --weights FILE    # with and without --cluster
python scripts/scale.py recall [--dataset FILE]           # FAISS' IVF-PQ and the exact search
python scripts/scale.py failures                          # simulate a thousand nodes that fail
python scripts/scale.py table                             # machines, hours, bytes and money
"""

import resource
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

import dogsim
from benchmark import Json, Photos, Weights, processor, repeated, show
from dogsim.cluster.extraction import compute_on
from dogsim.cluster.search import search_on
from dogsim.create_dataset import bring_up_to_date
from dogsim.folders.extraction import SHARD_IMAGES, ComputeShards, ShardResult, compute_shards
from dogsim.folders.run_options import RunOptions
from dogsim.networks.extractor import NetworkOptions
from searches import synthetic

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
KMEANS_ITERATIONS, VECTORS_PER_CENTRE = 10, 64
PQ_CENTRES = 256  # of each part of a vector; the index of the nearest one is a byte
LOCAL_CLUSTER = "local"
DATASET_SIZES = (1_000_000, 100_000_000, 5_000_000_000)


@app.command()
def overhead(
    photos: Photos,
    weights: Weights = "imagenet",
    backbone: str = "resnet50",
    count: int = 1280,
    rows: int = 100_000,
    repeats: int = 3,
    as_json: Json = False,
) -> None:
    """Measure the rates after the start with and without ``--cluster`` on this machine."""
    options = NetworkOptions(backbone=backbone, weights=weights)
    options.load()  # convert the network before the measurement
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, file = repeated(photos, Path(temporary) / "photos", count), Path(temporary) / "s.h5"
        gallery = synthetic(rows, 2048)
        dogsim.Dataset(gallery, np.zeros(rows, int), tuple(map(str, range(rows))), ("b",)).save(
            file
        )
        dataset, queries = dogsim.Dataset.open(file), gallery[: 1 << 11]
        for _ in range(repeats):
            for name, address in (("plain", ""), ("cluster", LOCAL_CLUSTER)):
                out = Path(temporary) / f"{name}.h5"
                compute = compute_on(address, out) if address else compute_shards
                rate, start = measure_rate(compute, folder, out, options)
                measured.setdefault(f"photos a second, {name}", []).append(rate)
                measured.setdefault(f"seconds before the first, {name}", []).append(start)
                rate = query_rate(dataset, queries, address)
                measured.setdefault(f"queries a second, {name}", []).append(rate)
    results = [{"what": what, "median": round(median(x), 2)} for what, x in measured.items()]
    show({"processor": processor(), "rows": rows, "repeats": repeats, "results": results}, as_json)


def query_rate(dataset: dogsim.Dataset, queries: Any, address: str) -> float:
    """Return the number of queries per second, on the cluster if there is an address."""
    with ExitStack() as stack:
        searched = stack.enter_context(search_on(dataset, address)) if address else dataset
        dogsim.nearest(searched, queries[:1], 20)  # start the cluster and read the file
        start = time.perf_counter()
        dogsim.nearest(searched, queries, 20)
        return len(queries) / (time.perf_counter() - start)


def measure_rate(
    compute: ComputeShards, photos: Path, out: Path, options: NetworkOptions
) -> tuple[float, float]:
    """Return the images per second after the first shard, and the seconds before the first one."""
    times: list[float] = []  # of the start and of each shard

    def timed(*arguments: Any) -> Generator[ShardResult, None, None]:
        times.append(time.perf_counter())
        for shard, skipped in compute(*arguments):
            if shard is not None:
                times.append(time.perf_counter())
            yield shard, skipped

    bring_up_to_date(photos, out, options, RunOptions(restart=True), timed)
    rate = (len(times) - 2) * SHARD_IMAGES / (times[-1] - times[1])
    return rate, times[1] - times[0] - SHARD_IMAGES / rate


@app.command()
def recall(
    dataset: Annotated[
        Path | None, typer.Option(help="Real features, in addition to synthetic ones.")
    ] = None,
    rows: int = 1_000_000,
    dimension: int = 256,
    queries: int = 1000,
    k: int = 20,
    threads: Annotated[int, typer.Option(help="Threads of FAISS; dogsim uses all processors.")] = 1,
    as_json: Json = False,
) -> None:
    """Compare recall@k, time and memory of FAISS' IVF-PQ and `dogsim.nearest`."""
    import_module("faiss").omp_set_num_threads(threads)
    found = [_recalls("synthetic", synthetic(rows, dimension), queries, k)] if rows else []
    if dataset:
        real = np.asarray(dogsim.Dataset.open(dataset).features)
        found.append(_recalls(dataset.name, real, queries, k))
    results = [row for each in found for row in each]
    show({"processor": processor(), "k": k, "results": results}, as_json)


def _recalls(name: str, x: Any, queries: int, k: int) -> list[dict[str, Any]]:
    """Search with each method and return a row of the table for each."""
    faiss, (n, d) = import_module("faiss"), x.shape
    rows = np.random.default_rng(0).choice(n, min(queries, n), replace=False)
    start = time.perf_counter()
    _, truth = dogsim.nearest(x, x[rows], k, exclude=rows)
    found = {"exact": (1.0, time.perf_counter() - start, 4 * d, 0.0)}
    lists = int(np.sqrt(n))
    for size in (32, 64) if d > 1024 else (64,):
        index = faiss.index_factory(d, f"IVF{lists},PQ{size}")
        index.cp.niter = index.pq.cp.niter = KMEANS_ITERATIONS
        index.pq.cp.max_points_per_centroid = VECTORS_PER_CENTRE
        start = time.perf_counter()
        index.train(
            x[
                np.random.default_rng(1).permutation(n)[
                    : VECTORS_PER_CENTRE * max(lists, PQ_CENTRES)
                ]
            ]
        )
        index.add(x)
        built = time.perf_counter() - start
        for index.nprobe, ahead in ((8, 1), (8, 10), (64, 1), (64, 10)):
            start = time.perf_counter()
            near = index.search(x[rows], ahead * k + 1)[1]
            near = [_ranked(x, row, some, k) for row, some in zip(rows, near, strict=True)]
            seconds = time.perf_counter() - start
            hits = [len(np.intersect1d(*pair)) for pair in zip(near, truth, strict=True)]
            way = f"IVF{lists},PQ{size}, {index.nprobe} lists, {ahead * k} candidates"
            found[way] = float(np.mean(hits)) / k, seconds, size + 8, built
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return [
        {
            "features": f"{name} {n} x {d}",
            "way": way,
            "recall": round(right, 3),
            "ms_a_query": round(1e3 * seconds / len(rows), 3),
            "bytes_a_photo": size,
            "build_s": round(built, 1),
            "peak_mb": peak,
        }
        for way, (right, seconds, size, built) in found.items()
    ]


def _ranked(x: Any, row: int, candidates: Any, k: int) -> Any:
    """Return the k candidates nearest to a row by their exact distances."""
    candidates = candidates[(candidates >= 0) & (candidates != row)]
    distances = ((x[candidates] - x[row]) ** 2).sum(axis=1)
    return candidates[np.argsort(distances, kind="stable")[:k]]


@app.command()
def failures(
    nodes: int = 1000,
    days_between: Annotated[
        float, typer.Option(help="Mean days between failures of a node.")
    ] = 30.0,
    notice: Annotated[float, typer.Option(help="Seconds until a dead node is detected.")] = 2.0,
    back: Annotated[float, typer.Option(help="Seconds until a node works again.")] = 600.0,
    rate: Annotated[float, typer.Option(help="Photos per second and node.")] = 400.0,
    fixed: Annotated[float, typer.Option(help="Overhead of an item in seconds.")] = 0.1,
    photos: int = 5_000_000_000,
    repeats: int = 20,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Simulate nodes that fail: hours, and the fraction of the work that is done twice."""
    rng = np.random.default_rng(seed)
    results = []
    for length in (64, 256, 1024, 4096, 16384, 65536):
        twice, hours = [], []
        for _ in range(repeats):
            seconds, lost = _simulate(
                rng,
                nodes,
                mean_interval=days_between * 86400,
                downtime=notice + back,
                item_seconds=length / rate + fixed,
                n_items=-(-photos // length),
            )
            twice.append(lost)
            hours.append(seconds / 3600)
        results.append(
            {
                "stretch": length,
                "seconds_of_a_stretch": round(length / rate + fixed, 2),
                "hours": round(float(np.mean(hours)), 3),
                "failures_done_twice_percent": round(100 * float(np.mean(twice)), 4),
                "fixed_percent": round(100 * fixed / (length / rate + fixed), 2),
                "shards": -(-photos // length),
            }
        )
    show({"nodes": nodes, "days_between": days_between, "results": results}, as_json)


def _simulate(
    rng: np.random.Generator,
    nodes: int,
    mean_interval: float,
    downtime: float,
    item_seconds: float,
    n_items: int,
) -> tuple[float, float]:
    """Return the seconds of a run and the fraction of its work that failures have lost."""
    work = n_items * item_seconds
    horizon = 3 * work / nodes + 10 * downtime
    counts = rng.poisson(horizon / mean_interval, nodes)
    times = np.sort(rng.uniform(0, horizon, counts.sum()))
    losses = rng.uniform(0, item_seconds, len(times))  # each failure loses a part of an item
    low, high = 0.0, horizon
    for _ in range(60):  # bisect the time at which all work is done
        end = (low + high) / 2
        failed = times < end
        lost = losses[failed].sum() + np.minimum(downtime, end - times[failed]).sum()
        low, high = (low, end) if nodes * end - lost >= work else (end, high)
    return high + item_seconds / 2, float(losses[times < high].sum() / work)


@app.command()
def table(
    rate: Annotated[float, typer.Option(help="Photos per second and core.")] = 25.0,
    search: Annotated[
        float, typer.Option(help="Core milliseconds per query and million rows.")
    ] = 100.0,
    dimension: int = 2048,
    path_bytes: Annotated[int, typer.Option(help="Bytes of the path and stamp of a photo.")] = 200,
    cores: Annotated[int, typer.Option(help="Cores per machine.")] = 64,
    memory: Annotated[int, typer.Option(help="Gigabytes of memory per machine.")] = 256,
    hours: Annotated[float, typer.Option(help="Time limit for the features.")] = 24.0,
    core_hour: Annotated[float, typer.Option(help="Price of a core hour.")] = 0.04,
    gigabyte_month: Annotated[float, typer.Option(help="Price of a gigabyte and month.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Estimate the costs of the features and of a query for large numbers of photos."""
    results = []
    for photos in DATASET_SIZES:
        core_hours = photos / rate / 3600
        gigabytes = photos * (4 * dimension + path_bytes) / 1e9
        machines = int(np.ceil(gigabytes / memory))
        results.append(
            {
                "photos": f"{photos:,}",
                "core_hours": round(core_hours),
                "machines_for_features": int(np.ceil(core_hours / hours / cores)),
                "features_cost": round(core_hours * core_hour),
                "gigabytes": round(gigabytes),
                "disk_a_month": round(gigabytes * gigabyte_month),
                "machines_to_hold": machines,
                "ms_a_query": round(search * photos / 1e6 / (machines * cores), 1),
                "search_a_month": round(machines * cores * core_hour * 720),
            }
        )
    show({"results": results}, as_json)


if __name__ == "__main__":
    app()
