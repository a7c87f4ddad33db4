import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.layers import UpsampleConv2D


def plain(images, kernel, bias, scale):
    """The definition: repeat every pixel, then convolve with zero padding."""
    upsampled = tf.repeat(tf.repeat(images, scale, axis=1), scale, axis=2)
    return tf.nn.conv2d(upsampled, kernel, strides=1, padding="SAME") + bias


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (6, 4)])
def test_equals_upsampling_then_convolution_with_gradients(scale, size):
    random = np.random.default_rng(scale)
    images = tf.Variable(random.normal(size=(2, *size, 3)).astype(np.float32))
    layer = UpsampleConv2D(4, scale)
    layer.build(images.shape)
    layer.bias.assign(random.normal(size=4))
    kernel = layer.kernel.value
    upstream = random.normal(size=(2, size[0] * scale, size[1] * scale, 4)).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:
        ours = layer(images)
        theirs = plain(images, kernel, layer.bias.value, scale)
        losses = [tf.reduce_sum(outputs * upstream) for outputs in (ours, theirs)]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for ours, theirs in zip(*(tape.gradient(loss, [images, kernel]) for loss in losses), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-5)


def test_unknown_height_and_width():
    layer = UpsampleConv2D(2, 2)
    layer.build((None, None, None, 3))
    images = np.random.default_rng(0).normal(size=(1, 3, 4, 3)).astype(np.float32)
    outputs = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 3))])(images)
    np.testing.assert_allclose(outputs, layer(images), atol=1e-6)


def test_weights_are_those_of_the_plain_convolution():
    layer = UpsampleConv2D(5, 4)
    layer.build((None, 3, 3, 7))
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 3, 7, 5), (5,)]
    assert [weight.name for weight in layer.weights] == ["kernel", "bias"]


@pytest.mark.parametrize(("filters", "scale"), [(0, 2), (4, 0)])
def test_impossible_sizes_are_refused(filters, scale):
    with pytest.raises(ValueError, match=f"Received: filters={filters}, scale={scale}"):
        UpsampleConv2D(filters, scale)
