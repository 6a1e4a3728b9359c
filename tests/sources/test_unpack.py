"""Archives that want out, are damaged, or are unpacked by a process that dies."""

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from archives import names, tar_of

from dogsim import DogsimError
from dogsim.sources.archives import unpack


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("filtered", [True, False])  # early releases of Python 3.10 have no filter
@pytest.mark.parametrize(
    "member",
    [
        "../evil",
        "Images/../../evil",
        "/tmp/evil",
        "..\\evil",
        "C:\\evil",
        special("Images/out", tarfile.SYMTYPE, "../.."),
        special("Images/out", tarfile.SYMTYPE, "/etc"),
        special("Images/out", tarfile.LNKTYPE, "../evil"),
        special("Images/disk", tarfile.BLKTYPE),
        special("Images/zero", tarfile.CHRTYPE),
        special("Images/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member if isinstance(member, str) else f"{member.name}-{member.type}",
)
def test_hostile_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    member: tarfile.TarInfo | str,
    filtered: bool,
) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    archive = folder / "images.tar"
    archive.write_bytes(tar_of(("Images/good.jpg", b"good"), (member, b"")))
    with pytest.raises(DogsimError, match=r"images.tar contains '.*'\. Expected files"):
        unpack(archive, folder / "Images")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", folder, archive]


@pytest.mark.parametrize("filtered", [True, False])
def test_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtered: bool) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tmp_path / "x.tar"
    archive.write_bytes(tar_of(("./Images/pug/1.jpg", b"1"), ("./Images/2.jpg", b"2")))
    unpack(archive, tmp_path / "Images")
    unpack(archive, tmp_path / "other")
    assert (tmp_path / "Images/pug/1.jpg").read_bytes() == b"1"
    assert (tmp_path / "other/Images/2.jpg").read_bytes() == b"2"
    assert names(tmp_path) == ["Images", "other", "x.tar"]


def test_damaged_archive(tmp_path: Path) -> None:
    whole = tar_of(("Images/1.jpg", b"1" * 5000), ("Images/2.jpg", b"2" * 5000))
    archive = tmp_path / "images.tar"
    for content in (b"", b"no tar" * 500, whole[:3000], whole[:8000]):
        archive.write_bytes(content)
        with pytest.raises(DogsimError, match=r"Cannot unpack .*images\.tar: "):
            unpack(archive, tmp_path / "Images")
        assert names(tmp_path) == ["images.tar"]


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal of POSIX")
def test_killed_while_unpacking(tmp_path: Path) -> None:
    archive, target = tmp_path / "images.tar", tmp_path / "Images"
    archive.write_bytes(tar_of(*[(f"Images/{i}.jpg", b"x") for i in range(5)]))
    code = (
        "import os, signal, sys, tarfile, dogsim.sources.archives, pathlib\n"
        "real, calls = tarfile.TarFile.extractall, []\n"
        "def dying(*arguments, **named):\n"
        "    calls.append(real(*arguments, **named))\n"
        "    len(calls) < 3 or os.kill(os.getpid(), signal.SIGKILL)\n"
        "tarfile.TarFile.extractall = dying\n"
        "dogsim.sources.archives.unpack(*map(pathlib.Path, sys.argv[1:]))"
    )
    killed = subprocess.run([sys.executable, "-c", code, archive, target], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / ".Images.unpacking").rglob("*.jpg"))) == 3
    assert not target.exists()
    unpack(archive, target)
    assert len(names(target)) == 5
    assert names(tmp_path) == ["Images", "images.tar"]
