"""The interactive command `ask`: it answers line by line, with the network loaded once."""

import os
import shlex
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from dogsim.cli import option
from dogsim.cli.ask import AnswerStream, open_gallery, print_answers
from dogsim.errors import DogsimError
from dogsim.plumbing.files import expand_home

FILE_URL = "file://"


def ask(
    k: Annotated[int | None, option.neighbours(20)] = None,
    *,
    options: option.QueryArguments,
    as_json: option.Json = False,
) -> None:
    """Classify the image or folder in each line of the input; the network is loaded once.

    In a terminal, Tab completes names, the arrow keys recall earlier lines and Ctrl-D (on Windows
    Ctrl-Z) ends the command. With --json each line is answered by one JSON object.

    Example: `dogsim ask --dataset dogs.h5`, or `find photos -name "*.jpg" | dogsim ask --json`
    """
    from dogsim.classify import number_of_voters
    from dogsim.dist_calc import check_metric
    from dogsim.networks.extractor_for import extractor_for
    from dogsim.plumbing.terminal import input_lines, note

    gallery = open_gallery(options)
    k = number_of_voters(k, gallery, options.keep_self)
    check_metric(options.metric)
    extractor_for(gallery.recipe, options.weights, options.head).load()
    unanswered = 0
    for line in input_lines("image: "):
        try:
            answers = AnswerStream([_path_in(line)], gallery, k, options)
            print_answers(answers, as_json)
            answers.finish()
        except DogsimError as error:
            note(f"dogsim: {error}")
            unanswered += 1
    if unanswered:
        raise DogsimError(f"{unanswered} of the lines could not be answered.")


def _path_in(line: str) -> Path:
    """Return the path in a line; a file that is dragged into a terminal is quoted or a URL."""
    if line.startswith(FILE_URL):
        from urllib.request import url2pathname  # loads slowly

        return Path(url2pathname(urlsplit(line).path))
    path = expand_home(line)
    exists = os.path.exists(path)  # noqa: PTH110 - False for a name that is too long
    if exists or os.name == "nt":
        return path if exists else Path(line.strip('"'))
    try:
        (word,) = shlex.split(line)
    except ValueError:  # several words, or an unbalanced quotation mark
        return path
    return expand_home(word)
