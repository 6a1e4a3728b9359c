"""Download of one file by HTTP: resumed after an interruption and verified by its SHA-256."""

import os
import re
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import check_output, file_sha256
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import DOWNLOAD_TIMEOUT_SECONDS, with_timeout

DOWNLOAD_BLOCK_BYTES = 1 << 20


class DownloadError(DogsimError):
    """Raised if a file cannot be downloaded or is not the expected one."""


def download(url: str, out: str | os.PathLike[str], size: int, sha256: str) -> None:
    """Download a file whose size and hash are known, with a progress bar on stderr.

    The bytes received so far are stored as ``OUT.part``. After an interruption the rest is
    requested again, as long as each connection delivers bytes; a later call resumes too.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``; redirections are followed.
    out : path
        Created when the whole file has been received and verified.
    size : int
        Bytes.
    sha256 : str
        64 hexadecimal digits.

    Raises
    ------
    DownloadError
        If the server does not answer for `DOWNLOAD_TIMEOUT_SECONDS`, refuses, or sends another
        file.
    DogsimError
        If `out` cannot be written.
    """
    out = Path(out)
    check_output(out)
    part = out.with_name(f"{out.name}.part")
    while (have := _size(part)) < size:
        _fetch(url, part, have, size)
        if _size(part) <= have:
            raise DownloadError(
                f"{url} broke off at {_size(part):,} of {size:,} bytes. Run it again to continue."
            )
    try:
        verify(part, size, sha256)
    except DogsimError as error:
        part.unlink()  # resuming from wrong bytes could never succeed
        raise DownloadError(f"{url} sent a wrong file: {error} It is deleted.") from error
    part.replace(out)


def verify(path: Path, size: int, sha256: str) -> None:
    """Raise `DogsimError` unless a file has that size in bytes and that hash."""
    if _size(path) != size:
        raise DogsimError(f"{path} has {_size(path):,} bytes. Expected {size:,}.")
    received = file_sha256(path)
    if received != sha256:
        raise DogsimError(f"{path} has SHA-256 {received[:16]}... Expected {sha256[:16]}...")


def _fetch(url: str, part: Path, have: int, size: int) -> None:
    """Append the bytes of one connection; start over if the server sends the whole file."""
    response, start = _request(url, have)
    with response:
        if response.length is not None and start + response.length != size:
            raise DownloadError(
                f"{url} has {start + response.length:,} bytes. Expected {size:,}: "
                "it is another file, perhaps a login page."
            )
        blocks = track(_blocks(url, response, size - start), size, part.stem, start, in_bytes=True)
        try:
            with part.open("ab" if start else "wb") as file:
                for block in blocks:
                    file.write(block)
        except OSError as error:
            raise DogsimError(f"Cannot write {part}: {reason(error)}.") from error


def _request(url: str, start: int) -> tuple[HTTPResponse, int]:
    """Request the bytes from `start` on; return the response and the position where it begins."""
    request = Request(url, headers={"User-Agent": "dogsim"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: HTTPResponse = with_timeout(
            lambda: urlopen(request, timeout=DOWNLOAD_TIMEOUT_SECONDS), DOWNLOAD_TIMEOUT_SECONDS
        )
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # an HTTPError is a response too
            if start and error.code == 416:
                return _request(url, 0)  # the server cannot resume: request the whole file
        raise _unavailable(url, error) from error
    content_range = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    first = 0 if response.status != 206 else int(content_range[1]) if content_range else -1
    if first not in (0, start):
        response.close()
        if start:
            return _request(url, 0)
        raise DownloadError(f"{url} sent a part of the file. Expected all of it.")
    return response, first


def _blocks(url: str, response: HTTPResponse, remaining: int) -> Iterator[bytes]:
    """Yield blocks of at most `remaining` bytes in all; stop early if the connection breaks."""
    while remaining > 0:
        try:
            block = response.read1(
                min(DOWNLOAD_BLOCK_BYTES, remaining)
            )  # does not wait for a whole block
        except TimeoutError as error:
            raise _unavailable(url, error) from error
        except (OSError, HTTPException):
            return
        if not block:
            return
        yield block
        remaining -= len(block)


def _unavailable(url: str, error: Exception) -> DownloadError:
    why = reason(error)
    if isinstance(error, HTTPError):
        why = f"the server answered {error.code} {why}"
    return DownloadError(f"Cannot download {url}: {why}.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
