"""Make the reference of the public functions from their docstrings.

python scripts/make_reference.py
python scripts/make_reference.py FOLDER

It writes web pages into a folder, reference/ by default, which is not part of the repository. A
docstring that cannot be read ends it. Needs pdoc: pip install ".[reference]"
"""

import argparse
import warnings
from pathlib import Path

import pdoc

import dogsim


def main(folder: Path) -> None:
    """Write the pages."""
    for name in dir(dogsim):  # pdoc shows what has been imported; dogsim imports at first use
        setattr(dogsim, name, getattr(dogsim, name))
    warnings.simplefilter("error")  # pdoc's of what it cannot resolve
    warnings.filterwarnings("ignore", "'dogsim' may refer to either the installed", RuntimeWarning)
    pdoc.render.configure(docformat="numpy", show_source=False)
    pdoc.pdoc("dogsim", r"!dogsim\..*", output_directory=folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("reference"))
    main(parser.parse_args().folder)
