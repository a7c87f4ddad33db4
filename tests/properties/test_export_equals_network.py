"""Folded for export, every method gives the answers and feature maps of its network, from the served layers alone."""

import numpy as np
import pytest
from everything import METHOD_NAMES, network_of
from keras import layers
from small import random_batch, small_config

from amfam_tf.export.decode import Preparation
from amfam_tf.export.export import folded_network
from amfam_tf.export.signatures import ServingModule
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

TEMPERATURES = {task.name: 1.0 + number for number, task in enumerate(TASKS)}

SERVED = {
    "inception-combined": {"G_clinical", "G_dermoscopic", "C_both"},
    "embeddingnet": {"G_clinical", "G_dermoscopic", "E", "C"},
    "hccnn": {"G_clinical", "G_dermoscopic", "H", "C"},
}
"""Parts that a prediction needs, where they are not all but those that AMFAM leaves behind."""


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_method(name):
    network = network_of(name)
    pair = {key: random_batch(2)[key] for key in MODALITIES}
    folded = folded_network(network)
    expected, found = network(pair), folded(pair)
    assert {task.name for task in TASKS} <= set(found)
    for key, value in found.items():
        scale = float(np.abs(expected[key]).max())
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-4 * scale, err_msg=key)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded._flatten_layers())

    module = ServingModule(folded, Preparation.of(small_config(method=name).data), TEMPERATURES, card=DERM7PT)
    served = {layer.name for layer in network.inference_model().layers if layer.weights}
    assert {key.partition("/")[0] for key in module.weights} == served
    parts = {part for part, inside in network.parts.items() if {layer.name for layer in inside} & served}
    assert parts == SERVED.get(name, set(network.parts) - {"D", "RC", "RD", "AC", "AD"})
    assert len(module.weights) == len(folded.weights)
