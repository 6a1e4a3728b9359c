"""The table ``undo.csv`` in a folder, which lists where its files came from."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dogsim.plumbing.edited_tables import read_table
from dogsim.plumbing.file_moves import FileMove
from dogsim.plumbing.files import sync_folder
from dogsim.plumbing.tables import exact_cell, write_csv_lines

UNDO_NAME = "undo.csv"
UNDO_COLUMNS = ("path", "from")


@dataclass(frozen=True)
class MovedFile:
    """A file that was moved to the folder of an ``undo.csv``.

    Attributes
    ----------
    path : str
        Relative to that folder, and to `home`; POSIX style.
    home : str
        The folder that the file came from, absolute.
    """

    path: str
    home: str

    def move_back(self, folder: Path) -> FileMove:
        """Return the move from `folder` to where the file came from."""
        return FileMove(folder / self.path, Path(self.home) / self.path)


def read_undo(file: Path) -> list[MovedFile]:
    """Read a table of moved files, of which its owner may have removed rows.

    Raises `DogsimError` if it is no such table, or a path leaves its folder.
    """
    moved = []
    for row in read_table(file, UNDO_COLUMNS).rows:
        path, home = row.text("path"), row.text("from")
        if not is_inside(path) or not Path(home).is_absolute():
            raise row.error(
                f"Received the path {path!r} from {home!r}. Expected a path below the folder of "
                "this table, and an absolute folder."
            )
        moved.append(MovedFile(path, home))
    return moved


def add_to_undo(file: Path, moved: Iterable[MovedFile]) -> None:
    """Add files to a table, or create it, completely or not at all, and flush it to disk.

    Raises `DogsimError` if it is a table of another kind or cannot be written.
    """
    earlier = read_undo(file) if file.exists() else []
    by_path = {each.path: each for each in (*earlier, *moved)}
    lines = [[exact_cell(each.path), exact_cell(each.home)] for each in by_path.values()]
    write_csv_lines(file, [UNDO_COLUMNS, *lines])
    sync_folder(file.parent)


def is_inside(path: str) -> bool:
    """Return whether a path, POSIX style, is that of a file below the folder it is relative to."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not Path(path).is_absolute()
