"""OpenCV is limited to one thread, and a broken installation is reported."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from dogsim.errors import DogsimError
from dogsim.plumbing import opencv as module
from dogsim.plumbing.opencv import opencv


@pytest.fixture
def uncached() -> Iterator[None]:
    module._module.cache_clear()
    yield
    module._module.cache_clear()


def test_the_number_of_threads_is_restored_at_the_end_of_the_outer_block() -> None:
    with opencv() as cv2:
        pass
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    with opencv(), pytest.raises(ValueError, match="x"):
        with opencv():
            raise ValueError("x")
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("uncached")
def test_a_folder_that_another_package_has_emptied_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after: pip install opencv-python opencv-python-headless; pip uninstall opencv-python."""
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    with pytest.raises(DogsimError, match="cv2 is incomplete.*--force-reinstall"), opencv():
        pass


@pytest.mark.usefixtures("uncached")
def test_a_failing_import_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_graphics(name: str) -> ModuleType:
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(module, "import_module", without_graphics)
    with pytest.raises(DogsimError, match=r"libGL\.so\.1"), opencv():
        pass
