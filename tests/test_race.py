"""Timing of implementations side by side, as in scripts/benchmark.py."""

import json
import os
import time

import pytest
from commands import python
from conftest import REPOSITORY

from race import Runner, Runs, milliseconds, race, rates

PAUSE_SECONDS = 0.02


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
    times = race({name: Runner(sleeping, naps=naps) for name, naps in (("a", 1), ("b", 3))}, 2)
    assert list(times) == [("a", "nap"), ("a", "nothing"), ("b", "nap"), ("b", "nothing")]
    assert all(len(each) == 2 for each in times.values())
    assert min(times["a", "nap"]) >= PAUSE_SECONDS
    assert min(times["b", "nap"]) >= 3 * PAUSE_SECONDS


def test_a_failing_run_ends_the_benchmark(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="ended early"):
        race({"failing": Runner(failing)}, 1)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_rates_and_milliseconds() -> None:
    assert milliseconds([0.1, 0.3, 0.2]) == {"milliseconds": 200, "slowest": 300, "fastest": 100}
    assert rates([1.0, 2.0, 4.0], 100) == {"per_second": 50, "slowest": 25, "fastest": 100}


@pytest.mark.slow
def test_search_is_measured() -> None:
    pytest.importorskip("faiss")
    options = ("--sizes", "60", "--dimensions", "8", "-k", "2", "--repeats", "1", "--json")
    done = python(str(REPOSITORY / "scripts" / "benchmark.py"), "search", *options)
    result = json.loads(done.stdout)
    assert {row["way"] for row in result["results"]} == {
        "dogsim",
        "NumPy product alone",
        "FAISS IndexFlatL2",
        "scikit-learn brute force",
    }
    assert {row["run"] for row in result["results"]} == {"one query, k = 2", "all queries, k = 2"}
    assert result["processor"]["name"]
