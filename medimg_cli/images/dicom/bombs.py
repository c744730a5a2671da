"""DICOM headers within bounds: what holds more than an image is found before it is unpacked, and while it is read."""

import zlib
from collections.abc import Iterator, Sequence
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial, read_sequence
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from medimg_cli.images.decoding import LIMIT_PIXELS, BoundedStream
from medimg_cli.images.image import UnreadableImage

_PREAMBLE_BYTES = 132  # PS3.10 7.1
_LONG_FORMS = frozenset(
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"]
)  # PS3.5 7.1.2
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_MOST_META_ELEMENTS = 64
_HARMLESS_BYTES = 64 << 20
_BYTES_A_PIXEL = 8  # three colours of 16 bits, and a header
_LIMIT_RATIO = 20  # images deflate to a half or a third, blank ones to a thousandth
_MOST_ELEMENTS = 100_000  # the longest headers have some thousand, nested ones apart
_MOST_READS = (
    600_000  # two or three an element; per-frame groups of some thousand frames have 100,000 elements
)
_MOST_HEADER_BYTES = 512 << 20
_LARGE_BYTES = 1 << 20  # of sequences; fewer cannot hold enough elements to be waited for
_MOST_DEPTH = 32
_PIXEL_DATA = frozenset([0x7FE00008, 0x7FE00009, 0x7FE00010])
_CHUNK_BYTES = 1 << 20


