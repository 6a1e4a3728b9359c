"""Ways of searching neighbours that `benchmark.py search` compares."""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import dogsim
from dogsim.plumbing.terminal import note
from dogsim.plumbing.threads import compute_threads
from dogsim.storage.dataset_file import write_dataset
from race import Runner, Runs, milliseconds, race

Features = NDArray[np.float32]
# What remains to be done for queries (m, d), k and the rows (m,) of the queries.
Search = Callable[[Features, int, NDArray[np.intp]], object]

PRODUCT, BASE = "matrix product alone", "faiss.knn"
# Ways, and the package that each requires.
SEARCHES = {
    "dogsim, dataset": "",
    "dogsim, array": "",
    PRODUCT: "",
    BASE: "faiss",
    "FAISS, index built": "faiss",
    "FAISS, index kept": "faiss",
    "scikit-learn, brute": "sklearn",
    "USearch, exact": "usearch",
}
MAIN_WAYS = ("dogsim, dataset", PRODUCT, BASE)
MAX_LONG_REPEATS = 3  # of searches for all images
PRODUCT_ROWS = 1024  # queries of a matrix product


def available(ways: Sequence[str]) -> list[str]:
    """Return the ways whose package is installed."""
    return [way for way in ways if not SEARCHES[way] or find_spec(SEARCHES[way])]


def note_missing(ways: Sequence[str]) -> None:
    """Print which ways cannot be measured, and how to install their packages, in one line."""
    if missing := [way for way in ways if way not in available(ways)]:
        note(f'Not measured: {"; ".join(missing)}. To install them: pip install ".[bench]"')


def ratio_to() -> str:
    """Return the way whose time is 1 in the ratios: `BASE`, without its package the product."""
    return BASE if available([BASE]) else PRODUCT


def measured(
    source: Mapping[str, Any],
    ks: Sequence[int],
    queries: Sequence[int],
    threads: int,
    repeats: int,
    ways: Sequence[str] = tuple(SEARCHES),
) -> list[dict[str, Any]]:
    """Time the ways with each number of queries and each k; return rows with their ratios.

    The queries 0 are all images, which only `MAIN_WAYS` search, for the first k.
    """
    times: dict[tuple[str, str], list[float]] = {}
    few, everything = [number for number in queries if number], 0 in queries
    for numbers, some_ks, some_ways, turns in (
        (few, ks, ways, repeats),
        ([0] * everything, ks[:1], MAIN_WAYS, min(repeats, MAX_LONG_REPEATS)),
    ):
        options = {**source, "ks": list(some_ks), "queries": numbers, "threads": threads}
        if numbers:
            runners = {way: Runner(searches, way=way, **options) for way in available(some_ways)}
            times |= race(runners, turns)
    return [{"threads": threads, **row} for row in compared(times)]


def compared(times: Mapping[tuple[str, str], list[float]]) -> list[dict[str, Any]]:
    """Return the milliseconds of each run, and its ratios to the base in the same turns."""
    rows = []
    for (way, run), taken in times.items():
        ratios = [own / base for own, base in zip(taken, times[ratio_to(), run], strict=True)]
        rows.append(
            {
                "run": run,
                "way": way,
                "milliseconds": milliseconds(taken)["milliseconds"],
                "ratio": round(statistics.median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
            }
        )
    return sorted(rows, key=lambda row: str(row["run"]))


def searches(way: str, file: str, n: int, d: int, ks: list[int], queries: list[int]) -> Runs:
    """Prepare the searches of one way for each number of queries and each k."""
    x = dogsim.Dataset.open(file).features if file else synthetic(n, d)
    x = np.array(x, np.float32)
    search = prepared(way, x)
    runs: dict[str, Callable[[], object]] = {}
    for number, k in product(queries, ks):
        rows = np.linspace(0, len(x) - 1, number).astype(int) if number else np.arange(len(x))
        who = "1 query" if number == 1 else f"{number or 'all'} queries"
        runs[f"{who}, k = {k}"] = partial(search, x[rows], k, rows)
    return runs


def prepared(way: str, x: Features) -> Search:
    """Return the search of a way in a gallery (n, d); the queries are rows of the gallery.

    dogsim leaves out each query itself, the others find one neighbour more.
    """
    if way.startswith("dogsim"):
        # Lengths of vectors that cannot change, such as those of an opened dataset, are kept.
        x.flags.writeable = way == "dogsim, array"
        return lambda queries, k, rows: dogsim.nearest(x, queries, k, exclude=rows)
    if way.startswith("FAISS") or way == BASE:
        return _faiss(way, x)
    if way.startswith("scikit-learn"):
        neighbours = import_module("sklearn.neighbors").NearestNeighbors(algorithm="brute").fit(x)
        return lambda queries, k, rows: neighbours.kneighbors(queries, n_neighbors=k + 1)
    if way.startswith("USearch"):
        index = import_module("usearch.index")
        squared, options = index.MetricKind.L2sq, {"exact": True, "threads": compute_threads()}
        return lambda queries, k, rows: index.search(x, queries, k + 1, squared, **options)
    return lambda queries, k, rows: [
        queries[i : i + PRODUCT_ROWS] @ x.T for i in range(0, len(queries), PRODUCT_ROWS)
    ]


def _faiss(way: str, x: Features) -> Search:
    faiss = import_module("faiss")

    def index() -> Any:
        built = faiss.IndexFlatL2(x.shape[1])
        built.add(x)
        return built

    if way == BASE:
        return lambda queries, k, rows: faiss.knn(queries, x, k + 1)
    if way.endswith("kept"):
        kept = index()
        return lambda queries, k, rows: kept.search(queries, k + 1)
    return lambda queries, k, rows: index().search(queries, k + 1)


def from_disk(n: int, k: int, repeats: int) -> dict[str, Any]:
    """Search a file with n x 256 features for one query, in a new process."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "big.h5"
        blocks = (synthetic(min(10_000, n - i), 256, seed=i) for i in range(0, n, 10_000))
        names = [str(i) for i in range(n)]
        empty: dict[str, Any] = {"breeds": (), "recipe": None, "root": "", "stamps": None}
        write_dataset(file, blocks, 256, labels=np.full(n, -1), paths=names, **empty)
        code = (
            "import sys, time, resource, numpy as np, h5py; from dogsim import nearest\n"
            f"f = h5py.File({str(file)!r})['features']; o, s = f.id.get_offset(), f.shape\n"
            f"x = np.memmap({str(file)!r}, np.float32, 'r', o, s); q = np.array(x[7:8])\n"
            f"for _ in range({repeats}):\n"
            f"    t = time.perf_counter(); nearest(x, q, {k}); print(time.perf_counter() - t)\n"
        )
        command = [sys.executable, "-c", code]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert run.stdout
        times = [float(line) for line in run.stdout]
        _, _, usage = os.wait4(run.pid, 0)
        run.returncode = 0
    return {
        "features": f"{n} x 256 on disk",
        "run": f"one query, k = {k}",
        "way": "dogsim",
        **milliseconds(times),
        "ratio": None,
        "peak_mb": usage.ru_maxrss // 1024,
    }


def synthetic(n: int, d: int, seed: int = 0) -> Any:
    """Return features like those of a network: non-negative, partly 0, in clusters."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(100, d))
    return np.maximum(centres[rng.integers(0, 100, n)] + rng.normal(size=(n, d)), 0).astype("f4")
