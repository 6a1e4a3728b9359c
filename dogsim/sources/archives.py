"""Download, verify and unpack the archives of public datasets."""

import shutil
import tarfile
from pathlib import Path, PureWindowsPath

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.download import DownloadError, download, verify
from dogsim.plumbing.terminal import note, track


def verified_archive(url: str, folder: Path, source: Path | None, size: int, sha256: str) -> Path:
    """Return the path of a verified archive.

    Parameters
    ----------
    url : str
        Its last part is the name of the file.
    folder : Path
        The archive is downloaded into this folder, unless it is there already.
    source : Path or None
        The folder with the archive, if it should not be downloaded.
    size : int
        Bytes.
    sha256 : str

    Raises
    ------
    DogsimError
        If the archive is missing in `source`, cannot be downloaded, or has another size or hash.
    """
    archive = (source or folder) / url.rpartition("/")[2]
    if source is None:
        _fetch(url, archive, size, sha256)
    elif not archive.is_file():
        site = url.rpartition("/")[0]
        raise DogsimError(f"There is no {archive}. Expected {archive.name} of {site}/ there.")
    else:
        try:
            verify(archive, size, sha256)
        except DogsimError as error:
            raise DogsimError(f"{error} Download {url} again.") from error
    return archive


def _fetch(url: str, archive: Path, size: int, sha256: str) -> None:
    """Download an archive, unless it was downloaded before."""
    if archive.is_file():
        try:
            return verify(archive, size, sha256)
        except DogsimError as error:
            renamed = archive.replace(archive.with_name(f"{archive.name}.wrong"))
            note(f"{error} It was renamed to {renamed}.")
    try:
        download(url, archive, size, sha256)
    except DownloadError as error:
        raise DogsimError(
            f"{error} Or download {url} in another way and give its folder: --from FOLDER."
        ) from error
    return None


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
