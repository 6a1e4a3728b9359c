"""Commands that compare images with a dataset: their neighbours and their breeds."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli import option
from dogsim.cli.common import images_or_sample, open_dataset, print_result
from dogsim.errors import DogsimError
from dogsim.plumbing.terminal import note, say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dogsim.dataset import Dataset
    from dogsim.learning.classifier import Classifier as TrainedClassifier
    from dogsim.trust.answer import Answer
    from dogsim.trust.coverage import NoveltyTest

DEFAULT_SHOWN_K = 8
ANSWER_COLUMNS = (
    *("image", "breed", "votes", "runner_up", "runner_up_votes", "in_dataset"),
    *("nearest", "nearest_breed", "distance", "breeds", "credibility", "novelty_p", "unknown"),
    "flags",
)


def show(
    images: option.Images = None,
    k: Annotated[int | None, option.neighbours(DEFAULT_SHOWN_K)] = None,
    *,
    options: option.QueryArguments,
    root: option.Root = None,
    save: option.SaveFigures = None,
    as_json: option.Json = False,
) -> None:
    """Show each image with its k nearest neighbours; without a display, save them to results/.

    Answers are marked as right or wrong if the name of the image or of its folder is a breed, as
    in pug/1.jpg and pug.jpg.

    Example: `dogsim show my_dog.jpg --dataset dogs.h5 --save grids`
    """
    from dogsim.figures.display import show_or_save

    gallery = open_gallery(options, root=root)
    answers = AnswerStream(images, gallery, k, options, DEFAULT_SHOWN_K)
    missing: set[int] = set()

    def figures() -> "Iterator[tuple[str, Figure]]":
        for path, answer in answers:
            rows = answer.indices.tolist()
            missing.update(row for row in rows if not gallery.image_file(row).is_file())
            yield path.stem, answer.figure()

    written = [str(path) for path in show_or_save(figures(), save, answers.images)]
    if answers.answered:
        print_result({"grids": written}, as_json, "\n".join(written))
    if missing:
        note(
            f"{len(missing)} of the images are not in {gallery.root or 'this folder'}. "
            "If they have moved, name their folder: --root FOLDER."
        )
    answers.finish()


def classify(
    images: option.Images = None,
    k: Annotated[int | None, option.neighbours(20)] = None,
    *,
    options: option.QueryArguments,
    classifier: option.Classifier = None,
    csv: Annotated[Path | None, typer.Option(help="Write the answers to this CSV file.")] = None,
    force: option.Force = False,
    cluster: option.Cluster = None,
    as_json: option.Json = False,
) -> None:
    """Find the breed of each image by the vote of its k nearest neighbours.

    The breed of a neighbour is the name of its folder when the dataset was made. The name of the
    image itself is not used. If no neighbour has a breed, the nearest ones are printed.

    Example: `dogsim classify my_dog.jpg holiday/ -k 20 --dataset dogs.h5`
    """
    from dogsim.learning.classifier import load_classifier
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import has_csv_header, write_csv

    if csv:
        files = (Path(each) for each in (options.weights, options.head) if each)
        check_output(csv, [options.dataset, *(images or ()), *files])
        check_replaceable(csv, lambda there: has_csv_header(there, ANSWER_COLUMNS), force)
    gallery = open_gallery(options, cluster)
    trained = load_classifier(classifier) if classifier else None
    if trained:
        trained.require_same_features(gallery.recipe)
    answers = AnswerStream(images, gallery, k, options)
    results = print_answers(answers, as_json, trained)
    if results and csv:
        write_csv(csv, [answer_row(each) for each in results], ANSWER_COLUMNS)
    answers.finish()


def open_gallery(
    options: option.QueryArguments, cluster: str | None = None, root: Path | None = None
) -> "Dataset":
    """Open the dataset of the options, searched with their rank; see `open_dataset`."""
    from dogsim.retrieval.query_expansion import check_rank, ranking

    check_rank(options.rank, options.metric)
    return ranking(open_dataset(options.dataset, options.weights, cluster, root), options.rank)


class AnswerStream:
    """Images with their answers, one by one; images without an answer are reported at the end.

    Parameters
    ----------
    images : list of Path, optional
        Images and folders of images; by default the queries of the sample.
    dataset, k, options
        As for `dogsim.classify` and `dogsim.extractor_for`. Everything that can be checked is
        checked before the network is loaded.
    default_k : int, optional
        The number of neighbours if k is None, at most all images of the dataset.

    Attributes
    ----------
    images : list of Path
        The image files.
    answered : int
        The number of images with an answer so far.
    novelty_p : list of float
        The novelty p-values of the answered images that are not in the dataset.
    """

    def __init__(
        self,
        images: list[Path] | None,
        dataset: "Dataset",
        k: int | None,
        options: option.QueryArguments,
        default_k: int | None = None,
    ) -> None:
        from dogsim.classify import number_of_voters
        from dogsim.networks.extractor_for import lazy_extractor_for
        from dogsim.retrieval.query import box_folder

        self.dataset, self.options = dataset, options
        self.k = number_of_voters(k, dataset, options.keep_self, default_k)
        self.boxes = box_folder(dataset, options.boxes)
        self.extractor = lazy_extractor_for(dataset.recipe, options.weights, options.head)
        self.errors: list[DogsimError] = []
        self.images: list[Path] = []
        self.novelty_p: list[float] = []
        self.answered = self.in_dataset = 0
        self.whole: set[Path] = set()  # images without a box
        for paths in [[path] for path in images] if images else [None]:
            try:
                self.images += images_or_sample(paths)
            except DogsimError as error:
                self.errors.append(error)

    def __iter__(self) -> "Iterator[tuple[Path, Answer]]":
        """Yield each image that has an answer, with its answer."""
        from dogsim.classify import answers

        if not self.images:
            return
        found = answers(
            self.images,
            self.dataset,
            self.k,
            self.options.metric,
            self.extractor,
            self.options.confidence,
            self.options.keep_self,
            self.boxes,
            self.options.coverage,
        )
        for path, answer in zip(self.images, found, strict=True):
            if isinstance(answer, DogsimError):
                self.errors.append(answer)
                continue
            self.answered += 1
            self.in_dataset += answer.row is not None
            if answer.trust and answer.row is None:
                self.novelty_p.append(answer.trust.novelty_p)
            if answer.image is path:
                self.whole.add(path)
            yield path, answer

    def novelty_test(self) -> "NoveltyTest | None":
        """Test whether the images so far differ from the dataset; None for fewer than 20."""
        from dogsim.trust.calibration import calibration_of
        from dogsim.trust.coverage import novelty_test

        if not self.novelty_p:
            return None
        return novelty_test(self.novelty_p, calibration_of(self.dataset).n_calibrating)

    def finish(self) -> None:
        """Print notes on the images, and raise `DogsimError` if one has no answer."""
        from dogsim.vote import small_breeds_warning

        if self.in_dataset and not self.options.keep_self:
            note(
                f"Images in the dataset already: {self.in_dataset}. Such an image does not vote "
                "on itself, except with --keep-self."
            )
        if self.whole and self.boxes.folder:
            note(f"Images without a box, which are not cropped: {len(self.whole)}.")
        elif self.whole and self.dataset.boxes is not None:
            note(
                f"Images that are not cropped: {len(self.whole)}. Those of the dataset are cropped "
                "to boxes, which makes them less comparable: give the boxes, --boxes FOLDER."
            )
        warning = small_breeds_warning(self.k, self.dataset.breed_sizes)
        if warning and self.answered:
            note(warning)
        if (test := self.novelty_test()) and test.differs:
            note(test.text)
        for error in self.errors[:-1]:
            note(str(error))
        if self.errors:
            raise self.errors[-1]


def print_answers(
    answers: AnswerStream, as_json: bool, trained: "TrainedClassifier | None" = None
) -> list[dict[str, Any]]:
    """Print each answer at once, or all of them as JSON; return the results of the JSON object."""
    results = []
    for path, answer in answers:
        result, text = answer_payload(path, answer), f"{path}: {answer}"
        if trained:
            result["classifier"] = learned = trained.as_json(answer.features)
            text += f"; classifier: {learned['breed']} ({learned['probability']:.2f})"
        results.append(result)
        if not as_json:
            say(text)
    if results:
        searched = {"metric": answers.options.metric, "rank": answers.options.rank}
        payload: dict[str, Any] = {"k": answers.k, **searched, "results": results}
        if answers.options.confidence is not None:
            test = answers.novelty_test()
            payload["differs_from_dataset"] = test.differs if test else None
        print_result(payload, as_json, "")
    return results


def answer_payload(path: Path, answer: "Answer") -> dict[str, Any]:
    """Return an answer as a JSON object."""
    dataset = answer.dataset
    result = {
        "image": str(path),
        "breed": answer.breed,
        "votes": answer.votes,
        "runner_up": answer.runner_up,
        "runner_up_votes": answer.runner_up_votes,
        "in_dataset": None if answer.row is None else dataset.paths[answer.row],
        "flags": answer.flags,
        "neighbours": [
            {"path": dataset.paths[row], "breed": dataset.breed(row), "distance": float(distance)}
            for row, distance in zip(answer.indices, answer.distances, strict=True)
        ],
    }
    if answer.trust is None:
        return result
    return result | vars(answer.trust) | {"p_values": answer.trust.p_values.tolist()}


def answer_row(result: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a CSV file for a result of `answer_payload`."""
    first = result["neighbours"][0]
    nearest = {"nearest": first["path"], "nearest_breed": first["breed"]}
    every = result | nearest | {"distance": first["distance"]}
    return {name: every.get(name) for name in ANSWER_COLUMNS}
