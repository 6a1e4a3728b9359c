"""What dogsim keeps on this computer."""

from dataclasses import asdict
from typing import Annotated

import typer

from dogsim.cli.common import Json, print_result


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
    as_json: Json = False,
) -> None:
    """Tell what is kept to be quick the next time, and where: networks, features of the sample.

    Nothing is lost by removing it but the seconds that making it again takes.

    Example: `dogsim cache --clear`
    """
    from dogsim.plumbing.cache import cache_folder, cached, clear_cache
    from dogsim.plumbing.tables import table

    before = cached()
    kept = clear_cache() if clear else before
    total = sum(each.bytes for each in kept)
    lines = [f"{cache_folder()}: {_megabytes(total)}"]
    if clear:
        left = {each.name for each in kept}
        removed = [each for each in before if each.name not in left]
        lines.append(f"Removed {len(removed)}: {_megabytes(sum(each.bytes for each in removed))}")
    if kept:
        rows = [
            {"entry": each.name, "what": each.what, "size": _megabytes(each.bytes)} for each in kept
        ]
        lines.append(table(rows))
    result = {
        "folder": str(cache_folder()),
        "bytes": total,
        "entries": [asdict(each) for each in kept],
    }
    print_result(result, as_json, "\n".join(lines))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
