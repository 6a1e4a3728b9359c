"""The report of the command `accuracy`: its sections as JSON, as text and as tables."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli import option
from dogsim.errors import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dogsim.retrieval.evaluation import Evaluation
    from dogsim.retrieval.scenes import SceneCheck
    from dogsim.retrieval.scores import Accuracy, BreedScore, Confusion
    from dogsim.trust.coverage import Coverage

MAX_CONFUSIONS_SHOWN, MAX_COVERAGES_SHOWN = 20, 5


@dataclass(frozen=True, kw_only=True)
class Sections:
    """Options that choose the sections of the report."""

    map_at_r: Annotated[
        bool, typer.Option("--map-at-r", help="Show the mean average precision at R.")
    ] = False
    per_breed: Annotated[
        bool, typer.Option("--per-breed", help="Show the scores of each breed.")
    ] = False
    confusions: Annotated[
        bool, typer.Option("--confusions", help="Show the pairs of breeds most often confused.")
    ] = False
    classifier: option.Classifier = None
    confidence: option.Confidence = None
    coverage: option.Coverage = "breed"
    compare: Annotated[bool, typer.Option("--compare", help="Compare several rankings.")] = False
    figures: Annotated[
        Path | None, typer.Option(help="Save figures of the evaluation to this folder.")
    ] = None
    no_scene_check: Annotated[
        bool,
        typer.Option(
            "--no-scene-check",
            help="Do not check whether many images have another shot of their scene.",
        ),
    ] = False


@dataclass(frozen=True)
class Report:
    """The sections of the output of `dogsim accuracy`; None if they are not requested."""

    results: "list[Accuracy]"
    map_at_r: float | None
    per_breed: "list[BreedScore] | None"
    confusions: "list[Confusion] | None"
    in_both: int | None
    scenes: int | None
    single_scene_breeds: int | None
    scene_check: "SceneCheck | None"
    trained_on: int
    coverage: "Coverage | None"
    classifier: tuple[float, float] | None
    compare: "list[tuple[str, Accuracy]] | None"
    figures: list[str] | None

    @property
    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of the tables that a CSV file can hold, by their names."""
        tables = {
            "results": self.results,
            "per_breed": self.per_breed,
            "confusions": self.confusions,
            "coverage_per_breed": self.coverage.per_breed if self.coverage else None,
        }
        return {
            name: [asdict(row) for row in rows] for name, rows in tables.items() if rows is not None
        }

    def payload(self) -> dict[str, Any]:
        """Return the JSON object; the scores of a single k are also on its first level."""
        covered = asdict(self.coverage) if self.coverage else {}
        covered.pop("per_breed", None)
        accuracy, error = self.classifier or (None, None)
        check = self.scene_check
        ways = [{"rank": name, **asdict(each)} for name, each in self.compare or ()]
        payload: dict[str, Any] = {
            **self.tables,
            "map_at_r": self.map_at_r,
            "in_both": self.in_both,
            "scenes": self.scenes,
            "single_scene_breeds": self.single_scene_breeds,
            "scene_check": asdict(check) | {"matters": check.matters} if check else None,
            "trained_on": self.trained_on,
            **covered,
            "classifier_accuracy": accuracy,
            "classifier_calibration_error": error,
            "compare": None if self.compare is None else ways,
            "figures": self.figures,
        }
        flat = payload["results"][0] if len(self.results) == 1 else {}
        return flat | {name: value for name, value in payload.items() if value is not None}

    def text(self) -> str:
        """Return the report for a terminal."""
        from dogsim.plumbing.tables import table

        parts = [self.results[0].heading, table([each.columns for each in self.results])]
        parts += self._summaries()
        tables, max_rows = self.tables, {"confusions": MAX_CONFUSIONS_SHOWN}
        max_rows["coverage_per_breed"] = MAX_COVERAGES_SHOWN
        for name in ("coverage_per_breed", "per_breed", "confusions"):
            if rows := tables.get(name):
                parts.append(table(rows[: max_rows.get(name)]))
        parts += self.figures or []
        if self.compare:
            parts.append(table([{"rank": name, **each.columns} for name, each in self.compare]))
        if self.confusions == []:
            parts.append("No breed is confused with another.")
        return "\n\n".join(parts)

    def _summaries(self) -> "Iterator[str]":
        """Yield a line of text for each score that is not part of a table."""
        if self.scenes is not None:
            yield (
                f"The queries show {counted(self.scenes, 'scene')}; all images of a query's scene "
                "were left out."
            )
        if self.map_at_r is not None:
            yield f"MAP@R {self.map_at_r:.4f}"
        if self.classifier:
            accuracy, error = self.classifier
            yield f"classifier {accuracy:.4f}, expected calibration error {error:.4f}"
        if found := self.coverage:
            low, high = found.coverage_ci95
            goal = "for every breed" if found.coverage_kind == "breed" else "on average"
            shown = found.coverage_of_shown
            yield (
                f"Prediction sets with confidence {found.confidence:.4g} {goal}: coverage "
                f"{found.coverage:.4f} (95 % interval {low:.2f} to {high:.2f}), "
                f"{found.mean_set_size:.2f} breeds in a set on average. "
                f"{found.unknown_rate:.4f} falsely unknown; coverage of the others "
                f"{'none' if shown is None else f'{shown:.4f}'}. "
                f"{self._coverage_hint(found.confidence)}Breeds with the lowest coverage:"
            )

    def _coverage_hint(self, confidence: float) -> str:
        """Return what limits the meaning of the coverage without a test set, "" with one."""
        if self.in_both is not None:
            return ""
        return (
            f"The queries are images of the dataset, so the coverage is near {confidence:.4g} by "
            "construction: measure it with --test. "
        )


