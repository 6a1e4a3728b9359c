"""A folder with all kinds of inputs: valid, damaged, unusual, and of other programs."""

import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import h5py
import numpy as np
from PIL import Image

from dogsim import Dataset, create_dataset, export_mat
from dogsim.networks.trained_models import save_model

# Files that a command may replace without --force, because it made them.
MADE_BY = {
    "own/dataset.h5": "create-dataset",
    "own/imported.h5": "import-mat",
    "own/exported.mat": "export-mat",
    "own/head.keras": "deep-ranking",
}
NAMES = (
    *("pug/1.png", "pug/2.png", "pug/-3.png", "whippet/1.png", "whippet/$5_$7.png"),
    *(
        "whippet/犬 🐶.png",
        "whippet/\x1b[31mred.png",
        "caf\u00e9/two\nlines.png",
        "pug/\udcff.png",
    ),
)


N_BEAGLES = 16  # so that there are 20 neighbours


def make_world(root: Path, network: Path) -> None:
    """Create the folder; `network` is a .keras file that runs fast."""
    rng = np.random.default_rng(0)
    for name in (*NAMES, *(f"beagle/{number}.png" for number in range(N_BEAGLES))):
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(root / "photos" / name)
    good = (root / "photos" / "pug" / "1.png").read_bytes()
    (root / "photos" / "whippet" / "cut.png").write_bytes(good[:200])
    (root / "photos" / "pug" / "text.jpg").write_text("no image")
    (root / "empty").mkdir()
    (root / "own").mkdir()
    (root / "notes.txt").write_text("mine")
    (root / "table.csv").write_text("mine,too\n")
    (root / "empty.h5").write_bytes(b"")
    (root / "loop").symlink_to("loop")
    (root / "link.png").symlink_to("photos/pug/1.png")
    (root / "link.h5").symlink_to("own/dataset.h5")
    os.mkfifo(root / "pipe.png")
    shutil.copy(network, root / "network.keras")
    (root / "text.keras").write_text("no model")
    _make_datasets(root)


def _make_datasets(root: Path) -> None:
    import keras

    dataset = create_dataset(
        root / "photos", root / "own" / "dataset.h5", weights=str(root / "network.keras")
    )
    whole = (root / "own" / "dataset.h5").read_bytes()
    (root / "cut.h5").write_bytes(whole[: len(whole) // 2])
    replace(dataset, recipe=None, stamps=None).save(root / "without recipe.h5")
    hostile = tuple(f"{breed}\x1b[2J\n=1+1 \u202e$x$" for breed in dataset.breeds)
    replace(dataset, breeds=hostile, stamps=None).save(root / "hostile.h5")
    odd = np.full_like(dataset.features, np.nan)
    replace(dataset, features=odd, stamps=None).save(root / "nan.h5")
    dataset.take([0]).save(root / "one.h5")
    unknown = np.full(len(dataset), -1, np.int32)
    replace(dataset, labels=unknown, breeds=(), stamps=None).save(root / "no breeds.h5")
    with h5py.File(root / "foreign.h5", "w") as file:
        file["x"] = np.eye(3)
    export_mat(dataset, root / "own" / "exported.mat")
    whole = (root / "own" / "exported.mat").read_bytes()
    (root / "cut.mat").write_bytes(whole[: len(whole) // 2])
    dataset.take([2, 1]).save(root / "own" / "imported.h5", "import-mat")
    shape = dataset.features.shape[1]
    head = keras.Sequential([keras.Input((shape,)), keras.layers.Dense(2)])
    save_model(head, root / "own" / "head.keras")


def snapshot(root: Path) -> dict[str, object]:
    """Kind and content of everything below a folder."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            file = Path(folder, name)
            status = file.lstat()
            content: object = None
            if stat.S_ISREG(status.st_mode):
                content = sha256(file.read_bytes()).hexdigest()
            elif file.is_symlink():
                content = file.readlink()
            found[file.relative_to(root).as_posix()] = stat.S_IFMT(status.st_mode), content
    return found


def put_back(root: Path, copy: Path, before: dict[str, object], after: dict[str, object]) -> None:
    """Restore a folder from its copy."""
    for name in sorted(after.keys() - before.keys(), reverse=True):
        (root / name).rmdir() if (root / name).is_dir() else (root / name).unlink()
    for name in before:
        if after.get(name) != before[name]:
            shutil.copy2(copy / name, root / name, follow_symlinks=False)


def half_written(root: Path, names: Iterable[str]) -> list[str]:
    """Return the new files that are incomplete."""
    return [name for name in names if (root / name).is_file() and not _is_complete(root / name)]


def _is_complete(file: Path) -> bool:
    try:
        if file.name.endswith(".tmp"):
            return False
        # By content: a command may write its file under any name.
        if h5py.is_hdf5(file):
            Dataset.open(file)
        elif (content := file.read_bytes()).startswith(b"MATLAB"):  # scipy cannot read emoji
            return True
        elif content.startswith(b"\x89PNG") or file.suffix == ".png":
            with Image.open(file) as image:
                image.load()
        elif file.suffix == ".keras":
            with ZipFile(file) as archive:
                return archive.testzip() is None
        elif file.suffix == ".csv":
            return file.read_text(encoding="utf-8").endswith("\n")
    except Exception:  # readers raise many types
        return False
    return True
