"""Hide identities in what is shown, leaving enough of their form to find them again."""

import re

from medimg_cli.privacy.forms.names import Identity, find_identities

# What parts words in paths and in messages; `_`, `-` and `^` join the parts of one name.
_BREAKS = frozenset("/\\ \t\r\n'\",;:=()[]")
_SUFFIX = re.compile(
    r"\.(?:png|jpe?g|tiff?|bmp|webp|dcm|dicom|ima|npz|npy|zip|tar|tar\.gz|tgz|gz|csv|json|txt)$",
    re.IGNORECASE,
)


def mask(value: str) -> str:
    """Return `value` with every digit as `#` and every letter as `x`, marks between them kept.

    >>> mask("DOE^JANE 1980-02-03")
    'xxx^xxxx ####-##-##'
    """
    return "".join("#" if sign.isdigit() else "x" if sign.isalpha() else sign for sign in value)


def mask_identities(text: str) -> str:
    """Return `text` with every word masked that holds what looks like an identity, its suffix kept.

    A name seldom has a form of its own, but it often stands beside a number or a date that has: so the whole
    name of the file or folder is masked, not the date in it alone.

    >>> mask_identities("sick/Mustermann_Max_2021-02-03.png")
    'sick/xxxxxxxxxx_xxx_####-##-##.png'
    """
    parts, position = [], 0
    for identity in find_identities(text):
        if identity.end <= position:
            continue  # in a word that is masked already
        start, end = _word_around(text, identity, position)
        parts += [text[position:start], mask(text[start:end])]
        position = end
    return "".join([*parts, text[position:]])


def _word_around(text: str, identity: Identity, least: int) -> tuple[int, int]:
    """Return the range of the words an identity stands in, from `least` on, a suffix such as `.png` left out."""
    start, end = identity.start, identity.end
    while start > least and text[start - 1] not in _BREAKS:
        start -= 1
    while end < len(text) and text[end] not in _BREAKS:
        end += 1
    suffix = _SUFFIX.search(text, identity.end, end)
    return start, suffix.start() if suffix else end
