"""Pictures and their answers, as they come, and how they are told."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogsim.cli.common import pictures_or_sample
from dogsim.errors import DogsimError
from dogsim.plumbing.terminal import note

if TYPE_CHECKING:
    from dogsim.classify import Answer
    from dogsim.dataset import Dataset
    from dogsim.images import Source

COLUMNS = (
    *("image", "breed", "votes", "runner_up", "runner_up_votes", "in_dataset"),
    *("nearest", "nearest_breed", "distance", "breeds", "credibility", "novelty_p", "unknown"),
)


class Asked:
    """Pictures with their answers; those that have none are named on stderr at the end.

    Parameters
    ----------
    images : list of Path, optional
        Pictures and folders of them; the sample's queries where there are none.
    dataset, k, metric, weights, head, confidence, keep_self, boxes
        As for `dogsim.classify` and `dogsim.extractor_for`. Whatever can be checked is checked
        before the network is loaded.
    """

    def __init__(
        self,
        images: list[Path] | None,
        dataset: "Dataset",
        k: int,
        metric: str,
        weights: str | None,
        head: str | None,
        confidence: float | None,
        keep_self: bool,
        boxes: Path | None = None,
    ) -> None:
        from dogsim.networks.extractor_for import lazy_extractor_for
        from dogsim.retrieval.identity import boxes_for

        self.boxes = boxes_for(dataset, boxes)
        self.extractor = lazy_extractor_for(dataset.recipe, weights, head)
        self.dataset, self.k, self.metric = dataset, k, metric
        self.confidence, self.keep_self = confidence, keep_self
        self.failed: list[DogsimError] = []
        self.answered = self.same = self.whole = 0
        self.pictures: list[Path] = []
        self.seen: dict[Path, Source] = {}
        for named in [[path] for path in images] if images else [None]:
            try:
                self.pictures += pictures_or_sample(named)
            except DogsimError as error:
                self.failed.append(error)
        for picture in dict.fromkeys(self.pictures):
            self._see(picture)

    def _see(self, picture: Path) -> None:
        """Find what the network sees of a picture: all of it, or its box."""
        from dogsim.retrieval.identity import seen

        try:
            self.seen[picture] = seen(picture, self.dataset, self.boxes)
            self.whole += self.seen[picture] is picture
        except DogsimError as error:
            self.failed.append(error)

    def __iter__(self) -> "Iterator[tuple[Path, Answer]]":
        """Yield each picture that has an answer, with it."""
        from dogsim.classify import answers

        pictures = [picture for picture in self.pictures if picture in self.seen]
        if not pictures:
            return
        how = (self.dataset, self.k, self.metric, self.extractor)
        found = answers(
            [self.seen[each] for each in pictures], *how, self.confidence, self.keep_self
        )
        for path, answer in zip(pictures, found, strict=True):
            if isinstance(answer, DogsimError):
                self.failed.append(answer)
                continue
            self.answered += 1
            self.same += answer.same is not None
            yield path, answer

    def finish(self) -> None:
        """Tell what was special, and raise `DogsimError` if a picture has no answer."""
        if self.same and not self.keep_self:
            note(
                f"In the dataset already: {self.same}. No such picture has a vote on itself; "
                "--keep-self gives it one."
            )
        if self.whole and self.boxes.folder:
            note(f"{self.whole} of the pictures have no box and are asked whole.")
        for error in self.failed[:-1]:
            note(str(error))
        if self.failed:
            raise self.failed[-1]


def told(path: Path, answer: "Answer") -> dict[str, Any]:
    """Tell an answer for JSON."""
    dataset = answer.dataset
    result = {
        "image": str(path),
        "breed": answer.breed,
        "votes": answer.votes,
        "runner_up": answer.runner_up,
        "runner_up_votes": answer.runner_up_votes,
        "in_dataset": None if answer.same is None else dataset.paths[answer.same],
        "neighbours": [
            {"path": dataset.paths[row], "breed": dataset.breed(row), "distance": float(distance)}
            for row, distance in zip(answer.indices, answer.distances, strict=True)
        ],
    }
    if answer.trust is None:
        return result
    return result | vars(answer.trust) | {"p_values": answer.trust.p_values.tolist()}


def row(result: dict[str, Any]) -> dict[str, Any]:
    """Tell an answer, as `told` tells it, for CSV."""
    first = result["neighbours"][0]
    nearest = {"nearest": first["path"], "nearest_breed": first["breed"]}
    every = result | nearest | {"distance": first["distance"]}
    every["breeds"] = "; ".join(result.get("breeds", ()))
    return {name: every.get(name) for name in COLUMNS}
