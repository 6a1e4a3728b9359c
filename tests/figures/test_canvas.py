import io
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from PIL import Image

from dogsim.figures import canvas
from dogsim.figures.canvas import Drawing

DOG = "狗"


def drawn(text: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    figure = Drawing(figsize=(3, 1))
    figure.text(0.1, 0.4, text)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(file, dpi=100)
    return np.asarray(Image.open(file).convert("L"))


def font(path: Path, family: str, letters: str) -> None:
    """Write a font in which every letter is a filled square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(letter): "square" for letter in letters})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "square": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


@pytest.mark.parametrize("text", ["$5_$7", "100$", "$\\frac$", "a_$b^$", "{$}", "\\$x$"])
def test_dollar_signs_are_no_formulas(text: str) -> None:
    assert drawn(text).min() == 0


def test_control_characters_are_drawn_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("\x1b[31mred", "two\ttabs", "caf\udce9", "\u202eturned"):
        assert drawn(text).min() == 0
    assert np.array_equal(drawn("\x1b[31m"), drawn("\\x1b[31m"))
    assert capsys.readouterr().err == ""


def test_a_font_with_the_letters_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = [each for each in font_manager.fontManager.ttflist if each.name == "DejaVu Sans"]
    file = str(tmp_path / "dogs.ttf")
    font(tmp_path / "dogs.ttf", "Dogs of the Test", DOG)
    entry = font_manager.ttfFontProperty(font_manager.get_font(file))
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [entry, *usual])
    black = (drawn(f"a {DOG}") == 0).sum()
    assert black > 100  # a square of 10 points
    assert (drawn("a") == 0).sum() < black / 2
    assert capsys.readouterr().err == ""


def test_a_missing_font_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(canvas, "_fonts", list)
    monkeypatch.setattr(canvas, "_reported_fonts", set())
    for _ in range(2):
        drawn("狗 강아지 いぬ 🐕 कुत्ता")
    notes = capsys.readouterr().err.splitlines()
    assert [line.partition("Install ")[2] for line in notes] == [
        "Noto Emoji to see them.",
        "Noto Sans CJK to see them.",
        "Noto Sans Devanagari to see them.",
    ]


def test_a_notebook_draws_it_once() -> None:
    before = plt.get_fignums()
    assert Drawing()._repr_png_().startswith(b"\x89PNG")
    assert (
        plt.get_fignums() == before
    )  # a notebook draws the figures of pyplot at the end of a cell
