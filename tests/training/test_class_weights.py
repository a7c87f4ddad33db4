"""Class weights of a batch: exact numbers, and the laws that make them weights of classes."""

import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.tasks import TASKS
from amfam_tf.training.class_weights import batch_class_weights


def test_weights_of_a_batch_by_hand():
    weights = batch_class_weights(tf.constant([0, 2, 0, 0, 1, 0, 2]), classes=5)
    assert weights.dtype == tf.float32
    np.testing.assert_array_equal(weights, [1, 2, 1, 1, 4, 1, 2])


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_present_class_weighs_the_same_in_all(task):
    labels = np.random.default_rng(3).integers(len(task.classes) - 1, size=40)  # the last class is absent
    weights = batch_class_weights(tf.constant(labels, tf.int32), len(task.classes)).numpy()
    largest = np.bincount(labels).max()
    sums = [weights[labels == number].sum() for number in np.unique(labels)]
    np.testing.assert_allclose(sums, largest, rtol=1e-6)
    assert weights.min() == 1.0


@pytest.mark.parametrize("labels", [[3], [1, 1, 1], [0, 1, 2, 3]])
def test_a_batch_of_even_classes_is_not_weighted(labels):
    np.testing.assert_array_equal(batch_class_weights(tf.constant(labels), 4), np.ones(len(labels)))


@pytest.mark.parametrize("compiled", [False, True])
def test_weights_in_a_graph_with_any_batch_size(compiled):
    traced = tf.function(
        lambda labels: batch_class_weights(labels, 3),
        input_signature=[tf.TensorSpec((None,), tf.int32)],
        jit_compile=compiled,
    )
    np.testing.assert_array_equal(traced(tf.constant([0, 0, 1])), [1, 1, 2])
    np.testing.assert_array_equal(traced(tf.constant([2])), [1])
