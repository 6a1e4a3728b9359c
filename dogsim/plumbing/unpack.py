"""Unpacking of tar archives, atomically and only below the target folder."""

import shutil
import tarfile
from pathlib import Path, PureWindowsPath

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.terminal import track


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar archive into a new folder; members with paths outside it are refused.

    If the archive contains a folder with the name of `target`, that folder becomes `target`.

    Parameters
    ----------
    archive : Path
    target : Path
        Created when everything is unpacked. Remains of an interrupted run are removed.

    Raises
    ------
    DogsimError
        If the archive is damaged, contains anything but files and folders or a path outside the
        folder, or if `target` cannot be written.
    """
    temporary = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        with tarfile.open(archive) as tar:
            # Python's own checks are added where they exist: not in early releases of 3.10
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
        path = PureWindowsPath(member.name)  # handles drives and both separators
        if path.anchor or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise DogsimError(
                f"{archive} contains {member.name!r}. Expected files and folders below one folder; "
                "nothing is unpacked. Fetch the archive from its own site."
            )
    return members
