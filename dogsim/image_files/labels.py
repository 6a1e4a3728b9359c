"""Breed names: read from the names of folders, and compared independently of their spelling."""

import re
from collections import defaultdict
from collections.abc import Iterable
from unicodedata import normalize

SYNSET = re.compile(r"(n\d{8})(-|$)")  # the WordNet number of an ImageNet class, before its name
SEPARATORS = re.compile(r"(?<=[^\W_])[-_\s]+(?=[^\W_])")  # between words; the sign of -1 is not one


def breed_name(text: str) -> str:
    """Return the breed name in the name of a folder, or in another text that labels images.

    >>> breed_name("n02085936-Maltese_dog")
    'Maltese dog'
    """
    number = SYNSET.match(text)
    name = text[number.end() :] if number else text
    return name.replace("_", " ") if name.strip("_") else text


def breed_key(name: str) -> str:
    """Return a key that is equal for all spellings of a breed's name.

    Case, the Unicode form (macOS writes é as two code points) and the separator between words
    (space, hyphen or underscore) make no difference.

    >>> breed_key("Cocker_Spaniel") == breed_key("cocker-spaniel")
    True
    >>> breed_key("1") == breed_key("-1")
    False
    """
    plain = normalize("NFC", normalize("NFC", name).casefold())
    return SEPARATORS.sub(" ", plain).strip()


def breed_keys(text: str) -> list[str]:
    """Return the keys of the names that `breeds_of_texts` may give to a text, the longest first.

    >>> breed_keys("n02012849-crane")
    ['crane (n02012849)', 'crane']
    """
    name, number = breed_name(text), SYNSET.match(text)
    return [breed_key(each) for each in ([f"{name} ({number[1]})"] if number else []) + [name]]


def breeds_of_texts(texts: Iterable[str]) -> dict[str, str]:
    """Return the breed name of each text that labels images, such as the name of a folder.

    Texts that differ in spelling only are one breed, named after the first of them in sorted order.
    Two ImageNet classes of the same name stay two: each name gets its number.

    >>> breeds_of_texts(["pug", "Pug", "n02012849-crane", "n03126707-crane"])["pug"]
    'Pug'
    >>> breeds_of_texts(["n02012849-crane", "n03126707-crane"])["n02012849-crane"]
    'crane (n02012849)'
    """
    names = {text: breed_name(text) for text in sorted(set(texts))}
    numbers = {text: found[1] for text in names if (found := SYNSET.match(text))}
    classes = defaultdict(set)
    for text, number in numbers.items():
        classes[breed_key(names[text])].add(number)
    for text, number in numbers.items():
        if len(classes[breed_key(names[text])]) > 1:
            names[text] += f" ({number})"
    spelling: dict[str, str] = {}
    return {text: spelling.setdefault(breed_key(name), name) for text, name in names.items()}
