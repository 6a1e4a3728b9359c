"""The figures show the numbers of `accuracy`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import breeds_in_noise
from PIL import Image

from dogsim import Dataset, DogsimError, accuracy, accuracy_figures, expand, nearest
from dogsim.figures.distances import tree_order
from dogsim.figures.evaluation import (
    confusion_matrix,
    curves_over_k,
    distance_histogram,
    worst_mistakes,
)
from dogsim.retrieval.evaluation import Evaluation


@pytest.fixture
def noise() -> Dataset:
    return breeds_in_noise()


def test_curves_equal_accuracy(noise: Dataset) -> None:
    (axes,) = curves_over_k(Evaluation(noise).neighbours(30)).axes
    expected = accuracy(noise, 7)
    values = expected.precision_at_k, expected.recall_at_k, expected.vote_accuracy
    for line, value in zip(axes.lines, values, strict=False):
        ks, drawn = line.get_xdata(), line.get_ydata()
        assert np.asarray(drawn)[np.asarray(ks) == 7] == pytest.approx(value)
    assert axes.get_ylim() == (0, 1)
    assert np.asarray(axes.lines[3].get_ydata())[0] == pytest.approx(expected.chance)
    named = [text.get_text().split()[0] for text in axes.texts]
    assert sorted(named) == ["chance", "precision@k", "recall@k", "vote"]
    heights = sorted(text.xy[1] for text in axes.texts)  # type: ignore[attr-defined]
    assert min(np.diff(heights)) >= 0.0599  # the labels do not overlap
    assert f"{expected.queries} queries" in axes.get_title(loc="left")


@pytest.mark.parametrize("protocol", ["honest", "matlab"])
def test_the_matrix_equals_the_votes(noise: Dataset, protocol: str) -> None:
    k = 12 if protocol == "matlab" else 11
    found = Evaluation(noise, protocol=protocol).neighbours(12).first(k)
    figure = confusion_matrix(found, tree_order(noise))
    axes, beside = figure.axes
    parts = np.asarray(axes.get_images()[0].get_array())
    assert parts.sum(axis=1) == pytest.approx(1)
    right = (found.predictions == found.truth).mean()
    sizes = [(found.truth == label).sum() for label in tree_order(noise)]
    assert np.average(np.diag(parts), weights=sizes) == pytest.approx(right)
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == [noise.breeds[label] for label in tree_order(noise)]
    assert "most often confused" in beside.texts[0].get_text()


def test_a_large_matrix_has_fewer_labels() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(120, dtype=np.int32), 3)
    many = Dataset(
        rng.normal(size=(360, 8)).astype(np.float32),
        labels,
        tuple(map(str, range(360))),
        tuple(f"breed {i}" for i in range(120)),
    )
    axes, _ = confusion_matrix(Evaluation(many).neighbours(3), tree_order(many)).axes
    assert len(axes.get_yticks()) == 60
    assert not axes.texts


def test_the_worst_mistakes_come_first(tmp_path: Path, four: Dataset) -> None:
    """A whippet among pugs gets both their votes, and makes their own votes ties."""
    for path in (*four.paths, "pug/2.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 20)).save(tmp_path / path)
    lost = Dataset(
        np.array([[0.0], [1.0], [0.6], [9.0], [9.5]], np.float32),
        np.array([0, 0, 1, 1, 1], np.int32),
        ("pug/0.jpg", "pug/1.jpg", "pug/2.jpg", "whippet/5.jpg", "whippet/6.jpg"),
        four.breeds,
        root=str(tmp_path),
    )
    found = Evaluation(lost).neighbours(2)
    (name, figure), *others = worst_mistakes(found, lost)
    assert name == "mistake-1"
    assert figure.axes[0].get_title() == "query: 2.jpg"
    assert figure.axes[0].get_xlabel() == "breed: whippet\nvote: pug"
    assert "pug 2" in [text.get_text() for text in figure.axes[1].texts]
    assert others
    for _, other in others:
        votes = [text.get_text() for text in other.axes[1].texts]
        assert {"whippet 1", "pug 1"} <= set(votes)
    assert list(worst_mistakes(found, replace(lost, root="/nowhere"))) == []


def test_own_breed_is_nearer_in_the_histogram(noise: Dataset) -> None:
    (axes,) = distance_histogram(noise, nearest=np.array([1.0, 2.0])).axes
    legend = axes.get_legend()
    assert legend is not None
    others, own, first, query = (text.get_text() for text in legend.get_texts())
    medians = [float(text.rpartition(" ")[2]) for text in (first, own, others)]
    assert medians == sorted(medians)
    assert query == "neighbours of this query"


def test_the_histogram_uses_the_distances_of_the_ranking(noise: Dataset) -> None:
    def legend(dataset: Dataset) -> list[str]:
        (axes,) = distance_histogram(dataset).axes
        names = axes.get_legend()
        assert names is not None
        return [text.get_text() for text in names.get_texts()]

    moved = [nearest(expand(noise), noise, 1, exclude=np.arange(len(noise)))[0]]
    assert legend(expand(noise))[2].endswith(f"{np.median(moved):.3g}")
    assert legend(expand(noise)) != legend(noise)


def test_all_figures(noise: Dataset) -> None:
    names = [name for name, _ in accuracy_figures(noise, k=5)]
    assert names == ["curves", "confusions", "distances"]  # no mistakes: there are no image files
    with pytest.raises(DogsimError, match="Received k=0"):
        list(accuracy_figures(noise, k=0))
