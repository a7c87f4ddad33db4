"""Training augmentation of Sec. 4.2: zero-pad, random crop back, random rotation, random flips.

Every draw comes from stateless ops whose key is (config.seed, epoch, case number, modality), with the number of the
draw where an epoch draws a case more than once, and nothing else: not the order, the batch, the number of threads, the
process or the global seed. That is why keras-cv's preprocessing layers are not used here: they draw from a generator
whose state moves with each call, so what a picture gets depends on how many pictures came before it, and a resumed run
could not repeat it.

Order: change the colours, see `amfam_tf.data.colours`, pad with zeros and crop back (whole pixels), rotate about the
centre, mirror. What crop or rotation leave empty is 0 (black). XLA compiles all but the colours into one loop over the
pixels, from the stored bytes to the network's numbers: about three times as fast as op after op.
"""

import math

import tensorflow as tf

from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import AugmentationConfig
from amfam_tf.data import images
from amfam_tf.data.colours import change_colours, changes_colours

# Each half of a 64-bit key word holds one number below this.
KEY_RANGE = 2**31


def augmentation_seed(
    seed: int, epoch: tf.Tensor | int, case_num: tf.Tensor | int, modality: str, occurrence: tf.Tensor | int = 0
) -> tf.Tensor:
    """Returns the key of one picture's draws in one epoch, int64 [2]; different for different arguments below 2**31.

    Args:
        seed: of the run.
        epoch: 0-based.
        case_num: of the case.
        modality: of the picture.
        occurrence: how often the case came before in this epoch.
    """
    high = (seed % KEY_RANGE) * KEY_RANGE + tf.cast(epoch, tf.int64)
    low = len(MODALITIES) * tf.cast(case_num, tf.int64) + MODALITIES.index(modality)
    low += len(MODALITIES) * KEY_RANGE * tf.cast(occurrence, tf.int64)
    return tf.stack([high, low])


def augment(picture: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Returns one picture, its colours changed, then shifted, rotated and mirrored, each at random.

    Args:
        picture: uint8 [S, S, 3] in [0, 255].
        seed: key of the draws, int32 or int64 [2]; see `augmentation_seed`.
        config: how much of each.

    Returns:
        float32 [S, S, 3] in [0, 1].
    """
    if not config.enabled:
        return images.to_unit_range(picture)
    if changes_colours(config):
        picture = change_colours(picture, seed, config) * 255.0
    # One op for all draws, algorithm by name: "auto_select" differs between devices.
    row, column, turn, vertical, horizontal = tf.unstack(tf.random.stateless_uniform((5,), seed, alg="philox"))
    return transform(
        picture,
        # The first row and column of the crop lie in [0, 2 pad], counted from the corner of the padded picture.
        shift=tf.cast(tf.floor(tf.stack([row, column]) * (2 * config.pad + 1)), tf.int32) - config.pad,
        radians=(2.0 * turn - 1.0) * math.radians(config.rotation_degrees),
        vertical=vertical < config.vertical_flip,
        horizontal=horizontal < config.horizontal_flip,
        interpolation=config.rotation_interpolation,
    )


def transform(
    picture: tf.Tensor,
    shift: tf.Tensor,
    radians: tf.Tensor,
    vertical: tf.Tensor,
    horizontal: tf.Tensor,
    interpolation: str = "bilinear",
) -> tf.Tensor:
    """Returns the crop of the padded picture, rotated counter-clockwise about its centre, then mirrored.

    Args:
        picture: uint8 or float32 [S, S, 3] in [0, 255].
        shift: row and column of the picture at which the crop begins, int32 [2]; what lies outside is 0.
        radians: angle, float32 [].
        vertical: turn upside down after rotating, bool [].
        horizontal: swap left and right after rotating, bool [].
        interpolation: "bilinear" or "nearest".

    Returns:
        float32 [S, S, 3] in [0, 1]; 0 where the rotation left nothing.
    """
    return _read_pixels(picture, shift, radians, vertical, horizontal, tf.constant(255.0), interpolation)


@tf.function(jit_compile=True, autograph=False)
def _read_pixels(
    picture: tf.Tensor,
    shift: tf.Tensor,
    radians: tf.Tensor,
    vertical: tf.Tensor,
    horizontal: tf.Tensor,
    white: tf.Tensor,
    interpolation: str,
) -> tf.Tensor:
    """Does what `transform` says; `white` is 255.

    That is an argument because XLA would multiply by the inverse of a constant: an unchanged picture would differ from
    `images.to_unit_range` in its last digits.
    """
    size = picture.shape[0]
    centre = (size - 1) / 2
    along_x, along_y = (tf.where(mirror, -1.0, 1.0) for mirror in (horizontal, vertical))
    # For each pixel (x, y) of the result its place in the crop: undo the mirroring, then the rotation.
    x_from_x, x_from_y = tf.cos(radians) * along_x, -tf.sin(radians) * along_y
    y_from_x, y_from_y = tf.sin(radians) * along_x, tf.cos(radians) * along_y
    columns = tf.range(size, dtype=tf.float32)
    rows = columns[:, tf.newaxis]
    x = x_from_x * columns + (x_from_y * rows + (centre - centre * (x_from_x + x_from_y)))
    y = y_from_x * columns + (y_from_y * rows + (centre - centre * (y_from_x + y_from_y)))
    pixels = tf.reshape(picture, (size * size, 3))
    total = tf.zeros((size, size, 3))
    for row, row_weight in _neighbours(y, shift[0], size, interpolation):
        line = tf.zeros((size, size, 3))
        for column, column_weight in _neighbours(x, shift[1], size, interpolation):
            line += tf.cast(tf.gather(pixels, row * size + column), tf.float32) * column_weight[..., tf.newaxis]
        total += line * row_weight[..., tf.newaxis]
    # Interpolation weights add up to 1 only up to rounding.
    return tf.clip_by_value(total / white, 0.0, 1.0)


def _neighbours(
    places: tf.Tensor, shift: tf.Tensor, size: int, interpolation: str
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Returns along one axis the pixels that places of the crop are read from, each with its weight.

    Args:
        places: in pixels of the crop, float32 [S, S].
        shift: pixel of the picture at which the crop begins, int32 [].
        size: S, of crop and picture.
        interpolation: "bilinear" or "nearest".

    Returns:
        pixel of the picture, int32 [S, S] in [0, S), and its weight, float32 [S, S]: 0 outside of crop or picture.
    """
    if interpolation == "nearest":
        first = tf.round(places)
        parts = [(first, tf.ones_like(places))]
    else:
        first = tf.floor(places)
        parts = [(first, 1.0 - (places - first)), (first + 1.0, places - first)]
    low, high = tf.maximum(0, -shift), tf.minimum(size, size - shift)
    neighbours = []
    for place, weight in parts:
        pixel = tf.cast(place, tf.int32)
        weight = tf.where((pixel >= low) & (pixel < high), weight, 0.0)
        neighbours.append((tf.clip_by_value(pixel + shift, 0, size - 1), weight))
    return neighbours
