"""What a compressed codestream says of itself: a decoder believes that, whatever stands around it."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # T.81 B.1.1.3; T.87 C.1.1
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])


def codestream_claims(data: bytes) -> tuple[int, int, int] | None:
    """Return (width, height, bits a sample) that a JPEG, JPEG-LS or JPEG 2000 codestream claims, None where it is none."""
    place = data.find(
        b"\xff\x4f\xff\x51", 0, 4096
    )  # SOC and SIZ, T.800 A.4.1 and A.5.1; before it boxes of JP2
    if place >= 0:
        numbers = [int.from_bytes(data[place + n : place + n + 4], "big") for n in (8, 12, 16, 20)]
        bits = (data[place + 42] & 0x7F) + 1 if place + 42 < len(data) else 0  # Ssiz of the first component
        return numbers[0] - numbers[2], numbers[1] - numbers[3], bits
    return _size_of_jpeg(data) if data[:2] == b"\xff\xd8" else None


def _size_of_jpeg(data: bytes) -> tuple[int, int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _STANDALONE:  # fill bytes, or a marker without a length
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _START_OF_FRAME:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            return int.from_bytes(data[place + 7 : place + 9], "big"), height, data[place + 4]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None
