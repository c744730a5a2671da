"""The options every command shares, and the session a command's body works with."""

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from typer.models import ArgumentInfo

from medimg_cli.cli.setting_options import option_of, taken_by
from medimg_cli.errors import ExitCode
from medimg_cli.workspace.plain_text import url_of

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.workspace.progress import Progress
    from medimg_cli.workspace.settings import Settings
    from medimg_cli.workspace.workspace import Workspace

_PANEL = "Shared options"
RunName = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Run; the newest by default.")]
LAST = "last"
"""What a bare --resume stands for."""
OURS = "own"
"""What a bare --list-archs stands for: medimg's networks and torchvision's."""
IN_WORKSPACE = "workspace"
"""What a bare --init-facts stands for."""


ARGUMENTS: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())
"""The command line that is run."""


@dataclass(frozen=True)
class Session:
    """One command call: where it works, what was set, and how it speaks.

    Args:
        options: section → setting → value, what was given as options of settings.
    """

    command: str
    workspace_dir: Path | None
    config: Path | None
    assignments: list[str]
    json: bool
    quiet: bool
    verbose: bool
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @functools.cached_property
    def workspace(self) -> "Workspace":
        from medimg_cli.workspace.workspace import find_workspace

        return find_workspace(self.workspace_dir)

    @functools.cached_property
    def progress(self) -> "Progress":
        if self.quiet:
            from medimg_cli.workspace.progress import SilentProgress

            return SilentProgress()
        from medimg_cli.cli.views.render import progress_for

        return progress_for()

    def settings(self, *, planned: bool = True, **more: Mapping[str, Any]) -> "Settings":
        """Return the settings in force.

        Args:
            planned: read the workspace's `plan.yaml` too.
            more: section → setting → value, over the options that were given; None means not given.
        """
        from medimg_cli.workspace.config import load_settings

        options = {name: dict(values) for name, values in self.options.items()}
        for name, values in more.items():
            given = {key: value for key, value in values.items() if value is not None}
            options[name] = options.get(name, {}) | given
        settings = load_settings(
            self.workspace,
            config=self.config,
            assignments=self.assignments,
            options=options,
            planned=planned,
            note=self.progress.note,
        )
        if self.verbose:
            self.progress.note(f"workspace: {self.workspace.root}")
            for section in options:
                values = getattr(settings, section).model_dump(mode="json")
                shown = ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
                self.progress.note(f"settings of {section.replace('_', '-')}: {shown}")
        return settings

    def settings_elsewhere(self, place: "Workspace") -> "Settings":
        """Return the settings by which images from elsewhere are read, kept in a workspace of their own."""
        from medimg_cli.workspace.config import load_settings

        options = {"ingest": self.options["ingest"]}
        return load_settings(place, config=self.config, assignments=self.assignments, options=options)

    def of_one_voice(self) -> "Session":
        """Return the session, quiet in all but the first of the processes that torchrun or Slurm started together."""
        from medimg_cli.training.distributed.ranks import process_of

        return replace(self, quiet=True, verbose=False) if process_of(os.environ).rank else self

    def show(self, payload: Mapping[str, Any], draw: Callable[["Console"], None]) -> None:
        """Write the result to stdout: one JSON object with `--json`, else what `draw` puts there."""
        from medimg_cli.cli.views.render import show_json, stdout_console

        with unbroken_stdout():
            if self.json:
                show_json(self.command, payload)
            else:
                draw(stdout_console())
            sys.stdout.flush()


@contextmanager
def unbroken_stdout() -> Iterator[None]:
    """Write to stdout; the command ends with the code for it when nobody reads it any more."""
    try:
        yield
    except BrokenPipeError as error:
        from medimg_cli.cli.views.render import drop_stdout

        # Caught here: Typer itself would end with 1, which means a gate to our users.
        drop_stdout()
        raise typer.Exit(ExitCode.BROKEN_PIPE) from error
    except OSError:  # the disk that stdout goes to is full; `run` says so
        from medimg_cli.cli.views.render import drop_stdout

        drop_stdout()
        raise


def fields_of(result: Any, *without: str, **more: Any) -> dict[str, Any]:
    """Return the fields of a result for its JSON, those named left out, `more` over them."""
    return {name: value for name, value in vars(result).items() if name not in without} | more


def _shared(
    workspace_dir: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-C",
            metavar="DIR",
            help="Folder with this study's files; else MEDIMG_WORKSPACE, the nearest medimg.yaml, or here.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Settings that go over the workspace's medimg.yaml.",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="One setting; may be repeated.", rich_help_panel=_PANEL
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to stdout.", rich_help_panel=_PANEL)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=_PANEL)
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Also say which workspace and settings are in force.",
            rich_help_panel=_PANEL,
        ),
    ] = False,
) -> None:
    """Hold the shared options; only its signature is used."""


def shared_options() -> dict[str, bool]:
    """Return the names of the options that every command has → whether a value follows."""
    parameters = inspect.signature(_shared, eval_str=True).parameters.values()
    found = [get_args(parameter.annotation) for parameter in parameters]
    return {
        name: kind is not bool for kind, option in found for name in (option.default, *option.param_decls)
    }


def _is_url(value: Any) -> bool:
    """Return whether what an option or argument was given is an address, or several of which one is."""
    return any(url_of(str(each)) for each in value) if isinstance(value, list) else bool(url_of(str(value)))


def with_session(name: str, body: Callable[..., None]) -> Callable[..., None]:
    """Return `body(session, ...)` as a function of its settings' options, its own and the shared ones.

    Args:
        name: the command's name as users type it.
        body: first parameter `session`, the others Typer parameters; what it `takes` of the settings is in the session.

    Raises:
        ValueError: the body declares an option that a setting has already.
    """
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    shared = list(inspect.signature(_shared, eval_str=True).parameters.values())
    taken = taken_by(body)
    repeated = {parameter.name for parameter in own} & {each.key for each in taken}
    if repeated:
        raise ValueError(f"{name}: {sorted(repeated)} are settings, which have their options already")

    @functools.wraps(body)
    def call(**values: Any) -> None:
        common = {parameter.name: values.pop(parameter.name) for parameter in shared}
        common["assignments"] = common["assignments"] or []
        given: dict[str, dict[str, Any]] = {each.section: {} for each in taken}
        for each in taken:
            if (value := values.pop(each.key)) is not None:
                given[each.section][each.key] = value
        session = Session(command=name, options=given, **common)
        with ExitStack() as around:
            if any(
                map(_is_url, (*common.values(), *values.values(), *chain(*map(dict.values, given.values()))))
            ):
                from medimg_cli.cli.elsewhere import files_here

                session, values = around.enter_context(files_here(session, values))
            if "cluster" in given:
                from medimg_cli.cli.elsewhere import at_work

                around.enter_context(at_work(session))
            body(session, **values)

    arguments = [each for each in own if isinstance(get_args(each.annotation)[-1], ArgumentInfo)]
    others = [each for each in own if each not in arguments]
    parameters = [*arguments, *(option_of(each) for each in taken), *others, *shared]
    whole = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    call.__signature__ = inspect.Signature(whole)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in whole}
    del call.__wrapped__
    return call