class Elements:
    """What pydicom asks of every element whether to stop at it: it stops where the pixels begin, or at one too many.

    Millions of empty elements are a few megabytes, and minutes to read.

    Attributes:
        tag: of the element with the pixels, 0 where there is none.
        length: of its value as the file says, in bytes; 0xFFFFFFFF is undefined (PS3.5 7.1.1).
        header_bytes: from its beginning to its value.
        offset: where its value begins in the stream that `read_header` returns.
        representation: its value representation, None in implicit ones.
    """

    def __init__(self) -> None:
        self._count = 0
        self.tag = self.length = self.header_bytes = self.offset = 0
        self.representation: str | None = None

    def __call__(self, tag: int, representation: str | None, length: int) -> bool:
        """Return whether to stop; raises `UnreadableImage` at one element too many."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            raise UnreadableImage(f"the header has more than {_MOST_ELEMENTS:,} elements")
        if tag not in _PIXEL_DATA:
            return False
        self.tag, self.length, self.representation = int(tag), length, representation
        self.header_bytes = 12 if representation and representation.encode() in _LONG_FORMS else 8
        return True


def read_header(
    stream: BinaryIO, *, most_pixels: int | None = None, specific_tags: Sequence[BaseTag] | None = None
) -> tuple[Dataset, BinaryIO, "Elements"]:
    """Return a DICOM header up to its pixels, the stream it came from, and where the pixels stand in it.

    However large or damaged the file is, that takes seconds and megabytes: elements, bytes, depth and what a
    deflated data set (PS3.5 A.5) unpacks to are bounded. Sequences of a large header, which pydicom parses
    when they are asked for, are walked through here, within the same bounds.

    Args:
        stream: a whole file, at its beginning.
        most_pixels: as in `images.image.ReadOptions`.
        specific_tags: only these elements, as in `pydicom.dcmread`.

    Raises:
        UnreadableImage: it is beyond the bounds.
    """
    plain = _inflated(stream, most_pixels)
    elements = Elements()
    bounded = cast(BinaryIO, BoundedStream(plain, _MOST_READS, _MOST_HEADER_BYTES, "the header"))
    dataset = read_partial(
        bounded, elements, force=True, specific_tags=None if specific_tags is None else list(specific_tags)
    )
    if plain is not stream:
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if elements.tag:  # left before the first byte of the element
        elements.offset = bounded.tell() + elements.header_bytes
    if sum(len(value) for _, value in _raw_sequences(dataset)) > _LARGE_BYTES:
        _walk(dataset, _MOST_READS, 0)
    return dataset, plain, elements


def header_of(source: Path | BinaryIO, specific_tags: Sequence[int | str] | None = None) -> Dataset:
    """Return a DICOM header up to its pixels, of a file or a stream at its beginning, as `read_header` does.

    Raises:
        UnreadableImage: as there.
        OSError: the file cannot be opened.
    """
    tags = None if specific_tags is None else [Tag(tag) for tag in specific_tags]
    if not isinstance(source, Path):
        return read_header(source, specific_tags=tags)[0]
    with source.open("rb") as stream:
        return read_header(stream, specific_tags=tags)[0]


def _raw_sequences(dataset: Dataset) -> Iterator[tuple[RawDataElement, bytes]]:
    """Yield (element, value) of what pydicom would parse as a sequence when it is asked for."""
    for raw in dataset._dict.values():
        if isinstance(raw, RawDataElement) and raw.value and (raw.VR == "SQ" or raw.value[:4] in _ITEMS):
            yield raw, raw.value


def _walk(dataset: Dataset, reads: int, depth: int) -> int:
    """Walk through the sequences in a data set, to any depth; return how many reads are left."""
    if depth > _MOST_DEPTH:
        raise UnreadableImage(f"the header has sequences more than {_MOST_DEPTH} deep")
    for raw, value in _raw_sequences(dataset):
        stream = BoundedStream(cast(BinaryIO, BytesIO(value)), reads, what="the header")
        little = raw.is_little_endian
        items = read_sequence(cast(BinaryIO, stream), raw.is_implicit_VR, little, len(value), "iso8859")
        reads = stream.reads_left
        for item in items:
            reads = _walk(item, reads, depth + 1)
    return reads


def _inflated(stream: BinaryIO, most_pixels: int | None) -> BinaryIO:
    """Return a file with its data set inflated where it is deflated, else itself, at the beginning.

    Raises:
        UnreadableImage: it unpacks to far more than it holds, or than an image would be.
    """
    found = _start_of_deflated(stream)
    if found is None:
        stream.seek(0)
        return stream
    start, syntax_at = found
    if start > _HARMLESS_BYTES:
        raise UnreadableImage("the file meta information goes on without end")
    most = _LIMIT_RATIO * stream.seek(0, SEEK_END)
    most = max(_HARMLESS_BYTES, min(most, (most_pixels or LIMIT_PIXELS) * _BYTES_A_PIXEL))
    stream.seek(0)
    meta = bytearray(stream.read(start))
    length = len(DeflatedExplicitVRLittleEndian)
    meta[syntax_at : syntax_at + length] = ExplicitVRLittleEndian.encode().ljust(length, b"\0")
    plain = BytesIO()
    plain.write(meta)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = stream.read(_CHUNK_BYTES)
    while data and not inflater.eof:
        plain.write(inflater.decompress(data, _CHUNK_BYTES))
        if plain.tell() > most:
            raise UnreadableImage(f"the deflated file unpacks to more than {most:,} bytes")
        data = inflater.unconsumed_tail or stream.read(_CHUNK_BYTES)
    plain.write(inflater.flush())
    if not inflater.eof:
        raise UnreadableImage("the file is truncated: its deflated data set has no end")
    plain.seek(0)
    return plain


def _start_of_deflated(stream: BinaryIO) -> tuple[int, int] | None:
    """Return where the deflated data set begins, after the file meta information, which never is, and the UID's place.

    None: the data set is not deflated.
    """
    head = stream.read(_PREAMBLE_BYTES)
    place = _PREAMBLE_BYTES if head[128:] == b"DICM" else 0
    syntax_at = 0
    for _ in range(_MOST_META_ELEMENTS):
        stream.seek(place)
        tag = stream.read(8)
        if len(tag) < 8 or tag[:2] != b"\x02\x00":
            break
        header = 8
        length = int.from_bytes(tag[6:8], "little")
        if tag[4:6] in _LONG_FORMS:
            length, header = int.from_bytes(stream.read(4), "little"), 12
        if tag[2:4] == b"\x10\x00":  # (0002,0010) Transfer Syntax UID
            uid = stream.read(min(length, 64)).strip(b"\0 ").decode("ascii", "replace")
            syntax_at = place + header if uid == DeflatedExplicitVRLittleEndian else 0
        place += header + length
    return (place, syntax_at) if syntax_at else None
