import keras
import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.layers import UpsampleConv2D
from amfam_tf.layers.upsample_conv import upsample_convolve


def plain(images, kernel, bias, scale):
    """The definition: repeat every pixel, then convolve with zero padding."""
    upsampled = tf.repeat(tf.repeat(images, scale, axis=1), scale, axis=2)
    return tf.nn.conv2d(upsampled, kernel, strides=1, padding="SAME") + bias


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (6, 4), (33, 32)])
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
    gradients = [tape.gradient(loss, [images, kernel]) for loss in losses]
    for value, expected in zip([ours, *gradients[0]], [theirs, *gradients[1]], strict=True):
        # 1e-5 of the largest value: sums of many terms, in another order.
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(("scale", "size"), [(2, (3, 5)), (3, (3, 5)), (4, (3, 5)), (2, (32, 33))])
def test_compiled_is_the_same(scale, size):
    random = np.random.default_rng(scale)
    images = tf.constant(random.normal(size=(2, *size, 3)), tf.float32)
    kernel = tf.constant(random.normal(size=(3, 3, 3, 4)), tf.float32)

    def with_gradients(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = upsample_convolve(images, kernel, scale)
            loss = tf.reduce_sum(tf.sin(outputs))
        return [outputs, *tape.gradient(loss, [images, kernel])]

    compiled = tf.function(with_gradients, jit_compile=True)(images, kernel)
    for ours, theirs in zip(compiled, with_gradients(images, kernel), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * max(10.0, np.abs(theirs).max()))


@pytest.mark.parametrize("scale", [2, 4])
def test_no_tensor_is_as_large_as_the_upsampled_image(scale):
    # Far more channels in than out: an upsampled image would be the largest tensor by far.
    images, kernel = tf.TensorSpec((2, 6, 5, 64)), tf.TensorSpec((3, 3, 64, 1))

    @tf.function(input_signature=[images, kernel])
    def with_gradients(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = upsample_convolve(images, kernel, scale)
        return tape.gradient(outputs, [images, kernel])

    graph = with_gradients.get_concrete_function().graph
    sizes = [output.shape.num_elements() or 0 for op in graph.get_operations() for output in op.outputs]
    assert max(sizes) < images.shape.num_elements() * scale**2
    assert max(sizes) <= images.shape.num_elements()


def test_the_nine_products_of_a_large_image_are_those_of_one_image_at_a_time():
    images, kernel = tf.TensorSpec((8, 32, 32, 4)), tf.TensorSpec((3, 3, 4, 16))

    @tf.function(input_signature=[images, kernel])
    def with_gradients(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            outputs = upsample_convolve(images, kernel, 2)
        return tape.gradient(outputs, [images, kernel])

    graph = with_gradients.get_concrete_function().graph
    functions = [function.graph for function in graph._functions.values()]
    operations = [op for one in (graph, *functions) for op in one.get_operations()]
    sizes = [output.shape.num_elements() or 0 for op in operations for output in op.outputs]
    output, products = 8 * 64 * 64 * 16, 9 * 8 * 32 * 32 * 16
    assert products / 8 <= max(sizes) <= output < products


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


@pytest.mark.parametrize("scale", [1, 3, 4])
def test_the_shape_is_known_before_there_are_images(scale):
    layer = UpsampleConv2D(1, scale)
    assert layer.compute_output_shape((2, 5, 7, 3)) == (2, 5 * scale, 7 * scale, 1)
    assert layer.compute_output_shape((None, None, 7, 3)) == (None, None, 7 * scale, 1)
    assert layer.compute_output_shape((None, 5, None, 3)) == (None, 5 * scale, None, 1)
    assert layer(keras.Input((5, 7, 3))).shape == (None, 5 * scale, 7 * scale, 1)
    assert layer(tf.ones((2, 5, 7, 3))).shape == (2, 5 * scale, 7 * scale, 1)


@pytest.mark.parametrize(("filters", "scale"), [(0, 2), (4, 0)])
def test_impossible_sizes_are_refused(filters, scale):
    with pytest.raises(ValueError, match=f"Received: filters={filters}, scale={scale}"):
        UpsampleConv2D(filters, scale)
