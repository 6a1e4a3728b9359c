"""Timing of implementations side by side, as in scripts/benchmark.py."""

import json
import os
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import python
from conftest import REPOSITORY
from PIL import Image

import search_history
import searches
from dogsim import nearest
from race import MAX_SHORT_SECONDS, SHORT_RUNS, Runner, Runs, _seconds, milliseconds, race, rates

PAUSE_SECONDS = 0.03  # not a short run


def sleeping(naps: int) -> Runs:
    """Prepare two runs in a process of their own."""
    prepared_in = os.getpid()

    def nap() -> None:
        print("output of a run is not an answer")
        assert os.getpid() == prepared_in
        time.sleep(PAUSE_SECONDS * naps)

    return {"nap": nap, "nothing": lambda: None}


def failing() -> Runs:
    return {"fail": lambda: 1 / 0}


def test_each_implementation_is_timed() -> None:
    runners = {"a": Runner(sleeping, threads=2, naps=1), "b": Runner(sleeping, naps=3)}
    times = race(runners | {"c": Runner(sleeping, threads=1, naps=1)}, 2)
    assert list(times) == [(way, run) for way in "abc" for run in ("nap", "nothing")]
    assert all(len(each) == 2 for each in times.values())
    assert min(times["a", "nap"]) >= PAUSE_SECONDS
    assert min(times["b", "nap"]) >= 3 * PAUSE_SECONDS
    assert max(times["c", "nap"]) < PAUSE_SECONDS  # of processor time, in which it sleeps


def test_a_failing_run_ends_the_benchmark(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="ended early"):
        race({"failing": Runner(failing)}, 1)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_rates_and_milliseconds() -> None:
    assert milliseconds([0.1, 0.3, 0.2]) == {"milliseconds": 200, "slowest": 300, "fastest": 100}
    assert rates([1.0, 2.0, 4.0], 100) == {"per_second": 50, "slowest": 25, "fastest": 100}


def test_a_short_run_is_timed_several_times() -> None:
    calls: list[float] = []
    run = partial(calls.append, 0.0)
    assert _seconds(run, time.perf_counter) < MAX_SHORT_SECONDS
    assert len(calls) == SHORT_RUNS
    taken = _seconds(partial(time.sleep, PAUSE_SECONDS), time.perf_counter)
    assert taken >= PAUSE_SECONDS
    assert _seconds(partial(time.sleep, PAUSE_SECONDS), time.process_time) < taken


def test_ratios_are_those_of_the_same_turn() -> None:
    """So that other load in one turn does not count."""
    base = searches.ratio_to()
    times = {("dogsim, dataset", "a"): [1.0, 30.0, 3.0], (base, "a"): [2.0, 20.0, 2.0]}
    ours, theirs = searches.compared(times)
    assert (ours["ratio"], ours["lowest"], ours["highest"]) == (1.5, 0.5, 1.5)
    assert (theirs["ratio"], theirs["lowest"], theirs["highest"]) == (1, 1, 1)


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(searches, "find_spec", lambda name: None)
    searches.note_missing(tuple(searches.SEARCHES))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Not measured: faiss.knn; ")
    assert line.endswith('To install them: pip install ".[bench]"')
    ours = ["dogsim, dataset", "dogsim, array", "matrix product alone"]
    assert searches.available(tuple(searches.SEARCHES)) == ours
    assert searches.ratio_to() == "matrix product alone"


@pytest.mark.parametrize("way", searches.available(tuple(searches.SEARCHES)))
def test_all_ways_search_alike(way: str) -> None:
    x = searches.synthetic(50, 8)
    rows = np.array([3, 40])
    found: Any = searches.prepared(way, x)(x[rows], 4, rows)
    if "product" in way:
        np.testing.assert_allclose(found[0], x[rows] @ x.T, rtol=1e-6)
        return
    neighbours = found.keys if "USearch" in way else found[1]
    left = 0 if "dogsim" in way else 1  # the others find the query itself first
    expected = nearest(x, x[rows], 4, exclude=rows)[1]
    assert np.asarray(neighbours)[:, left:].tolist() == expected.tolist()


def test_history_is_appended_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "new" / "history.jsonl"
    for number, name in enumerate(("x86", "arm", "x86")):
        entry = {
            "date": f"2026-01-0{number + 1}T00:00:00+00:00",
            "commit": f"abc{number}",
            "processor": {"name": name},
            "ratio_to": "faiss.knn",
            "ratios": {"1 query": 0.5 + number, "all": 1.0} if number else {"1 query": 0.5},
        }
        search_history.append(file, entry)
        with Image.open(search_history.plot(file)) as figure:
            assert min(figure.size) > 300
    lines = file.read_text().splitlines()
    assert [json.loads(line)["commit"] for line in lines] == ["abc0", "abc1", "abc2"]


def test_the_commit_of_a_copy_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch("([0-9a-f]{7,}[+]?)?", search_history.commit())
    monkeypatch.setenv("PATH", "")
    assert search_history.commit() == ""


@pytest.mark.slow
def test_search_is_measured() -> None:
    """Without FAISS the ratios are to the matrix product."""
    script = str(REPOSITORY / "scripts" / "benchmark.py")
    options = ("--sizes", "60", "--dimensions", "8", "-k", "2", "--repeats", "1", "--json")
    numbers = ("--queries", "1", "--queries", "0", "--threads", "1")
    result = json.loads(python(script, "search", *options, *numbers).stdout)
    ways = {
        run: {row["way"] for row in result["results"] if row["run"] == run}
        for run in ("1 query, k = 2", "all queries, k = 2")
    }
    assert ways["1 query, k = 2"] == {*searches.available(tuple(searches.SEARCHES))}
    assert ways["all queries, k = 2"] == {*searches.available(searches.MAIN_WAYS)}
    assert {row["ratio"] for row in result["results"] if row["way"] == result["ratio_to"]} == {1}
    assert result["processor"]["name"]


@pytest.mark.slow
def test_history_is_measured(tmp_path: Path) -> None:
    file, script = tmp_path / "history.jsonl", str(REPOSITORY / "scripts" / "benchmark.py")
    options = ("--sizes", "320", "--dimension", "8", "--repeats", "1", "--threads", "2")
    python(script, "history", str(file), *options)
    entry = json.loads(file.read_text())
    runs = ("1 query, k = 20", "300 queries, k = 100", "all queries, k = 20")
    assert entry["ratios"].keys() >= {f"320 x 8, {run}, 2 threads" for run in runs}
    assert all(ratio > 0 for ratio in entry["ratios"].values())
    assert entry["ratio_to"] == searches.ratio_to()
