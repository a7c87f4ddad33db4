"""ICC profiles to order, and pictures that carry them."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageCms

# Primaries adapted to D50, columns red, green, blue.
DISPLAY_P3 = ((0.51512, 0.29198, 0.1571), (0.2412, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))
ADOBE_RGB = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
PROPHOTO = ((0.79767, 0.13519, 0.03134), (0.28804, 0.71188, 0.00009), (0.0, 0.0, 0.82491))
SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.7141))
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def power(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def sampled(values: Sequence[float]) -> bytes:
    numbers = [round(value * 65535) for value in values]
    return b"curv" + bytes(4) + struct.pack(f">I{len(numbers)}H", len(numbers), *numbers)


def parametric(kind: int, *parameters: float) -> bytes:
    numbers = [round(value * 65536) for value in parameters]
    return b"para" + bytes(4) + struct.pack(f">HH{len(numbers)}i", kind, 0, *numbers)


def profile(
    primaries: Sequence[Sequence[float]] = (), curve: bytes = b"", space: bytes = b"RGB ", name: str = "made"
) -> bytes:
    """Returns a profile: of primaries and one curve, or (space GRAY) of a curve alone."""
    text = name.encode("utf-16-be")
    tags = {
        b"desc": b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text,
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
    }
    for letter, column in zip("rgb", zip(*primaries, strict=True), strict=False):
        tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in column))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC") if len(primaries) else (b"kTRC",), curve)
    table, content, start = b"", b"", 132 + 12 * len(tags)
    for key, data in tags.items():
        table += key + struct.pack(">II", start + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    size = start + len(content)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"", 0x04300000, b"mntr", space, b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colourful(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Returns uint8 [height, width, 3] that goes through all colours smoothly."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def shown(encoded: bytes) -> np.ndarray:
    """Returns what a viewer with colour management shows, by littleCMS."""
    image = Image.open(io.BytesIO(encoded))
    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    target = ImageCms.createProfile("sRGB")
    options = {"outputMode": "RGB", "renderingIntent": ImageCms.Intent.RELATIVE_COLORIMETRIC}
    return np.asarray(ImageCms.profileToProfile(image, source, target, **options))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(png: bytes, name: bytes, data: bytes, before: bytes = b"IDAT") -> bytes:
    """Returns a PNG file with one more chunk before the first of another name."""
    at = png.index(before) - 4
    return png[:at] + chunk(name, data) + png[at:]


def with_segment(jpeg: bytes, content: bytes, marker: int = 0xE2) -> bytes:
    """Returns a JPEG file with one more segment, the first."""
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def icc_part(data: bytes, number: int, count: int) -> bytes:
    return b"ICC_PROFILE\0" + bytes([number, count]) + data
