"""A model of `create-dataset`: an independent implementation of its expected results.

It uses only `printable`, the list of suffixes and the test of a content of dogsim; files are read
with `os`, `csv` and h5py.
"""

import csv
import json
import os
import re
import stat
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from stoppable_run import SIZE, features

from dogsim.image_files.files import IMAGE_SUFFIXES, has_image_content
from dogsim.plumbing.terminal import printable

RECIPE = (
    *("backbone", "weights", "weights_sha256", "layer", "image_size", "resize"),
    *("engine", "precision", "head", "head_sha256"),
)
SHARD = re.compile(r"\d{6,}\.h5")
SYSTEM_FOLDERS = {"@eaDir", "__MACOSX", "$RECYCLE.BIN"}
UNSUPPORTED_SUFFIXES = (".svg", ".tga")
CHECKPOINT = re.compile(rf"{SHARD.pattern}|restart|\..*")


@dataclass(frozen=True)
class Layout:
    """How images are labelled, and the patterns of what is left out."""

    labels: str = "top"
    names: str = ""
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stamp:
    """Size, modification time and hash of an image file."""

    size: int
    mtime_ns: int
    sha256: str


@dataclass
class Contents:
    """Contents of a folder: images by path, and the reasons why other paths have no row."""

    images: dict[str, Path] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)


@dataclass
class Part:
    """A file of features: its recipe, root, and rows by path."""

    recipe: dict[str, Any]
    root: str
    rows: dict[str, tuple[Stamp, NDArray[np.float32]]]
    labels: list[int]
    breeds: list[str]
    layout: Layout
    made_by: str
    stamped: bool
    sharded: bool


def contents(root: Path, layout: Layout) -> Contents:
    """List the images in the breed folders of `root`."""
    found, result, entered = [], Contents(), set()
    queue = [""]

    def walk(below: str) -> None:
        status = os.stat(root / below)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            result.linked[printable(below)] = "a link to a listed folder"
            return
        entered.add((status.st_dev, status.st_ino))
        names = [name for name in sorted(os.listdir(root / below)) if name[0] != "."]  # noqa: PTH208
        names = [name for name in names if not _excluded(f"{below}/{name}", layout)]
        folders = [name for name in names if (root / below / name).is_dir()]
        for name in SYSTEM_FOLDERS.intersection(folders):
            names.remove(name)
            folders.remove(name)
            result.linked[printable(f"{below}/{name}".removeprefix("/"))] = "a folder of the system"
        inside = [f"{below}/{name}".removeprefix("/") for name in folders]
        queue.extend(path for path in inside if (root / path).is_symlink())
        for name in names:
            path, suffix = f"{below}/{name}".removeprefix("/"), os.path.splitext(name)[1].lower()  # noqa: PTH122
            if name in folders:
                continue
            if suffix in IMAGE_SUFFIXES or has_image_content(root / path):
                found.append(path)
            elif suffix in UNSUPPORTED_SUFFIXES:
                result.skipped[printable(path)] = "its format is not supported"
        for path in inside:
            if not (root / path).is_symlink():
                walk(path)

    for start in queue:
        walk(start)
    _sort(found, root, result)
    if layout.labels in ("top", "parent") and any("/" in path for path in result.images):
        for path in [path for path in result.images if "/" not in path]:
            del result.images[path]
            result.skipped[printable(path)] = "it is in no breed folder"
    return result


def _excluded(path: str, layout: Layout) -> bool:
    path = path.removeprefix("/")
    names = path, path.split("/")[-1]
    return any(fnmatchcase(name, pattern) for name in names for pattern in layout.exclude)


