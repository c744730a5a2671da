"""Object storage and web servers: what a command reads is streamed to the workspace first, what it writes is sent when whole.

    downloads/s3/BUCKET/PREFIX/…      the objects below a prefix, or one; only what came or changed is fetched again
    downloads/s3/BUCKET/PREFIX.json   of each: size, the store's own tag, SHA-256

Memory is bounded by some blocks a thread. Where a connection breaks, reading goes on at the byte where it stood.
"""

import hashlib
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from medimg_cli.errors import DataError, MachineError, UsageError
from medimg_cli.workspace.files import atomic_path, read_json, write_json
from medimg_cli.workspace.plain_text import plural, reason_of, redacted
from medimg_cli.workspace.progress import Progress, tracked
from medimg_cli.workspace.threads import map_ordered

Answer = TypeVar("Answer")

_BLOCK_BYTES = 1 << 20
_AT_ONCE = 8
_TRIES, _LONGEST_WAIT_SECONDS = 7, 10.0
_CREDENTIALS = (
    "give credentials as the store's own tools take them: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or "
    "AWS_ENDPOINT_URL for another server"
)
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def fetch(url: str, downloads: Path, progress: Progress) -> Path:
    """Bring what is at an address here, and return the file or folder it is in; objects that went there go here.

    Raises:
        UsageError: there are credentials in the address.
        DataError: nothing is there, or it may not be read, or a name cannot be a file's.
        MachineError: an extra is missing, the disk is too small, or the server does not answer.
    """
    store, path = _store(url)
    objects, single = _trying(partial(_listed, store, path), url)
    if not objects:
        raise DataError(f"nothing is at {redacted(url)}", "check bucket and prefix")
    place = _place(url, downloads)
    record = place.with_name(f"{place.name}.json")
    before: dict[str, Any] = {}
    with suppress(DataError):
        before = read_json(record)["objects"]
    missing = {
        name: about
        for name, about in objects.items()
        if not (
            _known(before.get(name), about) and _size(_target(place, name, single)) == before[name]["bytes"]
        )
    }
    needed = sum(about["size"] or 0 for about in missing.values())
    place.parent.mkdir(parents=True, exist_ok=True)
    if needed > (free := shutil.disk_usage(place.parent).free):
        what = f"{redacted(url)} needs {needed / 1e9:.1f} GB, and {place.parent} has {free / 1e9:.1f} GB left"
        raise MachineError(what, "free some disk space, or name another workspace")

    def one(item: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        name, about = item
        return _streamed(store, about, _target(place, name, single), url)

    fetched = map_ordered(one, missing.items(), workers=_AT_ONCE)
    done = {name: about for name, about in before.items() if name in objects and name not in missing}
    try:
        done.update(zip(missing, tracked(fetched, progress, "fetching", total=len(missing)), strict=True))
    finally:  # also what came before an end by the user
        write_json(record, {"url": redacted(url), "objects": dict(sorted(done.items()))})
    for name in before.keys() - objects.keys():
        _target(place, name, single).unlink(missing_ok=True)
    progress.note(f"{redacted(url)}: {plural(len(objects), 'object')}, {len(missing):,} of them fetched now")
    return place


def deliver(folder: Path, url: str, progress: Progress) -> None:
    """Send all files of a folder to where the one at an address belongs; the folder then goes.

    Raises:
        MachineError: they cannot be sent; they stay in the folder.
    """
    store, path = _store(url)
    parent = path.rpartition("/")[0]
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    for file in files:
        target = f"{parent}/{file.relative_to(folder).as_posix()}"
        try:
            _trying(partial(store.put_file, str(file), target), url)
        except (DataError, MachineError) as error:
            raise MachineError(error.what, f"what was to be sent is in {folder}; {error.hint}") from error
    shutil.rmtree(folder)
    progress.note(
        f"sent to {redacted(url)}" + (f" and beside it, {len(files)} files" if len(files) > 1 else "")
    )


def _store(url: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path there."""
    if "@" in urlsplit(url).netloc:
        raise UsageError(f"credentials do not belong into an address: {redacted(url)}", _CREDENTIALS)
    try:
        store, path = import_module("fsspec.core").url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise MachineError(
            f"{redacted(url)} needs another package", "pip install 'medimg[remote]'"
        ) from error
    except ValueError as error:
        raise UsageError(f"{redacted(url)} is no address that can be read", reason_of(error)) from error
    return store, str(path)


def _listed(store: Any, path: str) -> tuple[dict[str, dict[str, Any]], bool]:
    """Return name → what is known of each object below a path, and whether it is a single one, by its own name."""
    store.invalidate_cache()
    about = store.info(path)
    if about["type"] == "file":
        return {PurePosixPath(urlsplit(path).path).name: _about(about)}, True
    found = store.find(path, detail=True)
    objects = {key[len(path) :].lstrip("/"): _about(each) for key, each in found.items()}
    markers = [
        name for name, each in objects.items() if name.endswith("/") or (not name and not each["size"])
    ]
    return {name: objects[name] for name in sorted(objects.keys() - markers)}, False


def _about(found: dict[str, Any]) -> dict[str, Any]:
    tag = found.get("ETag") or found.get("etag") or found.get("LastModified") or found.get("mtime") or ""
    return {"path": found["name"], "size": found.get("size"), "tag": str(tag).strip('"')}


def _known(before: dict[str, Any] | None, about: dict[str, Any]) -> bool:
    return bool(before) and bool(about["tag"]) and before["tag"] == about["tag"]  # type: ignore[index]


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _place(url: str, downloads: Path) -> Path:
    parts = urlsplit(url)
    names = [part for part in unquote(parts.path).split("/") if part]
    return _below(downloads / parts.scheme / parts.netloc.replace(":", "-"), names, url)


def _target(place: Path, name: str, single: bool) -> Path:
    return place if single else _below(place, name.split("/"), name)


def _below(folder: Path, names: list[str], shown: str) -> Path:
    if any(name in ("", ".", "..") or "\0" in name or "\\" in name for name in names):
        raise DataError(f"'{redacted(shown)}' cannot be the name of a file here", "rename the object")
    return folder.joinpath(*names)


def _streamed(store: Any, about: dict[str, Any], target: Path, url: str) -> dict[str, Any]:
    """Write an object to a file, and return what is kept of it."""
    digest, position = hashlib.sha256(), 0
    with atomic_path(target) as temporary, temporary.open("wb") as out:

        def go_on() -> None:
            nonlocal position
            if position and _about(store.info(about["path"]))["tag"] != about["tag"]:
                raise DataError(
                    f"{redacted(about['path'])} changed while it was read", "run the command again"
                )
            with store.open(about["path"], "rb", block_size=_BLOCK_BYTES, cache_type="readahead") as stream:
                if position:
                    stream.seek(position)
                while block := stream.read(_BLOCK_BYTES):
                    out.write(block)
                    digest.update(block)
                    position += len(block)
            if about["size"] not in (None, position):
                raise ConnectionError(f"{position:,} of {about['size']:,} bytes came")

        _trying(go_on, url)
    return {"bytes": position, "tag": about["tag"], "sha256": digest.hexdigest()}


def _trying(action: Callable[[], Answer], url: str) -> Answer:
    """Return what an action returns, tried again while the server does not answer, at growing intervals."""
    for number in range(_TRIES):
        try:
            return action()
        except (DataError, MachineError):
            raise
        except _FINAL as error:
            what = f"{redacted(url)} cannot be read or written: {redacted(reason_of(error))}"
            raise DataError(what, f"check the address; {_CREDENTIALS}") from error
        except Exception as error:  # stores raise what their libraries happen to raise
            if "Credentials" in type(error).__name__:
                raise MachineError(f"{redacted(url)}: no credentials were found", _CREDENTIALS) from error
            reason = redacted(reason_of(error))
        if number + 1 < _TRIES:
            time.sleep(min(0.25 * 2**number, _LONGEST_WAIT_SECONDS))
    what = f"{redacted(url)} does not answer, tried {_TRIES} times: {reason}"
    raise MachineError(what, "try again later: what came is kept")
