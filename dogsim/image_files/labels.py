"""Breed names and labels from the names of folders; the spelling of a name makes no difference."""

import re
from collections import defaultdict
from collections.abc import Sequence
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

SYNSET = re.compile(r"^(n\d{8})-")  # the WordNet number of an ImageNet class, before its name


def breed_name(folder: str) -> str:
    """Return the breed name in the name of a breed's folder.

    >>> breed_name("n02085936-Maltese_dog")
    'Maltese dog'
    """
    return SYNSET.sub("", folder).replace("_", " ")


def breed_key(name: str) -> str:
    """Return a key that is equal for all spellings of a breed's name.

    Case, the Unicode form (macOS writes é as two code points) and the separator of words (space,
    hyphen or underscore) make no difference.

    >>> breed_key("Cocker_Spaniel") == breed_key("cocker-spaniel")
    True
    """
    plain = normalize("NFC", normalize("NFC", name).casefold())
    return re.sub(r"[-_\s]+", " ", plain).strip()


def labels_of_folders(folders: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Label images by the names of their folders; "" stands for an unknown breed.

    Folders whose names differ only in spelling are one breed, named after the first of them in
    sorted order. Two ImageNet classes of the same name are two breeds: each name gets its number.

    Returns
    -------
    labels : (n,) int32
        Index into `breeds`; -1 if the breed is unknown.
    breeds : tuple of str
        Sorted.

    >>> labels_of_folders(["whippet", "pug", "", "Pug"])
    (array([ 1,  0, -1,  0], dtype=int32), ('Pug', 'whippet'))
    >>> labels_of_folders(["n02012849-crane", "n03126707-crane"])[1]
    ('crane (n02012849)', 'crane (n03126707)')
    """
    names = {folder: breed_name(folder) for folder in sorted({*folders} - {""})}
    numbers = {folder: found[1] for folder in names if (found := SYNSET.match(folder))}
    classes = defaultdict(set)
    for folder, number in numbers.items():
        classes[breed_key(names[folder])].add(number)
    for folder, number in numbers.items():
        if len(classes[breed_key(names[folder])]) > 1:
            names[folder] += f" ({number})"
    spelling: dict[str, str] = {}
    breed_of = {key: spelling.setdefault(breed_key(name), name) for key, name in names.items()}
    breeds = tuple(sorted(set(breed_of.values())))
    label_of = {folder: breeds.index(breed) for folder, breed in breed_of.items()}
    return np.array([label_of.get(folder, -1) for folder in folders], np.int32), breeds
