"""Metadata beside or in the image features: by hand, without effect where there must be none, and in every method."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import make_weights_all_different, random_batch, small_config

from amfam_tf import models
from amfam_tf.card.inputs import inputs_of
from amfam_tf.errors import ConfigError
from amfam_tf.layers import Standardise
from amfam_tf.models import refuse_unread
from amfam_tf.models.blocks import fuse
from amfam_tf.models.multiply_adds import count_multiply_adds
from amfam_tf.tasks import DERM7PT, MODALITIES
from amfam_tf.training.run import create_trainer

METADATA = "model.metadata=[elevation,location,sex]"
WIDTH = 14
METHODS = ["clinical-only", "concat", "amfam", "inception-balanced", "inception-combined", "triplenet", "embeddingnet"]
METHODS += ["hccnn"]
ROW = np.array([[0.5, -1.0, 2.0]], np.float32)
KNOWN = np.array([[1.0, 0.0]], np.float32)
FIRST = np.array([[0.3, -0.2, 0.1], [9, 9, 9]], np.float32), np.array([0.4, 0.5, -0.6], np.float32)
SECOND = np.array([[-1.0, 0.7, 0.2], [9, 9, 9]], np.float32), np.array([0.1, -0.3, 0.8], np.float32)


def config_of(kind, method, *more):
    return small_config(METADATA, f"model.metadata_fusion={kind}", *more, method=method)


def fused(kind, x):
    """Returns what a block makes of features x [1, ..., 3] and KNOWN, its weights FIRST and SECOND."""
    inputs = {"metadata": keras.Input((2,), name="metadata")}
    features, made = keras.Input(x.shape[1:], name="x"), []
    model = keras.Model(
        [features, inputs["metadata"]], fuse([features], inputs, "join", config_of(kind, "amfam").model, made)
    )
    for layer, weights in zip(made, (FIRST, SECOND), strict=True):
        layer.set_weights(weights)
    return model([x, KNOWN]).numpy()


# Of the metadata the first number is 1 and the second 0: each linear function is its first row and its bias.
F, G = FIRST[0][0] + FIRST[1], SECOND[0][0] + SECOND[1]
BY_HAND = {
    "film": lambda x: (1 + F) * x + G,
    "metablock": lambda x: 1 / (1 + np.exp(-(np.tanh(F * x) + G))),
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_three_channels_by_hand_as_a_vector_and_at_each_place(kind):
    np.testing.assert_allclose(fused(kind, ROW), BY_HAND[kind](ROW), rtol=1e-5)
    maps = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(fused(kind, maps), BY_HAND[kind](maps), rtol=1e-5)


def test_film_is_the_same_before_and_after_pooling():
    maps = np.random.default_rng(0).normal(size=(1, 2, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(fused("film", maps).mean((1, 2)), fused("film", maps.mean((1, 2))), rtol=1e-5)


def test_concatenated_metadata_stand_at_each_place_of_maps():
    inputs, maps = {"metadata": keras.Input((2,))}, keras.Input((2, 3, 1))
    made = []
    model = keras.Model(
        [maps, inputs["metadata"]], fuse([maps], inputs, "join", config_of("concatenation", "triplenet").model, made)
    )
    found = model([np.arange(12, dtype=np.float32).reshape(2, 2, 3, 1), np.float32([[1, 2], [3, 4]])]).numpy()
    assert not made
    np.testing.assert_array_equal(found[..., :1], np.arange(12).reshape(2, 2, 3, 1))
    np.testing.assert_array_equal(found[..., 1:], np.broadcast_to([[[[1, 2]]], [[[3, 4]]]], (2, 2, 3, 2)))


def inputs_for(network):
    batch = random_batch(2)
    given = {name: tf.constant(batch[name]) for name in MODALITIES}
    if "metadata" in network.input:
        given["metadata"] = tf.constant(np.eye(WIDTH, dtype=np.float32)[[1, 8]])
    return given


@pytest.mark.parametrize("method", METHODS)
def test_film_begins_as_the_network_without_metadata(method):
    """The same seed gives the same weights; every output is the same, bit for bit."""
    plain, film = models.create(method, small_config(method=method)), models.create(method, config_of("film", method))
    without, with_it = (network(inputs_for(network)) for network in (plain, film))
    assert without.keys() == with_it.keys()
    for name, value in without.items():
        np.testing.assert_array_equal(with_it[name], value, err_msg=name)
    # What it adds belongs to the part whose classifiers see it, and is all that it adds.
    added = [layer.name for layer in film._flatten_layers() if layer.name.endswith(("_gamma", "_beta"))]
    assert added
    assert len(film.weights) == len(plain.weights) + 2 * len(added)
    listed = {id(layer) for part in film.parts.values() for layer in part}
    assert all(id(layer) in listed for layer in film._flatten_layers() if layer.name in added)


@pytest.mark.parametrize("kind", ["concatenation", "film", "metablock"])
@pytest.mark.parametrize("method", ["clinical-only", "amfam", "triplenet", "hccnn"])
def test_metadata_change_the_prediction_and_nothing_that_a_picture_is_asked_for(kind, method):
    network = models.create(method, config_of(kind, method))
    for layer in network._flatten_layers():
        if layer.name.endswith(("_gamma", "_beta")):
            layer.kernel.assign(np.random.default_rng(0).normal(size=layer.kernel.shape))
    given = inputs_for(network)
    before, after = network(given), network({**given, "metadata": tf.zeros((2, WIDTH))})
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    tasks = {task.name for task in DERM7PT.tasks}
    of_joint = {f"joint_{name}" for name in tasks} if method == "triplenet" else set()
    assert changed - {"saliency"} == tasks | of_joint


@pytest.mark.parametrize(
    ("kind", "method"), [("film", "amfam"), ("metablock", "triplenet"), ("concatenation", "hccnn")]
)
def test_a_saved_network_is_the_same_when_it_is_read(kind, method, tmp_path):
    network = models.create(method, config_of(kind, method))
    make_weights_all_different(network)
    network.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.metadata == inputs_of(DERM7PT, ["elevation", "location", "sex"])
    assert again.model_config.metadata_fusion == kind
    ours, theirs = (one(inputs_for(one))["DIAG"] for one in (network, again))
    np.testing.assert_array_equal(ours, theirs)
    assert set(again.inference_model().input) == {*MODALITIES, "metadata"}


@pytest.mark.parametrize("kind", ["film", "metablock"])
def test_a_step_trains_the_blocks(kind):
    trainer = create_trainer(config_of(kind, "concat", "training.precision=mixed_bfloat16"), 1, DERM7PT)
    names = {"film": ("gamma", "beta"), "metablock": ("f", "g")}[kind]
    blocks = [trainer.network.get_layer(f"metadata_fusion_{name}") for name in names]
    before = [[weight.numpy() for weight in layer.weights] for layer in blocks]
    batch = {name: tf.constant(value) for name, value in random_batch(2).items()}
    trainer.train_step({**batch, "metadata": tf.constant(np.eye(WIDTH, dtype=np.float32)[[1, 8]])})
    for layer, old in zip(blocks, before, strict=True):
        assert all(np.any(weight.numpy() != value) for weight, value in zip(layer.weights, old, strict=True))


def test_how_metadata_are_fused_is_refused_without_any():
    with pytest.raises(ConfigError) as caught:
        refuse_unread([small_config("model.metadata_fusion=film")], ["model.metadata_fusion"])
    expected = "model.metadata_fusion would be of no use: method amfam as configured does not read it: leave it out"
    assert str(caught.value) == expected
    refuse_unread([config_of("film", "amfam")], ["model.metadata_fusion"])


def test_what_metadata_cost_is_counted():
    """Two layers of 14 times 1024 for FiLM; what is standardised costs next to nothing."""
    plain = count_multiply_adds(models.create("concat", small_config(method="concat")).inference_model())
    film = count_multiply_adds(models.create("concat", config_of("film", "concat")).inference_model())
    assert film - plain == 2 * WIDTH * 1024
    vector = keras.Input((4,))
    assert count_multiply_adds(keras.Model(vector, keras.layers.Dense(3)(Standardise((0,))(vector)))) == 4 * 3
