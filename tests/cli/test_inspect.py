"""The text of the command audit, and the datasets that commands of inspection take."""

from pathlib import Path

import pytest
from commands import dogsim, dogsim_json, refusal

from dogsim.cli.inspect import _group_lines
from dogsim.image_files.facts import ImageFacts
from dogsim.trust.findings import MIN_LABEL_PRECISION, Audit, NovelImage, PoorImage, SuspiciousLabel

FOUND = Audit(
    duplicates=(("a.jpg", "b.jpg", "c.jpg"), ("d.jpg", "e.jpg")),
    kinds=("same pixels", "same file"),
    changes=(("mirrored, cropped", "", ""), ("", "")),
    keep=("b.jpg", "d.jpg"),
    scenes=(("f.jpg", "g.jpg"),),
    leaks=(("a.jpg", "t.jpg"),),
    leaks_add=0.0125,
    shared_scenes=(("f.jpg", "u.jpg"),),
    labels=(SuspiciousLabel("h.jpg", "pug", "beagle", -0.9, 0.815, "i.jpg"),),
    novel=(NovelImage("j.jpg", 0.004),),
    poor=(PoorImage("k.jpg", "blurred"),),
    images={"a.jpg": ImageFacts(40, 30, 1200, "2020-05-17T10:20:30")},
    missing=2,
    left_out=("2 images of the dataset (the first is x.jpg) have no file",),
)
TEXT = """\
2 groups of duplicates
  b.jpg (keep) = a.jpg (same pixels: mirrored, cropped) = c.jpg (same pixels)
  d.jpg (keep) = e.jpg (same file)
1 scene with several shots, which are no duplicates
  f.jpg, g.jpg
1 image shared with the test set (they add 0.0125 to the accuracy)
  t.jpg = a.jpg
1 scene shared with the test set
  u.jpg, f.jpg
1 suspicious label (look at each image: a common background misleads)
  h.jpg: pug, or beagle? (chance 0.81)
1 image fitting no breed
  j.jpg
1 poor image
  k.jpg: blurred
2 image files missing
"""


@pytest.fixture
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogsim.trust.audit.audit", lambda *_: FOUND)


@pytest.mark.usefixtures("_found")
def test_all_findings_as_text(stored: Path) -> None:
    done = dogsim("audit", stored, "--test", stored)
    assert done.stdout == TEXT
    assert done.stderr == f"{FOUND.left_out[0]}\n"


def test_copies_with_different_labels_are_for_the_owner_to_decide() -> None:
    labels = {"a.jpg": "hat", "b.jpg": "dress", "c.jpg": "hat"}
    first, second = _group_lines(FOUND, labels)
    assert first == (
        "  b.jpg = a.jpg (same pixels: mirrored, cropped) = c.jpg (same pixels)"
        "; the labels differ: 'dress', 'hat'. Which one is right?"
    )
    assert second == "  d.jpg (keep) = e.jpg (same file)"


@pytest.mark.usefixtures("_found")
def test_all_findings_as_json(stored: Path) -> None:
    result = dogsim_json("audit", stored)
    assert result["keep"] == ["b.jpg", "d.jpg"]
    assert result["labels"][0]["chance"] == 0.815
    facts = {"width": 40, "height": 30, "bytes": 1200, "date": "2020-05-17T10:20:30"}
    assert result["images"] == {"a.jpg": facts}
    assert (result["missing"], result["left_out"]) == (2, [*FOUND.left_out])


@pytest.mark.parametrize("command", ["audit", "info"])
def test_the_dataset_of_the_environment(
    command: str, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Missing argument" in dogsim(command, code=2).stderr
    monkeypatch.setenv("DOGSIM_DATASET", str(stored))
    assert dogsim_json(command) == dogsim_json(command, stored)


def test_help_names_the_bound() -> None:
    assert f"below {MIN_LABEL_PRECISION}." in " ".join(dogsim("audit", "--help").stdout.split())


def test_refused(tmp_path: Path) -> None:
    assert "There is no dataset file" in refusal("audit", tmp_path / "none.h5")
