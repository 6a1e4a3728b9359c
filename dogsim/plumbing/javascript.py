"""Bundling of JavaScript modules: a browser loads no module from a file of this machine."""

import re
from collections.abc import Mapping
from pathlib import Path

IMPORT = re.compile(r'^import [^;]*? from "\./(?P<name>[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=const |function |async |class |let )", re.MULTILINE)


def bundle(modules: Mapping[str, Path], entry: str) -> str:
    """Return the text of a module after those that it imports, each once, as one script.

    Parameters
    ----------
    modules : mapping of str to Path
        Files by the names by which they are imported. The names that their modules define must
        differ from each other.
    entry : str
        The name of the module to execute.
    """
    added: set[str] = set()
    texts: list[str] = []

    def add(name: str) -> None:
        if name in added:
            return
        added.add(name)
        text = modules[name].read_text(encoding="utf-8")
        for each in IMPORT.finditer(text):
            add(each["name"])
        texts.append(EXPORT.sub("", IMPORT.sub("", text)))

    add(entry)
    return "".join(texts)
