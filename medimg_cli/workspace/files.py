"""Files: atomic writes, content hashes, JSON without NaN, and where templates live."""

import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from medimg_cli.errors import DataError, MachineError, RunError

SCHEMA = 1
"""Of the JSON objects that commands write to stdout."""

ON_WINDOWS = sys.platform == "win32"
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")


@contextmanager
def disk_errors(path: Path, hint: str) -> Iterator[None]:
    """Turn what the disk refuses while `path` is written into an error.

    Raises:
        MachineError: it was refused.
    """
    try:
        yield
    except OSError as error:
        both = (error, error.__cause__)  # pydicom raises it anew, with a traceback as its text
        words = next((each.strerror for each in both if isinstance(each, OSError) and each.strerror), error)
        raise MachineError(f"cannot write {path}: {words}", hint) from error


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it is synced and takes its place, else it goes.

    A killed process leaves the previous `target` readable.

    Raises:
        MachineError: the disk is full or the folder cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with disk_errors(target, "free some disk space or choose another folder"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            synced(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def synced(path: Path) -> None:
    """See a file, or the names in a folder, on the disk.

    Windows syncs what is open for writing, and keeps the names in a folder itself.
    """
    if ON_WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if ON_WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def drop_unfinished_line(path: Path) -> None:
    """Cut a journal after its last whole line: a killed process or a full disk leaves half of one."""
    if path.is_file() and not (content := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove those of some files that `atomic_path` of a killed process left: temporary ones of no live process."""
    for path in paths:
        match = _TEMPORARY.fullmatch(path.name)
        if match and not _is_alive(int(match[1])):
            path.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Return whether another process of this number lives; its own number is left from an earlier container."""
    if process == os.getpid():
        return False
    if ON_WINDOWS:  # there, asking a process by a signal ends it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_text(target: Path, text: str) -> None:
    """Write `text` (UTF-8) to `target` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write `value` as indented JSON, NaN and infinities as null, atomically."""
    write_text(target, json.dumps(to_jsonable(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, *, most_bytes: int = 1 << 30) -> Any:
    """Read a JSON file.

    Raises:
        DataError: the file is missing, is not JSON (RFC 8259; NaN is none), names a key twice, or is larger than that.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise ValueError(f"it has more than {most_bytes >> 20} MiB")
        return json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_once_each, parse_constant=_no_number
        )
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist", "run the command that writes it first") from error
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{path} cannot be read: {reason}", "restore the file or run its command again"
        ) from error


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written of `value` with `seal`, a hash of all else, by which `check_seal` knows it again."""
    content = {name: each for name, each in to_jsonable(value).items() if name != "seal"}
    return {**content, "seal": sha256_of_text(json.dumps(content, sort_keys=True))[:16]}


def check_seal(path: Path, content: Any) -> Any:
    """Return what was read of a sealed file; one of an earlier version has no seal and is taken as it is.

    Raises:
        DataError: it is not what was written.
    """
    if isinstance(content, dict) and "seal" in content and sealed(content)["seal"] != content["seal"]:
        raise DataError(
            f"{path} is not as medimg wrote it: damaged, or edited by hand",
            "restore the file or run its command again (ingest with --fresh)",
        )
    return content


_SEAL = "# seal: "


def under_seal(text: str) -> str:
    """Return a YAML text below a comment with its hash, by which `read_under_seal` knows it again."""
    return f"{_SEAL}{sha256_of_text(text)[:16]}\n{text}"


def read_under_seal(path: Path) -> str:
    """Return such a text as it was written; one of an earlier version has no seal and is taken as it is.

    Raises:
        RunError: it is empty, or not what was written.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    whole = path.read_text(encoding="utf-8")
    head, _, text = whole.partition("\n")
    if not whole or (head.startswith(_SEAL) and whole != under_seal(text)):
        raise RunError(
            f"{path} is not as medimg wrote it: damaged, or edited by hand",
            "restore the file or train again",
        )
    return whole


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise ValueError(f"{twice[:80]!r} stands in it twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def to_jsonable(value: Any) -> Any:
    """Return `value` with mappings, sequences, records, paths and numpy scalars made plain; NaN becomes None."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    elif is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_jsonable(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays, without importing numpy here
        return to_jsonable(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def templates_dir() -> Path:
    """Return the folder of Jinja templates: inside the wheel, or at the top of a checkout.

    Raises:
        MachineError: neither is there (a broken installation).
    """
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "templates", package.parent / "templates"):
        if (candidate / "report").is_dir():
            return candidate
    raise MachineError(f"no templates beside {package}", "install medimg again")
