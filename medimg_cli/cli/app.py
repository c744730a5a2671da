"""The application: which commands there are, and what each error exits with."""

import codecs
import errno
import io
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import traceback
from _thread import interrupt_main
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from medimg_cli import __version__
from medimg_cli.cli.options import ARGUMENTS, IN_WORKSPACE, LAST, OURS, shared_options, with_session
from medimg_cli.errors import ExitCode, MedimgError
from medimg_cli.workspace.plain_text import redacted, visible_line
from medimg_cli.workspace.threads import work_is_left

_NAMES = (
    "init ingest download label-audit sample-size deidentify preprocess train tune evaluate recalibrate predict "
    "report export bundle serve merge runs demo info doctor"
)


def _command(name: str) -> Callable[..., None]:
    """Return the function of a command: `label-audit` is `label_audit` in `cli/label_audit.py`."""
    plain = name.replace("-", "_")
    body: Callable[..., None] = getattr(import_module(f"medimg_cli.cli.{plain}"), plain)
    return body


COMMANDS = {name: _command(name) for name in _NAMES.split()}
"""Every command by its name, in the order in which they are listed."""
ALIASES = {"audit": "label-audit"}

_BARE = {"--resume": LAST, "--init-facts": IN_WORKSPACE, "--list-archs": OURS}
_WITHOUT_VALUES = {("predict", "--resume")}
_INTERRUPTED = (
    "interrupted",
    "what was finished is kept; the same command goes on from there, training and predicting with --resume",
)

_SIGNALS: list[int] = []
_SPOKEN: list[str] = []
"""Those that came, each of which raised `KeyboardInterrupt`."""
_OF_THE_MACHINE = {
    getattr(errno, name)
    for name in "ENOSPC EDQUOT EFBIG EROFS EACCES EPERM EIO EMFILE ENFILE ENOMEM ESTALE EISDIR ENOTDIR ELOOP".split()
    if hasattr(errno, name)
}
"""What no command can foresee at every file it opens."""
_LACKING = (
    "give it the rights, the space or the memory, or the file its place; then run the same command again"
)
_SECONDS_TO_END = 4.0
"""What a command has for its own end after a signal; a service that finishes requests takes the time it is given."""

_LOOK: dict[str, Any] = {
    "rich_markup_mode": "markdown",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["--help", "-h"], "max_content_width": 100},
}


class _Commands(TyperGroup):
    """The commands, whose options are made from the settings only when one is called: listing them reads none."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        named, command, rest = super().resolve_command(ctx, args)
        if named is None or command is None:
            return named, command, rest
        return named, _with_options(ALIASES.get(named, named)), rest


def _with_options(name: str) -> Any:
    """Return a command with the options that its settings make."""
    single = typer.Typer(add_completion=False, **_LOOK)
    single.command(name)(with_session(name, COMMANDS[name]))
    return typer.main.get_command(single)


app = typer.Typer(name="medimg", cls=_Commands, invoke_without_command=True, **_LOOK)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"medimg {__version__}")
        raise typer.Exit


@app.callback()
def _medimg(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Classify medical images, from raw files to a report a reviewer accepts.

    In an empty folder:
    `medimg ingest ./raw && medimg train && medimg report --out eval.pdf`

    `medimg` alone says the next sensible step for this folder. `medimg --install-completion` completes names by Tab.

    Decision support for research. Not a medical device.
    """
    if context.invoked_subcommand is None and not version:
        from medimg_cli.cli.next_step import next_step

        here, command = next_step()
        typer.echo(f"here: {visible_line(here)}\nnext: {visible_line(command)}\nall commands: medimg --help")


for _name in (*COMMANDS, *ALIASES):
    _text = COMMANDS[ALIASES.get(_name, _name)].__doc__
    # Without parameters, as it stands in the list alone: `_Commands` makes the whole one.
    app.command(_name, help=_text, hidden=_name in ALIASES)(lambda: None)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run medimg and leave the process with its exit code."""
    try:
        sys.unraisablehook = _interrupt_again
        # Without name resolution torch warns of each of several processes, and goes on over the loopback.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        spell_out(sys.stdout, sys.stderr)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _interrupt)
        _end_in_time()
        code = run(sys.argv[1:] if arguments is None else arguments)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # it ends already
    except KeyboardInterrupt:  # before the first message, after the last one, or a second one
        code = ExitCode.INTERRUPTED
        if _INTERRUPTED[0] not in _SPOKEN:
            _say(*_INTERRUPTED)
    if work_is_left():  # code that hangs in a thread may hold, or break, the interpreter's own end
        _leave_at_once(code)
    sys.exit(code)


def spell_out(*streams: Any) -> None:
    """Have streams write what their encoding lacks, as that of a pipe on Windows, as JSON does: `\\u65e5`."""

    def spelt(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end

    codecs.register_error("spelt", spelt)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelt")


def _end_in_time() -> None:
    """See to it that a command ends within seconds of a signal, also where it hangs in foreign code.

    Python calls a signal's handler between two of its own instructions, in the main thread alone: while that one
    waits in a library, nothing happens. The number of a signal is written to `set_wakeup_fd` at once.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    if hasattr(os, "register_at_fork"):  # signals to a copy of this process are not for this one
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))

    def wait() -> None:
        with ours, theirs:  # open as long as this thread lives
            while ours.recv(1)[0] not in (signal.SIGTERM, signal.SIGINT):
                pass
            time.sleep(_SECONDS_TO_END)
            _say(*_INTERRUPTED)
            _leave_at_once(ExitCode.INTERRUPTED)

    threading.Thread(target=wait, daemon=True).start()


