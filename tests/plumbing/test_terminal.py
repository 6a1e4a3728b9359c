"""The progress bar."""

import pytest

from dogsim.plumbing.terminal import track


@pytest.mark.parametrize(("total", "bar"), [(3, "images"), (0, "")])
def test_a_bar_is_shown_if_there_is_work(
    total: int, bar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [[1, 2], [3]] if total else []
    assert list(track(batches, total, "images")) == batches
    shown = capsys.readouterr().err
    assert shown.startswith(bar)
    assert bool(shown) == bool(bar)
