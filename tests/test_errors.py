"""Texts of messages."""

import re

from conftest import REPOSITORY

from dogsim.errors import counted

NOUNS = "images|breeds|groups|queries|labels|neighbours|steps|votes|files|features"


def test_one_is_singular() -> None:
    assert [counted(n, "query", "queries") for n in (0, 1, 2)] == [
        "0 queries",
        "1 query",
        "2 queries",
    ]


def test_numbers_with_nouns_are_made_by_counted() -> None:
    """No message writes a length before a plural by itself, which would be wrong for 1.

    "1 of 2 images" is right.
    """
    for path in (REPOSITORY / "dogsim").rglob("*.py"):
        found = re.findall(
            rf"(?<!of )\{{len\([^{{}}:]*\}} (?:\w+ )?(?:{NOUNS})\b", path.read_text("utf-8")
        )
        assert found == [], path
