"""Make archives, and list the contents of folders."""

import io
import tarfile
from pathlib import Path


def tar_of(*members: tuple[tarfile.TarInfo | str, bytes]) -> bytes:
    """Make a tar archive of names, or headers, with contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    """List the names in a folder."""
    return sorted(path.name for path in folder.iterdir())
