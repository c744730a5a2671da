"""What stands beside the pixels of raster files, and whom it gives away."""

import zlib
from pathlib import Path

import pytest
from PIL import ImageCms, PngImagePlugin, TiffImagePlugin

from medimg_cli.privacy.metadata.metadata_text import MetadataText, UnreadableMetadata
from medimg_cli.privacy.metadata.raster_metadata import (
    KINDS,
    identities_in,
    read_metadata,
    read_metadata_of,
)
from tests.privacy.raster_files import (
    PICTURE,
    exif_block,
    iptc_block,
    jpeg_with,
    png_with,
    resource,
    saved,
    xmp_packet,
)

_ARTIST, _SOFTWARE, _DATE_TIME, _DESCRIPTION = 0x013B, 0x0131, 0x0132, 0x010E
_OWNER, _SERIAL, _UNIQUE, _MAKER_NOTE, _COMMENT = 0xA430, 0xA431, 0xA420, 0x927C, 0x9286


def _found(content: bytes) -> dict[str, str]:
    """Return place → text."""
    return {text.place: text.text for text in read_metadata_of(content)}


def _kinds(content: bytes) -> set[str]:
    return {identity.kind for identity in identities_in(read_metadata_of(content))}


def _text_png(name: str, text: str, *, compressed: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text(name, text, zip=compressed)
    return saved("PNG", pnginfo=info)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_a_bare_picture_gives_nothing_away(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(saved(form))
    assert identities_in(read_metadata(path)) == []


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("block", "place", "text", "kind"),
    [
        (exif_block({_ARTIST: "Roe, Jim"}), "EXIF Artist", "Roe, Jim", "person"),
        (exif_block({_SOFTWARE: "Scanner 2"}), "EXIF Software", "Scanner 2", "equipment"),
        (exif_block({_DATE_TIME: "2021:02:03 10:11:12"}), "EXIF DateTime", "2021:02:03 10:11:12", "time"),
        (exif_block({_DESCRIPTION: "left eye"}), "EXIF ImageDescription", "left eye", "free-text"),
        (exif_block({}, camera={_OWNER: "Roe"}), "EXIF CameraOwnerName", "Roe", "person"),
        (exif_block({}, camera={_SERIAL: "SN 77"}), "EXIF BodySerialNumber", "SN 77", "serial"),
        (exif_block({}, camera={_UNIQUE: "ab12cd"}), "EXIF ImageUniqueID", "ab12cd", "unique"),
        (exif_block({}, camera={_MAKER_NOTE: b"\1\2OwnerRoe\0"}), "EXIF MakerNote", "OwnerRoe", "maker-note"),
        (exif_block({}, camera={_COMMENT: b"ASCII\0\0\0MRN 123456"}), "EXIF UserComment", "MRN 123456", "marked-number"),
        (exif_block({}, gps={1: "N", 2: (46.0, 57.0, 0.0)}), "EXIF GPSLatitude", "46 57 0", "location"),
        (exif_block({}, gps={29: "2021:02:03"}), "EXIF GPSDateStamp", "2021:02:03", "time"),
        (exif_block({0x9C9D: "Roe".encode("utf-16-le")}), "EXIF XPAuthor", "Roe", "person"),
    ],
)  # fmt: skip
def test_exif_is_read_in_every_format_that_carries_it(
    form: str, block: bytes, place: str, text: str, kind: str
) -> None:
    content = saved(form, exif=block)
    assert _found(content)[place] == text
    assert kind in _kinds(content)


def test_a_preview_in_exif_is_told_though_it_has_no_text() -> None:
    # A second directory with the offset and length of a JPEG (Exif 2.32 §4.5.8).
    first = b"\1\0" + b"\x32\1\2\0\1\0\0\0A\0\0\0" + b"\x1a\0\0\0"
    second = b"\2\0" + b"\1\2\4\0\1\0\0\0\x38\0\0\0" + b"\2\2\4\0\1\0\0\0\4\0\0\0" + b"\0\0\0\0"
    block = b"II*\0\x08\0\0\0" + first + second + b"\xff\xd8\xff\xd9"
    assert "thumbnail" in _kinds(jpeg_with(0xE1, b"Exif\0\0" + block))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet("<dc:creator><rdf:Seq><rdf:li>Roe</rdf:li></rdf:Seq></dc:creator>")), "XMP creator"),
        (jpeg_with(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet("<photoshop:City>Roe</photoshop:City>")), "XMP City"),
        (saved("WEBP", xmp=xmp_packet("<dc:creator>Roe</dc:creator>")), "XMP creator"),
        (saved("TIFF", tiffinfo={700: xmp_packet("<dc:creator>Roe</dc:creator>")}), "XMP creator"),
        (png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_packet("<dc:creator>Roe</dc:creator>")), "XMP creator"),
        (jpeg_with(0xED, b"Photoshop 3.0\0" + iptc_block(by_line="Roe")), "IPTC By-line"),
        (jpeg_with(0xED, b"Photoshop 3.0\0" + iptc_block(city="Roe")), "IPTC City"),
        (saved("TIFF", tiffinfo={34377: iptc_block(by_line="Roe")}), "IPTC By-line"),
        (saved("TIFF", artist="Roe"), "TIFF Artist"),
        (_text_png("Author", "Roe"), "PNG tEXt Author"),
        (_text_png("Author", "Roe", compressed=True), "PNG zTXt Author"),
        (png_with(b"iTXt", b"Author\0\1\0\0\0" + zlib.compress(b"Roe")), "PNG iTXt Author"),
    ],
)  # fmt: skip
def test_persons_and_places_are_named_by_their_field(content: bytes, place: str) -> None:
    assert _found(content)[place] == "Roe"
    (identity,) = (
        identity for identity in identities_in(read_metadata_of(content)) if identity.place == place
    )
    assert identity.direct
    assert identity.letter in "AB"


