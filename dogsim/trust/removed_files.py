"""Move the files of removed images to another folder, and back."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.file_moves import FileMove, MoveState, run_moves
from dogsim.plumbing.files import is_unchanged, locked, make_folder, remove_temporary_files
from dogsim.plumbing.signals import sigterm_as_interrupt
from dogsim.plumbing.terminal import note, printable
from dogsim.plumbing.undo_table import UNDO_NAME, MovedFile, add_to_undo, is_inside, read_undo
from dogsim.storage.edits import Edit


@dataclass(frozen=True)
class RemovedFiles:
    """The files of removed images, and the folder that they are to be moved to.

    Attributes
    ----------
    edits : tuple of Edit
        The removal of each image, with its file at that time.
    kept : tuple of str
        Paths of the images that remain in the dataset.
    home : Path
        The folder of the images, which all paths are relative to.
    folder : Path
        The other folder.

    Raises
    ------
    DogsimError
        If `home` does not exist, or `folder` is inside a folder of the images.
    """

    edits: tuple[Edit, ...]
    kept: tuple[str, ...]
    home: Path
    folder: Path

    @classmethod
    def of(
        cls, dataset: Dataset, paths: Iterable[str], folder: Path, root: Path | None = None
    ) -> "RemovedFiles":
        """Return the files of removed images; `root` is their present folder, if it has moved."""
        edit_of = {edit.path: edit for edit in dataset.edits if edit.removed}
        home = Path(root or dataset.root).resolve()
        return cls(tuple(edit_of[path] for path in paths), dataset.paths, home, folder.resolve())

    def __post_init__(self) -> None:
        if not self.home.is_dir():
            raise DogsimError(
                f"There is no folder {self.home}. --root names the present folder of the images."
            )
        for edit in self.edits:
            if not is_inside(edit.path):
                raise DogsimError(f"{edit.path} is not inside {self.home}. Decide to keep it.")
        image_folders = {
            folder
            for path in (*self.kept, *(edit.path for edit in self.edits))
            for folder in accumulate(PurePosixPath(path).parts[:-1], "{}/{}".format)
        }
        above = [*map(_identity, (self.folder, *self.folder.parents))]
        for image_folder in (".", *sorted(image_folders)):
            if (identity := _identity(self.home / image_folder)) and identity in above:
                raise DogsimError(
                    f"Received --move-to {self.folder}, inside the folder of images "
                    f"{self.home / image_folder}. Expected a folder elsewhere: "
                    "create-dataset would find the images again."
                )

    @property
    def table(self) -> Path:
        """The table by which the files can be moved back."""
        return self.folder / UNDO_NAME

    @property
    def links(self) -> list[str]:
        """Paths of the images that are symbolic links: they are not moved."""
        return [edit.path for edit in self.edits if (self.home / edit.path).is_symlink()]

    def moves(self) -> list[FileMove]:
        """Return the moves that are still to be made, see `links`; nothing is changed.

        Raises
        ------
        DogsimError
            If a file does not exist or has changed, a remaining image uses it, its new name
            exists, or a folder cannot be written.
        """
        recorded = {*read_undo(self.table)} if self.table.exists() else set()
        moves = []
        for edit in self.edits:
            move = FileMove(self.home / edit.path, self.folder / edit.path)
            if move.source.is_symlink():
                continue
            state = _checked_state(move, MovedFile(edit.path, str(self.home)) in recorded)
            if state == "missing":
                raise DogsimError(f"There is no file {move.source} any more. Audit again.")
            if state != "done":
                _check_unchanged(edit, move.source)
                moves.append(move)
        self._check_unused(moves)
        _check_writable(moves)
        return moves

    def move(self) -> list[FileMove]:
        """Move the files, and return the moves that were made; raise `DogsimError` as `moves` does.

        Before the first move, ``undo.csv`` is written in the folder.
        """
        make_folder(self.folder)
        with locked(self.table), sigterm_as_interrupt():
            moves = self.moves()
            _remove_remains(self.table)
            if moves:
                moved = [MovedFile(edit.path, str(self.home)) for edit in self.edits]
                targets = {move.target for move in moves}
                add_to_undo(self.table, [x for x in moved if self.folder / x.path in targets])
            undo = f"dogsim apply {printable(str(self.table))} --yes moves them back."
            run_moves(moves, f"The same command continues; {undo}")
        return moves

    def _check_unused(self, moves: Sequence[FileMove]) -> None:
        """Raise `DogsimError` if a remaining image is another path, or a link, to a moved file."""
        files = {os.path.realpath(move.source): move.source for move in moves}
        for path in self.kept if moves else ():
            if source := files.get(os.path.realpath(self.home / path)):
                raise DogsimError(
                    f"{source} is also the file of {path}, which remains in the dataset. Decide to "
                    "keep both, or to remove both."
                )


def moves_back(table: Path) -> list[FileMove]:
    """Return the moves of an ``undo.csv`` that are still to be made; nothing is changed.

    Files that exist nowhere any more are left out with a message. Raises `DogsimError` if the
    folder that a file came from does not exist or cannot be written, or its name is taken there.
    """
    moved = read_undo(table)
    for home in sorted({each.home for each in moved}):
        if not Path(home).is_dir():
            raise DogsimError(f"There is no folder {home} to move files back to. Create it first.")
    moves = [each.move_back(table.parent.resolve()) for each in moved]
    states = [_checked_state(move, recorded=True) for move in moves]
    missing = [move.source for move, state in zip(moves, states, strict=True) if state == "missing"]
    if missing:
        first = printable(str(missing[0]))
        note(f"Files that are in neither folder any more: {len(missing)}, such as {first}.")
    begun = [move for move, state in zip(moves, states, strict=True) if state in ("to do", "begun")]
    _check_writable(begun)
    return begun


def move_back(table: Path) -> list[FileMove]:
    """Move the files of an ``undo.csv`` back, and return the moves; see `moves_back`."""
    with locked(table), sigterm_as_interrupt():
        moves = moves_back(table)
        _remove_remains(table)
        run_moves(moves, "The same command continues.")
    return moves


def _remove_remains(table: Path) -> None:
    """Remove the temporary files of a run that was killed, in all folders of the table."""
    moves = [each.move_back(table.parent) for each in read_undo(table)] if table.exists() else []
    remove_temporary_files(table, *(file for each in moves for file in (each.source, each.target)))


def _checked_state(move: FileMove, recorded: bool) -> MoveState:
    """Return the state of a move; raise `DogsimError` if the new name is that of another file.

    A move can only have been begun or done if it is `recorded` in the table.
    """
    try:
        state = move.state
    except OSError as error:
        raise DogsimError(f"Cannot read {move.source}: {reason(error)}.") from error
    if state == "taken" or (state == "begun" and not recorded):
        raise DogsimError(
            f"{move.target} exists already. Nothing was moved: rename it, or choose another folder."
        )
    return "missing" if state == "done" and not recorded else state


def _check_unchanged(edit: Edit, file: Path) -> None:
    """Raise `DogsimError` if a file differs from that in the dataset, or that is unknown."""
    if not edit.sha256:
        raise DogsimError(
            f"The dataset does not contain the size and the hash of {edit.path}, so that a change "
            "of the file cannot be detected. Expected a dataset of dogsim create-dataset."
        )
    try:
        if is_unchanged(file, edit.size, edit.mtime_ns, edit.sha256):
            return
    except OSError as error:
        raise DogsimError(f"Cannot read {file}: {reason(error)}.") from error
    raise DogsimError(
        f"{file} has changed since the dataset was made. Nothing was moved: run dogsim "
        "create-dataset and dogsim audit again."
    )


def _check_writable(moves: Sequence[FileMove]) -> None:
    """Raise `DogsimError` if a folder of the moves cannot be written; it may not exist yet."""
    folders = {move.source.parent for move in moves}
    folders |= {_existing(folder) for folder in {move.target.parent for move in moves}}
    for folder in sorted(folders):
        if not folder.is_dir():
            raise DogsimError(f"{folder} is not a folder. Nothing was moved: choose another one.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DogsimError(f"The folder {folder} is read-only. Nothing was moved.")


def _existing(folder: Path) -> Path:
    """Return a path, or the first one above it that exists."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder, None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
