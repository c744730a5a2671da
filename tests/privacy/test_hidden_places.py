"""Texts in places that no attribute names: gone, or the file is not written; and the pixels are as before."""

import contextlib
import functools
import itertools
import re
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit

from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.privacy.removal.colour_profile import clean_profile
from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.deidentify_raster import deidentify_raster
from medimg_cli.privacy.removal.profile import CannotDeidentify, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from tests.privacy.hidden_places import (
    PIXELS,
    SECRET,
    SHORT_SECRETS,
    dicom,
    dicom_places,
    picture,
    profile,
    raster_places,
)
from tests.privacy.narrow_places import narrow_dicom_places, narrow_raster_places

_KEY = Pseudonyms(b"k" * 32)
_DICOM = dict(dicom_places())
_RASTER = dict(raster_places())
_PLAIN = dicom(JPEGBaseline8Bit, encapsulate([picture("JPEG")]))
_REFUSED = {
    "JPEG-LS: behind the samples": "bytes behind its samples",
    "RLE: bits that are no sample's": "bits of RLE frames",
    "an encapsulated document": "encapsulated document",
    "in a lookup table": "text among the numbers",
    "US of letters": "no number",
}
"""What cannot be parted from the pixels, with the reason."""
# No decoder at hand reads these.
_UNREADABLE = {
    "jpeg: bytes between segments",
    "jpeg: a long frame header",
    "jpeg: a reserved segment",
    "webp: second picture",
}


def _holds(content: bytes) -> bool:
    forms = (
        SECRET,
        SECRET.decode().encode("utf-16-be"),
        SECRET.decode().encode("utf-16-le"),
        b"Hepzibah",
        b"8472913",
    )
    return any(form in content for form in forms)


@pytest.mark.parametrize("place", _DICOM)
def test_no_hidden_text_survives_in_a_dicom_file(place: str) -> None:
    content = _DICOM[place]
    assert _holds(content)
    if place in _REFUSED:
        with pytest.raises(CannotDeidentify, match=_REFUSED[place]):
            deidentify_dicom(content, Profile(), _KEY)
        return
    clean = deidentify_dicom(content, Profile(), _KEY).content
    assert not _holds(clean)
    assert deidentify_dicom(clean, Profile(keep=frozenset(["uids"])), _KEY).content
    if "uncompressed" not in place:  # pydicom decodes no such frames
        assert np.array_equal(
            _frames(clean), _frames(_PLAIN if _is_lossy(clean) else dicom(ExplicitVRLittleEndian))
        )


def _is_lossy(content: bytes) -> bool:
    return dcmread(BytesIO(content)).file_meta.TransferSyntaxUID == JPEGBaseline8Bit


def _frames(content: bytes) -> NDArray[Any]:
    """Return the first frame; the original is not decoded, as decoders abort on some of these places."""
    with quiet_decoding():
        pixels = dcmread(BytesIO(content)).pixel_array
    return pixels if pixels.ndim == 2 else pixels[0]


@pytest.mark.parametrize("place", _RASTER)
def test_no_hidden_text_survives_in_a_picture(place: str) -> None:
    form, content = place.split(":")[0], _RASTER[place]
    if place in _UNREADABLE:
        with pytest.raises(CannotDeidentify, match=r"no format|damaged picture"):
            deidentify_raster(content, form)
        return
    clean = deidentify_raster(content, form).content
    assert not _holds(clean)
    assert not any(_holds(held) for held in _unpacked(clean))
    with quiet_decoding(), Image.open(BytesIO(clean)) as after, Image.open(BytesIO(content)) as before:
        assert (after.mode, after.size, after.tobytes()) == (before.mode, before.size, before.tobytes())
    if place == "bmp: padding of rows":
        assert all(clean[at + 135] == 0 for at in range(54, len(clean), 136))


@functools.cache
def _short_places() -> dict[str, dict[bytes, bytes]]:
    """Return place → text → file, for texts that nothing recognises."""
    found: dict[str, dict[bytes, bytes]] = {}
    for secret in SHORT_SECRETS:
        several = (dicom_places, narrow_dicom_places, raster_places, narrow_raster_places)
        for name, content in itertools.chain.from_iterable(places(secret) for places in several):
            if any(secret in held for held in (content, *_unpacked(content))):
                found.setdefault(name, {})[secret] = content
    return found


@pytest.mark.parametrize("place", [*_DICOM, *(name for name, _ in narrow_dicom_places(SHORT_SECRETS[0]))])
def test_no_short_name_survives_in_a_dicom_file_whatever_its_letters(place: str) -> None:
    for secret, content in _short_places().get(place, {}).items():
        try:
            clean = deidentify_dicom(content, Profile(), _KEY).content
        except CannotDeidentify as error:
            assert place in _REFUSED or "offset table" in place, error
            continue
        assert secret not in clean, (secret, place)
        if not _is_lossy(clean) and "uncompressed" not in place:
            assert np.array_equal(_frames(clean), PIXELS), (secret, place)


