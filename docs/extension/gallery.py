"""The gallery: the figures that the commands draw, each with its command, drawn at the build."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sphinx.application import Sphinx
from sphinx.util.logging import getLogger

from extension.links import REPOSITORY

DATASET = "dogsim create-dataset data/hard_dogs -o hard.h5 --backbone efficientnet-lite2"
INTRODUCTION = f"""\
# Gallery

Every figure is drawn from the drawings that are installed with dogsim, by the command below it,
after

```console
{DATASET}
```

[Figures](../figures.md) explains grids and the figures of an evaluation,
[explanations](../explain.md) the maps of a distance, and the [lessons](../lessons.md) have more.
"""


class Drawn(NamedTuple):
    """A figure: its title, the command, the file that it writes, and what the figure shows."""

    title: str
    command: str
    file: str
    alt: str
    text: str

    @property
    def name(self) -> str:
        """Name of the file in the gallery."""
        return self.file.replace("/", "-")


EVALUATION = "dogsim accuracy --dataset hard.h5 --k 20 --figures evaluation"
QUERIES = "data/sample_queries"
EXPLANATION = (
    f"dogsim explain {QUERIES}/beagle.jpg {QUERIES}/whippet.jpg"
    " --backbone efficientnet-lite2 --save why"
)
FIGURES = (
    Drawn(
        "The nearest images",
        f"dogsim show {QUERIES}/golden_retriever.jpg --dataset hard.h5 -k 8 --save grids",
        "grids/golden_retriever.png",
        "A drawing of a golden retriever, its eight nearest images, and bars of their votes",
        "A mark says which neighbours have the breed of the query.",
    ),
    Drawn(
        "Why two images are near",
        EXPLANATION,
        "why/beagle-whippet.png",
        "Two drawings joined by lines, and two rows of maps in blue and orange",
        "Which places of two images increase or reduce their distance.",
    ),
    Drawn(
        "Scores for every k",
        EVALUATION,
        "evaluation/curves.png",
        "Curves of precision, recall and vote accuracy for k from 1 to 100",
        "Precision falls with the number of neighbours, recall rises.",
    ),
    Drawn(
        "Confusions",
        EVALUATION,
        "evaluation/confusions.png",
        "A matrix of the ten breeds with the most frequent confusions beside it",
        "Similar breeds are side by side, and are confused with each other.",
    ),
    Drawn(
        "Distances",
        EVALUATION,
        "evaluation/distances.png",
        "Three curves of distances: to the own breed, to other breeds, to the nearest image",
        "Where the curves overlap, the distance alone does not determine the breed.",
    ),
    Drawn(
        "A mistake",
        EVALUATION,
        "evaluation/mistake-1.png",
        "A drawing whose twenty nearest images vote for another breed",
        "The wrong vote with the largest majority. Is the label wrong, or the vote?",
    ),
    Drawn(
        "The tree of breeds",
        "dogsim tree --dataset hard.h5 --save tree.png",
        "tree.png",
        "A tree whose leaves are the ten breeds, each with a drawing",
        "Breeds that look alike are joined near the leaves.",
    ),
    Drawn(
        "All distances",
        f"dogsim distance {QUERIES} --backbone efficientnet-lite2 --save matrix",
        "matrix/distances.png",
        "A matrix of the distances between twelve drawings, with a small drawing at each row",
        "Each cell is the distance of two images.",
    ),
)


def draw(folder: Path) -> None:
    """Write the figures to a folder by running their commands."""
    with tempfile.TemporaryDirectory() as work:
        for command in dict.fromkeys([DATASET, *(figure.command for figure in FIGURES)]):
            run(command, Path(work))
        for figure in FIGURES:
            shutil.copy(Path(work) / figure.file, folder / figure.name)


def run(command: str, folder: Path) -> None:
    """Run a command in a folder; the images are those of the repository."""
    _, *words = command.split()
    words = [str(REPOSITORY / word) if word.startswith("data/") else word for word in words]
    process = subprocess.run(
        [sys.executable, "-m", "dogsim", *words], cwd=folder, capture_output=True, text=True
    )
    if process.returncode:
        raise RuntimeError(f"{command}: {process.stderr.strip()}")


def page() -> str:
    """Return the page of all figures, in Markdown."""
    return "\n".join([INTRODUCTION, *(part for figure in FIGURES for part in section(figure))])


def section(figure: Drawn) -> Iterator[str]:
    """Yield the lines of a figure, with its command as on a page of the documentation."""
    yield f"## {figure.title}\n\n{figure.text}\n"
    yield f"![{figure.alt}]({figure.name})\n"
    yield f"```console\n{figure.command}\n```\n"


def write(app: Sphinx, _: object) -> None:
    """Write the page, and draw the figures unless they were drawn before."""
    folder = Path(app.srcdir) / "gallery"
    folder.mkdir(exist_ok=True)
    if any(not (folder / figure.name).exists() for figure in FIGURES):
        getLogger(__name__).info("drawing the figures of the gallery")
        draw(folder)
    text = page()
    if not (folder / "index.md").exists() or (folder / "index.md").read_text("utf-8") != text:
        (folder / "index.md").write_text(text, "utf-8")


def setup(app: Sphinx) -> None:
    """Register the event."""
    app.connect("config-inited", write)
