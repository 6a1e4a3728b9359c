"""An archive becomes a folder, whole or not at all."""

import shutil
import tarfile
from pathlib import Path, PureWindowsPath

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.terminal import track


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar archive into a new folder; nothing in it can reach beyond.

    Where the archive holds one folder of `target`'s name, that one becomes `target`.

    Parameters
    ----------
    archive : Path
    target : Path
        Appears when all is unpacked. What an interrupted run left beside it is removed.

    Raises
    ------
    DogsimError
        If the archive is damaged, has a member other than files and folders or one whose path
        leaves the folder, or if it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        with tarfile.open(archive) as tar:
            # Python's own checks come on top where it has them: not in early releases of 3.10
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
            members = _members(archive, tar)
            for batch in track(([member] for member in members), len(members), archive.name):
                tar.extractall(temporary, batch)
        inner = temporary / target.name
        (inner if inner.is_dir() else temporary).replace(target)
    except (tarfile.TarError, EOFError) as error:
        raise DogsimError(
            f"Cannot unpack {archive}: {reason(error)}. Expected a tar file."
        ) from error
    except OSError as error:
        raise DogsimError(f"Cannot unpack {archive} into {target}: {reason(error)}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _members(archive: Path, tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members = tar.getmembers()
    for member in members:
        path = PureWindowsPath(member.name)  # knows drives, and both kinds of separators
        if path.anchor or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise DogsimError(
                f"{archive} holds {member.name!r}. Expected files and folders below one folder; "
                "nothing is unpacked. Fetch the archive from its own site."
            )
    return members
