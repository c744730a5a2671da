"""Names of files and folders of a de-identified copy."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Literal

from medimg_cli.privacy.dicom.header_values import IdentityValues
from medimg_cli.privacy.forms.names import find_identities
from medimg_cli.privacy.forms.number_series import judge_series, long_numbers
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms

NameRule = Literal["auto", "code", "keep"]
_UID = re.compile(r"(?<!\d)(?<!\d\.)[0-2](?:\.(?:0|[1-9]\d*)){5,}(?!\d)")
# Only what is known to be a suffix is one: `Quintrell.Zeb.dcm` ends in `.dcm`.
_SUFFIXES = re.compile(
    r"(?:\.(?:dcm|dicom|ima|jpe?g|jfif|png|tiff?|bmp|dib|webp|np[yz]|nii|gz|zip|tar|tgz|csv|txt|json|xml|pdf))+$",
    re.IGNORECASE,
)
_COUNTED = frozenset(["counter", "dense", "shared"])


class CleanNames:
    """What a path is called in the copy: the same path gives the same name under the same key.

    With `auto`, a folder or file keeps its name unless it looks like an identity or holds a value of any header of
    the source; then a code stands for it. A folder that is a class so keeps its images together. UIDs are replaced
    as in the headers. With `code` every file gets a code; with `keep` nothing changes.

    Args:
        values: of the headers of all files.
        names: all posix paths of the source, as numbers that count its files are no record numbers.
    """

    def __init__(
        self, pseudonyms: Pseudonyms, values: IdentityValues, names: Iterable[str], rule: NameRule
    ) -> None:
        self._pseudonyms = pseudonyms
        self._values = values
        self._rule = rule
        verdicts = judge_series([long_numbers(name) for name in names]) if rule != "keep" else {}
        self._counters = {slot for slot, verdict in verdicts.items() if verdict in _COUNTED}

    def of(self, relative: str) -> str:
        """Return the posix path of a file in the copy."""
        if self._rule == "keep":
            return relative
        path = PurePosixPath(relative)
        folders = [self._part(part) for part in path.parts[:-1]]
        match = _SUFFIXES.search(path.name)
        stem, suffix = (path.name[: match.start()], match[0]) if match and match.start() else (path.name, "")
        name = self._pseudonyms.name(relative) if self._rule == "code" else self._part(stem)
        return PurePosixPath(*folders, name + suffix).as_posix()

    def _part(self, text: str) -> str:
        rest = _UID.sub("", text)
        if self._is_telling(rest):
            return self._pseudonyms.name(text)
        return _UID.sub(lambda match: self._pseudonyms.uid(match[0]), text)

    def _is_telling(self, text: str) -> bool:
        kinds = {identity.kind for identity in find_identities(text)}
        if kinds == {"record-number"} and all(number.slot in self._counters for number in long_numbers(text)):
            kinds = set()
        return bool(kinds) or bool(self._values.search(text, sure=True))
