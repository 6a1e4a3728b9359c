"""The bar that tells how much is done."""

import pytest

from dogsim.plumbing.terminal import track


@pytest.mark.parametrize(("total", "bar"), [(3, "pictures"), (0, "")])
def test_a_bar_is_shown_where_there_is_something_to_wait_for(
    total: int, bar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [[1, 2], [3]] if total else []
    assert list(track(batches, total, "pictures")) == batches
    shown = capsys.readouterr().err
    assert shown.startswith(bar)
    assert bool(shown) == bool(bar)
