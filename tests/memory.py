"""How much memory a process has taken, for tests that run in a process of their own."""

from pathlib import Path


def peak_megabytes() -> int:
    """The most memory that this process has held at a time; Linux tells it.

    Not getrusage's ru_maxrss: that of a new process begins with what its parent held.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024