def _leave_at_once(code: int) -> NoReturn:
    for child in multiprocessing.active_children():
        child.kill()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a pipe that nobody reads any more
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors become two lines on stderr."""
    ARGUMENTS.set(tuple(arguments))
    try:
        code = app(_with_values(_command_first(arguments)), prog_name="medimg", standalone_mode=False)
        if code == ExitCode.INTERRUPTED:  # Typer turns the interruption itself into a code
            _say(*_INTERRUPTED)
        return int(code or ExitCode.DONE)
    except MedimgError as error:
        _say(error.what, error.hint)
        return error.exit_code
    except TyperException as error:
        named = next((name for name in arguments if name in COMMANDS or name in ALIASES), None)
        option = getattr(error, "option_name", "") if hasattr(error, "possibilities") else ""
        if option and (others := _commands_with(option)):
            _say(f"No such option: {option}", f"it is an option of {_listed(others)}")
            return ExitCode.USAGE
        help_of = f"medimg {named} --help" if named else "medimg --help"
        _say(_one_line(error.format_message()), f"see `{help_of}`")
        return ExitCode.USAGE
    except (KeyboardInterrupt, typer.Abort):
        _say(*_INTERRUPTED)
        return ExitCode.INTERRUPTED
    except Exception as error:
        if _SIGNALS:  # code in Rust or C took the interruption for an error of its own
            _say(*_INTERRUPTED)
            return ExitCode.INTERRUPTED
        if os.environ.get("MEDIMG_DEBUG"):
            traceback.print_exc()
        if isinstance(error, MemoryError) or getattr(error, "errno", None) in _OF_THE_MACHINE:
            words = getattr(error, "strerror", None) or "there is not enough memory"
            _say(f"{getattr(error, 'filename', None) or 'the machine'}: {words}", _LACKING)
            return ExitCode.MACHINE
        _say(
            f"a bug in medimg: {type(error).__name__}: {_one_line(str(error))}",
            "run it again with MEDIMG_DEBUG=1 and send us the traceback",
        )
        return ExitCode.BUG


def _commands_with(option: str) -> list[str]:
    """Return the commands that have an option of exactly this name."""
    return [name for name in COMMANDS if any(option in each.opts for each in _with_options(name).params)]


def _listed(names: Sequence[str]) -> str:
    *others, last = (f"`medimg {name}`" for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def _command_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with options that all commands share behind the command, where Typer looks for them."""
    end, shared = 0, shared_options()
    while (name := "".join(arguments[end : end + 1]).partition("=")[0]) in shared:
        end += 1 + (shared[name] and "=" not in arguments[end])
    return [*arguments[end : end + 1], *arguments[:end], *arguments[end + 1 :]]


def _with_values(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the values that bare options stand for; Typer has no optional values."""
    whole: list[str] = []
    for place, argument in enumerate(arguments):
        whole.append(argument)
        following = arguments[place + 1 : place + 2]
        if (arguments[0], argument) in _WITHOUT_VALUES:
            continue
        if argument in _BARE and (not following or following[0].startswith("-")):
            whole.append(_BARE[argument])
    return whole


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _SIGNALS.append(number)
    raise KeyboardInterrupt


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Have an interruption that came where nothing can be raised, in a finaliser, come once more right behind it."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.01, interrupt_main).start()
    else:
        sys.__unraisablehook__(unraisable)


def _say(what: str, hint: str) -> None:
    _SPOKEN.append(what)
    with suppress(OSError):  # stderr may go to the disk that is full: the exit code is left
        typer.echo(f"error: {visible_line(redacted(what))}\nhint: {visible_line(redacted(hint))}", err=True)


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
