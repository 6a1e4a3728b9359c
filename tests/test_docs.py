"""What the documentation says is true: examples run, names and the order of imports are as told."""

import ast
import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY

import dogsim

# A module imports only from those before it. Rooms are named with their modules.
ORDER = [
    "errors",
    "recipe",
    "image_files.labels",
    "plumbing.optional",
    "plumbing.files",
    "storage.hdf5",
    "plumbing.signals",
    "plumbing.terminal",
    "plumbing.tables",
    "plumbing.threads",
    "plumbing.cache",
    "plumbing.download",
    "plumbing.unpack",
    "storage.sharded_rows",
    "image_files.files",
    "vote",
    "image_files.boxes",
    "images",
    "figures.thumbnails",
    "engines.openvino",
    "engines.model_cache",
    "engines._keras",
    "networks.weights",
    "networks.efficientnet_lite",
    "networks.keras_hub",
    "networks.small_resnets",
    "networks.training_record",
    "learning.building_blocks",
    "learning.architectures",
    "engines.choose",
    "networks.heads",
    "networks.views",
    "networks.backbones",
    "networks.preprocessing",
    "networks.onnx_graph",
    "networks.onnx_network",
    "networks.keras_network",
    "engines.quantization",
    "networks.extractor",
    "networks.extractor_for",
    "networks.feature_maps",
    "feature_extract",
    "storage.dataset_file",
    "dataset",
    "retrieval.identity",
    "folders.listing",
    "folders.extraction",
    "folders.checkpoints",
    "folders.manifest",
    "folders.resumable",
    "create_dataset",
    "exact",
    "dist_calc",
    "retrieval.query_expansion",
    "retrieval.evaluation",
    "trust.duplicates",
    "trust.novelty",
    "trust.leave_one_out",
    "trust.calibration",
    "trust.conformal",
    "trust.coverage",
    "trust.audit",
    "trust.report",
    "figures.canvas",
    "figures.grid",
    "figures.display",
    "answer",
    "classify",
    "retrieval.by_breed",
    "retrieval.scores",
    "accuracy",
    "retrieval.decomposition",
    "explain",
    "image_distance",
    "figures.heat_maps",
    "figures.distance_matrix",
    "figures.tree",
    "figures.evaluation",
    "sources.matfile",
    "sources.matlab",
    "sources.vectors",
    "sources.sample",
    "sources.stanford_dogs",
    "learning.augmentation",
    "learning.hold_out",
    "learning.discriminant",
    "learning.triplets",
    "learning.training",
    "learning.proxies",
    "learning.deep_ranking",
    "learning.fine_tune",
    "learning.apply_head",
    "learning.classifier",
    "estimators",
    "cluster.connection",
    "cluster.workers",
    "cluster.extraction",
    "cluster.search",
    "web.worker",
    "web.shelf",
    "web.pictures",
    "web.service",
    "web.payloads",
    "web.reports",
    "web.security",
    "web.routes",
    "web.server",
    "cli.option_values",
    "cli.common",
    "cli.answers",
    "cli.ask",
    "cli.compare",
    "cli.evaluate",
    "cli.inspect",
    "cli.datasets",
    "cli.learn",
    "cli.cache",
    "cli.repl",
    "cli.serve",
    "cli",
    "__main__",
]
OF_THE_PAGE = {"web.security", "web.routes", "web.server"}  # which import an extra
FOUND = list(pkgutil.walk_packages(dogsim.__path__, "dogsim."))
MODULES = [module.name.removeprefix("dogsim.") for module in FOUND]
ROOMS = [module.name.removeprefix("dogsim.") for module in FOUND if module.ispkg]
PUBLIC = {
    name: module.removeprefix("dogsim.")
    for module, name in re.findall(
        r"^from (\S+) import (\w+)", (REPOSITORY / "dogsim" / "__init__.pyi").read_text(), re.M
    )
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.extra) if name in OF_THE_PAGE else name
        for name in MODULES
    ],
)
def test_examples_in_docstrings(name: str) -> None:
    if name in OF_THE_PAGE:
        pytest.importorskip("starlette", reason='the page needs pip install "dogsim[web]"')
        pytest.importorskip("uvicorn", reason='the page needs pip install "dogsim[web]"')
    module = importlib.import_module(f"dogsim.{name}")
    flags = doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    names = {"np": importlib.import_module("numpy")}
    result = doctest.testmod(module, extraglobs=names, optionflags=flags)
    assert result.failed == 0


def test_public_names() -> None:
    assert set(PUBLIC) == set(dir(dogsim)) - {"__version__"}
    for name, module in PUBLIC.items():
        promised = getattr(importlib.import_module(f"dogsim.{module}"), name)
        assert getattr(dogsim, name) is promised
        assert promised.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dogsim.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_help_opens_with_a_map_of_all_names() -> None:
    told = re.findall(r"^    ([\w, ]+): ", str(dogsim.__doc__), re.MULTILINE)
    names = [name for line in told for name in line.split(", ")]
    assert sorted(names) == sorted(PUBLIC)


def test_a_file_is_its_function() -> None:
    """Also once the module of that name has been imported."""
    for name, module in PUBLIC.items():
        if name == module.rpartition(".")[2]:
            importlib.import_module(f"dogsim.{module}")
            assert callable(getattr(dogsim, name)), name


def test_data_flows_one_way() -> None:
    assert sorted({*ORDER, *ROOMS}) == sorted(MODULES)
    assert len(set(ORDER)) == len(ORDER)
    for name in ORDER:
        known = {*ORDER[: ORDER.index(name)]}
        assert set(imported_by(source_of(name))) <= known, name


def test_both_forms_of_import_are_seen() -> None:
    for form in ("from dogsim.vote import VOTES", "from dogsim import vote", "import dogsim.vote"):
        assert list(imported_by(form)) == ["vote"], form
    assert list(imported_by("from dogsim.networks import weights")) == ["networks.weights"]
    assert list(imported_by("from dogsim import mink, __version__")) == ["dist_calc"]


def test_a_room_says_what_it_is_for() -> None:
    for room in ROOMS:
        statements = ast.parse(source_of(room)).body
        assert ast.get_docstring(ast.parse(source_of(room)))
        assert len(statements) == 1 or room == "cli", room


def source_of(name: str) -> str:
    """The source of a module, or of a room's docstring."""
    path = Path(REPOSITORY, "dogsim", *name.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def imported_by(source: str) -> Iterator[str]:
    """Name the modules of dogsim that a source imports, in functions too, by whatever form."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("dogsim.")]
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "dogsim":
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            inner = name.removeprefix("dogsim.")
            if inner in MODULES or inner in PUBLIC:
                yield PUBLIC.get(inner, inner)
            elif inner.rpartition(".")[0]:  # a name of a module
                yield inner.rpartition(".")[0]