def report_on(evaluation: "Evaluation", given_ks: list[int] | None, sections: Sections) -> Report:
    """Compute the requested sections, for the default k if none is given."""
    from dogsim.learning.classifier import load_classifier
    from dogsim.retrieval.query_expansion import rankings
    from dogsim.retrieval.scores import confusions, per_breed

    ks = list(map(evaluation.check_k, given_ks or (None,)))
    trained = load_classifier(sections.classifier) if sections.classifier else None
    # These two may need more neighbours than the largest k. They come first, so that one search
    # serves all sections.
    map_at_r = evaluation.map_at_r() if sections.map_at_r else None
    files = _save_figures(evaluation, max(ks), sections.figures) if sections.figures else None
    results, found = evaluation.accuracies(ks), evaluation.neighbours(max(ks))
    testset = evaluation.testset
    return Report(
        results=results,
        map_at_r=map_at_r,
        per_breed=per_breed(found) if sections.per_breed else None,
        confusions=confusions(found) if sections.confusions else None,
        in_both=None if testset is None else evaluation.count_in_gallery(),
        scenes=evaluation.n_scenes,
        single_scene_breeds=evaluation.n_single_scene_breeds,
        scene_check=None if sections.no_scene_check else _scene_check(evaluation),
        trained_on=evaluation.count_trained_on(),
        coverage=_coverage(evaluation, sections) if sections.confidence else None,
        classifier=trained.evaluate(testset) if trained and testset else None,
        compare=evaluation.compare(rankings(evaluation.dataset), ks) if sections.compare else None,
        figures=files,
    )


def _scene_check(evaluation: "Evaluation") -> "SceneCheck | None":
    """Check whether leave-one-out is misleading; None if scenes are known, or it is not used."""
    from dogsim.retrieval.scenes import check_scenes

    unknown = evaluation.dataset.scenes is None and evaluation.testset is None
    return check_scenes(evaluation.dataset) if unknown and evaluation.protocol == "honest" else None


def _coverage(evaluation: "Evaluation", sections: Sections) -> "Coverage":
    from dogsim.retrieval.query_expansion import require_plain
    from dogsim.trust.calibration import calibration_for
    from dogsim.trust.coverage import measure_coverage

    confidence = sections.confidence or 0.0
    return measure_coverage(
        calibration_for(require_plain(evaluation.dataset), confidence),
        evaluation.features,
        evaluation.truth,
        confidence,
        evaluation.rows_in_gallery,
        sections.coverage,
    )


def warnings(evaluation: "Evaluation", report: Report) -> "Iterator[str]":
    """Yield the reasons for which the scores are too low, too high or uneven between breeds."""
    from dogsim.vote import small_breeds_warning

    dataset, testset = evaluation.dataset, evaluation.testset
    if warning := small_breeds_warning(max(each.k for each in report.results), dataset.breed_sizes):
        yield warning
    if testset and (dataset.boxes is None) != (testset.boxes is None):
        whole, cropped = (
            ("dataset", "test set") if dataset.boxes is None else ("test set", "dataset")
        )
        yield f"The {whole} has whole images, the {cropped} cropped ones: the scores are too low."
    if report.in_both:
        yield f"{report.in_both} of the test images are in the dataset as well."
    if report.single_scene_breeds:
        yield (
            f"{counted(report.single_scene_breeds, 'breed')} of one scene only: their queries "
            "have no image of their breed to find."
        )
    if report.scene_check and report.scene_check.matters:
        yield (
            f"{report.scene_check.in_scene} of {report.scene_check.images} images have another "
            "shot of their scene in the dataset, which a new photo has not: the scores are too "
            f"high. Leave such shots out: dogsim create-dataset {dataset.root} -o FILE --scenes "
            "auto."
        )
    if report.trained_on:
        yield (
            f"{report.trained_on} of {report.results[0].queries} queries are images that the "
            "features were trained on: the scores are too high. Evaluate other images: --test."
        )
    if testset and report.coverage:
        yield from filter(None, (report.coverage.shortfall, report.coverage.difference))


def _save_figures(evaluation: "Evaluation", k: int, folder: Path) -> list[str]:
    from dogsim.figures.display import show_or_save
    from dogsim.figures.evaluation import evaluation_figures

    return [str(path) for path in show_or_save(evaluation_figures(evaluation, k), folder)]


def table_columns() -> dict[str, list[str]]:
    """Return the column names of each of `Report.tables`, which may have no rows."""
    from dogsim.retrieval.scores import Accuracy, BreedScore, Confusion
    from dogsim.trust.coverage import BreedCoverage

    row_types = {
        "results": Accuracy,
        "per_breed": BreedScore,
        "confusions": Confusion,
        "coverage_per_breed": BreedCoverage,
    }
    return {name: [field.name for field in fields(each)] for name, each in row_types.items()}
