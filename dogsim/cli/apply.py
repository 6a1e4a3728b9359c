"""The command that applies the plan of an audit."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli import option
from dogsim.cli.common import description, print_result, summary
from dogsim.errors import DogsimError, counted
from dogsim.plumbing.terminal import note, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dogsim.plumbing.file_moves import FileMove

MAX_EDITS_NAMED = 10  # of a kind


def apply(
    plan: Annotated[
        Path,
        typer.Argument(metavar="PLAN.csv", help="plan.csv of dogsim audit, or undo.csv of a move."),
    ],
    dataset: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            envvar=option.DATASET_VARIABLE,
            help="The dataset of the audit, a file or folder of shards; none for undo.csv.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The dataset file to write; NAME.dogsim is a folder of shards."
        ),
    ] = None,
    move_to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Print how the files of removed images would be moved to DIR."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Move the files.")] = False,
    root: option.Root = None,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Remove and relabel images of a dataset by a plan of `dogsim audit` that you have edited.

    Features are not computed again, and create-dataset does not undo the changes when it updates
    the new dataset. No image file is changed or deleted. With --move-to and --yes those of removed
    images are moved to DIR; undo.csv there moves them back.

    Example: `dogsim apply findings/plan.csv dogs.h5 -o clean.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.folders.saved_copy import check_copy, save_copy
    from dogsim.trust.apply_plan import apply_plan
    from dogsim.trust.plan import Plan
    from dogsim.trust.removed_files import RemovedFiles

    if _is_undo(plan):
        _undo(plan, out or move_to, yes, as_json)
        return
    if dataset is None or out is None or (yes and not move_to):
        raise _incomplete(dataset, out)
    check_copy(out, dataset, force)
    decisions = Plan.read(plan)
    applied = apply_plan(Dataset.open(dataset), decisions)
    files, moves = None, []
    if move_to:
        paths = filter(decisions.removes, decisions.rows)
        files = RemovedFiles.of(applied.dataset, paths, move_to, root)
        moves = files.moves()  # before anything is written
    save_copy(applied.dataset, out, dataset)
    if files and yes:
        moves = files.move()
    if files:
        _note_links(files.links)
    counts = {"removed": len(applied.removed), "relabelled": len(applied.relabelled)}
    result = {"dataset": str(out), **description(applied.dataset), **counts}
    done = ", ".join(f"{count} {name}" for name, count in counts.items())
    lines = [f"{summary(out, applied.dataset)} ({done})", *_named(applied.relabelled)]
    _print(result, lines, moves, yes, as_json)


def _is_undo(table: Path) -> bool:
    """Return whether a table lists moved files; raise `DogsimError` if there is none."""
    from dogsim.plumbing.edited_tables import read_table
    from dogsim.plumbing.undo_table import UNDO_COLUMNS

    return {*UNDO_COLUMNS} <= {*read_table(table, ("path",)).columns}


def _undo(table: Path, other: Path | None, yes: bool, as_json: bool) -> None:
    """Move files back, or print how they would be moved."""
    from dogsim.trust.removed_files import move_back, moves_back

    if other:
        raise DogsimError(f"Received {other} as output for {table}. Expected --yes only.")
    moves = move_back(table) if yes else moves_back(table)
    _print({}, [], moves, yes, as_json)


def _incomplete(dataset: Path | None, out: Path | None) -> DogsimError:
    """Return the error for options that do not fit each other."""
    received = "--yes without --move-to DIR" if dataset and out else "no dataset or no -o NEW.h5"
    return DogsimError(
        f"Received {received}. Expected dogsim apply PLAN.csv FILE -o NEW.h5 [--move-to DIR "
        "[--yes]]."
    )


def _note_links(links: "Sequence[str]") -> None:
    if links:
        why = "Not moved, because they are links to files elsewhere"
        note(f"{why}: {len(links)}, such as {printable(links[0])}.")


def _named(relabelled: "Mapping[str, str]") -> "Iterator[str]":
    """Yield the first images with a new label, and the number of others."""
    for path, label in islice(relabelled.items(), MAX_EDITS_NAMED):
        yield f"  {path}: {label or 'no label'}"
    if len(relabelled) > MAX_EDITS_NAMED:
        yield f"  and {len(relabelled) - MAX_EDITS_NAMED} more"


def _print(
    result: "Mapping[str, Any]",
    lines: "Sequence[str]",
    moves: "Sequence[FileMove]",
    made: bool,
    as_json: bool,
) -> None:
    """Print a result with the number of moved files, and the moves unless they were made."""
    pairs = [(str(move.source), str(move.target)) for move in moves]
    if made:
        lines = [*lines, f"{counted(len(moves), 'file')} moved"]
    else:
        lines = [*lines, *(f"{source} -> {target}" for source, target in pairs)]
    if moves and not made:
        note(f"No file was moved. --yes moves {counted(len(moves), 'file')}.")
    moved = len(moves) if made else 0
    print_result({**result, "moved": moved, "moves": pairs}, as_json, "\n".join(lines))
