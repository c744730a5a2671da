"""Which file a cell of a table means: by path, by name, or by the end of its path."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from medimg_cli.dataset.layouts.tree import contents, kind_of
from medimg_cli.dataset.listing import Rejected, Source


@dataclass(frozen=True, slots=True)
class File:
    """A file a row may mean: its id, its path as a text, its path relative to its source."""

    image_id: str
    path: str
    relative: str


class Finder(Protocol):
    """Finds what the key column of a table means.

    `rejected` holds what cannot be an image whatever the table says.
    """

    rejected: list[Rejected]

    def find(self, value: str) -> Sequence[File] | str:
        """Return the files a cell means, or why there is none."""

    def others(self, used: Mapping[str, object]) -> Iterable[Rejected]:
        """Yield the files no row means."""


class FilesByName:
    """The files of all sources, found by what a table may call them.

    Args:
        table_folder: paths in the table may count from here too.
    """

    def __init__(self, sources: Sequence[Source], table_folder: Path) -> None:
        self._folders = [source.path for source in sources if kind_of(source) == "folder"] + [table_folder]
        self._bases: list[str] = []
        self._by_path: dict[str, File] = {}
        self._by_name: dict[str, list[File]] = {}
        self.rejected: list[Rejected] = []
        for source in sources:
            tree = contents(source)
            self._bases.append(tree.base)
            self.rejected += tree.rejected
            for relative in tree.files:
                self.add(File(f"{source.prefix}{relative}", f"{tree.base}{relative}", relative))

    def add(self, file: File) -> None:
        """Let a file be found."""
        self._by_path[file.path] = file
        name = PurePosixPath(file.relative)
        for key in {name.name, name.stem}:
            self._by_name.setdefault(key, []).append(file)

    def find(self, value: str) -> Sequence[File] | str:
        """Return the file a cell means, or why there is none.

        A path counts from a source, then from the table's folder; else it is the end of exactly one file's
        path, with or without the suffix.
        """
        wanted = value.replace("\\", "/").removeprefix("./")
        for base in self._bases:
            if (file := self._by_path.get(f"{base}{wanted}")) is not None:
                return [file]
        for folder in self._folders:
            path = Path(os.path.normpath(folder / wanted)).as_posix()
            if path in self._by_path:
                return [self._by_path[path]]
            if Path(path).is_file():
                return [File(path.lstrip("/"), path, wanted)]
        near = [
            file for file in self._by_name.get(PurePosixPath(wanted).name, []) if _ends_with(file, wanted)
        ]
        if len(near) > 1:
            return f"several files are called {value}"
        return near or "file not found"

    def others(self, used: Mapping[str, object]) -> Iterable[Rejected]:
        """Yield the files no row means."""
        for path in self._by_path:
            if path not in used:
                yield Rejected(path, "not in the table of labels")


def _ends_with(file: File, wanted: str) -> bool:
    whole = f"/{file.relative}"
    return whole.endswith(f"/{wanted}") or whole.removesuffix(PurePosixPath(whole).suffix).endswith(
        f"/{wanted}"
    )
