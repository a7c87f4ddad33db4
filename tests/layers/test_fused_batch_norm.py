"""BatchNormalization is Keras' layer: outputs, gradients, moving averages, and what is left to Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from amfam_tf.layers.fused_batch_norm import BatchNormalization, fuse_batch_norms

CHANNELS = 5


def twins(**options) -> tuple[layers.Layer, layers.Layer]:
    """Returns Keras' layer and ours with the same weights, none of them 0 or 1."""
    pair = (layers.BatchNormalization(momentum=0.8, **options), BatchNormalization(momentum=0.8, **options))
    random = np.random.default_rng(0)
    for layer in pair:
        layer.build((None, 6, 7, CHANNELS))
    values = [random.uniform(0.5, 2.0, weight.shape) for weight in pair[0].weights]
    for layer in pair:
        layer.set_weights(values)
    return pair


def images(dtype: str = "float32") -> tf.Tensor:
    return tf.cast(np.random.default_rng(1).normal(1.0, 2.0, (3, 6, 7, CHANNELS)), dtype)


def run(layer: layers.Layer, inputs: tf.Tensor) -> tuple:
    """Returns outputs, and the gradients of input and weights for one upstream gradient."""
    upstream = tf.cast(np.random.default_rng(2).normal(size=inputs.shape), inputs.dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
        total = tf.reduce_sum(tf.cast(outputs * upstream, tf.float32))
    return outputs, tape.gradient(total, [inputs, *layer.trainable_variables])


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"epsilon": 1e-5}])
@pytest.mark.parametrize("graph", [False, True])
def test_training_is_that_of_keras(options, graph):
    keras_layer, fused = twins(**options)
    expected = run(keras_layer, images())
    outputs, gradients = tf.function(lambda inputs: run(fused, inputs))(images()) if graph else run(fused, images())
    np.testing.assert_allclose(outputs, expected[0], rtol=1e-5, atol=1e-5)
    for found, wanted in zip(gradients, expected[1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(fused.get_weights(), keras_layer.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert not np.allclose(fused.moving_variance, twins(**options)[1].moving_variance)


def test_statistics_are_float32_under_mixed_precision():
    layer = BatchNormalization(momentum=0.0, dtype="mixed_bfloat16")
    inputs = images("bfloat16")
    assert layer(inputs, training=True).dtype == tf.bfloat16
    exact = tf.cast(inputs, tf.float32).numpy()
    assert [weight.dtype for weight in layer.weights] == ["float32"] * 4
    np.testing.assert_allclose(layer.moving_mean, exact.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, exact.var((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("frozen", [False, True])
def test_inference_and_frozen_layers_use_and_keep_the_moving_averages(frozen):
    keras_layer, fused = twins()
    fused.trainable = not frozen
    before = fused.get_weights()
    outputs = fused(images(), training=frozen)
    np.testing.assert_array_equal(outputs, keras_layer(images(), training=False))
    for found, wanted in zip(fused.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_network_s_layers_are_fused_in_place_and_a_copy_stays_so():
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.BatchNormalization(name="norm")(layers.Conv2D(4, 3, name="convolution")(inputs)))
    weights = [weight.path for weight in model.weights]
    fuse_batch_norms(model)
    assert type(model.get_layer("norm")) is BatchNormalization
    assert [weight.path for weight in model.weights] == weights
    assert type(keras.models.clone_model(model).get_layer("norm")) is BatchNormalization
    names = {
        operation.type
        for operation in tf.function(lambda x: model(x, training=True))
        .get_concrete_function(tf.TensorSpec((2, 8, 8, 3)))
        .graph.get_operations()
    }
    assert "FusedBatchNormV3" in names
