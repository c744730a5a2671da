"""Damaged and hostile metadata: a reason, or a mark that more stands there; never another error, never much memory."""

import random
import struct
import tracemalloc
import zlib

import pytest

from medimg_cli.privacy.metadata.metadata_text import FILE_LIMIT, TEXT_LIMIT, TEXTS_LIMIT, UnreadableMetadata
from medimg_cli.privacy.metadata.raster_metadata import identities_in, read_metadata_of
from tests.privacy.raster_files import exif_block, iptc_block, jpeg_with, png_with, saved, xmp_packet

_RICH = {
    "jpeg": jpeg_with(0xED, b"Photoshop 3.0\0" + iptc_block(by_line="Roe", city="Berne")),
    "exif": saved("JPEG", exif=exif_block({0x013B: "Roe"}, gps={2: (46.0, 57.0, 0.0)})),
    "xmp": saved("WEBP", xmp=xmp_packet("<dc:creator>Roe</dc:creator>")),
    "png": png_with(b"zTXt", b"Author\0\0" + zlib.compress(b"Roe")),
    "tiff": saved("TIFF", artist="Roe", description="left"),
    "bigtiff": saved("TIFF", artist="Roe", big_tiff=True),
    "bmp": saved("BMP"),
}


@pytest.mark.parametrize("name", sorted(_RICH))
def test_a_file_cut_anywhere_is_read_or_refused_with_a_reason(name: str) -> None:
    whole = _RICH[name]
    for end in range(12, len(whole)):
        try:
            read_metadata_of(whole[:end])
        except UnreadableMetadata as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("name", sorted(_RICH))
def test_a_file_with_wrong_bytes_is_read_or_refused_with_a_reason(name: str) -> None:
    generator = random.Random(0)
    for _ in range(400):
        spoiled = bytearray(_RICH[name])
        for _ in range(4):
            spoiled[generator.randrange(12, len(spoiled))] = generator.randrange(256)
        try:
            identities_in(read_metadata_of(bytes(spoiled)))
        except UnreadableMetadata as error:
            assert str(error)


def test_a_compressed_text_that_grows_without_end_is_cut_and_marked() -> None:
    bomb = png_with(b"zTXt", b"Comment\0\0" + zlib.compress(b"A" * (64 << 20)))
    tracemalloc.start()
    texts = read_metadata_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20
    assert max(len(text.text) for text in texts) == TEXT_LIMIT
    assert "unread" in {identity.kind for identity in identities_in(texts)}


def test_many_such_texts_end_at_the_limit_of_the_file() -> None:
    chunk = b"Comment\0\0" + zlib.compress(b"A" * TEXT_LIMIT)
    framed = struct.pack(">I4s", len(chunk), b"zTXt") + chunk + struct.pack(">I", zlib.crc32(b"zTXt" + chunk))
    whole = saved("PNG")
    texts = read_metadata_of(whole[:-12] + framed * 200 + whole[-12:])
    assert sum(len(text.text) for text in texts) <= FILE_LIMIT
    assert not texts[-1].complete


def test_too_many_texts_end_at_the_limit_of_the_file() -> None:
    segment = struct.pack(">BBH", 0xFF, 0xFE, 5) + b"abc"
    whole = saved("JPEG")
    texts = read_metadata_of(whole[:2] + segment * (TEXTS_LIMIT + 5) + whole[2:])
    assert len(texts) == TEXTS_LIMIT + 1
    assert not texts[-1].complete


def test_entities_in_xmp_are_not_expanded() -> None:
    packet = b'<!DOCTYPE a [<!ENTITY b "Roe">]><a>&b;&b;&b;</a>'
    (text,) = [t for t in read_metadata_of(saved("WEBP", xmp=packet)) if t.place.startswith("XMP")]
    assert text.place == "XMP"
    assert "&b;" in text.text


def test_deep_xmp_is_marked_as_not_read_to_its_end() -> None:
    packet = xmp_packet("<dc:a>" * 300 + "Roe" + "</dc:a>" * 300)
    assert any(not text.complete for text in read_metadata_of(saved("WEBP", xmp=packet)))


def test_directories_in_a_circle_end() -> None:
    # One entry, then the directory itself as the next one.
    block = b"II*\0\x08\0\0\0" + b"\1\0" + b"\x3b\1\2\0\4\0\0\0Roe\0" + b"\x08\0\0\0"
    assert [text.text for text in read_metadata_of(block)] == ["Roe"]


def test_values_that_lie_on_each_other_are_not_read_without_end() -> None:
    entries = b"".join(struct.pack("<HHII", 0x8000 + n, 7, 2 << 20, 8) for n in range(4000))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) + entries + b"\0\0\0\0" + b"\0" * (2 << 20)
    with pytest.raises(UnreadableMetadata, match="MiB of values"):
        read_metadata_of(block)


def test_the_name_of_a_field_fits_on_one_line() -> None:
    content = png_with(b"tEXt", b"a\nb" + b"x" * 70 + b"\0Roe")
    (text,) = read_metadata_of(content)
    assert "\n" not in text.place
    assert len(text.place) < 60
