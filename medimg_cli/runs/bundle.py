"""A bundle: one zip with a model and all that using it needs, made so that its bytes tell nothing of when or where.

    model.json, model.onnx, reference.safetensors, explain.json    of the model, or below members/NAME/ of each network
    about.json, NOTICE.txt, MODEL_CARD.md                         what it is for, whose it is, how it did
    SHA256SUMS                                                   of every other file, as `sha256sum -c` reads it

A bundle comes from somebody else, so nothing in it is believed: everything is checked before a byte of it is used, and
what is unpacked lies in a folder of this process alone until the model stands in memory. The sums tell damage and
tampering by halves; who has made a bundle they do not tell.
"""

import errno
import hashlib
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel

from medimg_cli.errors import MachineError, RunError
from medimg_cli.images.archives import HARMLESS_BYTES, LIMIT_RATIO
from medimg_cli.runs.tested import Tested
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.plain_text import reason_of

SUMS, ABOUT, NOTICE, MODEL_CARD = "SHA256SUMS", "about.json", "NOTICE.txt", "MODEL_CARD.md"
LIMIT_FILES = 1_000
LIMIT_BYTES = 16 << 30
_LIMIT_SUMS_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_LINE = re.compile(r"(?P<sum>[0-9a-f]{64}) [ *](?P<name>[^\r\n]+)")
_BIRTH = (1980, 1, 1, 0, 0, 0)  # the first day a zip can name (APPNOTE 4.4.6)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGES = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, ValueError, LookupError, OverflowError, MemoryError, RuntimeError),
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE)
_AGAIN = "copy or download it again; `medimg bundle` writes one"


class About(BaseModel, frozen=True):
    """`about.json`: what only people know of a model, and what it was made with.

    Args:
        medimg: the version that wrote the bundle.
        run: what the model is called.
        weights_sha256: of its weights, of an ensemble as in its card.
        said: fact → answer, as in `reporting.study_questions`; those that somebody gave.
        versions: of what it was trained with.
        tested: what was measured on test at the model's threshold; None where that was not.
        withheld_sets: class → why sets that leave it out are not given, see `runs.tested.withheld_sets`.
    """

    version: Literal[1] = 1
    medimg: str
    run: str
    weights_sha256: str
    said: dict[str, str] = {}
    versions: dict[str, str] = {}
    tested: Tested | None = None
    withheld_sets: dict[str, str] = {}


def is_bundle(place: Path) -> bool:
    """Return whether a place that a model is wanted from is a file, which has to be a bundle, and no run's folder."""
    return place.is_file()


def write_bundle(out: Path, files: Mapping[str, Path | bytes]) -> None:
    """Write a zip of `files` by their names; the same files give the same bytes on every machine and day.

    Nothing is compressed: weights hardly can be, and other versions of zlib would give other bytes.
    """
    sums = "".join(
        f"{hashlib.sha256(each).hexdigest() if isinstance(each, bytes) else sha256_of_file(each)}  {name}\n"
        for name, each in sorted(files.items())
    )
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(files):
            _add(archive, name, files[name])
        _add(archive, SUMS, sums.encode())


def _add(archive: zipfile.ZipFile, name: str, content: Path | bytes) -> None:
    info = zipfile.ZipInfo(name, _BIRTH)
    info.create_system = 3  # Unix, so that the next line is understood, whatever this machine is
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
    with archive.open(info, "w") as target:
        if isinstance(content, bytes):
            target.write(content)
        else:
            with content.open("rb") as source:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield a folder of this process alone with the files of a bundle, checked; it is gone afterwards.

    Errors that name the folder name the bundle instead.

    Raises:
        RunError: it is no bundle, damaged, changed, or holds what a bundle does not.
        MachineError: there is no room for it.
    """
    with tempfile.TemporaryDirectory(prefix="medimg-") as name:
        folder = Path(name)
        _unpack(path, folder)
        try:
            yield folder
        except RunError as error:
            raise RunError(error.what.replace(name, str(path)), _AGAIN) from error


def _unpack(path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            files = _checked_names(path, archive.infolist())
            sums = _sums_of(path, archive, files)
            for name, info in files.items():
                if name != SUMS:
                    _take_out(path, archive, info, folder / name, sums[name])
    except _DAMAGES as error:
        raise RunError(f"{path} is damaged, or no bundle: {reason_of(error)}", _AGAIN) from error
    except OSError as error:
        if error.errno not in _NO_ROOM:  # a place before the file's beginning, a name that is a folder's, too
            raise RunError(f"{path} is damaged, or no bundle: {error.strerror or error}", _AGAIN) from error
        reason = error.strerror or str(error)
        raise MachineError(
            f"cannot unpack {path}: {reason}", "free some space for temporary files"
        ) from error


def _checked_names(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Return name → member; raises `RunError` for what could harm, judged by the directory alone."""
    if len(members) > LIMIT_FILES:
        raise RunError(f"{path} is no bundle: it has {len(members)} files", _AGAIN)
    files: dict[str, zipfile.ZipInfo] = {}
    for info in members:
        fault = _fault_of(info) or ("stands in it twice" if info.filename in files else "")
        if fault:
            raise RunError(f"{path} is refused: {info.filename!a} {fault}", _AGAIN)
        files[info.filename] = info
    size = sum(info.file_size for info in members)
    # Against the whole file: parts that several members share count once, as they do in the file.
    if size > LIMIT_BYTES or size > max(HARMLESS_BYTES, LIMIT_RATIO * path.stat().st_size):
        raise RunError(f"{path} is refused: it would grow to {size >> 20} MiB when it is unpacked", _AGAIN)
    return files


def _fault_of(info: zipfile.ZipInfo) -> str:
    """Return what is wrong with a member, "" when nothing is."""
    place = PurePosixPath(info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    plain = re.fullmatch(r"[\w.-]+(?:/[\w.-]+)*", info.filename) is not None
    if not plain or place.is_absolute() or ".." in place.parts or str(place) != info.filename:
        return "is no name of a bundle's file"
    if kind not in (0, stat.S_IFREG):
        return "is a link, or no plain file"
    if info.flag_bits & 1:  # APPNOTE 4.4.4
        return "is encrypted"
    if info.compress_type not in _METHODS:
        return "is packed in an unusual way"
    return ""


def _sums_of(path: Path, archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """Return name → SHA-256 of all files but the sums' own; raises `RunError` unless both lists are the same."""
    if SUMS not in files or files[SUMS].file_size > _LIMIT_SUMS_BYTES:
        raise RunError(f"{path} is no bundle: it has no {SUMS}", _AGAIN)
    lines = [_LINE.fullmatch(line) for line in archive.read(SUMS).decode("utf-8").splitlines()]
    sums = {line["name"]: line["sum"] for line in lines if line is not None}
    lacking, unnamed = sorted(set(sums) - set(files)), sorted(set(files) - set(sums) - {SUMS})
    if lacking or "model.json" not in files:
        raise RunError(f"{path} lacks {[*lacking, 'model.json'][0]!a}", _AGAIN)
    if unnamed:
        raise RunError(f"{path} is refused: {unnamed[0]!a} does not stand in its {SUMS}", _AGAIN)
    return sums


def _take_out(
    path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path, expected: str
) -> None:
    """Write one member, and refuse it when it is not the file whose sum was noted."""
    digest = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(info) as source, target.open("xb") as stream:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
            stream.write(chunk)
    if digest.hexdigest() != expected:
        raise RunError(f"{path}: {info.filename} is not the file that its {SUMS} names", _AGAIN)
