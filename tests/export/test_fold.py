"""Folding: the same function without batch norm."""

import keras
import numpy as np
import pytest
from exported_runs import small_network
from keras import layers
from small import make_weights_all_different, random_batch, small_config

from amfam_tf.export.decode import Preparation
from amfam_tf.export.export import folded_network
from amfam_tf.export.fold import CONVOLUTIONS, fold_batch_norm
from amfam_tf.export.signatures import ServingModule
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

VARIANTS = {
    "bottlenecks": ((), "amfam"),
    "basic blocks": (("model.backbone=resnet18",), "amfam"),
    "depthwise": (("model.backbone=efficientnet_lite0",), "concat"),
    "each modality alone": (("model.batch_statistics=per_modality",), "amfam"),
    "one modality": ((), "clinical-only"),
    "mixed precision": (("training.precision=mixed_bfloat16",), "amfam"),
}


def batch_norms(model: keras.Model) -> list[layers.Layer]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]


def pictures(cases: int = 3) -> dict[str, np.ndarray]:
    return {name: random_batch(cases)[name] for name in MODALITIES}


def folded_small_model(*stack: layers.Layer) -> tuple[keras.Model, keras.Model, np.ndarray]:
    """Returns a sequence of layers as a model, folded, and an input for both."""
    inputs = keras.Input((6, 6, 3))
    output = inputs
    for layer in stack:
        output = layer(output)
    model = keras.Model(inputs, output)
    make_weights_all_different(model)
    return model, fold_batch_norm(model), np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("variant", VARIANTS)
def test_folded_network_gives_the_same_outputs_in_float32(variant):
    overrides, method = VARIANTS[variant]
    network = small_network(*overrides, method=method)
    folded = folded_network(network)
    assert batch_norms(network.explanation_model())
    assert not batch_norms(folded)
    assert all(layer.use_bias for layer in folded._flatten_layers() if isinstance(layer, CONVOLUTIONS))
    assert {variable.dtype for variable in folded.variables} == {"float32"}
    found = folded(pictures(), training=False)
    if variant == "mixed precision":
        network = small_network(method=method)  # the same weights, computed in float32
    expected = network.explanation_model()(pictures(), training=False)
    assert found.keys() == expected.keys()
    for name in expected:
        scale = float(np.abs(expected[name]).max())
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-4 * scale, err_msg=name)
    for task in TASKS:
        probabilities = (keras.ops.softmax(outputs[task.name]) for outputs in (found, expected))
        np.testing.assert_allclose(*probabilities, rtol=0, atol=1e-4)


def test_the_old_network_keeps_its_weights_and_shares_none():
    network = small_network()
    before = [np.array(variable) for variable in network.variables]
    folded = folded_network(network)
    for variable in folded.variables:
        variable.assign(variable * 0)
    assert all(np.array_equal(old, variable) for old, variable in zip(before, network.variables, strict=True))


def test_bfloat16_is_for_all_but_the_logits():
    folded = folded_network(small_network(), "bfloat16")
    types = {variable.path: variable.dtype for variable in folded.variables}
    assert {path for path, dtype in types.items() if dtype == "float32"} == {
        path for path in types if "_logits/" in path
    }
    assert set(types.values()) == {"float32", "bfloat16"}


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.5}], ids=str)
@pytest.mark.parametrize("use_bias", [True, False])
def test_every_kind_of_batch_norm_is_folded(options, use_bias):
    model, folded, x = folded_small_model(
        layers.Conv2D(4, 3, strides=2, use_bias=use_bias), layers.BatchNormalization(**options), layers.ReLU()
    )
    assert not batch_norms(folded)
    np.testing.assert_allclose(folded(x), model(x, training=False), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "stack",
    [
        lambda: (layers.BatchNormalization(),),
        lambda: (layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()),
        lambda: (layers.Conv2D(4, 3), layers.ReLU(), layers.BatchNormalization()),
    ],
    ids=["no convolution", "activation within", "activation between"],
)
def test_what_cannot_be_folded_stays(stack):
    model, folded, x = folded_small_model(*stack())
    assert len(batch_norms(folded)) == 1
    np.testing.assert_allclose(folded(x), model(x, training=False), rtol=1e-5, atol=1e-6)


def test_a_convolution_that_is_used_twice_stays():
    inputs = keras.Input((6, 6, 3))
    convolved = layers.Conv2D(4, 3)(inputs)
    model = keras.Model(inputs, layers.Add()([layers.BatchNormalization()(convolved), convolved]))
    make_weights_all_different(model)
    folded = fold_batch_norm(model)
    x = np.random.default_rng(1).normal(size=(2, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(folded(x), model(x, training=False), rtol=1e-5, atol=1e-6)


def test_the_random_state_of_dropout_is_not_stored():
    network = small_network("model.classifier_dropout=0.25")
    config = small_config("model.classifier_dropout=0.25")
    module = ServingModule(
        folded_network(network), Preparation.of(config.data), {task.name: 1.0 for task in TASKS}, DERM7PT
    )
    stored = {name.partition("/")[0] for name in module.weights}
    assert any(isinstance(layer, layers.Dropout) for layer in network.inference_model().layers)
    assert stored == {layer.name for layer in network.inference_model().layers if layer.weights}
