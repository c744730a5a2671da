"""Commands whose work is done in parts or by other machines, or whose files are in object storage: what surrounds their body."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import typer

from medimg_cli.cli.options import ARGUMENTS, Session
from medimg_cli.errors import DataError, GateError, UsageError
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.plain_text import redacted, url_of
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.shards import Call, Shard, ShardDone, ShardResult
from medimg_cli.workspace.threads import ENGINE


@contextmanager
def at_work(session: Session) -> Iterator[None]:
    """Let the engine that the settings name do the named tasks of a command; without one, threads do them.

    Raises:
        UsageError: the settings contradict each other.
    """
    silent = replace(session, quiet=True, verbose=False)  # the body says what is to be said of settings
    settings = silent.settings()
    chosen = settings.cluster
    if ENGINE.get() is not None or (chosen.shard is None and chosen.scheduler is None):
        yield  # there is one while shards are merged
        return
    if chosen.scheduler is not None:
        if chosen.shard is not None:
            raise UsageError("--scheduler and --shard contradict each other", "leave one out")
        from medimg_cli.workspace.cluster import connected

        own = {"chunk": chosen.chunk, "patience_seconds": chosen.patience_seconds}
        place = session.workspace.shards_dir
        with connected(chosen.scheduler, place, progress=session.progress, **own) as cluster:
            token = ENGINE.set(cluster)
            try:
                yield
            finally:
                ENGINE.reset(token)
        return
    number, count = map(int, str(chosen.shard).split("/"))
    folder = session.workspace.shards_dir / session.command
    token = ENGINE.set(Shard(folder, _call(settings), number, count, session.progress))
    try:
        yield
    except ShardDone as done:
        session.progress.finish()
        _show(session, done.result)
    finally:
        ENGINE.reset(token)


_READ = frozenset("sources inputs source data run labels predictions weights".split())
_WRITTEN = frozenset("out html preview".split())


class _Files:
    """Files here in place of addresses.

    Args:
        resume: a file that is to be written is fetched first.
    """

    def __init__(self, session: Session, *, resume: bool) -> None:
        self._session, self._resume = session, resume
        self._downloads = session.workspace.downloads_dir
        self.outputs: dict[str, Path] = {}

    def here(self, name: str, value: Any) -> Any:
        """Return the value of an option or argument with what is here; raises as `files_here`."""
        if isinstance(value, list):
            return [self.here(name, each) for each in value]
        url = url_of(str(value)) if isinstance(value, Path) or name in _READ else ""
        if not url:
            return value
        place = Path(unquote(urlsplit(url).path)) if url.startswith("file://") else self._place(name, url)
        return str(place) if isinstance(value, str) else place

    def _place(self, name: str, url: str) -> Path:
        from medimg_cli.workspace.remote import fetch

        if self._session.options.get("cluster", {}).get("shard"):
            what = "--shard cannot be had with an address: every task would fetch all"
            raise UsageError(what, "bring the files here first, or use --scheduler")
        if name in _READ:
            return fetch(url, self._downloads, self._session.progress)
        if name not in _WRITTEN:
            raise UsageError(f"{redacted(url)} cannot be given here", "name a place on this machine")
        folder = self.outputs[url] = self._downloads / "out" / sha256_of_text(url)[:12]
        place = folder / PurePosixPath(urlsplit(url).path).name
        if self._resume and not place.exists():
            with suppress(DataError):  # there is none yet
                came = fetch(url, self._downloads / "out", self._session.progress)
                folder.mkdir(exist_ok=True)
                came.rename(place)
        return place

    def send(self) -> None:
        """Send what was written to where it belongs."""
        from medimg_cli.workspace.remote import deliver

        for url, folder in self.outputs.items():
            if folder.is_dir():
                deliver(folder, url, self._session.progress)


@contextmanager
def files_here(session: Session, values: dict[str, Any]) -> Iterator[tuple[Session, dict[str, Any]]]:
    """Yield session and arguments with files here in place of addresses; what was written goes there at the end.

    Raises:
        UsageError: an address stands where none can be.
        DataError, MachineError: as `workspace.remote` does.
    """
    for option, place in (("--workspace", session.workspace_dir), ("--config", session.config)):
        if place is not None and (url := url_of(str(place))):
            raise UsageError(f"{option} {redacted(url)} cannot be an address", "name a place on this machine")
    files = _Files(session, resume=bool(values.get("resume")))
    options = {
        section: {name: files.here(name, each) for name, each in own.items()}
        for section, own in session.options.items()
    }
    arguments = {name: files.here(name, value) for name, value in values.items()}
    try:
        yield replace(session, options=options), arguments
    except (typer.Exit, GateError):
        files.send()
        raise
    files.send()


def _call(settings: Settings) -> Call:
    """Return what was called, which all shards of one whole have in common."""
    kept: list[str] = []
    arguments = iter(ARGUMENTS.get())
    for argument in arguments:
        if argument == "--shard":
            next(arguments, None)
        elif not argument.startswith("--shard="):
            kept.append(argument)
    chosen = settings.model_dump(mode="json", exclude={"cluster"})
    return Call(tuple(kept), sha256_of_text(json.dumps(chosen, sort_keys=True))[:16], str(Path.cwd()))


def _show(session: Session, result: ShardResult) -> None:
    from medimg_cli.cli.options import fields_of

    number = len(result.waiting_for)
    line = f"shard {result.shard} of {session.command}: {result.done:,} done"
    line += f", {result.resumed:,} of them by an earlier call" if result.resumed else ""
    rest = f"{number} not begun yet" if number else "all have begun: `medimg merge` puts them together"
    session.show(fields_of(result), lambda console: console.print(f"{line}\n{rest}", markup=False))
