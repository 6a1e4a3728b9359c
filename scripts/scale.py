"""More photos than one machine holds: what is measured here, and the arithmetic from there.

python scripts/scale.py overhead PHOTOS --weights FILE    # --cluster here, and without it
python scripts/scale.py recall [--dataset FILE]           # FAISS' IVF-PQ beside the exact search
python scripts/scale.py failures                          # work done twice on a thousand nodes
python scripts/scale.py table                             # machines, hours, bytes and money
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer

import dogsim
from benchmark import Json, Photos, Weights, processor, repeated, show, synthetic
from dogsim.cluster.extraction import compute_on
from dogsim.cluster.search import search_on
from dogsim.create_dataset import RunOptions, bring_up_to_date
from dogsim.folders.extraction import SHARD_IMAGES, ComputeShards, ShardResult, compute_shards
from dogsim.networks.extractor import NetworkOptions

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)
ROUNDS, TAUGHT = 10, 64  # of k-means, and its vectors for each centre
CODES = 256  # centres of each part of a vector: a byte tells which is nearest
HOME = "local"  # a cluster of this machine alone
SIZES = (1_000_000, 100_000_000, 5_000_000_000)


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
    """Compare ``--cluster`` on this machine with the plain commands: rates after the start."""
    options = NetworkOptions(backbone=backbone, weights=weights)
    options.load()  # so that nobody has to convert it
    measured: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, file = repeated(photos, Path(temporary) / "photos", count), Path(temporary) / "s.h5"
        gallery = synthetic(rows, 2048)
        dogsim.Dataset(gallery, np.zeros(rows, int), tuple(map(str, range(rows))), ("b",)).save(
            file
        )
        known, asked = dogsim.Dataset.open(file), gallery[: 1 << 11]
        for _ in range(repeats):
            for name, address in (("plain", ""), ("cluster", HOME)):
                out = Path(temporary) / f"{name}.h5"
                compute = compute_on(address, out) if address else compute_shards
                rate, start = steady(compute, folder, out, options)
                measured.setdefault(f"photos a second, {name}", []).append(rate)
                measured.setdefault(f"seconds before the first, {name}", []).append(start)
                with ExitStack() as held:
                    dataset = held.enter_context(search_on(known, address)) if address else known
                    dogsim.nearest(dataset, asked[:1], 20)  # it has started, and read the file
                    start = time.perf_counter()
                    dogsim.nearest(dataset, asked, 20)
                    seconds = time.perf_counter() - start
                measured.setdefault(f"queries a second, {name}", []).append(len(asked) / seconds)
    shown = [{"what": what, "median": round(median(x), 2)} for what, x in measured.items()]
    show({"processor": processor(), "rows": rows, "repeats": repeats, "results": shown}, as_json)


def steady(
    compute: ComputeShards, photos: Path, out: Path, options: NetworkOptions
) -> tuple[float, float]:
    """Pictures a second between the first shard and the last, and the seconds before the first."""
    marks: list[float] = []

    def watched(*asked: Any) -> Iterator[ShardResult]:
        marks.append(time.perf_counter())
        for shard, skipped in compute(*asked):
            if shard is not None:
                marks.append(time.perf_counter())
            yield shard, skipped

    bring_up_to_date(photos, out, options, RunOptions(restart=True), watched)
    rate = (len(marks) - 2) * SHARD_IMAGES / (marks[-1] - marks[1])
    return rate, marks[1] - marks[0] - SHARD_IMAGES / rate


@app.command()
def recall(
    dataset: Annotated[
        Path | None, typer.Option(help="Real features beside the synthetic.")
    ] = None,
    rows: int = 1_000_000,
    dimension: int = 256,
    queries: int = 1000,
    k: int = 20,
    threads: Annotated[int, typer.Option(help="Of FAISS; dogsim takes all processors.")] = 1,
    as_json: Json = False,
) -> None:
    """Recall@k of FAISS' IVF-PQ beside `dogsim.nearest`; seconds and bytes of both."""
    import_module("faiss").omp_set_num_threads(threads)
    found = [_recalls("synthetic", synthetic(rows, dimension), queries, k)] if rows else []
    if dataset:
        real = np.asarray(dogsim.Dataset.open(dataset).features)
        found.append(_recalls(dataset.name, real, queries, k))
    results = [row for each in found for row in each]
    show({"processor": processor(), "k": k, "results": results}, as_json)


