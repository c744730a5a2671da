"""Hide identities in what is shown, leaving enough of their form to find them again."""

from medimg_cli.privacy.names import find_identities


def mask(value: str) -> str:
    """Return `value` with every digit as `#` and every letter as `x`, marks between them kept.

    >>> mask("DOE^JANE 1980-02-03")
    'xxx^xxxx ####-##-##'
    """
    return "".join("#" if sign.isdigit() else "x" if sign.isalpha() else sign for sign in value)


def mask_identities(text: str) -> str:
    """Return `text` with only what looks like an identity masked.

    >>> mask_identities("sick/DOE^JANE_left.png")
    'sick/xxx^xxxx_left.png'
    """
    parts, position = [], 0
    for identity in find_identities(text):
        parts += [text[position : identity.start], mask(text[identity.start : identity.end])]
        position = identity.end
    return "".join([*parts, text[position:]])
