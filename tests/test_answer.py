"""An answer as a line of text, as HTML in a notebook, and as a grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogsim import Answer, Dataset, DogsimError
from dogsim.classify import answers_to
from dogsim.images import Source
from dogsim.trust.conformal import PredictionSet

HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def gallery(tmp_path: Path) -> Dataset:
    """Return forty large noise images of two breeds in turn; the name of one is a script."""
    rng = np.random.default_rng(0)
    for i in range(4):
        pixels = rng.integers(0, 255, (600, 900, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.jpg")
    return Dataset(
        features=np.arange(40, dtype=np.float32)[:, None],
        labels=(np.arange(40) % 2).astype(np.int32),
        paths=tuple(f"{i % 4}.jpg" for i in range(40)),
        breeds=(HOSTILE, "pug"),
        root=str(tmp_path),
    )


def answer(gallery: Dataset, k: int, image: Source | None = None) -> Answer:
    (found,) = answers_to(np.zeros((1, 1), np.float32), gallery, k)
    return replace(found, image=image)


def test_as_text(gallery: Dataset) -> None:
    calm = replace(gallery, breeds=("beagle", "pug"))
    found = answer(calm, 5)
    assert str(found) == "beagle (3 of 5 votes, pug 2), nearest 0.jpg at 0"
    assert repr(found) == f"<Answer: {found}>"
    sure = PredictionSet(("beagle", "pug"), np.array([0.4, 0.3]), 0.4, 0.5, unknown=False)
    vote = "beagle (3 of 5 votes, pug 2), nearest 0.jpg at 0"
    assert str(replace(found, trust=sure)) == (
        f"answer {{beagle, pug}}, likeliest first; vote {vote}"
    )
    other = replace(found, trust=replace(sure, breeds=("pug",)))
    assert str(other) == f"answer {{pug}}; the vote differs: {vote}"
    odd = str(replace(found, trust=replace(sure, unknown=True, novelty_p=0.01)))
    assert odd == f"answer unknown, none of the breeds (p = 0.010); vote {vote}"
    nobody = answer(replace(calm, labels=np.full(40, -1)), 5)
    assert str(nobody) == "nearest 0.jpg at 0, 1.jpg at 1, 2.jpg at 2; of unknown breed"
    assert "\n" not in str(answer(replace(calm, paths=("a\nb",) * 40), 1))


def test_as_html(gallery: Dataset, tmp_path: Path) -> None:
    query = tmp_path / "<b>.png"
    Image.new("RGB", (4000, 3000), "olive").save(query)
    shown = answer(gallery, 40, query)._repr_html_()
    assert shown.count("<img ") == 12
    assert "and 29 more neighbours" in shown
    assert len(shown) < 250_000
    assert "<script" not in shown
    assert "<b>" not in shown
    assert "query: &lt;b&gt;.png" in shown
    assert "query" not in answer(gallery, 3)._repr_html_().partition("</style>")[2]
    gone = answer(replace(gallery, root=str(tmp_path / "gone")), 2)._repr_html_()
    assert gone.count("not found: ") == 2


def test_as_a_grid(gallery: Dataset, tmp_path: Path) -> None:
    query = tmp_path / "pug.png"
    Image.new("RGB", (30, 40)).save(query)
    found = answer(replace(gallery, breeds=("beagle", "pug")), 2, query)
    tile, votes, *_ = found.figure().axes
    assert tile.get_xlabel() == "breed: pug\nvote: beagle\ntie with pug, which is farther"
    assert [text.get_text() for text in votes.texts] == ["beagle 1", "pug 1", "votes"]
    assert found.show(tmp_path / "grids") == [tmp_path / "grids" / "pug.png"]
    pixels = np.zeros((9, 9), np.uint8)
    assert answer(gallery, 2, pixels).show(tmp_path / "grids")[0].name == "answer.png"
    with pytest.raises(DogsimError, match="This answer has no image"):
        answer(gallery, 2).show()