def _sort(found: list[str], root: Path, result: Contents) -> None:
    identities = set()
    for path in sorted(found, key=lambda path: (root / path).is_symlink()):  # real files first
        file = root / path
        if any("\udc80" <= c <= "\udcff" for c in path):
            result.skipped[printable(path)] = "its name is not UTF-8"
        elif not os.path.exists(file):  # noqa: PTH110
            result.skipped[printable(path)] = "No such file" if _ends(file) else "Too many levels"
        elif file.is_symlink() and os.stat(file).st_ino in identities:  # noqa: PTH116
            result.linked[printable(path)] = "a link to a listed image"
        else:
            identities.add(os.stat(file).st_ino)  # noqa: PTH116
            result.images[path] = file


def _ends(link: Path) -> bool:
    try:
        return not link.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False


def stamp(file: Path) -> Stamp:
    status = file.stat()
    return Stamp(status.st_size, status.st_mtime_ns, sha256(file.read_bytes()).hexdigest())


def is_pipe(file: Path) -> bool:
    return stat.S_ISFIFO(file.stat().st_mode)


def label_texts(paths: list[str], layout: Layout) -> list[str]:
    """Return the text that labels each image, "" if none does.

    Raises `RefusedError` if a table cannot be used.
    """
    by_table = layout.labels.endswith(".csv")
    table = _table(Path(layout.labels), ("path", "label"), once=True) if by_table else {}
    names = _table(Path(layout.names), ("code", "name")) if layout.names else {}
    texts = []
    for path in map(PurePosixPath, paths):
        if layout.labels in ("top", "parent"):
            text = path.parts[0 if layout.labels == "top" else -2] if len(path.parts) > 1 else ""
        elif by_table:
            text = _from_table(path, table)
        else:
            found = re.search(layout.labels, path.name) or re.search(layout.labels, path.stem)
            text = found["label"] or "" if found else ""
        synset = re.match(r"(n\d{8})(-.*)?$", text, re.S)
        codes = [text, _plain(text), synset[1] if synset else text] if text else []
        texts.append(next((names[code] for code in codes if code in names), text))
    return texts


def _table(file: Path, columns: tuple[str, str], once: bool = False) -> dict[str, str]:
    """Read two columns of a CSV file; with `once`, a path has one label."""
    try:
        header, *rows = csv.reader(file.read_bytes().decode("utf-8-sig").splitlines(keepends=True))
        named = {*columns} <= {*header}
        places = [header.index(name) for name in columns] if named else [0, 1]
        pairs = [[row[place].strip() for place in places] for row in rows if row]
        if len(header) < 2:
            raise ValueError
    except (OSError, ValueError, IndexError):
        raise RefusedError("no table") from None
    found: dict[str, str] = {}
    for key, value in pairs:
        key = str(PurePosixPath(key.replace("\\", "/"))) if once else key
        if once and found.get(key, value) != value:
            raise RefusedError("two labels for one path")
        found[key] = value
    return found


def _from_table(path: PurePosixPath, table: dict[str, str]) -> str:
    both = str(path), str(path.with_suffix(""))
    ends = [name.split("/", i)[i] for i in range(len(path.parts)) for name in both]
    for row in (*ends, *both):
        if row in table:
            return table[row]
    for name in both:
        longer = [row for row in table if row.endswith(f"/{name}")]
        if len(longer) == 1:
            return table[longer[0]]
    return ""


def _plain(text: str) -> str:
    """Return the name of a breed as it is shown."""
    synset = re.match(r"n\d{8}-(.*)", text, re.S)
    name = synset[1] if synset else text
    return name.replace("_", " ") if name.strip("_") else text


def _key(name: str) -> str:
    """Return a text that all spellings of a breed share."""
    key = normalize("NFC", normalize("NFC", name).casefold())
    for run in reversed(list(re.finditer(r"[-\s_]+", key))):
        before, after = key[: run.start()], key[run.end() :]
        if before[-1:].isalnum() and after[:1].isalnum():  # otherwise it is a sign
            key = f"{before} {after}"
    return key.strip()


