"""Colour and sharpness of training pictures, each changed by an amount drawn at random.

Before a picture is moved: what crop and rotation leave empty stays black.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import tensorflow as tf

from amfam_tf.config import AugmentationConfig
from amfam_tf.data import images

FOLD = 1
"""Makes another key of a picture's, see `augment.augmentation_seed`: the draws of its moves stay as they are."""
SMOOTH = (1.0, 1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 1.0, 1.0)
"""Pillow's kernel of the unsharp picture, over 13."""


def changes_colours(config: AugmentationConfig) -> bool:
    """Returns whether any of these is to be changed."""
    return any(getattr(config, name) for name in CHANGES)


def change_colours(picture: tf.Tensor, seed: tf.Tensor, config: AugmentationConfig) -> tf.Tensor:
    """Returns one picture with brightness, contrast, saturation, hue and sharpness changed, in this order.

    Args:
        picture: uint8 [S, S, 3] in [0, 255].
        seed: key of the picture's draws, see `augment.augmentation_seed`.
        config: for each the largest change, in either direction.

    Returns:
        float32 [S, S, 3] in [0, 1].
    """
    key = tf.random.experimental.stateless_fold_in(seed, FOLD, alg="philox")
    # One op for all draws: whatever is off, the others are drawn as ever.
    shares = tf.unstack(tf.random.stateless_uniform((len(CHANGES),), key, -1.0, 1.0, alg="philox"))
    changed = images.to_unit_range(picture)
    for (name, change), share in zip(CHANGES.items(), shares, strict=True):
        largest = getattr(config, name)
        if largest:
            changed = tf.clip_by_value(change(changed, share * largest), 0.0, 1.0)
    return changed


def sharpen(picture: tf.Tensor, amount: tf.Tensor) -> tf.Tensor:
    """Returns x + amount * (x - smooth x) of a picture [S, S, 3]; beyond its edge it goes on as its last pixels."""
    padded = tf.pad(picture, ((1, 1), (1, 1), (0, 0)), "SYMMETRIC")
    kernel = tf.tile(tf.reshape(tf.constant(SMOOTH) / sum(SMOOTH), (3, 3, 1, 1)), (1, 1, 3, 1))
    smooth = tf.nn.depthwise_conv2d(padded[tf.newaxis], kernel, (1, 1, 1, 1), "VALID")[0]
    return picture + amount * (picture - smooth)


CHANGES: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = MappingProxyType(
    {
        "brightness": lambda picture, amount: picture + amount,
        "contrast": lambda picture, amount: tf.image.adjust_contrast(picture, 1.0 + amount),
        "saturation": lambda picture, amount: tf.image.adjust_saturation(picture, 1.0 + amount),
        "hue": tf.image.adjust_hue,
        "sharpness": sharpen,
    }
)
"""The fields of the configuration, each with what an amount does to a picture in [0, 1]."""
