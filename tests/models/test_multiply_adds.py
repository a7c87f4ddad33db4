"""Multiply-adds by hand, and of published networks."""

import keras
import pytest
from keras import layers
from small import small_config

from amfam_tf import models
from amfam_tf.layers import UpsampleConv2D
from amfam_tf.models.backbones import create_backbone
from amfam_tf.models.multiply_adds import count_multiply_adds


def model_of(*stack, shape=(8, 8, 3)):
    inputs = keras.Input(shape)
    x = inputs
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ([layers.Conv2D(5, 3, padding="same")], 8 * 8 * 9 * 3 * 5),
        ([layers.Conv2D(5, 3, strides=2)], 3 * 3 * 9 * 3 * 5),
        ([layers.Conv2D(6, (1, 7), padding="same", groups=3)], 8 * 8 * 7 * 1 * 6),
        ([layers.DepthwiseConv2D(8, depth_multiplier=2)], 64 * 3 * 2),
        ([layers.GlobalAveragePooling2D(), layers.Dense(7)], 3 * 7),
        ([layers.Dense(7)], 8 * 8 * 3 * 7),
        ([layers.Conv2D(4, 1), layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D()], 64 * 3 * 4),
    ],
    ids=["same", "strided", "grouped", "depthwise", "dense", "dense at each place", "the rest"],
)
def test_by_hand(stack, expected):
    assert count_multiply_adds(model_of(*stack)) == expected


def test_what_is_called_twice_counts_twice():
    inner = model_of(layers.Conv2D(4, 1))
    pair = [keras.Input((8, 8, 3)) for _ in range(2)]
    twice = keras.Model(pair, [inner(value) for value in pair])
    joint = keras.Model(pair, inner(keras.ops.concatenate(pair, axis=0)))
    assert count_multiply_adds(twice) == count_multiply_adds(joint) == 2 * 64 * 3 * 4


def test_joint_and_separate_statistics_cost_the_same():
    joint, separate = (
        models.create("concat", small_config(f"model.batch_statistics={value}", method="concat")).inference_model()
        for value in ("joint", "per_modality")
    )
    assert count_multiply_adds(joint) == count_multiply_adds(separate)


def test_resnet50_at_224_pixels_is_as_published():
    """He et al. 2016, Table 1: 3.8e9."""
    assert count_multiply_adds(create_backbone("resnet50", 224)) == pytest.approx(3.8e9, rel=0.02)


def test_a_layer_that_cannot_be_counted_is_an_error():
    with pytest.raises(TypeError, match="multiply-adds of a UpsampleConv2D layer"):
        count_multiply_adds(model_of(UpsampleConv2D(4, 2)))
