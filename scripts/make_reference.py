"""Generate the API reference from the docstrings of the public functions.

python scripts/make_reference.py
python scripts/make_reference.py FOLDER

Writes HTML pages to a folder, by default reference/, which is not committed. A docstring that
cannot be parsed is an error. Needs pdoc: pip install ".[reference]"
"""

import argparse
import warnings
from pathlib import Path

import pdoc

import dogsim


def main(folder: Path) -> None:
    """Write the pages."""
    for name in dir(dogsim):  # pdoc shows imported names only, and dogsim imports lazily
        setattr(dogsim, name, getattr(dogsim, name))
    warnings.simplefilter("error")  # for names that pdoc cannot resolve
    warnings.filterwarnings("ignore", "'dogsim' may refer to either the installed", RuntimeWarning)
    pdoc.render.configure(docformat="numpy", show_source=False)
    pdoc.pdoc("dogsim", r"!dogsim\..*", output_directory=folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("reference"))
    main(parser.parse_args().folder)