def breeds(texts: list[str]) -> tuple[list[int], list[str], int]:
    """Return labels, breeds, and how many breeds have several spellings; "" is no label."""
    name = {text: _plain(text) for text in sorted(set(texts) - {""})}
    numbers: dict[str, set[str]] = {}
    for text in name:
        if synset := re.match(r"n\d{8}(?=-|$)", text):
            numbers.setdefault(_key(name[text]), set()).add(synset[0])
    for text, plain in name.items():
        if re.match(r"n\d{8}(-|$)", text) and len(numbers[_key(plain)]) > 1:
            name[text] += f" ({text[:9]})"
    spellings: dict[str, list[str]] = {}
    for spelling in name.values():
        spellings.setdefault(_key(spelling), []).append(spelling)
    called = {text: spellings[_key(spelling)][0] for text, spelling in name.items()}
    names = sorted(set(called.values()))
    merged = sum(len(each) > 1 for each in spellings.values())
    return [names.index(called[text]) if text else -1 for text in texts], names, merged


def part(file: Path) -> Part:
    """Read a file of features or an index; raise `OSError` or `KeyError` for other files."""
    with h5py.File(file) as opened:
        if opened.attrs["format"] != "dogsim-dataset":
            raise KeyError("format")
        paths = [path.decode() for path in opened["paths"]]
        stamped = "stamps" in opened
        stamps = opened["stamps"][:] if stamped else [(0, 0, b"")] * len(paths)
        rows = {
            path: (Stamp(int(size), int(time), digest.decode()), row)
            for path, (size, time, digest), row in zip(
                paths, stamps, _features(opened, file.parent), strict=True
            )
        }
        return Part(
            recipe={name: opened.attrs[name] for name in RECIPE if name in opened.attrs},
            root=opened.attrs["root"],
            rows=rows,
            labels=opened["labels"][:].tolist(),
            breeds=[name.decode() for name in opened["breeds"]],
            layout=Layout(
                opened.attrs.get("label_rule", "top"),
                opened.attrs.get("label_names", ""),
                tuple(filter(None, opened.attrs.get("exclude", "").split("\n"))),
            ),
            made_by=opened.attrs.get("made_by", ""),
            stamped=stamped,
            sharded="shards" in opened,
        )


def _features(opened: h5py.File, folder: Path) -> NDArray[np.float32]:
    if "shards" not in opened:
        rows: NDArray[np.float32] = opened["features"][:]
        return rows
    names, found = [name.decode() for name in opened["shards"]], []
    for shard, first, rows in opened["runs"][:].tolist():
        with h5py.File(folder / names[shard]) as part:
            found.append(part["features"][first : first + rows])
            assert len(found[-1]) == rows
    return np.concatenate(found)


