"""Pseudonyms by a secret key: the same key gives the same ones in every run, another key shares none of them."""

import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.errors import DataError, MachineError

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
