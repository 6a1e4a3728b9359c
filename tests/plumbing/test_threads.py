from pathlib import Path

import pytest

from dogsim.plumbing import threads
from dogsim.plumbing.threads import decoding_threads, usable_cpus


def test_cpus_of_a_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(threads, "CPU_QUOTA_FILE", quota)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    for limit, cpus in ((None, 16), ("max 100000\n", 16), ("250000 100000\n", 2), ("5 100000", 1)):
        if limit:
            quota.write_text(limit)
        assert usable_cpus() == cpus
        assert decoding_threads() == min(cpus, 8)
