"""Archives of public datasets: downloaded, or found in a folder, and verified by their SHA-256."""

from pathlib import Path

from dogsim.errors import DogsimError
from dogsim.plumbing.download import DownloadError, download, verify
from dogsim.plumbing.terminal import note


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
