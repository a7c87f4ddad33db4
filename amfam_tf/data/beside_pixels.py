"""What a JPEG or PNG file says beside its pixels: orientation data, colour profile, marks; graph ops only, no decoding.

| | JPEG | PNG |
| --- | --- | --- |
| orientation (EXIF) | first APP1 segment that starts so | eXIf chunk before the pixels or in the last 64 KiB |
| colour profile (ICC) | APP2 segments, joined by their numbers | iCCP chunk, unpacked |

Whatever is damaged counts as absent, but for a colour profile: that one is then there and empty. Each walk is a
function of its own in the graph, traced once however many signatures decode.
"""

from typing import NamedTuple

import tensorflow as tf

# A file made of empty segments must not cost seconds.
MAX_SEGMENTS = 128
# Of 64 KiB each; profiles that describe a colour space by a matrix have one.
MAX_PROFILE_PARTS = 16
# Unpacks to at most a thousand times as much; profiles that describe a space by a matrix have less than 4 KiB.
MAX_PACKED_PROFILE = 1 << 15
PNG_TAIL = 1 << 16

EXIF_MARKER, ICC_MARKER, ADOBE_MARKER = 0xE1, 0xE2, 0xEE
EXIF_START, ICC_START, ADOBE_START = b"Exif\0\0", b"ICC_PROFILE\0", b"Adobe"
# End of image and start of the pixels: nothing that we look for comes after them.
JPEG_END_MARKERS = (0xD9, 0xDA)
TIFF_STARTS = (b"II*\0", b"MM\0*")


class BesidePixels(NamedTuple):
    """What was found.

    Attributes:
        tiff: TIFF structure of the EXIF data, string []; "" if there is none.
        has_profile: whether there is a colour profile, bool [].
        profile: the ICC profile, string []; "" if there is none or a damaged one.
        is_adobe: whether the file has Adobe's marker, bool []; of a CMYK JPEG it says how its colours are stored.
    """

    tiff: tf.Tensor
    has_profile: tf.Tensor
    profile: tf.Tensor
    is_adobe: tf.Tensor


def nothing() -> BesidePixels:
    """Returns what a file has that says nothing."""
    return BesidePixels(tf.constant(""), tf.constant(False), tf.constant(""), tf.constant(False))


def _length(encoded: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(encoded), tf.int64)


