"""Compiled to a graph, a layer or network computes what it computes eagerly; so does its gradient."""

import numpy as np
import pytest
import tensorflow as tf
from everything import LAYERS, METHOD_NAMES, layer_input, network_of
from small import make_weights_all_different, random_batch

from amfam_tf.tasks import MODALITIES, TASKS


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    case = LAYERS[name]
    layer = case.create()
    layer.build((None, *case.shape))
    make_weights_all_different(layer)
    x = tf.constant(layer_input(case))

    def outputs_and_gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            loss = tf.reduce_sum(tf.square(outputs))
        return outputs, tape.gradient(loss, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    for eager, graph in zip(outputs_and_gradient(), tf.function(outputs_and_gradient)(), strict=True):
        np.testing.assert_allclose(eager, graph, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_method(name):
    network = network_of(name)
    batch = random_batch(2)
    pair = {key: tf.constant(batch[key]) for key in MODALITIES}
    eager, graph = network(pair), tf.function(network)(pair)
    assert list(eager) == list(graph)
    for key in eager:
        scale = float(tf.reduce_max(tf.abs(eager[key])))
        np.testing.assert_allclose(eager[key], graph[key], atol=1e-4 * max(scale, 1.0), err_msg=key)
    assert {task.name for task in TASKS} <= set(eager)
