"""A network saved to .keras and loaded gives the same outputs, with weights that are all different."""

import keras
import numpy as np
import pytest
from everything import LAYERS, METHOD_NAMES, layer_input, network_of
from small import make_weights_all_different, random_batch

from amfam_tf.tasks import MODALITIES


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, tmp_path):
    case = LAYERS[name]
    model = keras.Sequential([keras.Input(case.shape), case.create()])
    make_weights_all_different(model)
    model.save(tmp_path / "model.keras")
    x = layer_input(case)
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_method(name, tmp_path):
    network = network_of(name)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(network.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy(), err_msg=ours.path)
    batch = random_batch(2)
    pair = {key: batch[key] for key in MODALITIES}
    outputs, again = network(pair), loaded(pair)
    assert list(outputs) == list(again)
    for key, value in outputs.items():
        np.testing.assert_array_equal(value, again[key], err_msg=key)
    assert type(loaded) is type(network)
