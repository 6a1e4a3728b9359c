"""The keyword arguments of `dogsim.create_dataset`, split into those of the network and the run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from dogsim.engines.choose import Engine, Precision
from dogsim.errors import as_flag, as_integer, as_number, as_path, path_text
from dogsim.image_files.square import Resize
from dogsim.networks.extractor import NetworkOptions
from dogsim.networks.views import Views
from dogsim.recipe import ChannelValues


class FeatureOptions(TypedDict, total=False):
    """Keyword arguments of `create_dataset` and `dogsim.stanford_dogs`."""

    resize: Resize | None
    batch_size: int
    engine: Engine
    precision: Precision
    strict: bool
    restart: bool
    margin: float | None
    views: Views | None
    mean: ChannelValues | None
    std: ChannelValues | None
    image_size: int | None


class DatasetOptions(FeatureOptions, total=False):
    """Keyword arguments of `create_dataset` and `update_dataset`."""

    verify: bool
    force: bool
    boxes: str | os.PathLike[str] | None
    labels: str | os.PathLike[str] | None
    names: str | os.PathLike[str] | None
    exclude: Sequence[str] | None
    scenes: str | os.PathLike[str] | None
    forget_edits: bool


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run that creates or updates a dataset, see `create_dataset`.

    `wait` waits for another process that writes the same file, instead of raising `DogsimError`.
    """

    batch_size: int = 32
    strict: bool = False
    restart: bool = False
    verify: bool = False
    force: bool = False
    forget_edits: bool = False
    wait: bool = False
    boxes: str | os.PathLike[str] | None = None
    margin: float | None = None
    labels: str | os.PathLike[str] | None = None
    names: str | os.PathLike[str] | None = None
    exclude: Sequence[str] | None = None
    scenes: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "batch_size", as_integer("batch_size", self.batch_size))
        for name in ("strict", "restart", "verify", "force", "forget_edits", "wait"):
            object.__setattr__(self, name, as_flag(name, getattr(self, name)))
        if self.boxes is not None:
            as_path("the folder of boxes", self.boxes)
        if self.margin is not None:
            as_number("margin", self.margin, "a number from 0 up")


def split_options(options: Mapping[str, Any]) -> tuple[NetworkOptions, RunOptions]:
    """Split the keyword arguments of `create_dataset` into those of the network and of the run."""
    names = {field.name for field in fields(RunOptions)}
    run = {name: value for name, value in options.items() if name in names}
    network = {name: value for name, value in options.items() if name not in names}
    if network.get("weights") is not None:
        network["weights"] = path_text("the weight file", network["weights"])
    return NetworkOptions(**network), RunOptions(**run)
