"""Many questions, one after the other."""

import os
import shlex
from pathlib import Path

from dogsim.cli.answers import Asked
from dogsim.cli.ask import answer
from dogsim.cli.common import (
    Boxes,
    Confidence,
    DatasetFile,
    Head,
    Json,
    K,
    KeepSelf,
    Metric,
    Rank,
    Weights,
    open_dataset,
)
from dogsim.errors import DogsimError


def ask(
    k: K = 20,
    dataset: DatasetFile = None,
    weights: Weights = None,
    head: Head = None,
    metric: Metric = "euclidean",
    confidence: Confidence = None,
    keep_self: KeepSelf = False,
    boxes: Boxes = None,
    rank: Rank = "plain",
    as_json: Json = False,
) -> None:
    """Do what `classify` does for each line of the input, with the network kept loaded.

    A line names a picture or a folder. In a terminal the tabulator completes names, the arrow keys
    bring back earlier ones, and Ctrl-D (on Windows Ctrl-Z) ends it. With --json one JSON object
    answers each line.

    Example: `dogsim ask --dataset dogs.h5`, or `find photos -name "*.jpg" | dogsim ask --json`
    """
    from dogsim.dist_calc import check_k, check_metric
    from dogsim.networks.extractor_for import extractor_for
    from dogsim.plumbing.terminal import input_lines, note
    from dogsim.retrieval.query_expansion import check_rank, ranking

    check_rank(rank, metric)
    known = ranking(open_dataset(dataset, weights), rank)
    check_k(k, len(known))
    check_metric(metric)
    extractor_for(known.recipe, weights, head).load()
    how = k, metric, weights, head, confidence, keep_self, boxes
    unanswered = 0
    for line in input_lines("picture: "):
        try:
            asked = Asked([_named(line)], known, *how)
            answer(asked, as_json)
            asked.finish()
        except DogsimError as error:
            note(f"dogsim: {error}")
            unanswered += 1
    if unanswered:
        raise DogsimError(f"{unanswered} of the lines could not be answered.")


def _named(line: str) -> Path:
    """The path in a line; a terminal into which a file is dragged writes it as the shell wants."""
    path = Path(line).expanduser()
    if path.exists() or os.name == "nt":
        return path if path.exists() else Path(line.strip('"'))
    try:
        (word,) = shlex.split(line)
    except ValueError:  # several words, or a quotation mark without its other
        return path
    return Path(word).expanduser()
