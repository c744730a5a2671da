"""Fetch one file from a public server: resumed after a break, believed only by its checksum."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.errors import DataError, MachineError
from medimg_cli.sample_data.http_download import (
    Answer,
    BrokenOffError,
    FetchRules,
    NoConnectionError,
    PartialFile,
    RemoteFile,
    UnusableAnswerError,
    ask,
    checksum_of,
    host_of,
    looks_like_web_page,
)
from medimg_cli.workspace.files import disk_errors
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.progress import Progress, SilentProgress

_HINT = "free some disk space or choose another folder with --to; what was fetched so far is kept"

_MEBIBYTE = 1 << 20
# Less than this is no progress: a server that sends a drop and hangs up would be asked for ever.
_PROGRESS_BYTES = 1 << 20
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(frozen=True)
class Fetched:
    """A file whose checksum is right.

    Args:
        reused: it was there before, and nothing was fetched.
    """

    path: Path
    bytes: int
    checksum: str
    reused: bool


def fetch(
    remote: RemoteFile,
    target: Path,
    *,
    progress: Progress = SilentProgress(),
    rules: FetchRules = FetchRules(),  # noqa: B008 -- frozen
) -> Fetched:
    """Make `target` the file that `remote` describes, fetching what is missing of it.

    What came before a break stays in `<target>.part`, with its address and checksum in `<target>.part.json`;
    the next call goes on from there. A file with another checksum never gets the name `target`: it is kept
    as `<target>.rejected`, and so is a wrong one that stood there before. A hidden lock file stays beside it.

    Raises:
        DataError: the server's file has another checksum, or is too long.
        MachineError: the server cannot be reached or does not give the file; the disk is full; another
            medimg is fetching the same file.
    """
    if (there := _already_there(remote, target)) is not None:
        return there
    # Two writers would mix their bytes in one part.
    with (
        locked(target.with_name(f".{target.name}.lock"), doing=f"fetching {target}"),
        disk_errors(target, _HINT),
    ):
        if (there := _already_there(remote, target)) is not None:  # its last holder finished it
            return there
        if target.is_file():
            progress.warn(
                f"{target} is there with a checksum other than {remote.checksum}; fetching it again"
            )
        part = PartialFile(remote, target)
        try:
            _Fetch(part, progress, rules).complete()
        except UnusableAnswerError as error:
            raise _by_hand(remote, target, str(error)) from error
        part.settle()
    return Fetched(target, part.size, remote.checksum, reused=False)


def _already_there(remote: RemoteFile, target: Path) -> Fetched | None:
    if target.is_file() and checksum_of(target, remote.algorithm) == remote.checksum:
        return Fetched(target, target.stat().st_size, remote.checksum, reused=True)
    return None


class _Fetch:
    """One call's attempts to complete a part."""

    def __init__(self, part: PartialFile, progress: Progress, rules: FetchRules) -> None:
        self._part, self._progress, self._rules = part, progress, rules
        self._failures, self._longest = 0, part.size
        self._was_mended = False
        self._unsure_size = -1
        self._has_answered = False

    def complete(self) -> None:
        """Return when the part is the file; each way round costs an attempt or makes progress."""
        if self._part.size:
            self._progress.note(
                f"going on after {_mebibytes(self._part.size)} MiB of {self._part.target.name}"
            )
        while not self._part.is_right:
            try:
                is_end = self._attempt()
            except BrokenOffError as error:
                self._pause(error)
                continue
            if self._part.is_right:
                return
            if is_end or self._part.size == self._unsure_size:
                self._mend_or_reject()
            else:
                self._unsure_size = self._part.size
                self._pause(
                    BrokenOffError("the server did not say how long the file is, and it is not whole")
                )

    def _attempt(self) -> bool:
        """Ask once and keep what comes; return whether the server surely sent all it has."""
        answer = ask(self._part.remote.address, self._part.size, self._rules)
        self._has_answered = True
        try:
            if answer.at_end:
                return True
            if answer.start != self._part.size:  # it ignores ranges, or means another place
                self._part.restart()
                if answer.start or answer.end == 0:
                    raise BrokenOffError("the server has another part than the one it was asked for")
            self._check_space(answer)
            self._receive(answer)
        finally:
            answer.close()
        return answer.framed

    def _receive(self, answer: Answer) -> None:
        name = self._part.target.name
        begin = shown = _mebibytes(self._part.size)
        total = None if answer.end is None else max(1, _mebibytes(answer.end) - begin)
        self._progress.start(f"{name} (MiB)", total)
        try:
            for size in self._part.append(self._checked(answer)):
                self._progress.advance(_mebibytes(size) - shown)
                shown = _mebibytes(size)
        finally:
            self._progress.finish()

    def _checked(self, answer: Answer) -> Iterator[bytes]:
        for chunk in answer.chunks():
            if self._part.size == 0 and looks_like_web_page(chunk):
                raise UnusableAnswerError("the server sends a web page in place of the file")
            if self._part.size + len(chunk) > self._rules.most_bytes:
                self._part.restart()
                raise DataError(
                    f"{host_of(self._part.remote.address)} sends more than {self._rules.most_bytes} bytes",
                    "this is not the file; try another network",
                )
            yield chunk

    def _check_space(self, answer: Answer) -> None:
        free = shutil.disk_usage(self._part.path.parent).free
        if answer.end is not None and answer.end - answer.start > free:
            raise MachineError(
                f"{self._part.target.name} needs {_mebibytes(answer.end - answer.start)} MiB more, "
                f"{_mebibytes(free)} MiB are free in {self._part.path.parent}",
                "free some disk space, or choose another folder with --to",
            )

    def _pause(self, error: BrokenOffError) -> None:
        if isinstance(error, NoConnectionError) and not self._has_answered:
            raise UnusableAnswerError(error.reason) from error  # without a network, say so at once
        self._failures = 1 if self._part.size >= self._longest + _PROGRESS_BYTES else self._failures + 1
        self._longest = max(self._longest, self._part.size)
        if self._failures >= self._rules.attempts:
            raise UnusableAnswerError(f"{error.reason}, {self._failures} times in a row") from error
        self._progress.note(f"{error.reason}; trying again from {_mebibytes(self._part.size)} MiB")
        pause = min(self._rules.wait_seconds * 2 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)
        time.sleep(max(pause, error.wait_seconds))

    def _mend_or_reject(self) -> None:
        """Fetch anew what was put together from pieces, once: one of them may be to blame."""
        part = self._part
        if part.pieces > 1 and not self._was_mended:
            self._was_mended = True
            self._progress.warn(f"the pieces of {part.target.name} do not fit together; fetching it whole")
            part.restart()
            return
        found, wanted = part.checksum, part.remote.checksum
        part.reject()
        raise DataError(
            f"{host_of(part.remote.address)} sent a {part.target.name} with {found}, it must have {wanted}",
            f"do not use it (kept as {part.rejected}); try again later or from another network",
        )


def _by_hand(remote: RemoteFile, target: Path, reason: str) -> MachineError:
    return MachineError(
        f"cannot fetch {target.name} from {host_of(remote.address)}: {reason}",
        f"check the network or proxy and run this again, or put {remote.address} at {target} by hand; "
        f"its checksum must be {remote.checksum}",
    )


def _mebibytes(count: int) -> int:
    return -(-count // _MEBIBYTE)
