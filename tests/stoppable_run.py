"""Run a command in its own process, and send it a signal at any line or close its streams.

Command, pipeline, files and locks are the real ones; only the network is replaced, by the mean of
each colour and a number that depends on its options. Executed as a program this is a server that
has imported everything and forks for each run, so that a run takes about 20 ms.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SIZE, SHARD = 16, 3
RUN_TIMEOUT_SECONDS = 60
HANGS = -signal.SIGALRM
STREAMS, FAULTS = ("stdin", "stdout", "stderr"), ("closed", "pipe", "full")
UNFLUSHED = 120  # exit status of Python if it cannot write its last output


@dataclass(frozen=True)
class Stop:
    """A signal, and the number of lines of dogsim that the main thread executes before it."""

    signal: int
    lines: int


@dataclass(frozen=True)
class Done:
    """Result of a run; the exit status is negative for the signal that killed it."""

    code: int
    stdout: str
    stderr: str


class Server:
    """Server that runs one command after the other, each in a fork of a warm process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        arguments: list[str],
        folder: Path,
        stop: Stop | None = None,
        streams: Mapping[str, str] = {},
    ) -> Done:
        """Run ``dogsim ARGUMENTS`` in a folder; `streams` says what is wrong with its streams."""
        assert self._process.stdin
        assert self._process.stdout
        request = {"arguments": arguments, "folder": str(folder), "stop": stop and asdict(stop)}
        request["streams"] = dict(streams)
        print(json.dumps(request), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        outputs = [(folder / name).read_text(errors="replace") for name in ("stdout", "stderr")]
        return Done(code, *outputs)

    def close(self) -> None:
        self._process.communicate()  # it ends with its input


def features(pixels: NDArray[np.uint8], *made_with: str) -> NDArray[np.float32]:
    """Return the features (B, 4) of images (B, h, w, 3)."""
    colours = pixels.mean(axis=(1, 2), dtype=np.float64)
    mark = crc32(repr(made_with).encode()) % 1000
    return np.column_stack([colours, np.full(len(pixels), mark)]).astype(np.float32)


def _replace_network() -> None:
    from dogsim.engines import choose
    from dogsim.folders import extraction, manifest
    from dogsim.networks.extractor import Extractor, NetworkOptions
    from dogsim.plumbing.files import file_sha256
    from dogsim.recipe import Recipe

    def load(options: NetworkOptions) -> Extractor:
        weights = options.weights or "imagenet"
        given = weights != "imagenet"
        recipe = Recipe(
            backbone=options.backbone or "resnet50",
            weights=str(Path(weights).resolve()) if given else weights,
            weights_sha256=file_sha256(Path(weights)) if given else "0" * 64,
            layer=options.layer or "avg_pool",
            image_size=SIZE,
            resize=options.resize or "squash",
            engine="tensorflow" if options.engine == "auto" else options.engine,
            precision="float32" if options.precision == "auto" else options.precision,
        )
        made_with = recipe.backbone, recipe.weights_sha256, recipe.layer, recipe.resize
        return Extractor(recipe, lambda images: features(images, *made_with))

    def recipe(options: NetworkOptions, like: Recipe) -> Recipe:
        free = {name: getattr(like, name) for name in ("engine", "precision")}
        free = {name: value for name, value in free.items() if getattr(options, name) == "auto"}
        return replace(load(options).recipe, **free)

    NetworkOptions.resolved = lambda options: options  # type: ignore[assignment,method-assign]
    NetworkOptions.load = load  # type: ignore[assignment,method-assign]
    NetworkOptions.known_recipe = recipe  # type: ignore[assignment,method-assign]
    choose._cpu_has_bfloat16 = lambda: True  # as if this machine could compute in bfloat16
    extraction.SHARD_IMAGES, manifest.MIN_SHARD_ROWS = SHARD, 2


class _Countdown:
    """Trace function that sends a signal to this process after a number of lines of dogsim."""

    def __init__(self, stop: Stop) -> None:
        import dogsim
        from dogsim.cli.common import OneLineErrors

        self.main = OneLineErrors.main.__code__  # before typer handles signals
        self.stop, self.left = stop, stop.lines
        self.home = str(Path(dogsim.__file__).parent)

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        ours = frame.f_code.co_filename.startswith(self.home) and frame.f_code is not self.main
        return self._line if ours else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        self.left -= event == "line"
        if self.left < 0:
            sys.settrace(None)
            self.left = sys.maxsize
            os.kill(os.getpid(), self.stop.signal)
        return self._line


def _spoil(name: str, fault: str) -> None:
    """Close a standard stream, or connect it with a file or pipe that cannot be used."""
    number = STREAMS.index(name)
    if fault == "closed":
        os.close(number)
        setattr(sys, name, None)  # as Python does when it starts
        return
    reader, writer = os.pipe()
    os.close(reader)
    full = os.open("/dev/full", os.O_WRONLY) if number else os.open("/", os.O_RDONLY)  # a folder
    os.dup2({"pipe": writer, "full": full}[fault], number)


def _run(
    arguments: list[str], folder: str, stop: dict[str, int] | None, streams: dict[str, str]
) -> None:
    """Run the command; this function does not return."""
    os.chdir(folder)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open("stdin", os.O_RDONLY) if Path("stdin").exists() else os.open(os.devnull, 0), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    for name, fault in streams.items():
        _spoil(name, fault)
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell ignores it in background processes
    signal.alarm(RUN_TIMEOUT_SECONDS)
    from dogsim.cli import app

    if stop:
        sys.settrace(_Countdown(Stop(**stop)))
    try:
        app(arguments)
    except SystemExit as end:
        sys.settrace(None)
        code = end.code if isinstance(end.code, int) else 0
        for stream in filter(None, (sys.stdout, sys.stderr)):
            try:
                stream.flush()
            except OSError:
                code = UNFLUSHED  # as Python does when it ends
        os._exit(code)  # a regular exit takes 0.1 s


def _fork(**request: Any) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            _run(**request)
        except BaseException:  # no command raises one
            traceback.print_exc()
        os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _warm_up() -> None:
    """Import all modules of a run by running it once."""
    from PIL import Image

    from dogsim.cli import app

    with TemporaryDirectory() as folder:
        for name, colour in (("1.png", "red"), ("2.jpg", "blue")):
            Image.new("RGB", (8, 8), colour).save(Path(folder, name))
        Path(folder, "3.png").write_text("no image")
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        out = f"{folder}/d.h5"
        for arguments in (
            ["create-dataset", folder, "-o", out],
            ["classify", f"{folder}/1.png", "-k", "1", "--dataset", out],
        ):
            app(arguments, standalone_mode=False)
        import dogsim.trust.report  # noqa: F401

        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    while threading.active_count() > 1:  # a fork has only one thread
        time.sleep(0.001)


if __name__ == "__main__":
    _replace_network()
    _warm_up()
    for line in sys.stdin:
        print(_fork(**json.loads(line)), flush=True)
