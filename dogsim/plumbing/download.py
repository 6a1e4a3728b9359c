"""One file by HTTP: resumed where it broke off, and kept only if it is the right one."""

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
from dogsim.plumbing.threads import in_time

PATIENCE = 8.0  # seconds without an answer after which a download is given up
BLOCK_BYTES = 1 << 20


class DownloadError(DogsimError):
    """A file cannot be had from its address, or is another one there."""


def download(url: str, out: str | os.PathLike[str], size: int, sha256: str) -> None:
    """Fetch a file whose size and hash are known, with a progress bar on stderr.

    What has arrived is kept as ``OUT.part``. A connection that breaks off is followed by another
    for the rest as long as each brings the file further; a later call goes on from there.

    Parameters
    ----------
    url : str
        ``http://`` or ``https://``; redirections are followed.
    out : path
        Appears when all of it has arrived and been verified, not before.
    size : int
        Bytes.
    sha256 : str
        64 hexadecimal digits.

    Raises
    ------
    DownloadError
        If nothing is heard for `PATIENCE` seconds, the server refuses or another file is there.
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
                f"{url} broke off at {_size(part):,} of {size:,} bytes. Run it again to go on."
            )
    try:
        verify(part, size, sha256)
    except DogsimError as error:
        part.unlink()  # going on from wrong bytes would never end well
        raise DownloadError(f"{url} sent other bytes: {error} They are deleted.") from error
    part.replace(out)


def verify(path: Path, size: int, sha256: str) -> None:
    """Raise `DogsimError` unless a file has that size in bytes and that hash."""
    if _size(path) != size:
        raise DogsimError(f"{path} has {_size(path):,} bytes. Expected {size:,}.")
    received = file_sha256(path)
    if received != sha256:
        raise DogsimError(f"{path} has SHA-256 {received[:16]}... Expected {sha256[:16]}...")


def _fetch(url: str, part: Path, have: int, size: int) -> None:
    """Append to `part` what one connection brings, or write it anew if all of it is sent."""
    response, start = _ask(url, have)
    with response:
        if response.length is not None and start + response.length != size:
            raise DownloadError(
                f"{url} has {start + response.length:,} bytes. Expected {size:,}: "
                "something else stands there, perhaps a page that asks to log in."
            )
        blocks = track(_blocks(url, response, size - start), size, part.stem, start, in_bytes=True)
        try:
            with part.open("ab" if start else "wb") as file:
                for block in blocks:
                    file.write(block)
        except OSError as error:
            raise DogsimError(f"Cannot write {part}: {reason(error)}.") from error


def _ask(url: str, start: int) -> tuple[HTTPResponse, int]:
    """Ask for the bytes from `start` on; tells from which byte on the answer is."""
    request = Request(url, headers={"User-Agent": "dogsim"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: HTTPResponse = in_time(lambda: urlopen(request, timeout=PATIENCE), PATIENCE)
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it is an answer as well
            if start and error.code == 416:
                return _ask(url, 0)  # the server has no such part: all of it then
        raise _unavailable(url, error) from error
    told = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    first = 0 if response.status != 206 else int(told[1]) if told else -1
    if first not in (0, start):
        response.close()
        if start:
            return _ask(url, 0)
        raise DownloadError(f"{url} sent a part of the file. Expected all of it.")
    return response, first


def _blocks(url: str, response: HTTPResponse, remaining: int) -> Iterator[bytes]:
    """Yield what arrives, at most `remaining` bytes; ends early where the connection does."""
    while remaining > 0:
        try:
            block = response.read1(min(BLOCK_BYTES, remaining))  # no waiting for a whole block
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