def piece(encoded: tf.Tensor, start: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns `size` bytes from `start`, both int64 [...], fewer at the end and none behind it: string [...]."""
    end = _length(encoded)
    start = tf.clip_by_value(start, 0, end)
    return tf.strings.substr(encoded, start, tf.broadcast_to(tf.cast(size, tf.int64), tf.shape(start)))


def _bytes(encoded: tf.Tensor, start: int | tf.Tensor, count: int) -> tf.Tensor:
    """Returns `count` bytes from `start`, zeros behind the end: int64 [count]."""
    found = piece(encoded, tf.cast(start, tf.int64), count)
    return tf.cast(tf.io.decode_raw(found, tf.uint8, fixed_length=count), tf.int64)


@tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
def in_jpeg(encoded: tf.Tensor) -> BesidePixels:
    """Walks the segments of a JPEG file, string [], up to the pixels: 0xFF, marker, two bytes length, content."""
    head_size = 4 + len(ICC_START) + 2
    end = _length(encoded)
    numbers = tf.range(1, MAX_PROFILE_PARTS + 1, dtype=tf.int64)
    zero, none = tf.constant(0, tf.int64), tf.zeros((MAX_PROFILE_PARTS,), tf.int64)

    def is_segment(position: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        start = _bytes(encoded, position, 2)
        return (start[0] == 0xFF) & ~tf.reduce_any(start[1] == JPEG_END_MARKERS) & (position < end)

    def next_segment(
        position: tf.Tensor, exif: tf.Tensor, parts: tf.Tensor, sizes: tf.Tensor, stated: tf.Tensor, adobe: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        segment = _bytes(encoded, position, head_size)
        length = 256 * segment[2] + segment[3]
        is_icc = _starts(segment, ICC_MARKER, ICC_START)
        is_part = is_icc & (numbers == segment[4 + len(ICC_START)])
        parts = tf.where(is_part, position + head_size, parts)
        sizes = tf.where(is_part, tf.maximum(length - 2 - len(ICC_START) - 2, 0), sizes)
        stated = tf.where(is_icc, tf.maximum(segment[5 + len(ICC_START)], 1), stated)
        is_exif = _starts(segment, EXIF_MARKER, EXIF_START) & (exif == 0)
        exif = tf.where(is_exif, position + 4 + len(EXIF_START), exif)
        # 0xFF may be repeated before a marker.
        step = tf.where(segment[1] == 0xFF, tf.constant(1, tf.int64), 2 + length)
        return position + step, exif, parts, sizes, stated, adobe | _starts(segment, ADOBE_MARKER, ADOBE_START)

    start = (tf.constant(2, tf.int64), zero, none, none, zero, tf.constant(False))
    found = tf.while_loop(is_segment, next_segment, start, maximum_iterations=MAX_SEGMENTS)
    _, exif, parts, sizes, stated, adobe = found
    is_whole = tf.reduce_all((parts > 0) == (numbers <= stated)) & (stated <= MAX_PROFILE_PARTS)
    profile = tf.cond(
        (stated > 0) & is_whole, lambda: tf.strings.reduce_join(piece(encoded, parts, sizes)), lambda: tf.constant("")
    )
    return BesidePixels(_tiff(encoded, exif), stated > 0, profile, adobe)


@tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string)])
def in_png(encoded: tf.Tensor) -> BesidePixels:
    """Walks the chunks of a PNG file, string [], up to the pixels: four bytes length, name, content, checksum."""
    zero = tf.constant(0, tf.int64)

    def is_chunk(position: tf.Tensor, name: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (name != "IDAT") & (name != "IEND") & (position < _length(encoded))

    def next_chunk(
        position: tf.Tensor, _: tf.Tensor, exif: tf.Tensor, profile: tf.Tensor, profile_size: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        size = _bytes(encoded, position, 4)
        size = tf.reduce_sum(size * (1 << 24, 1 << 16, 1 << 8, 1))
        name, content = piece(encoded, position + 4, 4), position + 8
        is_profile = (name == "iCCP") & (profile == 0)
        exif = tf.where((name == "eXIf") & (exif == 0), content, exif)
        profile_size = tf.where(is_profile, size, profile_size)
        return content + size + 4, name, exif, tf.where(is_profile, content, profile), profile_size

    start = (tf.constant(8, tf.int64), tf.constant(""), zero, zero, zero)
    found = tf.while_loop(is_chunk, next_chunk, start, maximum_iterations=MAX_SEGMENTS)
    _, _, exif, profile, size = found
    tiff = tf.cond(exif > 0, lambda: _tiff(encoded, exif), lambda: _tiff_in_tail(encoded))
    unpacked = tf.cond(profile > 0, lambda: _unpack(piece(encoded, profile, size)), lambda: tf.constant(""))
    return BesidePixels(tiff, profile > 0, unpacked, tf.constant(False))


def _starts(segment: tf.Tensor, marker: int, start: bytes) -> tf.Tensor:
    """Returns whether a segment, int64 [n], has this marker and content that starts so: bool []."""
    return (segment[1] == marker) & tf.reduce_all(segment[4 : 4 + len(start)] == list(start))


def _tiff(encoded: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns what comes from `start` on, at most one segment of it; "" where that is 0."""
    return tf.cond(start > 0, lambda: piece(encoded, start, 1 << 16), lambda: tf.constant(""))


def _tiff_in_tail(encoded: tf.Tensor) -> tf.Tensor:
    """Returns the TIFF structure of an eXIf chunk behind the pixels."""
    tail = piece(encoded, _length(encoded) - PNG_TAIL, PNG_TAIL)
    tiff = tf.strings.split(tail, "eXIf")[-1]
    is_one = tf.reduce_any(tf.strings.substr(tiff, 0, 4) == TIFF_STARTS)
    return tf.where(is_one, tiff, "")


def _unpack(content: tf.Tensor) -> tf.Tensor:
    """Returns the profile in an iCCP chunk (name, 0, method 0, zlib); "" if it is damaged or large."""
    name_size = 80
    is_end = _bytes(content, 0, name_size) == 0
    packed = piece(content, tf.argmax(tf.cast(is_end, tf.int32)) + 2, MAX_PACKED_PROFILE)
    is_small = tf.strings.length(content) <= MAX_PACKED_PROFILE

    def unpack(data: tf.Tensor) -> tf.Tensor:
        return tf.io.decode_compressed(data, "ZLIB")

    # An error of the op would be one of the picture: a stream can leave it out.
    unpacked = tf.data.Dataset.from_tensors(tf.where(is_small, packed, "?")).map(
        tf.autograph.experimental.do_not_convert(unpack)
    )
    return unpacked.ignore_errors().concatenate(tf.data.Dataset.from_tensors("")).take(1).get_single_element()
