"""The command for the cache of dogsim on this computer."""

from dataclasses import asdict
from typing import Annotated

import typer

from dogsim.cli import option
from dogsim.cli.common import print_result


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove the whole cache.")] = False,
    as_json: option.Json = False,
) -> None:
    """List the cache, or remove it: converted networks and the features of the sample.

    Everything in it can be computed again in seconds.

    Example: `dogsim cache --clear`
    """
    from dogsim.plumbing.cache import cache_folder, cached, clear_cache
    from dogsim.plumbing.tables import table

    before = cached()
    entries = clear_cache() if clear else before
    total = sum(each.bytes for each in entries)
    lines = [f"{cache_folder()}: {_megabytes(total)}"]
    if clear:
        left = {each.name for each in entries}
        removed = [each for each in before if each.name not in left]
        lines.append(f"Removed {len(removed)}: {_megabytes(sum(each.bytes for each in removed))}")
    if entries:
        rows = [
            {"entry": each.name, "what": each.what, "size": _megabytes(each.bytes)}
            for each in entries
        ]
        lines.append(table(rows))
    result = {
        "folder": str(cache_folder()),
        "bytes": total,
        "entries": [asdict(each) for each in entries],
    }
    print_result(result, as_json, "\n".join(lines))


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
