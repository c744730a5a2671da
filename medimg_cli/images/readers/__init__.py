"""The shelf of readers, and the one door through which every stage gets pixels.

A reader is one file that registers one `Reader`. Files are told apart by their content, never by their name.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from medimg_cli.images.decoding import BoundedStream, foreign_decoder, refuse_huge_file
from medimg_cli.images.decoding import refuse_huge as refuse_huge
from medimg_cli.images.image import (
    HEAD_BYTES,
    SIGNATURES,
    DecodedImage,
    ReadOptions,
    UnreadableImage,
    sniff_format,
    split_member,
)
from medimg_cli.registry import Registry

AS_THE_FILE_SAYS = ReadOptions()
_NAMED_FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".dcm", ".dicom"), "dicom"),
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), "jp2"),
    **dict.fromkeys((".heic", ".heif"), "heic"),
    **dict.fromkeys((".pbm", ".pgm", ".ppm", ".pnm", ".pfm"), "netpbm"),
    ".avif": "avif",
    ".gif": "gif",
    ".nii": "nifti",
    ".png": "png",
    ".webp": "webp",
}
"""What a suffix promises; a file that is something else is read all the same, with a note."""


@dataclass(frozen=True)
class Content:
    """What a reader reads.

    Args:
        stream: at the beginning, seekable.
        image_format: in the words of `images.image.sniff_format`.
        path: the file; None for a member of an archive, which stands in memory.
    """

    stream: BinaryIO
    image_format: str
    path: Path | None = None


@dataclass(frozen=True)
class Reader:
    """One way to open a family of formats.

    Args:
        formats: what it opens, in the words of `images.image.sniff_format`.
        needs: the distributions it stands on, for `medimg doctor`.
        read: returns the image of a file (and of a member inside it: a frame, or a file of an archive).
            Raises `UnreadableImage`; never warns, never returns half an image; safe in threads.
        count: returns how many frames or pages there are, by the header alone. Raises as `read`.
        members: returns what a file holds beside frames and pages, by the header alone, none by default. Raises as
            `read`.
    """

    formats: tuple[str, ...]
    needs: tuple[str, ...]
    read: Callable[[Content, str | None, ReadOptions], DecodedImage]
    count: Callable[[Content, str | None], int] = lambda _content, _member: 1
    members: Callable[[Content], Iterable[str]] = lambda _content: ()


READERS: Registry[Reader] = Registry("reader", __name__)
Read = Callable[[Content, str | None, ReadOptions], DecodedImage]


def reader_of(name: str, begins: bytes, *needs: str) -> Callable[[Read], Read]:
    """Return a decorator that puts a function on the shelf as the reader of one format.

    Args:
        begins: how its files begin, a regular expression.
        needs: see `Reader`; numpy where nothing is said.
    """

    def store(read: Read) -> Read:
        SIGNATURES.register(name)(re.compile(begins))
        READERS.register(name)(Reader((name,), needs or ("numpy",), read))
        return read

    return store


def read_image(path: str, options: ReadOptions = AS_THE_FILE_SAYS) -> DecodedImage:
    """Return the image at `path`, which may name a member (`set.npz#train/12`, `a.zip#b.png`, `c.dcm#frame/0`).

    Facts, beside the reader's own: `named`, the format a file's suffix promises where it is another.

    Raises:
        UnreadableImage: it cannot be turned into pixels; the text is one line and does not name the path.
    """
    with _opened(path) as (stream, location, member):
        return read_content(stream, location.name, member, options, path=location)


def frame_count(path: str) -> int:
    """Return how many images the file (or member of an archive) at `path` holds, without decoding one.

    They are read as `PATH#frame/0` … (DICOM) or `PATH#page/0` … (TIFF); both words do for both. What cannot be
    read counts as one: reading it says why. Arrays count as one too: their layout lists what they hold.
    """
    try:
        with _opened(path) as (stream, location, member), foreign_decoder():
            return count_content(stream, member, path=location)
    except UnreadableImage:
        return 1


def image_paths(path: str) -> Iterable[str]:
    """Return the path of every image in the file at `path`, without decoding one, each as `read_image` takes it.

    That is the path itself, or `PATH#frame/0` … of several frames or pages, and the images of arrays that have several.
    What cannot be read counts as one: reading it says why.
    """
    try:
        with _opened(path) as (stream, location, member):
            content = _content_of(stream, location)
            reader = _reader_of(content.image_format)
            members = reader.members(content) if member is None else ()
            frames = reader.count(content, member)
    except UnreadableImage:
        return (path,)
    if frames > 1:
        return (f"{path}#frame/{number}" for number in range(frames))
    named = (f"{path}#{name}" for name in members)
    first = next(named, None)
    return (path,) if first is None else chain((first,), named)


def read_content(
    stream: BinaryIO, name: str, member: str | None, options: ReadOptions, *, path: Path | None = None
) -> DecodedImage:
    """Return the image in a stream that stands at its beginning; arguments as in `Content` and `Reader`.

    Raises:
        UnreadableImage: as `read_image`.
    """
    content = _content_of(stream, path)
    image = _reader_of(content.image_format).read(content, member, options)
    if not image.pixels.size:  # decoders take sides of 0 at their word
        raise UnreadableImage("the image has no pixels")
    named = _NAMED_FORMATS.get(Path(name).suffix.lower(), content.image_format)
    if member is not None or named == content.image_format:
        return image
    return replace(image, facts={**image.facts, "named": named})


def count_content(stream: BinaryIO, member: str | None, *, path: Path | None = None) -> int:
    """Return how many frames or pages a stream's image has; raises `UnreadableImage` when it is no image."""
    content = _content_of(stream, path)
    return _reader_of(content.image_format).count(content, member)


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, Path, str | None]]:
    """Open the file a manifest path names: (stream, file, member inside it)."""
    file, member = split_member(path)
    READERS.names()  # loaded here: a library that is missing is no fault of the image
    with foreign_decoder():
        if member is not None and Path(path).is_file():  # a plain file whose name holds a '#'
            file, member = path, None
        location = Path(file)
        if not S_ISREG(location.stat().st_mode):  # asked first: opening a pipe or a device may wait for ever
            raise UnreadableImage("not a regular file")
        if member is None and location.suffix.lower() != ".npy":  # of which one image is mapped
            refuse_huge_file(location)
        with location.open("rb") as stream:
            yield BoundedStream.around(stream), location, member


def _content_of(stream: BinaryIO, path: Path | None) -> Content:
    head = stream.read(HEAD_BYTES)
    if not head:
        raise UnreadableImage("the file is empty")
    found = sniff_format(head)
    if found is None:
        raise UnreadableImage(
            "not an image of a known format (JPEG, PNG, GIF, TIFF, BMP, PGM, PPM, WebP, JPEG 2000, AVIF, HEIC, DICOM, NIfTI)"
        )
    stream.seek(0)
    return Content(stream, found, path)


def _reader_of(image_format: str) -> Reader:
    for name in READERS.names():
        reader = READERS.get(name)
        if image_format in reader.formats:
            return reader
    raise UnreadableImage(f"no reader opens {image_format} files")
