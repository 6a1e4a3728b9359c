"""Timing ways side by side, as scripts/benchmark.py does."""

import json
import os
import time

import pytest
from commands import python
from conftest import REPOSITORY

from race import Runner, Runs, milliseconds, race, rates

PAUSE = 0.02


def sleeper(naps: int) -> Runs:
    """A way with two runs, made in a process of its own."""
    made_in = os.getpid()

    def nap() -> None:
        print("what a way prints is no answer")
        assert os.getpid() == made_in
        time.sleep(PAUSE * naps)

    return {"nap": nap, "nothing": lambda: None}


def stubborn() -> Runs:
    return {"fail": lambda: 1 / 0}


def test_each_way_is_timed() -> None:
    times = race({name: Runner(sleeper, naps=naps) for name, naps in (("a", 1), ("b", 3))}, 2)
    assert list(times) == [("a", "nap"), ("a", "nothing"), ("b", "nap"), ("b", "nothing")]
    assert all(len(each) == 2 for each in times.values())
    assert min(times["a", "nap"]) >= PAUSE
    assert min(times["b", "nap"]) >= 3 * PAUSE


def test_a_way_that_fails_is_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="ended before its time"):
        race({"stubborn": Runner(stubborn)}, 1)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_what_is_told() -> None:
    assert milliseconds([0.1, 0.3, 0.2]) == {"milliseconds": 200, "slowest": 300, "fastest": 100}
    assert rates([1.0, 2.0, 4.0], 100) == {"per_second": 50, "slowest": 25, "fastest": 100}


@pytest.mark.slow
def test_search_is_measured() -> None:
    pytest.importorskip("faiss")
    options = ("--sizes", "60", "--dimensions", "8", "-k", "2", "--repeats", "1", "--json")
    done = python(str(REPOSITORY / "scripts" / "benchmark.py"), "search", *options)
    told = json.loads(done.stdout)
    assert {row["way"] for row in told["results"]} == {
        "dogsim",
        "NumPy product alone",
        "FAISS IndexFlatL2",
        "scikit-learn brute force",
    }
    assert {row["run"] for row in told["results"]} == {"one query, k = 2", "all queries, k = 2"}
    assert told["processor"]["name"]
