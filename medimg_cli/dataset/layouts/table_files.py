"""Which file a cell of a table means: by path, by name, or by the end of its path; exactly first, then loosely but uniquely."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote

from medimg_cli.dataset.class_names import clean
from medimg_cli.dataset.layouts.folders import find_masks, is_mask_folder
from medimg_cli.dataset.layouts.tree import contents, kind_of
from medimg_cli.dataset.listing import Rejected, Source
from medimg_cli.dataset.official_splits import SPLIT_NAMES

_SUFFIX = re.compile(
    r"\.(nii\.gz|nii|png|jpe?g|jp2|tiff?|dcm|dicom|ima|img|bmp|gif|p[bgpn]m|webp|avif|heic|npy|mha)$",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"(file:)?(//+|/|[a-z]:)", re.IGNORECASE)
_DIGITS = re.compile(r"(\d{1,18})(\.0+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class File:
    """A file a row may mean: its id, its path as a text, its path relative to its source."""

    image_id: str
    path: str
    relative: str


class Finder(Protocol):
    """Finds what the key column of a table means.

    `rejected` holds what cannot be an image whatever the table says; `loosely` the cells that were found, but not as they
    are written, and how.
    """

    rejected: list[Rejected]
    loosely: dict[str, str]

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
        self._loose: dict[str, dict[str | int, list[File]]] | None = None
        self._folder_names: set[str] = set()
        self._in_folders: dict[str, list[File]] | None = None
        self._below: dict[str, list[File]] = {}
        self.loosely: dict[str, str] = {}
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
        path, with or without the suffix. Where nothing is written so, the one file is taken that differs in no more than the
        form of Unicode, case, spaces, percent-encoding, the suffix, zeros before a number, or the folders of another
        machine above it. A folder means all files in it.
        """
        wanted = re.sub(r"^(\./)+", "", value.replace("\\", "/"))
        decoded = unquote(wanted) if "%" in wanted else wanted
        for text in dict.fromkeys((wanted, decoded)):
            if found := self._exactly(text):
                if text != wanted:
                    self.loosely[value] = "percent-encoded"
                return found if len(found) == 1 else self._several(found)
        how, found = self._loosely(decoded)
        if not found and (inside := self._inside(decoded)):
            return inside
        if len(found) == 1:
            self.loosely[value] = how
        elif len(found) > 1:
            return self._several(found)
        elif near := self._indexed()["name"].get(clean(PurePosixPath(decoded).name).casefold()):
            return f"file not found ({near[0].relative} has its name in another folder)"
        return found or "file not found"

    def _inside(self, wanted: str) -> Sequence[File] | str:
        """Return the files in the one folder that is called so, or whose path ends so: right in it, else below, without masks."""
        if self._in_folders is None:
            self._in_folders = {}
            masks = find_masks([file.relative for file in self._by_path.values()], depth=0)
            for file in self._by_path.values():
                folder, *above = PurePosixPath(file.relative).parents
                self._in_folders.setdefault(folder.as_posix(), []).append(file)
                if file.relative not in masks and not is_mask_folder(folder.name):
                    for outer in above[:-1]:
                        self._below.setdefault(outer.as_posix(), []).append(file)
            self._in_folders = self._below | self._in_folders
        name = wanted.strip("/")
        ends = [folder for folder in self._in_folders if folder == name or folder.endswith(f"/{name}")]
        if not name or not ends:
            return ()
        several = f"several folders are called so: {', '.join(ends[:2])}"
        return self._in_folders[ends[0]] if len(ends) == 1 else several

    def _several(self, found: Sequence[File]) -> str:
        same = found[0].relative == found[1].relative  # in two sources
        named = ", ".join(file.path if same else file.relative for file in found[:2]) + (
            ", …" if len(found) > 2 else ""
        )
        return f"several files are called so: {named}"

    def _exactly(self, wanted: str) -> list[File]:
        paths = dict.fromkeys(f"{base}{wanted}" for base in self._bases)
        if from_sources := [self._by_path[path] for path in paths if path in self._by_path]:
            return from_sources
        for folder in self._folders:
            path = Path(os.path.normpath(folder / wanted)).as_posix()
            if path in self._by_path:
                return [self._by_path[path]]
            if os.path.isfile(path):  # noqa: PTH113 -- False, not an error, for a name no file can have
                return [File(path.lstrip("/"), path, wanted)]
        return [
            file for file in self._by_name.get(PurePosixPath(wanted).name, []) if _ends_with(file, wanted)
        ]

    def _indexed(self) -> dict[str, dict[str | int, list[File]]]:
        """Return the files by name, by name without suffix, and by the number that is their name; made when first asked for."""
        if self._loose is None:
            self._loose = {"name": {}, "stem": {}, "number": {}}
            for file in self._by_path.values():
                *folders, name = _parts(file.relative)
                self._folder_names.update(folders)
                stem = _SUFFIX.sub("", name)
                self._loose["name"].setdefault(name, []).append(file)
                self._loose["stem"].setdefault(stem, []).append(file)
                if number := _DIGITS.fullmatch(stem):
                    self._loose["number"].setdefault(int(number[1]), []).append(file)
        return self._loose

    def _loosely(self, wanted: str) -> tuple[str, list[File]]:
        """Return what is loose about a match, and the files that match best."""
        parts = _parts(wanted)
        if not parts:
            return "", []
        index, stem = self._indexed(), _SUFFIX.sub("", parts[-1])
        number = _DIGITS.fullmatch(stem)
        elsewhere = _ELSEWHERE.match(wanted) is not None
        for how, files in (
            ("", index["name"].get(parts[-1])),
            ("other suffix" if stem != parts[-1] else "without suffix", index["stem"].get(stem)),
            ("number without its zeros", index["number"].get(int(number[1])) if number else None),
        ):
            depths = {file: self._depth(parts[:-1], file, elsewhere) for file in files or ()}
            deepest = max(depths.values(), default=-1)
            if deepest >= 0:
                best = [file for file, depth in depths.items() if depth == deepest]
                whole = deepest == len(parts) - 1 and not elsewhere
                return how or ("Unicode form, case or spaces" if whole else "path of another place"), best
        return "", []

    def _depth(self, wanted: Sequence[str], file: File, elsewhere: bool) -> int:
        """Return how many folders above a file are those wanted, -1 where the others contradict."""
        folders = _parts(file.relative)[:-1]
        pairs = zip(reversed(wanted), reversed(folders), strict=False)
        depth = next(
            (n for n, (one, other) in enumerate(pairs) if one != other), min(len(wanted), len(folders))
        )
        if depth == len(wanted) or depth == len(folders):
            return depth
        one, other = wanted[-depth - 1], folders[-depth - 1]
        # A folder that is there, but not above this file; or test against train.
        contradicts = one in self._folder_names or (one in SPLIT_NAMES and other in SPLIT_NAMES)
        return depth if not contradicts and (depth or elsewhere) else -1

    def others(self, used: Mapping[str, object]) -> Iterable[Rejected]:
        """Yield the files no row means."""
        for path in self._by_path:
            if path not in used:
                yield Rejected(path, "not in the table of labels")


def folder_of(file: File, name: str) -> str:
    """Return the folder above a file whose path ends in a name, "" where there is none."""
    above = map(PurePosixPath.as_posix, PurePosixPath(file.relative).parents)
    return next((folder for folder in above if f"/{folder}".endswith(f"/{name.strip('/')}")), "")


def _parts(path: str) -> list[str]:
    """Return the names of a path in one form; a drive, a server and "." are none."""
    bare = re.sub(r"^(file:)?/*([a-z]:)?", "", path, flags=re.IGNORECASE)
    return [clean(part).casefold() for part in bare.split("/") if part not in ("", ".", "..")]


def _ends_with(file: File, wanted: str) -> bool:
    whole = f"/{file.relative}"
    return whole.endswith(f"/{wanted}") or whole.removesuffix(PurePosixPath(whole).suffix).endswith(
        f"/{wanted}"
    )
