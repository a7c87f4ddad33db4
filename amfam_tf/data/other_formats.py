"""What a file that is no JPEG, PNG or BMP is instead, by its first bytes; graph ops only: servers say it too."""

import tensorflow as tf

HEADER_BYTES = 132
"""DICOM's mark ends there."""
_CONVERT = "save it as JPEG or PNG"
# Name, what to do, and the bytes that it starts with: each a place and what is there. The first that fits counts.
_FORMATS: tuple[tuple[str, str, tuple[tuple[int, bytes], ...]], ...] = (
    *(
        (f"{name} picture", _CONVERT, ((4, b"ftyp" + brand),))
        for name, brands in {
            "a HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
            "an AVIF": (b"avif", b"avis"),
            "a camera raw": (b"crx ",),
        }.items()
        for brand in brands
    ),
    ("a video or another file in an MP4 container", "take a picture", ((4, b"ftyp"),)),
    ("a WebP picture", _CONVERT, ((0, b"RIFF"), (8, b"WEBP"))),
    ("a GIF picture", _CONVERT, ((0, b"GIF8"),)),
    ("a DICOM file", "export its picture as JPEG or PNG", ((128, b"DICM"),)),
    ("a TIFF or camera raw picture", _CONVERT, ((0, b"II*\0"),)),
    ("a TIFF or camera raw picture", _CONVERT, ((0, b"MM\0*"),)),
    ("a TIFF picture", _CONVERT, ((0, b"II+\0"),)),
    ("a TIFF picture", _CONVERT, ((0, b"MM\0+"),)),
    ("a JPEG 2000 picture", _CONVERT, ((4, b"jP  "),)),
    ("a JPEG 2000 picture", _CONVERT, ((0, b"\xff\x4f\xff\x51"),)),
    ("a JPEG XL picture", _CONVERT, ((4, b"JXL "),)),
    ("a JPEG XL picture", _CONVERT, ((0, b"\xff\x0a"),)),
    ("a Photoshop file", _CONVERT, ((0, b"8BPS"),)),
    ("a PDF document", "export its pictures as JPEG or PNG", ((0, b"%PDF"),)),
    ("a ZIP archive", "unpack it", ((0, b"PK\3\4"),)),
    ("a gzip archive", "unpack it", ((0, b"\x1f\x8b"),)),
    ("a Git LFS pointer", "fetch the picture with git lfs pull", ((0, b"version https://git-lfs"),)),
    ("a git-annex pointer", "fetch the picture with git annex get", ((0, b"/annex/objects/"),)),
    ("a side file that macOS leaves", "remove it", ((0, b"\0\5\x16\7"),)),
    ("an SVG drawing", _CONVERT, ((0, b"<svg"),)),
    *(
        ("a web page or other text", "download the picture anew", ((0, start),))
        for start in (b"<", b"\n<", b"\r\n<", b" <", b"\xef\xbb\xbf<", b"{")
    ),
    ("a file of zeros", "copy it anew", ((0, bytes(64)),)),
)
_ANY = -1


def name_other_format(encoded: tf.Tensor) -> tf.Tensor:
    """Returns " but ...: what to do" of a file, string [], that is no JPEG, PNG or BMP; "" if it is unknown."""
    header = tf.cast(tf.io.decode_raw(encoded, tf.uint8, fixed_length=HEADER_BYTES), tf.int16)
    wanted = tf.constant([_pattern(start) for *_, start in _FORMATS], tf.int16)
    fits = tf.reduce_all((wanted == _ANY) | (wanted == header), axis=1)
    texts = tf.constant([f" but {name}: {advice}" for name, advice, _ in _FORMATS] + [""])
    known = texts[tf.argmax(tf.concat([tf.cast(fits, tf.int32), [1]], axis=0))]
    return tf.where(tf.strings.length(encoded) == 0, " but empty: copy it anew", known)


def _pattern(start: tuple[tuple[int, bytes], ...]) -> list[int]:
    """Returns the wanted byte at each place of the header, or `_ANY`."""
    pattern = [_ANY] * HEADER_BYTES
    for place, content in start:
        pattern[place : place + len(content)] = content
    return pattern
