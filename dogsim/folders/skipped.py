"""The table beside a dataset that lists the files without a row in it."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from dogsim.folders.walk import SkippedFile
from dogsim.plumbing.files import check_output, check_replaceable
from dogsim.plumbing.tables import has_csv_header, write_csv
from dogsim.plumbing.terminal import note
from dogsim.storage.dataset_file import check_dataset_path

MAX_SKIPPED_SHOWN = 20
SKIPPED_COLUMNS = ("path", "reason")


def report_skipped(skipped: Sequence[SkippedFile], out: Path) -> None:
    """Print the first skipped files on stderr, and write all to ``OUT.skipped.csv`` beside `out`.

    If no file was skipped, the table of an earlier run is removed. Call `check_skipped_table`
    first.
    """
    table = skipped_table_path(out)
    if not skipped:
        table.unlink(missing_ok=True)
        return
    write_csv(table, [asdict(each) for each in skipped], SKIPPED_COLUMNS)
    for each in skipped[:MAX_SKIPPED_SHOWN]:
        note(f"skipped {each.path}: {each.reason}")
    if len(skipped) > MAX_SKIPPED_SHOWN:
        note(f"skipped {len(skipped) - MAX_SKIPPED_SHOWN} more")
    note(f"All skipped files are listed in {table}")


def check_skipped_table(out: Path, force: bool) -> None:
    """Raise `DogsimError` if the table of `report_skipped` would replace a file of another kind."""
    check_dataset_path(out)
    table = skipped_table_path(out)
    if table.is_symlink() or table.exists():
        check_output(table)
    check_replaceable(table, partial(has_csv_header, columns=SKIPPED_COLUMNS), force)


def skipped_table_path(out: Path) -> Path:
    """Return the path of the table of skipped files: ``dogs.h5.skipped.csv`` for ``dogs.h5``."""
    return out.with_name(f"{out.name}.skipped.csv")
