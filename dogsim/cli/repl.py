"""The interactive command: one image after the other, with the network loaded once."""

import os
import shlex
from functools import partial
from pathlib import Path

from dogsim.cli.ask import AnswerStream, print_answers
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
    """Classify the image or folder in each line of the input; the network is loaded once.

    In a terminal, Tab completes names, the arrow keys recall earlier lines and Ctrl-D (on Windows
    Ctrl-Z) ends the command. With --json each line is answered by one JSON object.

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
    answers_to = partial(
        AnswerStream,
        dataset=known,
        k=k,
        metric=metric,
        weights=weights,
        head=head,
        confidence=confidence,
        keep_self=keep_self,
        boxes=boxes,
    )
    unanswered = 0
    for line in input_lines("image: "):
        try:
            answers = answers_to([_path_in(line)])
            print_answers(answers, as_json)
            answers.finish()
        except DogsimError as error:
            note(f"dogsim: {error}")
            unanswered += 1
    if unanswered:
        raise DogsimError(f"{unanswered} of the lines could not be answered.")


def _path_in(line: str) -> Path:
    """Return the path in a line; terminals quote the path of a file that is dragged into them."""
    path = Path(line).expanduser()
    if path.exists() or os.name == "nt":
        return path if path.exists() else Path(line.strip('"'))
    try:
        (word,) = shlex.split(line)
    except ValueError:  # several words, or an unbalanced quotation mark
        return path
    return Path(word).expanduser()
