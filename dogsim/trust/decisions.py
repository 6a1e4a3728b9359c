"""The decisions on images in a plan that its owner may have edited."""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dogsim.errors import as_path
from dogsim.plumbing.edited_tables import TableRow, read_table
from dogsim.trust.plan import DECISIONS, REMOVE


@dataclass(frozen=True)
class Plan:
    """The decisions of a plan that its owner may have edited.

    Attributes
    ----------
    file : Path
    rows : dict of str to list of TableRow
        The rows of each image by its path; all have the same decision.
    """

    file: Path
    rows: Mapping[str, Sequence[TableRow]]

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> "Plan":
        """Read a plan; raise `DogsimError` if it is none, or contradicts itself."""
        path = as_path("the plan", file)
        rows: dict[str, list[TableRow]] = defaultdict(list)
        for row in read_table(path, ("path", "decision")).rows:
            image, decision = row.text("path"), row.word("decision")
            if decision not in DECISIONS:
                raise row.error(f"Received the decision {decision!r}. Expected keep or remove.")
            for other in rows[image][:1]:
                if other.word("decision") != decision:
                    raise row.error(
                        f"Received the decision {decision} for {image}, and "
                        f"{other.word('decision')} in line {other.line}. Expected one decision."
                    )
            rows[image].append(row)
        return cls(path, dict(rows))

    def removes(self, path: str) -> bool:
        """Return whether an image is to be removed."""
        return self.rows[path][0].word("decision") == REMOVE
