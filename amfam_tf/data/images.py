"""Encoded pictures to tensors, in graph ops only: training, evaluation and the SavedModel share this code.

| input | what becomes of it |
| --- | --- |
| JPEG, PNG, BMP | read; anything else is refused |
| greyscale | three equal channels |
| alpha channel | dropped: the stored colours are used as they are, transparent or not |
| 16 bits per channel (PNG) | scaled to 8 bits, value / 257 rounded to the nearest |
| palette (PNG, 8-bit BMP) | looked up |
| compressed or bit-field BMP | refused |
| CMYK (JPEG) | by ink times black, as viewers without colour management do; refused without Adobe's marker |
| EXIF orientation (JPEG, PNG) | applied, as a viewer would; a damaged or absent tag counts as upright |
| ICC profile (JPEG, PNG) | converted to sRGB where it describes another space, see `colour_profile` |
| gAMA, cHRM, cICP (PNG), colour space of a BMP, EXIF's colour space | not looked at: taken for sRGB |
| more than `max_pixels` | refused from the header, before anything is decoded |

A refused or damaged picture raises tf.errors.InvalidArgumentError when the op runs; `reason` makes one line of it.
"""

import functools
import re
from collections.abc import Callable

import tensorflow as tf

from amfam_tf.data import beside_pixels, colour_profile
from amfam_tf.data.beside_pixels import BesidePixels
from amfam_tf.data.other_formats import name_other_format

JPEG_START = (0xFF, 0xD8, 0xFF)
PNG_START = (0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A)
BMP_START = (0x42, 0x4D)
FORMAT_STARTS = (JPEG_START, PNG_START, BMP_START)
UNKNOWN_FORMAT = len(FORMAT_STARTS)
# Of a PNG's colour types: grey without and with alpha.
PNG_GREY_TYPES = (0, 4)

# The fields that we read lie in the first 54 bytes of a BMP and the first 26 of a PNG.
HEADER_BYTES = 64
# A segment of EXIF data has less.
EXIF_BYTES = 1 << 16
EXIF_ORIENTATION_TAG = 0x0112
# Files have about 20 tags; the bound keeps a damaged count from costing anything.
EXIF_MAX_TAGS = 256


def prepare_image(encoded: tf.Tensor, size: int, border_crop: int, max_pixels: int) -> tf.Tensor:
    """Returns an encoded picture as the uint8 square that the cache, the records and the signatures agree on.

    Decode, crop the border, resize (bilinear, antialiased, aspect ratio not kept: Sec. 4.2), round to whole numbers.

    Args:
        encoded: bytes of a JPEG, PNG or BMP file, string [].
        size: S, side of the result, pixels.
        border_crop: pixels cut from every side before resizing.
        max_pixels: a larger picture is refused before it is decoded.

    Returns:
        uint8 [S, S, 3], RGB in [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: unreadable, too many pixels, or nothing left by `border_crop`.
    """
    return _preparation(size, border_crop, max_pixels)(encoded)


