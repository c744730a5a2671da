"""Named entries of a shelf: one file per entry, found by importing the shelf's package."""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Generic, TypeVar

from medimg_cli.errors import UsageError

Entry = TypeVar("Entry")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return one line that proposes the closest known name, whatever its case, or lists what there is.

    >>> did_you_mean("resnet81", ["resnet18", "vgg16"])
    "did you mean 'resnet18'?"
    """
    names = sorted(known)
    if (close := closest(name, names)) is not None:
        return f"did you mean '{close}'?"
    return "known: " + (", ".join(names[:20]) or "none") + (" …" if len(names) > 20 else "")


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like one, whatever its case; None where none is."""
    folded = {each.casefold(): each for each in sorted(known)}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


class Registry(Generic[Entry]):
    """A shelf's entries by name.

    Args:
        noun: what an entry is called in messages ("check", "reader").
        package: dotted name of the package whose modules register themselves.
    """

    def __init__(self, noun: str, package: str) -> None:
        self.noun = noun
        self._package = package
        self._entries: dict[str, Entry] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that stores an entry under `name`; a second entry of that name raises."""

        def store(entry: Entry) -> Entry:
            if name in self._entries:
                raise ValueError(f"{self.noun} '{name}' is registered twice")
            self._entries[name] = entry
            return entry

        return store

    def names(self) -> tuple[str, ...]:
        """Return every registered name, sorted."""
        self._load()
        return tuple(sorted(self._entries))

    def get(self, name: str) -> Entry:
        """Return the entry called `name`.

        Raises:
            UsageError: there is none; the hint proposes the closest name.
        """
        self._load()
        if name not in self._entries:
            raise UsageError(f"unknown {self.noun} '{name}'", did_you_mean(name, self._entries))
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._entries

    def _load(self) -> None:
        if self._loaded:
            return
        package = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._package}.{module.name}")
        self._loaded = True
