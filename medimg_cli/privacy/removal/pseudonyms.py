"""Pseudonyms by a secret key, and names of files made of them: one key gives the same ones in every run."""

import hmac
import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from medimg_cli.errors import DataError, MachineError
from medimg_cli.privacy.dicom.header_values import IdentityValues
from medimg_cli.privacy.forms.names import find_identities, judge_series, long_numbers

_KEY_BYTES = 32
_CODE_LETTERS = 14
# No vowels and no digits: a code is never a word, a name or a record number by chance.
_HEXADECIMAL, _CONSONANTS = "0123456789abcdef", "BCDFGHJKLMNPQRST"
_LONGEST_SHIFT_DAYS = 3650
_SHORTEST_SHIFT_DAYS = 30


@dataclass(frozen=True)
class Pseudonyms:
    """What stands for UIDs, patients and names: HMAC-SHA256 of each under a key.

    Without the key nobody can tell which value a code stands for, nor list the values and look.

    Args:
        key: 32 bytes.
    """

    key: bytes

    def uid(self, original: str) -> str:
        """Return `2.25.` and 128 bits as a decimal number, a valid UID (PS3.5 annex B.2)."""
        return f"2.25.{int.from_bytes(self._digest('uid', original)[:16], 'big')}"

    def patient(self, identity: str) -> str:
        """Return the code of a patient, such as `P-KTBQGHNDRRCMSF`; `identity` is whatever tells patients apart."""
        return f"P-{self._letters('patient', identity)}"

    def name(self, original: str) -> str:
        """Return the code of a part of a path."""
        return f"N-{self._letters('name', original)}"

    def shift_days(self, patient: str) -> int:
        """Return by how many days the dates of a patient are moved: 30 to 3,650 days back."""
        span = _LONGEST_SHIFT_DAYS - _SHORTEST_SHIFT_DAYS + 1
        number = int.from_bytes(self._digest("days", patient)[:8], "big")
        return -(_SHORTEST_SHIFT_DAYS + number % span)

    @property
    def fingerprint(self) -> str:
        """Return what tells two keys apart without giving either away."""
        return self._digest("key", "").hex()[:16]

    def _letters(self, purpose: str, value: str) -> str:
        digits = self._digest(purpose, value).hex()[:_CODE_LETTERS]
        return digits.translate(str.maketrans(_HEXADECIMAL, _CONSONANTS))

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.digest(self.key, f"{purpose}\0{value}".encode("utf-8", "surrogateescape"), "sha256")


def read_key(path: Path) -> Pseudonyms:
    """Return the pseudonyms of a key file.

    Raises:
        DataError: it cannot be read or holds no key.
    """
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "name the key file with --key FILE") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} holds no key of medimg", "name another file with --key FILE") from error
    if len(key) != _KEY_BYTES:
        raise DataError(
            f"{path} holds no key of medimg: {_KEY_BYTES} bytes as hexadecimal digits are expected",
            "name another file with --key FILE",
        )
    return Pseudonyms(key)


def read_or_make_key(path: Path) -> tuple[Pseudonyms, bool]:
    """Return the pseudonyms of a key file and whether it was made now, readable for its owner only.

    Raises:
        DataError: the file is there and holds no key.
        MachineError: it cannot be written.
    """
    if path.exists():
        return read_key(path), False
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        made = _put_in_place(temporary, path)
        temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(
            f"cannot write the key {path}: {error.strerror or error}", "choose another place with --key FILE"
        ) from error
    return read_key(path), made


def _put_in_place(temporary: Path, path: Path) -> bool:
    """Give a whole file its name, and return whether it was free: two runs that start together have one key."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        temporary.replace(path)
    return True


NameRule = Literal["auto", "code", "keep"]
_UID = re.compile(r"(?<!\d)(?<!\d\.)[0-2](?:\.(?:0|[1-9]\d*)){5,}(?!\d)")
# Only what is known to be a suffix is one: `Quintrell.Zeb.dcm` ends in `.dcm`.
_SUFFIXES = re.compile(
    r"(?:\.(?:dcm|dicom|ima|jpe?g|jfif|png|gif|tiff?|p[bgpn]m|bmp|dib|webp|np[yz]|nii|gz|zip|tar|tgz|csv|txt|json|xml|pdf))+$",
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
