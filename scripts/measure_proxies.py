"""Compare deep ranking with several proxies per breed, over splits and seeds and on unseen breeds.

Each split holds out a fifth of each breed as queries. For unseen breeds, every fourth breed is left
out of the training and evaluated by leave-one-out; there are four such sets. Every result is added
to a file, and is not computed again when the script is run again.

    python scripts/measure_proxies.py both.h5 --results proxies.jsonl
"""

import argparse
import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from dogsim import Dataset, accuracy, hold_out, project, save_model, train_ranking

K = 20
UNSEEN_STEP = 4  # every fourth breed is unseen, in set 0 the last of each four
COLUMNS = ("P@20", "vote", "unseen P@20", "unseen vote")


@dataclass(frozen=True)
class Run:
    """One training: evaluated on the queries of a split, or on a set of unseen breeds."""

    proxies: int
    split: int
    seed: int
    unseen: bool


def runs(proxies: list[int], splits: int, unseen: int, seeds: int) -> Iterator[Run]:
    """Yield all runs of one seed before those of the next."""
    for seed in range(seeds):
        for is_unseen, number in ((False, splits), (True, unseen)):
            for split in range(number):
                yield from (Run(each, split, seed, is_unseen) for each in proxies)


def measure(dataset: Dataset, run: Run) -> dict[str, float]:
    """Train a head and return precision@20 and vote accuracy of images outside the training."""
    if run.unseen:
        unseen = dataset.labels % UNSEEN_STEP == (run.split - 1) % UNSEEN_STEP
        gallery, queries = (dataset.take(np.flatnonzero(rows)) for rows in (~unseen, unseen))
    else:
        gallery, queries = hold_out(dataset, 0.2, run.split)
    ranking = train_ranking(gallery, seed=run.seed, proxies_per_breed=run.proxies)
    with tempfile.TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        save_model(ranking.model, head)
        projected = project(queries, head)
        if run.unseen:
            result = accuracy(projected, K)
        else:
            result = accuracy(project(gallery, head), K, projected)
    return {"precision": result.precision_at_k, "vote": result.vote_accuracy}


def print_table(results: list[tuple[Run, dict[str, float]]]) -> None:
    """Print the mean and the range of the results for each number of proxies."""
    columns: defaultdict[int, defaultdict[str, list[float]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for run, result in results:
        kind = "unseen " if run.unseen else ""
        columns[run.proxies][f"{kind}P@20"].append(result["precision"])
        columns[run.proxies][f"{kind}vote"].append(result["vote"])
    print(f"| proxies | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for proxies, values in sorted(columns.items()):
        cells = (values[column] for column in COLUMNS)
        shown = (f"{mean(x):.4f} ({min(x):.4f} to {max(x):.4f})" if x else "-" for x in cells)
        print(f"| {proxies} | {' | '.join(shown)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="dataset file, such as Stanford Dogs with --views flip")
    parser.add_argument("--results", type=Path, default=Path("proxies.jsonl"))
    parser.add_argument("--proxies", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--unseen", type=int, default=4, help="sets of unseen breeds, at most 4")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    file: Path = arguments.results
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    results = {Run(**each["run"]): each["result"] for each in map(json.loads, lines)}
    counts = arguments.splits, arguments.unseen, arguments.seeds
    wanted = list(runs(arguments.proxies, *counts))
    dataset = Dataset.open(arguments.dataset)
    for run in wanted:
        if run not in results:
            results[run] = measure(dataset, run)
            line = json.dumps({"run": asdict(run), "result": results[run]})
            with file.open("a", encoding="utf-8") as out:
                out.write(f"{line}\n")
    print_table([(run, results[run]) for run in wanted])


if __name__ == "__main__":
    main()
