"""Memory use of a process, for tests that run in a new process."""

from pathlib import Path


def peak_megabytes() -> int:
    """Return the peak memory of this process; Linux only.

    The value of getrusage, ru_maxrss, starts with the memory of the parent process.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) // 1024