@pytest.mark.parametrize("place", [*_RASTER, *(name for name, _ in narrow_raster_places(b"Na"))])
def test_no_short_name_survives_in_a_picture_whatever_its_letters(place: str) -> None:
    for secret, content in _short_places().get(place, {}).items():
        try:
            clean = deidentify_raster(content, place.split(":")[0]).content
        except CannotDeidentify:
            continue
        assert not any(secret in held for held in (clean, *_unpacked(clean))) or len(secret) == 4, (
            secret,
            place,
        )
        with quiet_decoding(), Image.open(BytesIO(clean)) as after, Image.open(BytesIO(content)) as before:
            assert after.convert("RGBA").tobytes() == before.convert("RGBA").tobytes(), (secret, place)


def _unpacked(content: bytes) -> Iterator[bytes]:
    """Yield what every zlib stream in a file holds."""
    for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", content):
        with contextlib.suppress(zlib.error):
            yield zlib.decompressobj().decompress(content[match.start() :])


def _indexed(colours: list[int]) -> tuple[bytes, bytes]:
    """Return a PNG and a BMP of eight greys with these colours."""
    indexed = Image.fromarray(PIXELS // 32).convert("P")
    indexed.putpalette(colours)
    png, bmp = BytesIO(), BytesIO()
    indexed.save(png, "PNG")
    indexed.save(bmp, "BMP")
    return png.getvalue(), bmp.getvalue()


def test_colours_that_no_pixel_names_go_and_text_among_the_others_keeps_a_picture_from_being_written() -> (
    None
):
    png, _ = _indexed([value for level in range(8) for value in (level * 30,) * 3] + list(SECRET))
    assert SECRET in png and not _holds(deidentify_raster(png, "png").content)
    shown = SECRET[:24] + bytes(744)
    png, bmp = _indexed(list(shown))
    with pytest.raises(CannotDeidentify, match="text in the palette"):
        deidentify_raster(png, "png")
    four = b"".join(SECRET[at : at + 3][::-1] + b"\0" for at in range(0, 24, 3))
    at = bmp.index(four)
    written = bmp[:at] + SECRET + bmp[at + len(SECRET) :]
    with pytest.raises(CannotDeidentify, match="text in the palette"):
        deidentify_raster(written, "bmp")


def test_a_profile_says_the_same_colours_and_no_text() -> None:
    named = profile()
    clean = clean_profile(named)
    assert clean is not None and clean_profile(clean) == clean
    assert not _holds(clean) and _holds(named)
    lab = ImageCms.createProfile("LAB")
    colours = Image.merge(
        "RGB",
        [
            Image.fromarray(PIXELS),
            Image.fromarray(PIXELS[::-1]),
            Image.fromarray(PIXELS.T[:40, :40]).resize((48, 40)),
        ],
    )
    seen = [
        ImageCms.profileToProfile(colours, ImageCms.ImageCmsProfile(BytesIO(one)), lab, outputMode="LAB")
        for one in (named, clean)
    ]
    assert seen[0] is not None and seen[1] is not None
    assert seen[0].tobytes() == seen[1].tobytes()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("coding", ["latin-1", "utf-16-le", "utf-16-be"])
def test_text_between_the_last_sample_and_the_end_goes(coding: str, progressive: bool) -> None:
    plain = picture("JPEG", progressive=progressive)
    content = plain[:-2] + SECRET.decode().encode(coding) + plain[-2:]
    clean = deidentify_raster(content, "jpeg").content
    assert _holds(content) and not _holds(clean)
    with Image.open(BytesIO(clean)) as after, Image.open(BytesIO(plain)) as before:
        assert after.tobytes() == before.tobytes()


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("stored", [8, 12])
def test_bits_of_native_pixels_that_are_no_samples_are_cleared(stored: int, signed: int) -> None:
    samples = PIXELS.astype(np.int64) - 100 * signed  # with copies of the sign above them
    cells = samples.astype("<i2").view("<u2")
    hidden = np.frombuffer((SECRET * 80)[: PIXELS.size], np.uint8).reshape(PIXELS.shape).astype("<u2")
    elements: dict[str, Any] = {
        "BitsAllocated": 16,
        "BitsStored": stored,
        "HighBit": stored - 1,
        "PixelRepresentation": signed,
    }
    for planted in (cells, cells & (1 << stored) - 1 | hidden << stored):
        content = dicom(ExplicitVRLittleEndian, planted.tobytes(), **elements)
        after = dcmread(BytesIO(deidentify_dicom(content, Profile(), _KEY).content))
        kept = np.frombuffer(after.PixelData, "<u2").reshape(PIXELS.shape)
        assert np.array_equal(kept & (1 << stored) - 1, cells & (1 << stored) - 1)
        assert np.array_equal(kept, cells) or set(np.unique(kept >> stored)) <= {0, (1 << (16 - stored)) - 1}
    assert np.array_equal(after.pixel_array, samples)
