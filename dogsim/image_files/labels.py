"""Breeds by name: what a folder's name says, and when two names are of the same breed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

SYNSET = re.compile(r"(n\d{8})-")  # ImageNet's number of a class, before its name


def breed_name(folder: str) -> str:
    """Turn the name of a breed's folder into the breed's name.

    >>> breed_name("n02085936-Maltese_dog")
    'Maltese dog'
    """
    number = SYNSET.match(folder)
    return folder[number.end() if number else 0 :].replace("_", " ")


def breed_key(name: str) -> str:
    """What the names of one breed have in common: the same key, whatever the spelling.

    Case, the Unicode form (a Mac writes é as two letters, which look like one) and whether words
    are parted by space, hyphen or underscore make no difference.

    >>> breed_key("Cocker_Spaniel") == breed_key("cocker-spaniel")
    True
    """
    plain = normalize("NFC", normalize("NFC", name).casefold())
    return re.sub(r"[-_\s]+", " ", plain).strip()


def breeds_of_folders(folders: Iterable[str]) -> dict[str, str]:
    """Tell the breed of each folder, seen together.

    Folders whose names differ in spelling only are one breed, called as the first of them in
    sorted order. Two of ImageNet's classes that share a name stay two: each gets its number.

    >>> breeds_of_folders(["pug", "Pug", "n02012849-crane", "n03126707-crane"])["pug"]
    'Pug'
    >>> breeds_of_folders(["n02012849-crane", "n03126707-crane"])["n02012849-crane"]
    'crane (n02012849)'
    """
    names = {folder: breed_name(folder) for folder in sorted(set(folders))}
    numbers = {folder: found[1] for folder in names if (found := SYNSET.match(folder))}
    classes = defaultdict(set)
    for folder, number in numbers.items():
        classes[breed_key(names[folder])].add(number)
    for folder, number in numbers.items():
        if len(classes[breed_key(names[folder])]) > 1:
            names[folder] += f" ({number})"
    spelling: dict[str, str] = {}
    return {folder: spelling.setdefault(breed_key(name), name) for folder, name in names.items()}


def labels_of_folders(folders: Sequence[str]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Label pictures by the folders they lie in; "" stands for a breed that is not known.

    Returns
    -------
    labels : (n,) int32
        Index into `breeds`; -1 where the breed is not known.
    breeds : tuple of str
        Sorted.

    >>> labels_of_folders(["whippet", "pug", "", "Pug"])
    (array([ 1,  0, -1,  0], dtype=int32), ('Pug', 'whippet'))
    """
    breed_of = breeds_of_folders(folder for folder in folders if folder)
    breeds = tuple(sorted(set(breed_of.values())))
    label_of = {folder: breeds.index(breed) for folder, breed in breed_of.items()}
    return np.array([label_of.get(folder, -1) for folder in folders], np.int32), breeds
