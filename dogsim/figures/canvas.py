"""A figure of one's own, outside of pyplot, whose text is drawn as it is written."""

import io
import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any
from unicodedata import category, name

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from dogsim.plumbing.terminal import note, printable

BLUE, VERMILION, GREEN, GREY = "#0072b2", "#d55e00", "#007a5e", "#555555"  # Okabe and Ito's
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")
_told: set[str] = set()  # fonts that were named to the user


class Drawing(Figure):
    """A `Figure` that pyplot knows nothing of, so that a notebook draws it once.

    Its text is drawn as it is written: ``$`` begins no formula, control characters become escapes,
    and letters that the usual font lacks are taken from one that has them. Where none is installed,
    a line on stderr names one.
    """

    def draw(self, renderer: Any) -> None:
        """Draw it; matplotlib calls this."""
        texts: list[Text] = self.findobj(Text)
        for text in texts:
            text.set(parse_math=False, text="\n".join(map(printable, text.get_text().split("\n"))))
        families = _families({letter for text in texts for letter in text.get_text()})
        for text in texts:
            text.set_fontfamily(families)
        with warnings.catch_warnings():  # what has no letter has been told
            warnings.filterwarnings("ignore", message=r"Glyph \d+")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """What a notebook shows, also where nobody has set matplotlib up for it."""
        return png_of(self)


def png_of(figure: Figure) -> bytes:
    """Draw a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _families(letters: set[str]) -> list[str]:
    """Name the fonts that have these letters: the usual one, and what it takes beside it."""
    usual = FontProperties().get_family()
    missing = {letter for letter in letters if letter > "~" and letter.isprintable()}
    missing -= _letters(font_manager.findfont(FontProperties()))
    families = list(usual)
    for family, file in _fonts() if missing else ():
        if has := missing & _letters(file):
            families.append(family)
            missing -= has
            if not missing:
                break
    _tell(missing)
    return families


def _tell(missing: Iterable[str]) -> None:
    fonts = {_font_for(letter) for letter in missing} - _told
    for font in sorted(fonts):
        note(f"No installed font has all letters of the names. Install {font} to see them.")
    _told.update(fonts)


def _font_for(letter: str) -> str:
    """Name a free font that has a letter: those of Noto are called by the script."""
    script = name(letter, "").partition(" ")[0]
    if category(letter) == "So":
        return "Noto Emoji"
    return f"Noto Sans {'CJK' if script.startswith(EAST_ASIAN) else script.capitalize()}".strip()


def _fonts() -> list[tuple[str, str]]:
    """List the installed fonts, upright and of usual weight first, each with its file.

    That of last resort, which has a box for every letter, is none.
    """

    def unusual(font: Any) -> tuple[bool, str]:
        return font.style != "normal" or font.weight not in (400, "normal", "regular"), font.name

    fonts = sorted(font_manager.fontManager.ttflist, key=unusual)
    named = [(font.name, font.fname) for font in fonts]
    return [each for each in named if "lastresort" not in each[0].replace(" ", "").lower()]


@cache
def _letters(file: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, font_manager.get_font(file).get_charmap()))
    except (OSError, RuntimeError):  # a font that has gone, or that matplotlib cannot read
        return frozenset()
