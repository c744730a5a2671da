"""medimg merge: the shards of a job array to what the undivided command leaves."""

import shutil
from contextlib import chdir, suppress
from typing import Annotated

import typer

from medimg_cli.cli.options import ARGUMENTS, Session
from medimg_cli.cli.setting_options import takes
from medimg_cli.errors import DataError, ExitCode, GateError, UsageError


@takes("")
def merge(
    session: Session,
    command: Annotated[
        str | None,
        typer.Argument(metavar="[COMMAND]", help="Whose shards.", show_default="the only one that has some"),
    ] = None,
) -> None:
    """Put together what the tasks of a job array did with `--shard I/N`: the bytes are those of one undivided call.

    The command is run once more, on every result that its shards hold: all N have to be there and whole, of the same
    arguments, settings, versions and source. Then the folder `shards/COMMAND` goes. Exit code and output are the
    command's own.

    Example: `medimg merge preprocess`
    """
    from medimg_cli.cli.app import ALIASES, COMMANDS, app
    from medimg_cli.workspace.shards import Merged, whole
    from medimg_cli.workspace.threads import ENGINE

    parent = session.workspace.shards_dir
    waiting = sorted(path.name for path in parent.glob("*") if path.is_dir() and path.name in COMMANDS)
    if command is None and len(waiting) != 1:
        if waiting:
            raise UsageError(
                f"shards of {' and '.join(waiting)} are there", "name one: `medimg merge COMMAND`"
            )
        raise DataError(f"{parent} holds no shards", "run a command with --shard 1/N to N/N first")
    if command is not None and command not in waiting:
        raise DataError(
            f"{parent} holds no shards of {command}", f"it holds those of {', '.join(waiting) or 'nothing'}"
        )
    folder = parent / (command or waiting[0])
    _, call = whole(folder)
    engine = Merged(folder)
    name, *others = call.arguments
    if ALIASES.get(name, name) != folder.name:
        raise DataError(f"{folder} holds shards of {name}", "delete the folder and run all shards again")
    own = [option for option, given in (("--json", session.json), ("--quiet", session.quiet)) if given]
    arguments = [name, "--workspace", str(session.workspace.root), *own, *others]
    tokens = ENGINE.set(engine), ARGUMENTS.set(tuple(arguments))
    finished, code = False, None
    try:
        with chdir(call.folder):
            code = app(arguments, prog_name="medimg", standalone_mode=False)
        finished = code != ExitCode.INTERRUPTED
    except GateError:
        finished = True
        raise
    finally:
        ENGINE.reset(tokens[0])
        ARGUMENTS.reset(tokens[1])
        if finished and engine.merged:
            gone = folder.with_suffix(".merged")
            shutil.rmtree(gone, ignore_errors=True)  # of a call that was killed right here
            shutil.rmtree(folder.rename(gone))
            with suppress(OSError):  # others wait
                parent.rmdir()
    if code:
        raise typer.Exit(code)
