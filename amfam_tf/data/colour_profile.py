"""Pictures that are stored in another colour space than sRGB, converted to it: the ICC profile read in graph ops only.

| the profile describes | what becomes of the picture |
| --- | --- |
| RGB by three primaries and curves (Display P3, Adobe RGB, ProPhoto, monitors, cameras) | converted to sRGB |
| grey by a curve | converted to the greys of sRGB |
| sRGB, or what differs from it by at most `TOLERANCE` levels of 255 | stays as it is |
| anything else: tables (LUT), CMYK, Lab, another number of channels, damaged | stays as it is; `UNUSABLE` |

The conversion is the colorimetric one: through XYZ (D50), colours outside sRGB cut off at its edge; for such profiles
the other rendering intents give the same. Source: ICC.1:2022, sections 7.2, 8.3, 10.6, 10.18, F.2, F.3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

NO_PROFILE, IS_SRGB, CONVERTED, UNUSABLE = range(4)
"""What became of a picture by its profile."""

TOLERANCE = 2
LEVELS = 256
# Pixels that are converted at a time: float32 of a whole picture would be twelve times its size.
CHUNK = 1 << 16
# Steps of the table from linear light to levels; 0.05 of a level where the curve is steepest.
ENCODER_STEPS = 1 << 16

# Profiles of this kind have less; reading starts with a copy of this size.
MAX_BYTES = 1 << 16
MAX_TAGS = 100
HEADER_BYTES = 128
FIXED_POINT = 65536.0
# Where the header has the colour space, the space that it leads to, and "acsp".
SPACE_TARGET_MARK = (16, 20, 36)
# Numbers of parameters of the five functions of a parametric curve.
PARAMETERS = (1, 3, 4, 5, 7)
WHITE = (0.9642, 1.0, 0.8249)
WHITE_TOLERANCE = 0.02
# Linear sRGB to XYZ of D50, columns red, green, blue (the profile "sRGB IEC61966-2.1").
SRGB_TO_XYZ = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))


def _name(text: bytes) -> int:
    """Returns a name of four letters as the number that it is in a file."""
    return int.from_bytes(text, "big")


# Curves, then primaries.
RGB_TAGS = [_name(text) for text in (b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ")]
GREY_TAGS = [_name(text) for text in (b"kTRC",) * 6]


class Conversion(NamedTuple):
    """How the levels of a picture become those of sRGB.

    Attributes:
        state: one of the four above, int32 [].
        curves: linear light of each level of red, green, blue, float32 [256, 3] in [0, 1].
        matrix: from their linear light to that of sRGB, float32 [3, 3]; its rows are sRGB's channels.
    """

    state: tf.Tensor
    curves: tf.Tensor
    matrix: tf.Tensor


def conversion(has_profile: tf.Tensor, profile: tf.Tensor, channels: tf.Tensor) -> Conversion:
    """Returns what a profile asks for.

    Args:
        has_profile: whether there is one, bool [].
        profile: its bytes, string []; "" if it is damaged.
        channels: colour channels that the picture is stored with, int32 []: 1, 3 or 4.
    """
    return tf.cond(has_profile, lambda: _read(profile, channels), lambda: _identity(NO_PROFILE))


def convert(image: tf.Tensor, how: Conversion) -> tf.Tensor:
    """Returns a picture, uint8 [h, w, 3] in [0, 255], in sRGB; the same one unless `how` says that it is converted."""
    return tf.cond(how.state == CONVERTED, lambda: _convert(image, how.curves, how.matrix), lambda: image)


def _identity(state: int) -> Conversion:
    return Conversion(tf.constant(state), tf.zeros((LEVELS, 3)), tf.eye(3))


@tf.function(
    autograph=False,
    input_signature=[
        tf.TensorSpec((None, None, 3), tf.uint8),
        tf.TensorSpec((LEVELS, 3), tf.float32),
        tf.TensorSpec((3, 3), tf.float32),
    ],
)
def _convert(image: tf.Tensor, curves: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    pixels = tf.reshape(image, (-1, 3))
    count = tf.shape(pixels)[0]
    pixels = tf.pad(pixels, ((0, -count % CHUNK), (0, 0)))
    table = _srgb_levels()
    chunks = tf.map_fn(
        lambda chunk: _convert_pixels(chunk, curves, matrix, table),
        tf.reshape(pixels, (-1, CHUNK, 3)),
        # One at a time: memory, and the threads have other pictures.
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec((CHUNK, 3), tf.uint8),
    )
    return tf.ensure_shape(tf.reshape(tf.reshape(chunks, (-1, 3))[:count], tf.shape(image)), (None, None, 3))


def _convert_pixels(pixels: tf.Tensor, curves: tf.Tensor, matrix: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Returns uint8 [n, 3] as sRGB's, uint8 [n, 3]."""
    # The curves one behind the other: one look-up for all channels.
    flat = tf.reshape(tf.transpose(curves), (-1,))
    light = tf.gather(flat, tf.cast(pixels, tf.int32) + [0, LEVELS, 2 * LEVELS])
    most = ENCODER_STEPS - 1
    steps = tf.clip_by_value(tf.matmul(light, matrix * most, transpose_b=True) + 0.5, 0.5, most + 0.5)
    return tf.gather(table, tf.cast(steps, tf.int32))


