"""The class of all figures: outside of pyplot, with text that is drawn literally."""

import io
import warnings
from functools import cache
from typing import Any
from unicodedata import category, name

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from dogsim.plumbing.terminal import note, printable

BLUE, VERMILION, GREEN, GREY = "#0072b2", "#d55e00", "#007a5e", "#555555"  # Okabe and Ito
EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")
_reported_fonts: set[str] = set()  # missing fonts that a note has named


class Drawing(Figure):
    """A `Figure` that pyplot does not manage, so that a notebook shows it once.

    Its text is drawn literally: ``$`` does not start a formula, and control characters become
    escapes. Letters that the default font lacks are drawn in another installed font. If there is
    none, a line on stderr names a font to install.
    """

    def draw(self, renderer: Any) -> None:
        """Draw the figure; matplotlib calls this."""
        texts: list[Text] = self.findobj(Text)
        for text in texts:
            text.set(parse_math=False, text="\n".join(map(printable, text.get_text().split("\n"))))
        families = _families({letter for text in texts for letter in text.get_text()})
        for text in texts:
            text.set_fontfamily(families)
        with warnings.catch_warnings():  # `_families` has reported missing letters
            warnings.filterwarnings("ignore", message=r"Glyph \d+")
            warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        """Return the PNG file that a notebook shows, whatever its settings for matplotlib."""
        return png_of(self)


def png_of(figure: Figure) -> bytes:
    """Draw a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _families(letters: set[str]) -> list[str]:
    """Return the default font and others that add the letters it lacks; report missing fonts."""
    default = FontProperties()
    families = list(default.get_family())
    missing = {letter for letter in letters if letter > "~" and letter.isprintable()}
    missing -= _letters(font_manager.findfont(default))
    for family, file in _fonts() if missing else ():
        if found := missing & _letters(file):
            families.append(family)
            missing -= found
            if not missing:
                break
    for font in sorted({_font_for(letter) for letter in missing} - _reported_fonts):
        note(f"No installed font has all letters of the names. Install {font} to see them.")
        _reported_fonts.add(font)
    return families


def _font_for(letter: str) -> str:
    """Return the name of a free font that has a letter; Noto fonts are named after scripts."""
    script = name(letter, "").partition(" ")[0]
    if category(letter) == "So":
        return "Noto Emoji"
    return f"Noto Sans {'CJK' if script.startswith(EAST_ASIAN) else script.capitalize()}".strip()


def _fonts() -> list[tuple[str, str]]:
    """List the names and files of the installed fonts, upright ones of normal weight first.

    The font of last resort is left out: it has a box for every letter.
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
    except (OSError, RuntimeError):  # the file is gone, or matplotlib cannot read it
        return frozenset()
