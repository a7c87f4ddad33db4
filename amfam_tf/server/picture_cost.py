"""What a picture file takes in memory once it is decoded, told from its header; nothing is decoded.

Measured peaks of `amfam_tf.data.images.prepare_image`, in a process of its own, bytes per pixel of a 4000 x 4000
picture, and what is counted:

| file | peak | counted | why |
| --- | --- | --- | --- |
| JPEG, baseline | 3.3 | 6 | RGB, and once more where EXIF asks to turn it (measured 6.0) |
| JPEG, progressive, several scans | 6.3 (4:2:0), 11 (CMYK) | + 2 per coefficient | libjpeg keeps them all |
| PNG, 1 to 8 bits, any kind | 3.3 | 6 | as JPEG |
| PNG, 16 bits | 18 | 18 | RGB of 16 bits, and two pictures of numbers on its way to 8 bits |
| JPEG or PNG with a colour profile | 12 | + 6 | converted in parts: with what they are cut from and joined to |
| BMP, 8, 24, 32 bits | 12, 12, 16 | 12, 12, 16 | file, decoded, three channels; palette numbers |
| any | | + 6 KiB per column | resizing keeps (height of the result) x (width of the file) x RGB as float32 |

A header that lies only makes the number larger: what is decoded is allocated from the same header.
"""

import re
from collections.abc import Iterator

from amfam_tf.server.wire_format import Steps

JPEG_START, PNG_START, BMP_START = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"
UPRIGHT_AND_TURNED = 6
CONVERTED = 6
SIXTEEN_BITS = 18
COEFFICIENT_BYTES = 2
BYTES_PER_COLUMN = 512 * 3 * 4
"""Results of up to 512 rows; larger networks are not usual."""
PNG_CHUNK_BYTES = 8_000_000
"""libpng's limit for what one compressed chunk of text or profile may become; zlib makes at most 1032 bytes of one."""
MOST_ZLIB_GAIN = 1032
_COMPRESSED_CHUNKS = (b"zTXt", b"iTXt", b"iCCP")
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_NO_FRAME = {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_END, _SCAN = 0xD9, 0xDA
_NOT_FILL = re.compile(rb"[^\xff]")


def decoded_bytes(data: bytes, steps: Steps) -> int:
    """Returns the peak memory of decoding and resizing a picture file, in bytes; 0 for what is no picture.

    Raises:
        TooManyParts: the header has more parts than `steps` allow.
    """
    if data.startswith(PNG_START):
        return _png(data)
    if data.startswith(JPEG_START):
        return _jpeg(data, steps)
    if data.startswith(BMP_START):
        return _bmp(data)
    return 0


def _png(data: bytes) -> int:
    """Returns the cost by IHDR, which libpng wants to be the first chunk."""
    if len(data) < 26:
        return 0
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    chunks = sum(data.count(kind) for kind in _COMPRESSED_CHUNKS)
    texts = min(chunks * PNG_CHUNK_BYTES, MOST_ZLIB_GAIN * len(data)) if chunks else 0
    per_pixel = SIXTEEN_BITS if data[24] == 16 else UPRIGHT_AND_TURNED
    if b"iCCP" in data:
        per_pixel += CONVERTED
    return width * height * per_pixel + max(width, height) * BYTES_PER_COLUMN + texts


def _jpeg(data: bytes, steps: Steps) -> int:
    """Returns the cost by the frame header; a file without one has nothing that could be decoded."""
    width = height = cost = 0
    components = b""
    for marker, content in _segments(data, steps):
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME and len(content) >= 6:
            height, width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            components = content[6 : 6 + 3 * content[5]]
            per_pixel = UPRIGHT_AND_TURNED + (CONVERTED if b"ICC_PROFILE" in data else 0)
            cost = width * height * per_pixel + max(width, height) * BYTES_PER_COLUMN
            if marker in _PROGRESSIVE:
                return cost + _coefficients(width * height, components)
        elif marker == _SCAN:
            several = bool(content) and content[0] * 3 < len(components)
            return cost + (_coefficients(width * height, components) if several else 0)
    return cost


def _coefficients(pixels: int, components: bytes) -> int:
    """Returns the memory of all coefficients; `components` are (number, sampling factors, table) each."""
    factors = [((byte >> 4) or 1, (byte & 15) or 1) for byte in components[1::3]]
    if not factors:
        return 0
    widest, highest = max(x for x, _ in factors), max(y for _, y in factors)
    return sum(-(-pixels * x * y // (widest * highest)) for x, y in factors) * COEFFICIENT_BYTES


def _segments(data: bytes, steps: Steps) -> Iterator[tuple[int, bytes]]:
    """Yields (marker, content) up to the first scan, skipping what is no marker, as libjpeg does."""
    position = 2
    while True:
        steps.take()
        position = data.find(b"\xff", position)
        if position < 0 or position + 4 > len(data):
            return
        marker = data[position + 1]
        if marker == 0xFF:
            # Fill bytes: the last of them belongs to the marker.
            other = _NOT_FILL.search(data, position)
            position = other.start() - 1 if other else len(data)
            continue
        if marker == 0x00:
            position += 2
            continue
        if marker == _END:
            return
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, data[position + 4 : position + 2 + length]
        if marker == _SCAN:
            return
        position += 2 + length


def _bmp(data: bytes) -> int:
    """Returns the cost by the header; its pixels must be in the file, or the decoder refuses it."""
    if len(data) < 30:
        return 0
    width, height = (abs(int.from_bytes(data[start : start + 4], "little", signed=True)) for start in (18, 22))
    channels = max(1, int.from_bytes(data[28:30], "little") // 8)
    pixels = min(width * height, len(data) // channels)
    return pixels * max(12, 4 * channels) + min(width, len(data)) * BYTES_PER_COLUMN