def _srgb_levels() -> tf.Tensor:
    """Returns the level of sRGB of each step of linear light, uint8 [ENCODER_STEPS]."""
    light = tf.range(ENCODER_STEPS, dtype=tf.float32) / (ENCODER_STEPS - 1)
    encoded = tf.where(light <= 0.0031308, 12.92 * light, 1.055 * tf.pow(light, 1 / 2.4) - 0.055)
    return tf.cast(tf.round(255.0 * encoded), tf.uint8)


@tf.function(autograph=False, input_signature=[tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int32)])
def _read(profile: tf.Tensor, channels: tf.Tensor) -> Conversion:
    # All three channels at a time, grey as three: a graph of few ops is quick to load.
    data = tf.io.decode_raw(profile, tf.uint8, fixed_length=MAX_BYTES)
    size = tf.strings.length(profile)
    space, target, mark = tf.unstack(_unsigned(data, SPACE_TARGET_MARK, 4))
    is_grey = (space == _name(b"GRAY")) & (channels == 1)
    # XYZ of linear light is what the matrix leads to; profiles that lead to Lab have tables instead.
    is_rgb = (space == _name(b"RGB ")) & (target == _name(b"XYZ ")) & (channels == 3)
    is_icc = (size >= HEADER_BYTES) & (size <= MAX_BYTES) & (mark == _name(b"acsp"))
    starts = _tags(data, tf.where(is_grey, tf.constant(GREY_TAGS, tf.int64), tf.constant(RGB_TAGS, tf.int64)))
    is_found, curves = _curves(data, starts[:3])
    is_matrix, matrix = _matrix(data, starts[3:])
    is_usable = is_icc & is_found & (is_grey | (is_rgb & is_matrix))
    return _judge(is_usable, curves, tf.where(is_grey, tf.eye(3), matrix))


def _judge(is_usable: tf.Tensor, curves: tf.Tensor, matrix: tf.Tensor) -> Conversion:
    """Returns the conversion, or why there is none: it is no numbers, or changes nothing."""
    is_curve = tf.reduce_all((curves > -0.01) & (curves < 1.01)) & tf.reduce_all(curves[-1] > 0.9)
    # What is not used must not end the decoding either.
    curves = tf.clip_by_value(tf.where(is_curve, curves, 0.0), 0.0, 1.0)
    levels = tf.range(LEVELS)[:, tf.newaxis]
    # Greys, and each primary alone from dark to full.
    probes = tf.concat([levels * share for share in ((1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1))], axis=0)
    changes = tf.cast(_convert_pixels(probes, curves, matrix, _srgb_levels()), tf.int32) - probes
    state = tf.where(tf.reduce_max(tf.abs(changes)) <= TOLERANCE, IS_SRGB, CONVERTED)
    return Conversion(tf.where(is_usable & is_curve, state, UNUSABLE), curves, matrix)


def _unsigned(data: tf.Tensor, start: tf.Tensor | Sequence[int], count: int) -> tf.Tensor:
    """Returns the number in the `count` bytes from each position of `start`, int64 [...]; bytes outside are 0."""
    positions = tf.cast(start, tf.int64)[..., tf.newaxis] + tf.range(count, dtype=tf.int64)
    inside = (positions >= 0) & (positions < MAX_BYTES)
    found = tf.cast(tf.gather(data, tf.where(inside, positions, 0)), tf.int64)
    weights = tf.constant([256**power for power in range(count)][::-1], tf.int64)
    return tf.reduce_sum(tf.where(inside, found, 0) * weights, axis=-1)