@pytest.mark.parametrize(
    ("content", "place", "kind"),
    [
        (saved("JPEG", comment="DOE^JANE"), "JPEG comment", "name"),
        (_text_png("Comment", "jane.doe@example.org"), "PNG tEXt Comment", "e-mail"),
        (_text_png("Note", "DOB 03.02.1980"), "PNG tEXt Note", "marked-number"),
        (png_with(b"tIME", b"\x07\xe5\2\3\x0a\x0b\x0c"), "PNG tIME", "time"),
        (png_with(b"prVt", b"\0\0DOE^JANE"), "PNG chunk prVt", "name"),
        (png_with(b"eXIf", exif_block({_ARTIST: "Roe"})[6:]), "EXIF Artist", "person"),
        (_text_png("Raw profile type exif", "\nexif\n 8\n" + exif_block({_ARTIST: "Roe"}).hex()), "EXIF Artist", "person"),
        (jpeg_with(0xE7, b"vendor\0DOE^JANE"), "JPEG APP7", "name"),
        (jpeg_with(0xED, b"Photoshop 3.0\0" + resource(0x041A, "DOE^JANE.jpg".encode("utf-16-le"))), "Photoshop resource 1050", "name"),
        (jpeg_with(0xED, b"Photoshop 3.0\0" + resource(0x040C, b"\xff\xd8")), "Photoshop thumbnail", "thumbnail"),
        (saved("JPEG") + b"DOE^JANE", "trailing bytes", "name"),
        (saved("JPEG") + saved("JPEG"), "trailing bytes", "trailing"),
        (saved("PNG") + b"PK\3\4hidden", "trailing bytes", "trailing"),
        (saved("WEBP") + b"DOE^JANE", "trailing bytes", "name"),
        (saved("BMP") + b"DOE^JANE", "trailing bytes", "name"),
    ],
)  # fmt: skip
def test_texts_and_hidden_bytes_are_searched_for_identities(content: bytes, place: str, kind: str) -> None:
    assert (place, kind) in {(found.place, found.kind) for found in identities_in(read_metadata_of(content))}


def test_every_page_of_a_tiff_is_looked_at() -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[_ARTIST] = "Roe"
    second = PICTURE.copy()
    second.encoderinfo = {"tiffinfo": info}
    assert "person" in _kinds(saved("TIFF", save_all=True, append_images=[second]))
    assert "person" not in _kinds(saved("TIFF", save_all=True, append_images=[PICTURE]))


def test_a_big_tiff_is_read() -> None:
    assert _found(saved("TIFF", artist="Roe", big_tiff=True))["TIFF Artist"] == "Roe"


def test_a_colour_profile_is_silent_and_its_texts_can_be_searched() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("JPEG", "PNG", "WEBP", "TIFF"):
        content = saved(form, icc_profile=profile)
        assert any(text.place.startswith("ICC") and "sRGB" in text.text for text in read_metadata_of(content))
        assert identities_in(read_metadata_of(content)) == []


def test_padding_behind_the_end_is_no_finding() -> None:
    assert _kinds(saved("JPEG") + b"\0\0\0\xff\xff\n") == set()


def test_a_name_behind_a_long_padding_is_found() -> None:
    padded = saved("PNG") + b"\0" * 100_000 + b"DOE^JANE"
    assert "name" in _kinds(padded)


def test_what_tools_write_in_place_of_a_name_is_no_person() -> None:
    assert _kinds(saved("JPEG", exif=exif_block({_ARTIST: "Anonymous"}))) == set()


def test_a_restart_marker_or_a_stuffed_byte_does_not_end_a_jpeg() -> None:
    whole = saved("JPEG")
    scan = whole.index(b"\xff\xda")
    spliced = whole[: scan + 20] + b"\xff\x00\xff\xd0\xff\x00" + whole[scan + 20 :]
    assert _kinds(spliced) == set()


def test_every_kind_has_a_letter_of_safe_harbor() -> None:
    assert all(letter in "ABCDEFGHIJKLMNOPQR" and words for letter, words, _ in KINDS.values())
    assert {kind for kind, (_, _, direct) in KINDS.items() if direct} >= {
        "person",
        "location",
        "name",
        "e-mail",
    }
    assert not KINDS["time"][2]


def test_another_format_and_an_empty_file_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(UnreadableMetadata, match="empty"):
        read_metadata(tmp_path / "empty.png")
    with pytest.raises(UnreadableMetadata, match="no format"):
        read_metadata_of(b"plain text, no picture")


def test_real_x_rays_hide_the_file_name_of_the_patient(shared_data: Path) -> None:
    # Photoshop wrote it into the slices of three of these; 34 of the files give nothing away.
    files = sorted((shared_data / "chest_xray_fullres").rglob("*.jpeg"))
    texts = {path: read_metadata(path) for path in files}
    named = [path for path, found in texts.items() if any(path.stem in text.text for text in found)]
    assert len(named) == 3
    assert sum(not identities_in(found) for found in texts.values()) == 34
    assert not any(identity.direct for found in texts.values() for identity in identities_in(found))


def test_identities_are_told_once_for_each_place() -> None:
    texts = [MetadataText("EXIF Artist", "Roe"), MetadataText("EXIF Artist", "Doe")]
    assert len(identities_in(texts)) == 1
