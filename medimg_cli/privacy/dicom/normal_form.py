"""Texts without what hides that they say the same: case, accents, separators, padding."""

import re
import unicodedata
from collections.abc import Iterator

# Letters, and digits, each as one token; a capital after a small letter begins another (`DoeJane`, `MRN123`).
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "ı": "i"}


def plain_letters(text: str) -> str:
    """Return text in lower case without accents.

    >>> plain_letters("Müller-Øst")
    'muller-ost'
    """
    lowered = text.casefold()
    for letter, plain in _LETTERS.items():
        lowered = lowered.replace(letter, plain)
    if lowered.isascii():
        return lowered
    parts = unicodedata.normalize("NFKD", lowered)
    return "".join(sign for sign in parts if not unicodedata.combining(sign))


def joined(text: str) -> str:
    """Return the letters and digits of a text alone, in normal form.

    >>> joined("AB-123.456"), joined("O'Neil, Seán")
    ('ab123456', 'oneilsean')
    """
    return "".join(token for token in _TOKEN.findall(plain_letters(text)))


def tokens(text: str) -> list[str]:
    """Return the runs of letters and of digits of a text in normal form, in order.

    >>> tokens("raw/DoeJane_MRN004711.png")
    ['raw', 'doe', 'jane', 'mrn', '004711', 'png']
    """
    split = _CAMEL.sub(" ", text)
    return _TOKEN.findall(plain_letters(split))


def joins(parts: list[str], longest: int) -> Iterator[str]:
    """Yield every run of neighbouring tokens written together, up to `longest` characters.

    >>> list(joins(["doe", "jane", "7"], 7))
    ['doe', 'doejane', 'jane', 'jane7', '7']
    """
    for start in range(len(parts)):
        run = ""
        for part in parts[start:]:
            run += part
            if len(run) > longest:
                break
            yield run