@functools.cache
def _preparation(size: int, border_crop: int, max_pixels: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns `prepare_image` as one graph: to trace its thousands of ops for each dataset takes most of a second."""

    def prepare(encoded: tf.Tensor) -> tf.Tensor:
        return resize_to_square(_crop_border(decode_image(encoded, max_pixels), border_crop), size)

    return tf.function(prepare, [tf.TensorSpec((), tf.string)], autograph=False)


def resize_to_square(image: tf.Tensor, size: int) -> tf.Tensor:
    """Returns uint8 [..., h, w, 3] in [0, 255] as uint8 [..., size, size, 3]; one of that size stays as it is."""
    resized = tf.image.resize(image, (size, size), method="bilinear", antialias=True)
    return tf.ensure_shape(tf.cast(tf.round(resized), tf.uint8), (*image.shape[:-3], size, size, 3))


def to_unit_range(image: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [..., 3] in [0, 255] as float32 of the same shape in [0, 1]."""
    return tf.cast(image, tf.float32) / 255.0


def decode_image(encoded: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Returns the picture in a JPEG, PNG or BMP file.

    Args:
        encoded: bytes of the file, string [].
        max_pixels: a larger picture is refused before it is decoded.

    Returns:
        uint8 [h, w, 3], RGB in [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: not one of the three formats, damaged, or more than `max_pixels` pixels.
    """
    encoded = tf.convert_to_tensor(encoded)
    header = _read_bytes(encoded, HEADER_BYTES)
    beside, channels = _beside(encoded, header)
    image = tf.switch_case(
        _format_number(header),
        {
            0: lambda: _decode_jpeg(encoded, beside.is_adobe, max_pixels),
            1: lambda: _decode_png(encoded, header, max_pixels),
            2: lambda: _decode_bmp(encoded, header, max_pixels),
        },
        default=lambda: _refuse_format(encoded),
    )
    image = tf.ensure_shape(image, (None, None, 3))
    image = _turn_upright(colour_profile.convert(image, _colours(beside, channels)), _exif_orientation(beside.tiff))
    return tf.ensure_shape(image, (None, None, 3))


def is_known_format(encoded: tf.Tensor) -> tf.Tensor:
    """Returns whether the bytes, string [], start like a JPEG, PNG or BMP file: bool []."""
    return _format_number(_read_bytes(encoded, HEADER_BYTES)) < UNKNOWN_FORMAT


def colour_treatment(encoded: tf.Tensor) -> tf.Tensor:
    """Returns what the colour profile of a picture that can be decoded does to it: see `colour_profile`, int32 []."""
    return _colours(*_beside(encoded, _read_bytes(encoded, HEADER_BYTES))).state


def picture_size(encoded: tf.Tensor) -> tf.Tensor:
    """Returns height and width that a file's header states, float64 [2]; nothing is decoded.

    Raises:
        tf.errors.InvalidArgumentError: not one of the three formats, or a JPEG file with a damaged header.
    """
    header = _read_bytes(encoded, HEADER_BYTES)
    size = tf.switch_case(
        _format_number(header),
        {
            0: lambda: tf.cast(tf.io.extract_jpeg_shape(encoded)[:2], tf.float64),
            1: lambda: tf.cast(_png_size(header), tf.float64),
            2: lambda: tf.cast(_bmp_size(header), tf.float64),
        },
        default=lambda: tf.cast(tf.shape(_refuse_format(encoded))[:2], tf.float64),
    )
    return tf.ensure_shape(size, (2,))


def reason(error: tf.errors.OpError) -> str:
    """Returns in one line why a picture was refused, without TensorFlow's node names."""
    ours = re.search(r"the picture [^\]'\"]*", error.message)
    if ours:
        return ours.group().strip()
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*|\[\[.*", "", error.message.strip(), flags=re.DOTALL)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # Errors from a graph start with where the op was defined.
    return lines[-1] if lines else type(error).__name__


def _format_number(header: tf.Tensor) -> tf.Tensor:
    """Returns 0 for JPEG, 1 for PNG, 2 for BMP, else UNKNOWN_FORMAT: int32 []."""
    is_format = tf.stack([tf.reduce_all(header[: len(start)] == start) for start in FORMAT_STARTS])
    number = tf.argmax(tf.cast(is_format, tf.int32), output_type=tf.int32)
    return tf.where(tf.reduce_any(is_format), number, UNKNOWN_FORMAT)


def _read_bytes(encoded: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the first `count` bytes, zeros after the end: uint8 [count]."""
    return tf.io.decode_raw(encoded, tf.uint8, fixed_length=count)


def _window(data: tf.Tensor, start: int | tf.Tensor, count: int) -> tf.Tensor:
    """Returns `count` bytes from each position of `start`, int64 [..., count]; outside, the first or last byte."""
    positions = tf.cast(start, tf.int64)[..., tf.newaxis] + tf.range(count, dtype=tf.int64)
    return tf.cast(tf.gather(data, tf.clip_by_value(positions, 0, data.shape[0] - 1)), tf.int64)


def _number(data: tf.Tensor, start: int | tf.Tensor, count: int, little_endian: bool | tf.Tensor) -> tf.Tensor:
    """Returns the unsigned number in the `count` bytes from each position of `start`, int64 like `start`."""
    weights = [256**power for power in range(count)]
    ordered = tf.where(little_endian, weights, weights[::-1])
    return tf.reduce_sum(_window(data, start, count) * tf.cast(ordered, tf.int64), axis=-1)


def _check_pixels(height: tf.Tensor, width: tf.Tensor, max_pixels: int) -> tf.Operation:
    # float64, because the product of two numbers of a damaged header does not fit in 64 bits.
    pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)
    return tf.debugging.Assert(pixels <= max_pixels, [f"the picture has more than {max_pixels} pixels"])


def describe_other_format(encoded: tf.Tensor) -> tf.Tensor:
    """Returns what a file, string [], is that is none of the three formats, string []; completes "the picture ..."."""
    return tf.strings.join(["is not a JPEG, PNG or BMP file", name_other_format(encoded)])


def _refuse_format(encoded: tf.Tensor) -> tf.Tensor:
    text = tf.strings.join(["the picture ", describe_other_format(encoded)])
    refusal = tf.debugging.Assert(False, [text])
    with tf.control_dependencies(_listed(refusal)):
        return tf.zeros((1, 1, 3), tf.uint8)


def _listed(*checks: tf.Operation | None) -> list[tf.Operation]:
    """Returns the checks to run before what follows; run eagerly they are None and have raised already."""
    return [check for check in checks if check is not None]


def _decode_jpeg(encoded: tf.Tensor, is_adobe: tf.Tensor, max_pixels: int) -> tf.Tensor:
    shape = tf.io.extract_jpeg_shape(encoded)
    checks = (_check_pixels(shape[0], shape[1], max_pixels), _check_inks(shape[2], is_adobe))
    with tf.control_dependencies(_listed(*checks)):
        # Accurate inverse DCT by name: the default is left to the platform.
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _check_inks(channels: tf.Tensor, is_adobe: tf.Tensor) -> tf.Operation:
    refusal = "the picture is a CMYK JPEG that does not say how its inks are stored: save it as RGB"
    return tf.debugging.Assert((channels < 4) | is_adobe, [refusal])


def _beside(encoded: tf.Tensor, header: tf.Tensor) -> tuple[BesidePixels, tf.Tensor]:
    """Returns what a file says beside its pixels, and how many colour channels it stores, int32 []."""
    return tf.switch_case(
        _format_number(header),
        {
            0: lambda: (beside_pixels.in_jpeg(encoded), tf.io.extract_jpeg_shape(encoded)[2]),
            1: lambda: (beside_pixels.in_png(encoded), _png_channels(header)),
        },
        default=lambda: (beside_pixels.nothing(), tf.constant(3)),
    )


def _colours(beside: BesidePixels, channels: tf.Tensor) -> colour_profile.Conversion:
    return colour_profile.conversion(beside.has_profile, beside.profile, channels)


def _decode_png(encoded: tf.Tensor, header: tf.Tensor, max_pixels: int) -> tf.Tensor:
    size = _png_size(header)

    def decode_16_bits() -> tf.Tensor:
        image = tf.io.decode_png(encoded, channels=3, dtype=tf.uint16)
        return tf.cast(tf.round(tf.cast(image, tf.float32) / 257.0), tf.uint8)

    with tf.control_dependencies(_listed(_check_pixels(size[0], size[1], max_pixels))):
        return tf.cond(header[24] == 16, decode_16_bits, lambda: tf.io.decode_png(encoded, channels=3))


def _png_channels(header: tf.Tensor) -> tf.Tensor:
    """Returns the number of colour channels, int32 []; alpha does not count, and a palette has three."""
    return tf.where(tf.reduce_any(header[25] == PNG_GREY_TYPES), 1, 3)


def _png_size(header: tf.Tensor) -> tf.Tensor:
    """Returns height and width, int64 [2]."""
    return _number(header, [20, 16], 4, False)


def _bmp_size(header: tf.Tensor) -> tf.Tensor:
    """Returns height and width, int32 [2]."""
    # Signed: a negative height means that the rows are stored from the top.
    return tf.abs(tf.bitcast(tf.cast(_number(header, [22, 18], 4, True), tf.uint32), tf.int32))


def _decode_bmp(encoded: tf.Tensor, header: tf.Tensor, max_pixels: int) -> tf.Tensor:
    header_size, bits = _number(header, 14, 4, True), _number(header, 28, 2, True)
    size = _bmp_size(header)
    is_plain = (header_size >= 40) & (_number(header, 30, 4, True) == 0) & tf.reduce_any(bits == (8, 24, 32))
    refusal = "the picture is a BMP of another kind than uncompressed 8, 24 or 32 bits"
    checks = (tf.debugging.Assert(is_plain, [refusal]), _check_pixels(size[0], size[1], max_pixels))
    with tf.control_dependencies(_listed(*checks)):
        pixels = tf.io.decode_bmp(encoded)
    return tf.cond(bits == 8, lambda: _look_up_palette(encoded, header, pixels[..., 0]), lambda: pixels[..., :3])


def _look_up_palette(encoded: tf.Tensor, header: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Returns the colours of palette numbers uint8 [h, w] as uint8 [h, w, 3]."""
    longest_header = 124
    data = _read_bytes(encoded, 14 + longest_header + 256 * 4)
    start = 14 + _number(header, 14, 4, True)
    # Entries are blue, green, red, unused.
    entries = start + 4 * tf.range(256, dtype=tf.int64)[:, tf.newaxis] + tf.constant([2, 1, 0], tf.int64)
    palette = tf.gather(data, tf.clip_by_value(entries, 0, data.shape[0] - 1))
    return tf.gather(palette, tf.cast(numbers, tf.int32))


def _crop_border(image: tf.Tensor, border_crop: int) -> tf.Tensor:
    """Returns uint8 [h, w, 3] without `border_crop` pixels on every side."""
    if border_crop == 0:
        return image
    shape = tf.shape(image)
    check = tf.debugging.Assert(
        tf.reduce_min(shape[:2]) > 2 * border_crop,
        [f"the picture has nothing left after cutting border_crop={border_crop} pixels from every side"],
    )
    with tf.control_dependencies(_listed(check)):
        # By length and not by negative index: an empty slice must never reach the resize op.
        return tf.slice(image, (border_crop, border_crop, 0), shape - (2 * border_crop, 2 * border_crop, 0))


def _exif_orientation(tiff: tf.Tensor) -> tf.Tensor:
    """Returns the orientation number in EXIF data, string []: int64 [] in [1, 8]; 1 (upright) where it says none."""
    upright = tf.constant(1, tf.int64)
    return tf.cond(tiff != "", lambda: _read_orientation(_read_bytes(tiff, EXIF_BYTES)), lambda: upright)


def _read_orientation(data: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in a TIFF structure, uint8 [n]: int64 [] in [1, 8]; 1 where it says none."""
    little_endian = _number(data, 0, 1, False) == 0x49
    directory = _number(data, 4, 4, little_endian)
    count = tf.minimum(_number(data, directory, 2, little_endian), EXIF_MAX_TAGS)
    entries = directory + 2 + 12 * tf.range(count, dtype=tf.int64)
    is_orientation = _number(data, entries, 2, little_endian) == EXIF_ORIENTATION_TAG
    values = _number(data, entries + 8, 2, little_endian)
    is_valid = is_orientation & (values >= 1) & (values <= 8)
    upright = tf.ones((1,), tf.int64)
    return tf.concat([tf.boolean_mask(values, is_valid), upright], axis=0)[0]


def _turn_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [h, w, 3] turned and mirrored as EXIF's `orientation` asks for.

    Each of the eight is a transposition (5 to 8), then a mirroring of columns (2, 3, 6, 7) and of rows (3, 4, 7, 8).
    """

    def turn() -> tf.Tensor:
        turned = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
        mirror_columns = tf.reduce_any(orientation == (2, 3, 6, 7))
        mirror_rows = tf.reduce_any(orientation == (3, 4, 7, 8))
        turned = tf.cond(mirror_columns, lambda: tf.reverse(turned, [1]), lambda: turned)
        return tf.cond(mirror_rows, lambda: tf.reverse(turned, [0]), lambda: turned)

    return tf.cond(orientation == 1, lambda: image, turn)
