"""The progress bar."""

import codecs
import io
import os

import pytest

from dogsim.plumbing.terminal import input_lines, track


@pytest.mark.parametrize(("total", "bar"), [(3, "images"), (0, "")])
def test_a_bar_is_shown_if_there_is_work(
    total: int, bar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [[1, 2], [3]] if total else []
    assert list(track(batches, total, "images")) == batches
    shown = capsys.readouterr().err
    assert shown.startswith(bar)
    assert bool(shown) == bool(bar)


@pytest.mark.parametrize(
    ("start", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_lines_of_other_programs(
    start: bytes, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = start + "é.jpg\r\n\r\n\N{DOG FACE}.jpg\n".encode(encoding)
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)), "utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(input_lines("")) == ["é.jpg", "\N{DOG FACE}.jpg"]


def test_a_name_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"caf\xe9.jpg\nb.jpg")), "utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    assert [os.fsencode(line) for line in input_lines("")] == [b"caf\xe9.jpg", b"b.jpg"]
