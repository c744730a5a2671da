"""Options made from settings: name, type, help, default and choices of an option stand in its setting alone."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

Body = TypeVar("Body", bound=Callable[..., None])
_TAKES = "__medimg_takes__"
DIVIDED = {"cluster.scheduler": "", "cluster.shard": ""}
"""What commands take whose work can be divided over processes and machines."""


@dataclass(frozen=True)
class Taken:
    """One setting that a command has an option for; `help_text` replaces the setting's own description."""

    section: str
    key: str
    help_text: str = ""


def takes(section: str, also: Mapping[str, str] | None = None) -> Callable[[Body], Body]:
    """Return a decorator that gives a command an option for every setting of a section.

    Args:
        section: name of the section, such as "train"; "" for none.
        also: SECTION.KEY of single settings of other sections, each with its help here, "" for the setting's own.
    """

    def mark(body: Body) -> Body:
        setattr(body, _TAKES, (section, dict(also or {})))
        return body

    return mark


def taken_by(body: Callable[..., None]) -> list[Taken]:
    """Return the settings that a command has options for, in the order of their sections."""
    from medimg_cli.workspace.section import about
    from medimg_cli.workspace.settings import Settings

    section, also = getattr(body, _TAKES, ("", {}))
    own = [Taken(section, key) for key, field in Settings.fields_of(section).items() if about(field).option]
    for name, help_text in also.items():
        section, _, key = name.partition(".")
        own.append(Taken(section, key, help_text))
    return own


def option_of(taken: Taken) -> inspect.Parameter:
    """Return the option of one setting as a parameter that Typer reads; its value is None where it was not given."""
    from medimg_cli.workspace.section import about, choices, described, kinds
    from medimg_cli.workspace.settings import Settings

    field = Settings.fields_of(taken.section)[taken.key]
    known, found = about(field), list(kinds(field.annotation))
    flag = found == [bool]
    # Numbers come as texts: the setting alone knows what may be written, such as 20m for seconds.
    kind = bool if flag else list[str] if known.repeated else Path if found == [Path] else str
    several = get_origin(found[0]) is tuple
    words = taken.help_text or (described(field) if several else str(field.description))
    name = "--" + taken.key.replace("_", "-")
    flags = known.flags or name
    option = typer.Option(
        flags,
        help=_sentence(words),
        metavar=None if flag else known.metavar or _metavar(found, choices(field.annotation)),
        show_default=_default(field, flags) or False,
        envvar=known.envvar or None,
        rich_help_panel=known.panel or None,
    )
    annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
    return inspect.Parameter(taken.key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _sentence(words: str) -> str:
    """Return a description as a sentence; a first word that is a value one may type, as in "bce: …", stays small."""
    first = words.split()[0]
    return (words[0].upper() + words[1:] if first.isalpha() else words) + "."


def _metavar(found: list[Any], possible: tuple[str, ...]) -> str:
    """Return what stands for a value: its choices, or letters for its type."""
    if get_origin(found[0]) is tuple:
        return "A,B"
    if possible:
        return "|".join(possible)
    if found == [Path]:
        return "FILE"
    letters = {int: "N", float: "NUMBER", str: "TEXT"}
    return "|".join(letters.get(each, str(each)) for each in found)


def _default(field: "FieldInfo", flags: str) -> str:
    """Return what an option's absence means, "" where that goes without saying."""
    from medimg_cli.workspace.section import about

    default, yes_or_no = field.default, "/" in flags
    if default in (None, (), {}):
        return about(field).unset
    if isinstance(default, bool):
        return flags.split("/")[not default].removeprefix("--") if yes_or_no else ""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