def row_of(content: bytes, recipe: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the features of an image file with this content, None if it is no image."""
    try:
        with Image.open(BytesIO(content)) as image:
            rgb = image.convert("RGB")
    except Exception:  # decoders raise many types for broken files
        return None
    box = None
    if recipe["resize"] == "pad":
        small = ImageOps.contain(rgb, (SIZE, SIZE), Image.Resampling.BICUBIC)
        padded = Image.new("RGB", (SIZE, SIZE), (124, 116, 104))
        padded.paste(small, ((SIZE - small.width) // 2, (SIZE - small.height) // 2))
        rgb = padded
    if recipe["resize"] == "crop":
        side = min(rgb.size) * 224 / 256
        left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
        box = left, top, left + side, top + side
    if rgb.size != (SIZE, SIZE):
        rgb = rgb.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)
    names = ("backbone", "weights_sha256", "layer", "resize")
    made_with = [recipe[name] for name in names]
    row: NDArray[np.float32] = features(np.asarray(rgb)[None], *made_with)[0]
    return row


@dataclass
class Expected:
    """The expected result of a run.

    Attributes
    ----------
    refused : str
        Why it must fail; "" if it must succeed.
    early : bool
        Whether it fails before it has changed anything.
    """

    refused: str = ""
    early: bool = True
    root: str = ""
    layout: Layout = field(default_factory=Layout)
    texts: list[str] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, tuple[Stamp, NDArray[np.float32]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class Earlier:
    """Features of earlier runs: the files that are used, and their options."""

    parts: list[Part] = field(default_factory=list)
    before: set[str] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)
    layout: Layout = field(default_factory=Layout)


class RefusedError(Exception):
    """Raised if a run must fail before it has changed anything."""


def earlier(out: Path, restart: bool, force: bool) -> Earlier:
    """Return the features that a run uses, or raise `RefusedError`."""
    folder, finished = partial(out), _finished(file_of(out), force)
    if folder.exists() and not folder.is_dir():
        raise RefusedError("no folder")
    unfinished = is_folder(out) and folder.is_dir() and not file_of(out).exists()
    if unfinished and not force and any(not CHECKPOINT.fullmatch(f.name) for f in folder.iterdir()):
        raise RefusedError("strange folder")
    shards = [part for part in map(shard, shard_files(out, finished is not None)) if part]
    options, layout = _options(folder / "restart"), finished.layout if finished else Layout()
    if options is None and restart:
        made_with = _made_with(finished or next(iter(shards), None))
        return Earlier(options=made_with, layout=layout)
    if options is None:
        parts = [finished, *shards] if finished else shards
        before = set(finished.rows) if finished else set()
        return Earlier(parts, before, _made_with(next(iter(parts), None)), layout)
    return Earlier(shards, set(), options or _made_with(next(iter(shards), None)), layout)


def is_folder(out: Path) -> bool:
    """Return whether an output is a folder of shards."""
    return out.name.endswith(".dogsim")


def file_of(out: Path) -> Path:
    """Return the file of a dataset: the target of a link, or the index of a folder."""
    target = Path(os.path.realpath(out))
    return target / "index.h5" if is_folder(out) else target


def partial(out: Path) -> Path:
    """Return the folder of checkpoints."""
    target = Path(os.path.realpath(out))
    return target if is_folder(out) else target.with_name(f"{target.name}.partial")


def shard_files(out: Path, finished: bool = True) -> list[Path]:
    """Return the shards of unfinished runs: in a folder those that are not in its index."""
    folder, known = partial(out), set()
    if finished and is_folder(out):
        with suppress(OSError, KeyError), h5py.File(file_of(out)) as opened:
            known = {name.decode() for part in ("shards", "replaced") for name in opened[part]}
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        (file for file in files if SHARD.fullmatch(file.name) and file.name not in known),
        key=lambda file: int(file.stem),
    )


def shard(file: Path) -> Part | None:
    """Read a shard; None if a power failure damaged it, `RefusedError` if it is no shard."""
    try:
        return part(file)
    except (OSError, KeyError):
        start = file.read_bytes()[:8]
        if start.strip(b"\0") and not b"\x89HDF\r\n\x1a\n".startswith(start):
            raise RefusedError("no shard") from None
        return None


def _finished(target: Path, force: bool) -> Part | None:
    if not target.exists():
        return None
    if not target.is_file():
        raise RefusedError("no file")
    try:
        found = part(target)
    except (OSError, KeyError, AssertionError):
        found = None
    ours = found and found.stamped and found.recipe and not found.recipe["head_sha256"]
    ours = ours and found and found.sharded == (target.name == "index.h5")
    if found and ours and found.made_by in ("", "create-dataset"):
        return found
    if not force:
        raise RefusedError("not ours")
    return None


def _options(marker: Path) -> dict[str, Any] | None:
    """Return the options of an unfinished restart, empty if damaged, None without a restart."""
    if not marker.exists():
        return None
    try:
        noted = dict(json.loads(marker.read_text()))
    except ValueError:
        return {}
    return {name: value for name, value in noted.items() if name in RECIPE}


def _made_with(part: Part | None) -> dict[str, Any]:
    names = ("backbone", "weights", "layer", "resize", "engine", "precision")
    return {name: part.recipe[name] for name in names} if part else {}


def expected(
    root: Path, out: Path, given: Mapping[str, Any], chosen: Mapping[str, Any], flags: Set[str]
) -> Expected:
    """Return the expected result of `create-dataset ROOT -o OUT` with these options and flags.

    `given` are the options of the network, `chosen` those of the layout.
    """
    try:
        left = earlier(out, "--restart" in flags, "--force" in flags)
        layout = _layout(chosen, left.layout)
        label_texts([], layout)  # it reads the tables
        found = contents(root, layout) if root.is_dir() else Contents()
        if not found.images or ("--strict" in flags and found.skipped):
            raise RefusedError("images")
        recipe = _recipe(given, left)
        decisive = set(RECIPE) - {"weights"}
        if any(part.recipe[name] != recipe[name] for part in left.parts for name in decisive):
            if "--restart" not in flags:
                raise RefusedError("another recipe")
            left = Earlier()
    except RefusedError as error:
        return Expected(refused=str(error))
    result = Expected(root=str(root.resolve()), recipe=recipe, layout=layout)
    result.skipped = found.skipped | found.linked
    computed, bad = set(), False
    known = {path: (part, *row) for part in left.parts for path, row in part.rows.items()}
    for path in sorted(found.images, key=lambda path: path.split("/")):
        now = None if is_pipe(found.images[path]) else stamp(found.images[path])
        same = now and path in known and _same(now, known[path], result.root, "--verify" in flags)
        if now and same:
            old = known[path]
            result.rows[path] = Stamp(now.size, now.mtime_ns, old[1].sha256), old[2]
            continue
        row = row_of(found.images[path].read_bytes(), recipe) if now else None
        if now and row is not None:
            computed.add(path)
            result.rows[path] = now, row
        else:
            bad = True
            result.skipped[printable(path)] = ""
    if not result.rows or (bad and "--strict" in flags):
        result.refused, result.early = "no image can be read", False
    result.texts = label_texts(list(result.rows), layout)
    names = set(result.rows)
    result.counts = {
        "new": len(computed - left.before),
        "changed": len(computed & left.before),
        "kept": len(names - computed),
        "removed": len(left.before - names),
    }
    return result


def _layout(chosen: Mapping[str, Any], before: Layout) -> Layout:
    labels, names = chosen.get("labels", before.labels), chosen.get("names", before.names)
    if labels not in ("top", "parent") and not labels.endswith(".csv"):
        try:
            named = "label" in re.compile(labels).groupindex
        except re.error:
            named = False
        if not named:
            raise RefusedError("no rule")
    exclude = tuple(filter(None, chosen.get("exclude", before.exclude)))
    if any("\n" in pattern for pattern in exclude):
        raise RefusedError("no pattern")
    labels, names = (
        str(Path.cwd() / each) if each.endswith(".csv") else each for each in (labels, names)
    )
    return Layout(labels, names, exclude)


def _same(now: Stamp, known: tuple[Part, Stamp, Any], root: str, verify: bool) -> bool:
    part, old, _ = known
    if part.root == root and not verify:
        return (now.size, now.mtime_ns) == (old.size, old.mtime_ns)
    return now.sha256 == old.sha256


def _recipe(given: Mapping[str, Any], left: Earlier) -> dict[str, Any]:
    default = {"backbone": "resnet50", "weights": "imagenet", "layer": "avg_pool"}
    default |= {"resize": "squash", "engine": "tensorflow", "precision": "float32"}
    chosen = {**default}
    for options in (left.options, given):
        chosen |= {name: value for name, value in options.items() if value not in (None, "auto")}
    weights = chosen["weights"]
    imagenet = weights == "imagenet"
    return {
        **chosen,
        "weights": weights if imagenet else str(Path(weights).resolve()),
        "weights_sha256": "0" * 64 if imagenet else sha256(Path(weights).read_bytes()).hexdigest(),
        "image_size": SIZE,
        "head": "",
        "head_sha256": "",
    }
