import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.layers import GradientReversal


@pytest.mark.parametrize("scale", [1.0, 0.25, 3.0])
def test_gradient_is_minus_scale_times_the_plain_gradient(scale):
    layer = GradientReversal(scale)
    x = tf.Variable([[1.0, -2.0], [0.5, 4.0]])
    with tf.GradientTape(persistent=True) as tape:
        plain = tf.reduce_sum(tf.sin(x) * x)
        reversed_ = tf.reduce_sum(tf.sin(layer(x)) * layer(x))
    np.testing.assert_allclose(tape.gradient(reversed_, x), -scale * tape.gradient(plain, x), rtol=1e-6)


def test_forward_is_the_identity():
    x = tf.constant([[1.0, -2.0, 7.5]])
    np.testing.assert_array_equal(GradientReversal(5.0)(x), x)


def test_assigned_coefficient_takes_effect_in_a_compiled_function():
    layer = GradientReversal(1.0)
    x = tf.Variable([2.0])
    layer(x)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(3.0 * layer(x))
        return tape.gradient(loss, x)

    np.testing.assert_allclose(gradient(), [-3.0])
    layer.coefficient.assign(0.5)
    np.testing.assert_allclose(gradient(), [-1.5])


@pytest.mark.parametrize("scale", [0, -1.0])
def test_a_scale_that_is_not_positive_is_refused(scale):
    with pytest.raises(ValueError, match=f"greater than 0. Received: scale={scale}"):
        GradientReversal(scale)