def _recalls(name: str, x: Any, queries: int, k: int) -> list[dict[str, Any]]:
    """Search each way; a row of the table for each."""
    faiss, (n, d) = import_module("faiss"), x.shape
    asked = np.random.default_rng(0).choice(n, min(queries, n), replace=False)
    start = time.perf_counter()
    _, truth = dogsim.nearest(x, x[asked], k, exclude=asked)
    found = {"exact": (1.0, time.perf_counter() - start, 4 * d, 0.0)}
    lists = int(np.sqrt(n))
    for size in (32, 64) if d > 1024 else (64,):
        index = faiss.index_factory(d, f"IVF{lists},PQ{size}")
        index.cp.niter = index.pq.cp.niter = ROUNDS
        index.pq.cp.max_points_per_centroid = TAUGHT
        start = time.perf_counter()
        index.train(x[np.random.default_rng(1).permutation(n)[: TAUGHT * max(lists, CODES)]])
        index.add(x)
        built = time.perf_counter() - start
        for index.nprobe, ahead in ((8, 1), (8, 10), (64, 1), (64, 10)):
            start = time.perf_counter()
            near = index.search(x[asked], ahead * k + 1)[1]
            near = [_ranked(x, own, some, k) for own, some in zip(asked, near, strict=True)]
            seconds = time.perf_counter() - start
            hits = [len(np.intersect1d(*pair)) for pair in zip(near, truth, strict=True)]
            way = f"IVF{lists},PQ{size}, {index.nprobe} lists, {ahead * k} looked at"
            found[way] = float(np.mean(hits)) / k, seconds, size + 8, built
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return [
        {
            "features": f"{name} {n} x {d}",
            "way": way,
            "recall": round(right, 3),
            "ms_a_query": round(1e3 * seconds / len(asked), 3),
            "bytes_a_photo": size,
            "build_s": round(built, 1),
            "peak_mb": peak,
        }
        for way, (right, seconds, size, built) in found.items()
    ]


def _ranked(x: Any, own: int, candidates: Any, k: int) -> Any:
    """The k nearest of the candidates, by their exact distances."""
    some = candidates[(candidates >= 0) & (candidates != own)]
    apart = ((x[some] - x[own]) ** 2).sum(axis=1)
    return some[np.argsort(apart, kind="stable")[:k]]


@app.command()
def failures(
    nodes: int = 1000,
    days_between: Annotated[float, typer.Option(help="Mean days from failure to failure.")] = 30.0,
    notice: Annotated[float, typer.Option(help="Seconds until a dead node is noticed.")] = 2.0,
    back: Annotated[float, typer.Option(help="Seconds until a node works again.")] = 600.0,
    rate: Annotated[float, typer.Option(help="Photos a second of a node.")] = 400.0,
    fixed: Annotated[float, typer.Option(help="Seconds that a stretch costs by itself.")] = 0.1,
    photos: int = 5_000_000_000,
    repeats: int = 20,
    seed: int = 0,
    as_json: Json = False,
) -> None:
    """Simulate nodes that fail: hours, and the part of the work that is done twice."""
    rng = np.random.default_rng(seed)
    results = []
    for length in (64, 256, 1024, 4096, 16384, 65536):
        twice, hours = [], []
        for _ in range(repeats):
            seconds, lost = _run(
                rng,
                nodes,
                days_between * 86400,
                notice + back,
                length / rate + fixed,
                -(-photos // length),
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


def _run(
    rng: np.random.Generator,
    nodes: int,
    between: float,
    away: float,
    stretch: float,
    stretches: int,
) -> tuple[float, float]:
    """Seconds of a run, and the part of its work that was lost: of a stretch for each failure."""
    horizon = 3 * stretches * stretch / nodes + 10 * away
    counts = rng.poisson(horizon / between, nodes)
    times = np.sort(rng.uniform(0, horizon, counts.sum()))
    losses = rng.uniform(0, stretch, len(times))
    low, high = 0.0, horizon
    for _ in range(60):  # until the work of all nodes, less what fails, is all there is to do
        end = (low + high) / 2
        failed = times < end
        done = nodes * end - losses[failed].sum() - np.minimum(away, end - times[failed]).sum()
        low, high = (low, end) if done >= stretches * stretch else (end, high)
    return high + stretch / 2, float(losses[times < high].sum() / (stretches * stretch))


@app.command()
def table(
    rate: Annotated[float, typer.Option(help="Photos a second and core.")] = 25.0,
    search: Annotated[float, typer.Option(help="Core-ms a query and million rows.")] = 100.0,
    dimension: int = 2048,
    path_bytes: Annotated[int, typer.Option(help="Bytes of a photo's path and stamp.")] = 200,
    cores: Annotated[int, typer.Option(help="Cores of a machine.")] = 64,
    memory: Annotated[int, typer.Option(help="Gigabytes of memory of a machine.")] = 256,
    hours: Annotated[float, typer.Option(help="In which the features are to be there.")] = 24.0,
    core_hour: Annotated[float, typer.Option(help="Price of a core for an hour.")] = 0.04,
    gigabyte_month: Annotated[float, typer.Option(help="Price of a gigabyte for a month.")] = 0.1,
    as_json: Json = False,
) -> None:
    """What so many photos take: features once, then a query of all of them."""
    results = []
    for photos in SIZES:
        core_hours = photos / rate / 3600
        held = photos * (4 * dimension + path_bytes) / 1e9
        machines = int(np.ceil(held / memory))
        results.append(
            {
                "photos": f"{photos:,}",
                "core_hours": round(core_hours),
                "machines_for_features": int(np.ceil(core_hours / hours / cores)),
                "features_cost": round(core_hours * core_hour),
                "gigabytes": round(held),
                "disk_a_month": round(held * gigabyte_month),
                "machines_to_hold": machines,
                "ms_a_query": round(search * photos / 1e6 / (machines * cores), 1),
                "search_a_month": round(machines * cores * core_hour * 720),
            }
        )
    show({"results": results}, as_json)


if __name__ == "__main__":
    app()
