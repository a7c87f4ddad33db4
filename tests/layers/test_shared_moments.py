"""Common moments of several replicas: those of all their values together, as if one replica had seen them all."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from amfam_tf.layers import fused_batch_norm, shared_moments
from amfam_tf.layers.fused_batch_norm import BatchNormalization

CHANNELS = 3


class Beside:
    """The context of a replica beside others that have seen `others`, [..., c]; sums as all of them would."""

    def __init__(self, others: np.ndarray):
        self._others = others.reshape(-1, others.shape[-1])

    def all_reduce(self, operation: tf.distribute.ReduceOp, value: Sequence | tf.Tensor) -> Sequence | tf.Tensor:
        assert operation == tf.distribute.ReduceOp.SUM
        if isinstance(value, list):
            total, count = value[0] + self._others.sum(axis=0), value[1] + len(self._others)
            self._mean = (total / count).numpy()
            return total, count
        return value + ((self._others - self._mean) ** 2).sum(axis=0)


@pytest.fixture
def beside(monkeypatch):
    """Returns the function that puts this process beside replicas that have seen some values."""

    def put(others: np.ndarray) -> None:
        context = Beside(others)
        for module in (shared_moments, fused_batch_norm):
            monkeypatch.setattr(module, "replica_among_others", lambda: context)

    return put


def draw(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(2.0, 3.0, (*shape, CHANNELS)).astype(np.float32)


def whitened(values: np.ndarray, of: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = of.reshape(-1, CHANNELS).astype(np.float64)
    mean, variance = rows.mean(axis=0), rows.var(axis=0)
    return (values - mean) / np.sqrt(variance + epsilon), mean, variance


@pytest.mark.parametrize("shape", [(4, 5, 6), (7,)])
@pytest.mark.parametrize("epsilon", [1e-3, 0.5])
def test_moments_are_those_of_all_values_together(beside, shape, epsilon):
    own, others = draw(0, *shape), draw(1, 5, *shape[1:])
    beside(others)
    expected = whitened(own, np.concatenate([own, others]), epsilon)
    for found, wanted in zip(shared_moments.whiten_over_replicas(tf.constant(own), epsilon), expected, strict=True):
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_values_of_weight_0_say_nothing_of_the_moments(beside, weight):
    own, others = draw(2, 1, 4, 4), draw(3, 3, 4, 4)
    beside(others)
    with shared_moments.weighing_values(tf.constant(weight)):
        found = shared_moments.whiten_over_replicas(tf.constant(own), 1e-3)
    expected = whitened(own, np.concatenate([own, others]) if weight else others, 1e-3)
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)
    # Outside of it they count again.
    _, mean, _ = shared_moments.whiten_over_replicas(tf.constant(own), 1e-3)
    np.testing.assert_allclose(mean, np.concatenate([own, others]).mean(axis=(0, 1, 2)), rtol=1e-4)


def test_a_small_variance_beside_a_large_mean_is_kept(beside):
    own, others = 1000.0 + 0.01 * draw(4, 8, 8), 1000.0 + 0.01 * draw(5, 8, 8)
    beside(others)
    _, _, variance = shared_moments.whiten_over_replicas(tf.constant(own), 0.0)
    np.testing.assert_allclose(variance, np.concatenate([own, others]).astype(float).var(axis=(0, 1)), rtol=1e-2)


def test_the_gradient_is_that_of_the_definition(beside):
    own, others, upstream = draw(6, 4), draw(7, 3), tf.constant(draw(8, 4))
    beside(others)

    def plain(values):
        mean, variance = tf.nn.moments(tf.concat([values, others], axis=0), axes=[0])
        return (values - mean) / tf.sqrt(variance + 0.1)

    gradients = []
    for compute in (lambda values: shared_moments.whiten_over_replicas(values, 0.1)[0], plain):
        values = tf.Variable(own)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(compute(values) * upstream)
        gradients.append(tape.gradient(loss, values))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)


def test_two_replicas_are_others_to_each_other_and_one_is_alone(monkeypatch):
    assert shared_moments.replica_among_others() is None
    contexts = [SimpleNamespace(num_replicas_in_sync=count) for count in (1, 2, 3)]
    for context, expected in zip(contexts, (None, *contexts[1:]), strict=True):
        monkeypatch.setattr(tf.distribute, "get_replica_context", lambda context=context: context)
        assert shared_moments.replica_among_others() is expected
    # Within a strategy's scope, where a graph is only described.
    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: None)
    assert shared_moments.replica_among_others() is None


@pytest.mark.parametrize("shape", [(2, 4, 5), (6,)])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_synchronized_layer_is_keras_layer_on_the_whole_batch(beside, shape, options):
    own, others = draw(9, *shape), draw(10, 3, *shape[1:])
    beside(others)
    keras_layer = layers.BatchNormalization(momentum=0.8, **options)
    ours = BatchNormalization(momentum=0.8, synchronized=True, **options)
    keras_layer.build((None, *shape[1:], CHANNELS))
    ours.build((None, *shape[1:], CHANNELS))
    random = np.random.default_rng(11)
    weights = [random.uniform(0.5, 2.0, weight.shape) for weight in ours.weights]
    for layer in (keras_layer, ours):
        layer.set_weights(weights)
    whole = keras_layer(np.concatenate([own, others]), training=True)[: len(own)]
    np.testing.assert_allclose(ours(tf.constant(own), training=True), whole, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(ours.get_weights(), keras_layer.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert not np.allclose(ours.moving_variance, weights[-1])
