"""The shelf of readers, and the one door through which every stage gets pixels.

A reader is one file that registers one `Reader`. Files are told apart by their content, never by their name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.core.image import HEAD_BYTES, DecodedImage, UnreadableImage, sniff_format, split_member
from medimg_cli.readers.decoding import foreign_decoder
from medimg_cli.registry import Registry


@dataclass(frozen=True)
class Reader:
    """One way to open a family of formats.

    Args:
        formats: what it opens, in the words of `core.image.sniff_format`.
        needs: the distributions it stands on, for `medimg doctor`.
        read: returns the image of a file (and of a member inside it, for archives).
            Raises `UnreadableImage`; never warns, never returns half an image; safe in threads.
    """

    formats: tuple[str, ...]
    needs: tuple[str, ...]
    read: Callable[[Path, str | None], DecodedImage]


READERS: Registry[Reader] = Registry("reader", __name__)


def read_image(path: str) -> DecodedImage:
    """Return the image at `path`, which may name a member of an archive (`set.npz#train/12`).

    Raises:
        UnreadableImage: it cannot be turned into pixels; the text is one line and does not name the path.
    """
    file, member = split_member(path)
    if member is not None and Path(path).is_file():  # a plain file whose name holds a '#'
        file, member = path, None
    location = Path(file)
    return _reader_of(_format_of(location)).read(location, member)


def _format_of(location: Path) -> str:
    with foreign_decoder():
        # Before opening: reading from a pipe or a device would wait for ever.
        if location.exists() and not location.is_file():
            raise UnreadableImage("not a regular file")
        with location.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    if not head:
        raise UnreadableImage("the file is empty")
    found = sniff_format(head)
    if found is None:
        raise UnreadableImage("not an image of a known format (JPEG, PNG, TIFF, BMP, WebP, DICOM)")
    return found


def _reader_of(image_format: str) -> Reader:
    for name in READERS.names():
        reader = READERS.get(name)
        if image_format in reader.formats:
            return reader
    raise UnreadableImage(f"no reader opens {image_format} files")
