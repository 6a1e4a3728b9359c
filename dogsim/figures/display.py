"""Show figures on the screen, or save them to files if there is no display."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from dogsim.errors import DogsimError, as_path, is_iterable, shown
from dogsim.figures.canvas import png_of
from dogsim.plumbing.files import check_output, check_replaceable, make_folder, replacing
from dogsim.plumbing.terminal import in_notebook

SOFTWARE = "dogsim"  # metadata of every saved PNG file, by which it is recognised


def show_or_save(
    figures: Iterable[tuple[str, Figure]],
    save: str | os.PathLike[str] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> list[Path]:
    """Show figures one after the other, or save them as PNG files.

    Parameters
    ----------
    figures : iterable of (name, Figure)
        The names of files, without suffix, and their figures. A generator may draw each figure
        when it is needed.
    save : path, optional
        The folder to save to, created if it does not exist. Without it the figures are shown, in a
        notebook below the cell, and saved to ``results/`` if there is no display.
    inputs : iterable of path
        Files that are never replaced, even if they are figures of an earlier run.

    Returns
    -------
    list of Path
        The files that were written; empty if the figures were shown. Only figures of earlier runs
        are replaced: if NAME.png is any other file, NAME.grid.png is written.

    Raises
    ------
    DogsimError
        If the folder or a file cannot be written.
    """
    folder = Path("results") if save is None else as_path("the folder of figures", save)
    kept = [as_path("an input", path) for path in _listed("inputs", inputs)]
    show = _display() if save is None else None
    written: list[Path] = []
    for each in _listed("figures", figures):
        name, figure = _named_figure(each)
        if show:
            show(figure)
        else:
            make_folder(folder)
            path = _free_path(folder, name, [*kept, *written])
            save_figure(figure, path, force=True)
            written.append(path)
    return written


def save_figure(figure: Figure, path: Path, force: bool = False) -> None:
    """Save a figure as a PNG file of that name.

    Raises `DogsimError` if the file cannot be written. Without `force`, this includes a file that
    is not a figure of an earlier run.
    """
    check_output(path)
    check_replaceable(path, _is_ours, force)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": SOFTWARE})


def _listed(name: str, values: Iterable[Any]) -> Iterable[Any]:
    if not is_iterable(values):
        raise DogsimError(f"Received {shown(values)} as {name}. Expected several in a list.")
    return values


def _named_figure(value: Any) -> tuple[str, Figure]:
    """Return a name and a figure; raise `DogsimError` unless the name can be that of a file."""
    name, figure = value if isinstance(value, tuple | list) and len(value) == 2 else (value, None)
    if not isinstance(name, str) or not isinstance(figure, Figure):
        raise DogsimError(f"Received {shown(value)}. Expected the name of a file and a Figure.")
    if Path(name).name != name:
        raise DogsimError(f"Received the name {shown(name)}. Expected one without a folder.")
    return name, figure


def _display() -> Callable[[Figure], Any] | None:
    """Return the function that shows a figure; None without a display."""
    if in_notebook():
        from IPython import display

        return lambda figure: display.display(display.Image(png_of(figure)))
    import matplotlib.pyplot as plt

    probe = plt.figure()
    windows = probe.canvas.required_interactive_framework
    plt.close(probe)
    return _show_window if windows else None


def _show_window(figure: Figure) -> None:
    """Show a figure in a window of pyplot until the user closes it."""
    import matplotlib.pyplot as plt

    window = plt.figure(figsize=figure.get_size_inches())
    number = window.number
    window.canvas.figure = figure
    figure.set_canvas(window.canvas)
    plt.show(block=True)
    plt.close(number)


def _free_path(folder: Path, name: str, kept: list[Path]) -> Path:
    """Return the path of a figure; the file there, if any, may be replaced."""
    path, number = as_path("the figure", folder / f"{name}.png"), 2
    if path.exists() and not _is_ours(path):
        name = f"{name}.grid"
        path = folder / f"{name}.png"
    while path.exists() and (
        not _is_ours(path) or any(each.exists() and path.samefile(each) for each in kept)
    ):
        path, number = folder / f"{name}-{number}.png", number + 1
    return path


def _is_ours(path: Path) -> bool:
    """Check whether a file is a PNG file that was saved here."""
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return bool(image.info.get("Software") == SOFTWARE)
    except Exception:  # broken, or another format
        return False
