import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from amfam_tf.layers import AttentionMap, bicubic_matrix, normalize_min_max, resize_bicubic


def feature_maps(cases=2, size=(3, 4), channels=6):
    return tf.constant(np.random.default_rng(0).normal(size=(cases, *size, channels)).astype(np.float32))


def test_every_map_reaches_both_ends_of_its_range():
    maps = AttentionMap((32, 40))(feature_maps()).numpy()
    assert maps.shape == (2, 32, 40, 1)
    np.testing.assert_array_equal(maps.min(axis=(1, 2, 3)), [0.0, 0.0])
    np.testing.assert_array_equal(maps.max(axis=(1, 2, 3)), [1.0, 1.0])


def test_constant_maps_become_zero_with_finite_gradients():
    layer = AttentionMap((8, 8))
    features = tf.Variable(tf.ones((2, 3, 3, 4)))
    with tf.GradientTape() as tape:
        maps = layer(features)
        loss = tf.reduce_sum(tf.exp(maps))
    np.testing.assert_array_equal(maps, np.zeros((2, 8, 8, 1)))
    assert np.isfinite(tape.gradient(loss, features)).all()


def test_map_is_the_weighted_sum_of_the_channels():
    layer = AttentionMap((3, 4))
    features = feature_maps()
    layer(features)
    weights = layer.channel_weights(features)
    weighted = (features.numpy() * weights.numpy()[:, None, None, :]).sum(axis=-1)
    low, high = weighted.min(axis=(1, 2), keepdims=True), weighted.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(layer(features)[..., 0], (weighted - low) / (high - low), atol=1e-5)


def test_channel_weights_by_hand():
    layer = AttentionMap((8, 8), activations=("relu", "relu", "sigmoid"))
    features = feature_maps(channels=4)
    layer(features)
    vector = features.numpy().mean(axis=(1, 2))  # the convolution starts as global average pooling
    for dense, activation in zip(layer.dense, (relu, relu, sigmoid), strict=True):
        kernel, bias = (weight.numpy() for weight in dense.weights)
        vector = activation(vector @ kernel + bias)
    np.testing.assert_allclose(layer.channel_weights(features), vector, atol=1e-6)
    assert [dense.units for dense in layer.dense] == [4, 2, 4]
    # Names are part of the layout of weight files.
    assert [dense.name for dense in layer.dense] == ["dense_1", "dense_2", "dense_3"]


def test_the_shape_of_a_map_is_known_before_there_are_features():
    maps = AttentionMap((32, 40))(keras.Input((3, 4, 6), batch_size=2))
    assert (maps.shape, maps.dtype) == ((2, 32, 40, 1), "float32")


def test_the_sum_over_places_is_the_convolution():
    layer = AttentionMap((8, 8))
    features = feature_maps()
    layer(features)
    random = np.random.default_rng(3)
    layer.pooling.set_weights([random.normal(size=weight.shape) for weight in layer.pooling.weights])
    np.testing.assert_allclose(layer._convolve(features), layer.pooling(features)[:, 0, 0], rtol=1e-5, atol=1e-5)


def relu(x):
    return np.maximum(x, 0.0)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def test_stop_gradient_leaves_the_attention_branch_without_one():
    features = tf.Variable(feature_maps())
    for stop, expected in ((False, True), (True, False)):
        layer = AttentionMap((8, 8), stop_gradient=stop)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(features)))
        assert (tape.gradient(loss, features) is not None) is expected


def test_unknown_map_size_is_refused():
    with pytest.raises(ValueError, match="static height and width"):
        AttentionMap((8, 8))(keras.Input((None, None, 4)))


@pytest.mark.parametrize(("size", "new_size"), [(10, 299), (3, 96), (7, 7), (1, 5)])
def test_bicubic_matrix_equals_an_independent_resize(size, new_size):
    values = np.random.default_rng(1).normal(size=size).astype(np.float32)
    # Pillow's float images use the same kernel (a = -0.5), half-pixel centres and renormalised edges.
    pillow = Image.fromarray(np.tile(values, (4, 1))).resize((new_size, 4), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(bicubic_matrix(size, new_size) @ values, np.asarray(pillow)[0], atol=1e-5)


def test_bicubic_resize_agrees_with_tensorflow_up_to_its_table():
    maps = np.random.default_rng(2).normal(size=(2, 5, 6)).astype(np.float32)
    theirs = tf.image.resize(maps[..., None], (31, 44), method="bicubic")[..., 0]
    # TensorFlow looks the kernel up in a table of 1024 steps.
    np.testing.assert_allclose(resize_bicubic(tf.constant(maps), (31, 44)), theirs, atol=1e-2)


def test_min_max_normalisation_is_per_map():
    maps = tf.constant([[[0.0, 2.0], [4.0, 1.0]], [[10.0, 10.0], [30.0, 20.0]]])
    expected = [[[0.0, 0.5], [1.0, 0.25]], [[0.0, 0.0], [1.0, 0.5]]]
    np.testing.assert_allclose(normalize_min_max(maps), expected)
