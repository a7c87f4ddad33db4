"""A layer or network made again from its configuration is the same one."""

import keras
import pytest
from everything import LAYERS, METHOD_NAMES, layer_input, network_of


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    case = LAYERS[name]
    layer = case.create(name="given")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(again) is type(layer)
    assert again.get_config() == layer.get_config()
    x = layer_input(case)
    layer(x)
    again(x)
    assert [tuple(weight.shape) for weight in again.weights] == [tuple(weight.shape) for weight in layer.weights]


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_method(name):
    network = network_of(name)
    again = type(network).from_config(network.get_config())
    assert again.model_config == network.model_config
    assert again.get_config() == network.get_config()
    assert list(again.output) == list(network.output)
    assert [weight.path for weight in again.weights] == [weight.path for weight in network.weights]