def _fixed(data: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
    """Returns the s15Fixed16 numbers at each position of `start`, float32 like `start`."""
    number = _unsigned(data, start, 4)
    return tf.cast(tf.where(number >= 1 << 31, number - (1 << 32), number), tf.float32) / FIXED_POINT


def _tags(data: tf.Tensor, names: tf.Tensor) -> tf.Tensor:
    """Returns where the content of each tag starts, int64 like `names`; 0 if the profile has no such tag."""
    count = tf.minimum(_unsigned(data, [HEADER_BYTES], 4)[0], MAX_TAGS)
    fields = HEADER_BYTES + 4 + 12 * tf.range(count)[:, tf.newaxis] + tf.constant([0, 4], tf.int64)
    found, starts = tf.unstack(_unsigned(data, fields, 4), axis=-1)
    return tf.reduce_max(tf.pad(tf.where(found == names[:, tf.newaxis], starts, 0), ((0, 0), (0, 1))), axis=1)


def _matrix(data: tf.Tensor, starts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether the primaries at `starts`, int64 [3], can be used, and the matrix to linear sRGB, [3, 3]."""
    to_xyz = tf.transpose(_fixed(data, starts[:, tf.newaxis] + tf.constant([8, 12, 16], tf.int64)))
    is_there = tf.reduce_all((starts > 0) & (_unsigned(data, starts, 4) == _name(b"XYZ ")))
    # An unadapted or damaged profile shows in its white.
    is_white = tf.reduce_all(tf.abs(tf.reduce_sum(to_xyz, axis=1) - WHITE) < WHITE_TOLERANCE)
    return is_there & is_white, tf.constant(np.linalg.inv(SRGB_TO_XYZ), tf.float32) @ to_xyz


def _curves(data: tf.Tensor, starts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns whether there are curves at `starts`, int64 [3], and the linear light of each level, float32 [256, 3]."""
    kind, function = _unsigned(data, starts, 4), _unsigned(data, starts + 8, 2)
    is_function = (kind == _name(b"para")) & (function < len(PARAMETERS))
    is_there = (starts > 0) & ((kind == _name(b"curv")) | is_function)
    levels = tf.linspace(0.0, 1.0, LEVELS)[:, tf.newaxis]
    function = tf.minimum(function, len(PARAMETERS) - 1)
    curves = tf.where(is_function, _parametric(data, starts, function, levels), _sampled(data, starts, levels))
    return tf.reduce_all(is_there), curves


def _sampled(data: tf.Tensor, starts: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Returns curves of type curv: the identity, a power, or a table with straight lines between its entries."""
    count = _unsigned(data, starts + 8, 4)
    power = tf.cast(_unsigned(data, starts + 12, 2), tf.float32) / 256.0
    last = tf.maximum(count - 1, 0)
    place = levels * tf.cast(last, tf.float32)
    below = tf.cast(tf.floor(place), tf.int64)
    entries = tf.stack([below, tf.minimum(below + 1, last)])
    low, high = tf.unstack(tf.cast(_unsigned(data, starts + 12 + 2 * entries, 2), tf.float32) / 65535.0)
    table = low + (high - low) * (place - tf.cast(below, tf.float32))
    return tf.where(count == 0, levels, tf.where(count == 1, tf.pow(levels, power), table))


def _parametric(data: tf.Tensor, starts: tf.Tensor, function: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
    """Returns curves of type para: (a x + b)^g + e from d on, c x + f below; functions 0 to 3 have less of them."""
    stored = _fixed(data, starts[:, tf.newaxis] + 12 + 4 * tf.range(7, dtype=tf.int64))
    is_there = tf.range(7) < tf.gather(PARAMETERS, function)[:, tf.newaxis]
    g, a, b, c, d, e, f = tf.unstack(tf.where(is_there, stored, 0.0), axis=1)
    a = tf.where(function == 0, 1.0, a)
    # Functions 1 and 2 bend at -b / a and are constant below: at 0 or at their fourth number.
    bends = (function == 1) | (function == 2)
    e, f = (tf.where(function == 2, c, number) for number in (e, f))
    d = tf.where(bends, tf.math.divide_no_nan(-b, a), d)
    c = tf.where(bends, 0.0, c)
    return tf.where(levels >= d, tf.pow(tf.maximum(a * levels + b, 0.0), g) + e, c * levels + f)
