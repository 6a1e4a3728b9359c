"""Import OpenVINO without its reports."""

import sys
from functools import cache
from typing import Any


@cache
def import_openvino() -> Any:
    """Return the module `openvino`, which tells its makers nothing.

    It reports when it is imported and what it converts, from a process that it forks: from a thread
    that hangs the program, if another one is computing just then. Without its package for reports
    it takes a stub of its own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
