"""Commands whose work is done in parts or elsewhere: what their body is run in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medimg_cli.cli.options import ARGUMENTS, Session
from medimg_cli.errors import UsageError
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.shards import Call, Shard, ShardDone, ShardResult
from medimg_cli.workspace.threads import ENGINE


@contextmanager
def at_work(session: Session) -> Iterator[None]:
    """Let the engine that the settings name do the named tasks of a command; without one, threads do them.

    Raises:
        UsageError: the settings contradict each other.
    """
    settings = session.settings()
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
