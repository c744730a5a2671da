"""Tiny images of every raster format with the metadata a test asks for."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

PICTURE = Image.linear_gradient("L").resize((16, 16))


def exif_block(
    main: dict[int, Any], *, camera: dict[int, Any] | None = None, gps: dict[int, Any] | None = None
) -> bytes:
    """Return an EXIF block, "Exif" header included, of tags by number in its main, camera and GPS directory."""
    exif = Image.Exif()
    exif.update(main)
    exif.get_ifd(0x8769).update(camera or {})
    exif.get_ifd(0x8825).update(gps or {})
    return exif.tobytes()


def saved(form: str, **options: Any) -> bytes:
    """Return the picture as a file of Pillow's format `form`."""
    stream = io.BytesIO()
    PICTURE.save(stream, form, **options)
    return stream.getvalue()


def jpeg_with(marker: int, held: bytes) -> bytes:
    """Return a JPEG with one more segment, right after its first two bytes."""
    whole = saved("JPEG")
    return whole[:2] + struct.pack(">BBH", 0xFF, marker, len(held) + 2) + held + whole[2:]


def png_with(kind: bytes, held: bytes) -> bytes:
    """Return a PNG with one more chunk, right before its end."""
    whole = saved("PNG")
    chunk = struct.pack(">I4s", len(held), kind) + held + struct.pack(">I", zlib.crc32(kind + held))
    return whole[:-12] + chunk + whole[-12:]


def iptc_block(**values: str) -> bytes:
    """Return Photoshop's resources with an IPTC block; keys `by_line`, `city`, `caption`."""
    numbers = {"by_line": 80, "city": 90, "caption": 120}
    block = b"".join(
        struct.pack(">BBBH", 0x1C, 2, numbers[name], len(value.encode())) + value.encode()
        for name, value in values.items()
    )
    return resource(0x0404, block)


def resource(number: int, held: bytes) -> bytes:
    """Return one of Photoshop's image resources."""
    return (
        b"8BIM"
        + struct.pack(">HH", number, 0)
        + struct.pack(">I", len(held))
        + held
        + b"\0" * (len(held) % 2)
    )


def xmp_packet(body: str) -> bytes:
    """Return an XMP packet around property elements."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/">'
        f"{body}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"
    ).encode()
