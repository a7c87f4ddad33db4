"""Nearest upsampling followed by a 3 x 3 convolution, without the upsampled tensor.

Multiplying a pixel by a tap of the kernel and repeating it may change places. So the small image is multiplied by all
nine taps, in one matrix product of 9 multiply-adds per source pixel and channel pair instead of 9 scale^2, and the
products are put together by additions. Along one axis, with the products P_0, P_1, P_2 of the three taps, the output
pixels of source pixel i are

    first of the block   P_0[i - 1] + P_1[i] + P_2[i]
    inner                P_0[i] + P_1[i] + P_2[i]          the same for all scale - 2 of them
    last                 P_0[i] + P_1[i] + P_2[i + 1]

with zero outside the image: zero padding stays zero padding. The gradient is the same backwards: upstream gradients
are added up to those of the nine products, then two matrix products give the gradients of image and kernel.

The nine products are larger than the output. So large images go through one after the other: what one of them needs
stays near the processor, and the memory does not grow with the batch. Small ones go through together.

The fastest of the ways that benchmarks/upsample_conv.py compares: docs/performance.md.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

TAPS = 3
ROWS, COLUMNS = 1, 2
"""Axes of an image [B, h, w, c]."""
LARGE = 1024
"""Pixels from which an image goes through alone. Measured: at 1,600 alone is faster, at 100 together."""


def upsample_convolve(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """Returns conv3x3(nearest_upsample(images, scale)), zero padded.

    Args:
        images: [B, h, w, c].
        kernel: [3, 3, c, d], of the same type.
        scale: at least 1.

    Returns:
        [B, h * scale, w * scale, d]
    """
    if scale == 1:
        return tf.nn.conv2d(images, kernel, strides=1, padding="SAME")

    # The gradient that TensorFlow derives passes over the nine products many times more.
    @tf.custom_gradient
    def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        assemble, gradients = (_assemble_each, _gradients_each) if _are_large(images) else (_assemble, _gradients)
        return assemble(images, kernel, scale), lambda upstream: gradients(images, kernel, upstream, scale)

    return convolve(images, kernel)


def _are_large(images: tf.Tensor) -> bool:
    _, height, width, _ = images.shape
    return height is not None and width is not None and height * width >= LARGE


def _assemble_each(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """Returns what `_assemble` does, one image after the other."""
    _, height, width, _ = images.shape
    return tf.map_fn(
        lambda image: _assemble(image[None], kernel, scale)[0],
        images,
        fn_output_signature=tf.TensorSpec((height * scale, width * scale, kernel.shape[-1]), images.dtype),
        parallel_iterations=1,
    )


def _gradients_each(images: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, scale: int) -> tuple[Any, ...]:
    """Returns what `_gradients` does, one image after the other; that of the kernel is added up in float32."""
    count = tf.shape(images)[0]
    of_images = tf.TensorArray(images.dtype, size=count, element_shape=images.shape[1:])

    def add(number: tf.Tensor, of_images: tf.TensorArray, of_kernel: tf.Tensor) -> tuple[Any, ...]:
        of_image, more = _gradients(images[number][None], kernel, upstream[number][None], scale)
        return number + 1, of_images.write(number, of_image[0]), of_kernel + tf.cast(more, of_kernel.dtype)

    _, of_images, of_kernel = tf.while_loop(
        lambda number, *_: number < count,
        add,
        (0, of_images, tf.zeros(kernel.shape, tf.float32 if kernel.dtype.size < 4 else kernel.dtype)),
        parallel_iterations=1,
    )
    return of_images.stack(), tf.cast(of_kernel, kernel.dtype)


def _assemble(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    batch, height, width, channels = _sizes(images)
    filters = kernel.shape[-1]
    products = tf.matmul(tf.reshape(images, (-1, channels)), _as_matrix(kernel))
    # [B h w, 9 d] -> [B, h, w, 9 d] -> three of [B, h, w, 3 d], one for each row of taps
    by_row = tf.split(tf.reshape(products, (batch, height, width, TAPS * TAPS * filters)), TAPS, axis=-1)
    rows = [
        tf.stack(_repeat_inner(_block(tf.split(row, TAPS, axis=-1), COLUMNS, scale), scale), axis=3)
        for row in _block(by_row, ROWS, scale)
    ]
    # scale of [B, h, w, scale, d] -> [B, h, scale, w, scale, d] -> [B, h scale, w scale, d]
    blocks = tf.stack(_repeat_inner(rows, scale), axis=2)
    return tf.reshape(blocks, (batch, height * scale, width * scale, filters))


def _gradients(images: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor, scale: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the gradients of images and kernel for that of the output, [B, h scale, w scale, d]."""
    batch, height, width, channels = _sizes(images)
    filters = kernel.shape[-1]
    blocks = tf.reshape(upstream, (batch, height, scale, width, scale, filters))
    by_row = _block_gradient(tf.unstack(blocks, axis=2), ROWS)
    products = [part for row in by_row for part in _block_gradient(tf.unstack(row, axis=3), COLUMNS)]
    products = tf.reshape(tf.concat(products, axis=-1), (-1, TAPS * TAPS * filters))
    of_images = tf.matmul(products, _as_matrix(kernel), transpose_b=True)
    of_matrix = tf.matmul(tf.reshape(images, (-1, channels)), products, transpose_a=True)
    of_kernel = tf.transpose(tf.reshape(of_matrix, (channels, TAPS, TAPS, filters)), (1, 2, 0, 3))
    return tf.reshape(of_images, (batch, height, width, channels)), of_kernel


