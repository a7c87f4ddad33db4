"""Bicubic resizing as two matrix products, and min-max normalisation of maps.

Resizing is linear and separable: out = R x C^T with constant R [out_height, height] and C [out_width, width].
That is differentiable, has an XLA kernel (TensorFlow's bicubic resize has none), and the matrices are made once.
"""

import functools

import numpy as np
import tensorflow as tf

KEYS_COEFFICIENT = -0.5
ROUNDING = 1e-5


def _keys_kernel(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel (a = -0.5) at absolute distances [...]."""
    a, d = KEYS_COEFFICIENT, np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


@functools.cache
def bicubic_matrix(size: int, new_size: int) -> np.ndarray:
    """Returns the matrix [new_size, size], float32, that resizes one axis bicubically.

    Half-pixel centres, no antialiasing; weights that fall outside are dropped and the rest renormalised, which is what
    `tf.image.resize(method="bicubic")` does. Each row sums to 1.
    """
    centres = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    weights = _keys_kernel(centres[:, None] - np.arange(size)[None, :])
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def resize_bicubic(maps: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Returns maps [B, height, width] resized to [B, *size]; height and width must be static."""
    rows = tf.constant(bicubic_matrix(maps.shape[1], size[0]), maps.dtype)
    columns = tf.constant(bicubic_matrix(maps.shape[2], size[1]), maps.dtype)
    return tf.einsum("hy,byx,wx->bhw", rows, maps, columns, optimize="optimal")


def normalize_min_max(maps: tf.Tensor) -> tf.Tensor:
    """Returns maps [B, height, width] scaled per map to [0, 1]; a constant map becomes 0 everywhere.

    Constant means up to rounding: resizing a constant map leaves differences in the last bits, which must not be
    stretched to [0, 1].
    """
    low = tf.reduce_min(maps, axis=(1, 2), keepdims=True)
    lifted = maps - low
    # Not of the maps: their gradient would have a third term, and the order of adding three is not fixed.
    span = tf.reduce_max(lifted, axis=(1, 2), keepdims=True)
    constant = span <= ROUNDING * tf.maximum(tf.abs(low), tf.abs(low + span))
    return tf.where(constant, tf.zeros_like(maps), lifted / tf.where(constant, tf.ones_like(low), span))
