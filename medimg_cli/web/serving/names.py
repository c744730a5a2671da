"""What an upload is called in answers: short, on one line, identities masked."""

import re

from medimg_cli.privacy.forms.masking import mask_identities

LONGEST_NAME = 80
_FOLDERS = re.compile(r"^.*[/\\]", re.DOTALL)


def shown_name(name: str, member: str | None = None) -> str:
    r"""Return an upload's own file name, and the frame of it, fit to be shown.

    >>> shown_name("C:\\scans\\Doe_Jane_1980-02-03.png")
    'xxx_xxxx_####-##-##.png'
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in _FOLDERS.sub("", name))
    masked = mask_identities(" ".join(plain.split()))
    if len(masked) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        masked = f"{masked[:half]}…{masked[1 - half :]}"
    masked = masked or "image"
    return masked if member is None else f"{masked}#{member}"