def _block(products: Sequence[tf.Tensor], axis: int, scale: int) -> list[tf.Tensor]:
    """Returns the first, inner (if scale > 2) and last output pixels along `axis` for the products of three taps."""
    before, own, after = products
    # Of two terms each, with the new tensor first: tf.add_n adds three or more in the order in which others have read
    # them, so that equal seeds would give other last digits on a busy machine.
    upper = before + own
    first, last = _shift(before, axis, 1) + (own + after), _shift(after, axis, -1) + upper
    return [first, last] if scale == 2 else [first, upper + after, last]


def _repeat_inner(kinds: list[tf.Tensor], scale: int) -> list[tf.Tensor]:
    """Returns a block's `scale` pixels for its kinds."""
    return [kinds[0], *kinds[1:-1] * (scale - 2), kinds[-1]]


def _block_gradient(pixels: Sequence[tf.Tensor], axis: int) -> list[tf.Tensor]:
    """Returns the gradients of three taps' products for those of a block's pixels along `axis`; undoes `_block`."""
    first, *inner, last = pixels
    # Of two terms each, for the reason that `_block` gives.
    inner = [sum(inner[1:], inner[0])] if inner else []
    upper, lower = sum(inner, first), sum(inner, last)
    return [_shift(first, axis, -1) + lower, first + lower, _shift(last, axis, 1) + upper]


def _shift(values: tf.Tensor, axis: int, by: int) -> tf.Tensor:
    """Returns the values moved one place up (`by` 1) or down (-1) along `axis`, 0 where nothing moves to."""
    kept = [slice(None)] * axis + [slice(None, -1) if by == 1 else slice(1, None)]
    paddings = [[0, 0] for _ in values.shape]
    paddings[axis] = [1, 0] if by == 1 else [0, 1]
    return tf.pad(values[tuple(kept)], paddings)


def _as_matrix(kernel: tf.Tensor) -> tf.Tensor:
    """Returns [3, 3, c, d] as [c, 9 d]."""
    return tf.reshape(tf.transpose(kernel, (2, 0, 1, 3)), (kernel.shape[2], TAPS * TAPS * kernel.shape[3]))


def _sizes(images: tf.Tensor) -> tuple[Any, ...]:
    """Returns the sizes of all axes, a number where it is known."""
    shape = tf.shape(images)
    return tuple(size or shape[axis] for axis, size in enumerate(images.shape))


@keras.saving.register_keras_serializable(package="amfam_tf")
class UpsampleConv2D(keras.layers.Layer):
    """Nearest upsampling by `scale`, then a 3 x 3 convolution with zero padding; exact up to rounding.

    Weights: `kernel` [3, 3, in, filters] and `bias` [filters], those of the plain convolution.
    Input [B, h, w, in], output [B, h * scale, w * scale, filters].

    Source: decoder blocks of Wang et al. 2022, Sec. 3.3; the identity is in this module's docstring.
    """

    def __init__(self, filters: int, scale: int, kernel_initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        if filters < 1 or scale < 1:
            raise ValueError(f"`filters` and `scale` must be at least 1. Received: filters={filters}, scale={scale}")
        self.filters = filters
        self.scale = scale
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, input_shape[-1], self.filters), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = upsample_convolve(inputs, tf.convert_to_tensor(self.kernel), self.scale)
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        batch, height, width, _ = input_shape
        return (
            batch,
            None if height is None else height * self.scale,
            None if width is None else width * self.scale,
            self.filters,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "scale": self.scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
