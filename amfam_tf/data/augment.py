"""Training augmentation of Sec. 4.2: zero-pad, random crop back, random rotation, random flips.

Every draw comes from stateless ops whose key is (config.seed, epoch, case number, modality), with the number of the
draw where an epoch draws a case more than once, and nothing else: not the order, the batch, the number of threads, the
process or the global seed. That is why keras-cv's preprocessing layers are not used here: they draw from a generator
whose state moves with each call, so what a picture gets depends on how many pictures came before it, and a resumed run
could not repeat it.

Order: pad with zeros and crop back (whole pixels), then one projective transform that rotates about the centre and then
mirrors. What the crop or the rotation leaves empty is 0 (black).
"""

import math

import tensorflow as tf

from amfam_tf.config import AugmentationConfig
from amfam_tf.tasks import MODALITIES

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


def augment(image: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Returns one picture, randomly shifted, rotated and mirrored.

    Args:
        image: float32 [S, S, 3] in [0, 1].
        seed: key of the draws, int32 or int64 [2]; see `augmentation_seed`.
        config: how much of each.

    Returns:
        float32 [S, S, 3] in [0, 1].
    """
    if not config.enabled:
        return image
    # One op for all draws, algorithm by name: "auto_select" differs between devices.
    row, column, turn, vertical, horizontal = tf.unstack(tf.random.stateless_uniform((5,), seed, alg="philox"))
    offsets = tf.cast(tf.floor(tf.stack([row, column]) * (2 * config.pad + 1)), tf.int32)
    return transform(
        pad_and_crop(image, config.pad, offsets),
        radians=(2.0 * turn - 1.0) * math.radians(config.rotation_degrees),
        vertical=vertical < config.vertical_flip,
        horizontal=horizontal < config.horizontal_flip,
        interpolation=config.rotation_interpolation,
    )


def pad_and_crop(image: tf.Tensor, pad: int, offsets: tf.Tensor) -> tf.Tensor:
    """Returns the S x S window at `offsets` of the picture with `pad` zeros on each side.

    Args:
        image: float32 [S, S, 3].
        pad: zero pixels on each side.
        offsets: first row and column of the window, int32 [2] in [0, 2 pad]; `pad` is the picture itself.

    Returns:
        float32 [S, S, 3].
    """
    if pad == 0:
        return image
    padded = tf.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    return tf.slice(padded, tf.concat([offsets, [0]], axis=0), image.shape)


def transform(
    image: tf.Tensor,
    radians: tf.Tensor | float,
    vertical: tf.Tensor | bool,
    horizontal: tf.Tensor | bool,
    interpolation: str = "bilinear",
) -> tf.Tensor:
    """Returns the picture rotated counter-clockwise about its centre, then mirrored; empty corners are 0.

    Args:
        image: float32 [S, S, 3] in [0, 1].
        radians: angle, float32 [].
        vertical: turn upside down after rotating, bool [].
        horizontal: swap left and right after rotating, bool [].
        interpolation: "bilinear" or "nearest".

    Returns:
        float32 [S, S, 3] in [0, 1].
    """
    size = image.shape[0]
    centre = (size - 1) / 2
    radians = tf.cast(radians, tf.float32)
    along_x, along_y = (tf.where(mirror, -1.0, 1.0) for mirror in (horizontal, vertical))
    # The op wants, for each pixel (x, y) of the result, its place in the input: undo the mirroring, then the rotation.
    x_from_x, x_from_y = tf.cos(radians) * along_x, -tf.sin(radians) * along_y
    y_from_x, y_from_y = tf.sin(radians) * along_x, tf.cos(radians) * along_y
    x_shift = centre - centre * (x_from_x + x_from_y)
    y_shift = centre - centre * (y_from_x + y_from_y)
    matrix = tf.stack([x_from_x, x_from_y, x_shift, y_from_x, y_from_y, y_shift, 0.0, 0.0])
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[tf.newaxis],
        transforms=matrix[tf.newaxis],
        output_shape=(size, size),
        fill_value=0.0,
        interpolation=interpolation.upper(),
        fill_mode="CONSTANT",
    )
    # Interpolation weights add up to 1 only up to rounding.
    return tf.clip_by_value(tf.ensure_shape(turned[0], image.shape), 0.0, 1.0)
