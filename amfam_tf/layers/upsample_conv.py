"""Nearest upsampling followed by a 3 x 3 convolution, without the upsampled tensor.

Along one axis, with 3-tap kernel (w0, w1, w2), an output pixel of a block of `scale` sees at most two source pixels:

    first of the block   w0 on the source pixel before, w1 + w2 on its own
    inner                w0 + w1 + w2 on its own (the same for all scale - 2 of them)
    last                 w0 + w1 on its own, w2 on the source pixel after

Three kinds of row times three kinds of column make nine small convolutions on the small image: 25 multiply-adds per
source pixel and channel pair instead of 9 scale^2 (144 at scale 4). Zero padding stays zero padding.

The same operation is one transposed convolution with stride `scale` and a kernel of scale + 2 taps per axis: 16
multiply-adds at scale 2, as many as the small convolutions, but without putting nine results together.
"""

import keras
import tensorflow as tf

FIRST, INNER, LAST = "first", "inner", "last"


def _merge_taps(kernel: tf.Tensor, axis: int, kind: str) -> tf.Tensor:
    """Returns the kernel with its three taps along `axis` merged to the source pixels that `kind` sees."""
    before, own, after = tf.split(kernel, 3, axis=axis)
    if kind == FIRST:
        return tf.concat([before, own + after], axis=axis)
    if kind == INNER:
        return before + own + after
    return tf.concat([before + own, after], axis=axis)


def _crop(padded: tf.Tensor, row_kind: str, column_kind: str) -> tf.Tensor:
    """Returns the part of [B, h + 2, w + 2, c] on which a VALID convolution gives [B, h, w, .]."""
    bounds = {FIRST: slice(0, -1), INNER: slice(1, -1), LAST: slice(1, None)}
    return padded[:, bounds[row_kind], bounds[column_kind], :]


def _kinds(scale: int) -> list[str]:
    return [FIRST] + [INNER] * (scale - 2) + [LAST]


def upsample_convolve(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """Returns conv3x3(nearest_upsample(images, scale)), zero padded, by the way that is fastest at this scale.

    Args:
        images: [B, h, w, c].
        kernel: [3, 3, c, d].
        scale: at least 1.

    Returns:
        [B, h * scale, w * scale, d]
    """
    if scale == 1:
        return tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
    return _by_transposed_convolution(images, kernel, scale) if scale == 2 else _by_parts(images, kernel, scale)


def _spread_taps(kernel: tf.Tensor, axis: int, scale: int) -> tf.Tensor:
    """Returns the kernel with its 3 taps along `axis` spread to scale + 2: flipped, then summed over `scale` shifts."""
    flipped = tf.reverse(kernel, [axis])
    paddings = [[[0, 0]] * axis + [[shift, scale - 1 - shift]] + [[0, 0]] * (3 - axis) for shift in range(scale)]
    return tf.add_n([tf.pad(flipped, padding) for padding in paddings])


def _by_transposed_convolution(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    spread = _spread_taps(_spread_taps(kernel, 0, scale), 1, scale)
    shape = tf.shape(images)
    height, width = (images.shape[axis] or shape[axis] for axis in (1, 2))
    return tf.nn.conv2d_transpose(
        images,
        tf.transpose(spread, [0, 1, 3, 2]),
        output_shape=[shape[0], height * scale, width * scale, kernel.shape[-1]],
        strides=scale,
        padding=[[0, 0], [1, 1], [1, 1], [0, 0]],
    )


def _by_parts(images: tf.Tensor, kernel: tf.Tensor, scale: int) -> tf.Tensor:
    """As `upsample_convolve`, by small convolutions for each kind of row and column; scale at least 2."""
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    parts = {}
    for row_kind in dict.fromkeys(_kinds(scale)):
        row_kernel = _merge_taps(kernel, 0, row_kind)
        for column_kind in dict.fromkeys(_kinds(scale)):
            merged = _merge_taps(row_kernel, 1, column_kind)
            source = _crop(padded, row_kind, column_kind)
            parts[row_kind, column_kind] = tf.nn.conv2d(source, merged, strides=1, padding="VALID")
    # Row by row of a block: [B, h, w, scale, d] each; then [B, h, scale, w, scale, d] -> [B, h * scale, w * scale, d].
    rows = [tf.stack([parts[row, column] for column in _kinds(scale)], axis=3) for row in _kinds(scale)]
    blocks = tf.stack(rows, axis=2)
    shape = tf.shape(images)
    height, width = (images.shape[axis] or shape[axis] for axis in (1, 2))
    return tf.reshape(blocks, [-1, height * scale, width * scale, kernel.shape[-1]])


@keras.saving.register_keras_serializable(package="amfam_tf")
class UpsampleConv2D(keras.layers.Layer):
    """Nearest upsampling by `scale`, then a 3 x 3 convolution with zero padding; exact up to rounding.

    Weights: `kernel` [3, 3, in, filters] and `bias` [filters], those of the plain convolution.
    Input [B, h, w, in], output [B, h * scale, w * scale, filters].

    Source: decoder blocks of Wang et al. 2022, Sec. 3.3; the identity is in this module's docstring.
    """

    def __init__(self, filters: int, scale: int, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        if filters < 1 or scale < 1:
            raise ValueError(f"`filters` and `scale` must be at least 1. Received: filters={filters}, scale={scale}")
        self.filters = filters
        self.scale = scale
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(3, 3, input_shape[-1], self.filters), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs):
        outputs = upsample_convolve(inputs, tf.convert_to_tensor(self.kernel), self.scale)
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (
            batch,
            None if height is None else height * self.scale,
            None if width is None else width * self.scale,
            self.filters,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "scale": self.scale,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
