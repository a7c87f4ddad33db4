"""Learned tokens in the place of missing pictures, and which pictures training takes as missing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.layers import MissingViews, without_gradient_of_missing
from amfam_tf.tasks import MODALITIES

CASES = 4000


def layer_of(rate, channels=3):
    """Returns the layer with tokens -1, -2, ... of the first picture and -101, ... of the second, built for maps."""
    layer = MissingViews(rate)
    layer.build(dict.fromkeys(MODALITIES, (None, 2, 2, 3)), dict.fromkeys(MODALITIES, (None, 5, 5, channels)))
    for number, name in enumerate(MODALITIES):
        layer.tokens[name].assign(-100.0 * number - np.arange(1, channels + 1))
    return layer


def pictures_of(*given):
    """Returns pictures of one grey value, 0 where they are missing; `given` are pairs of bools."""
    values = np.array(given, np.float32).T
    return {name: np.tile(row[:, None, None, None], (1, 2, 2, 3)) for name, row in zip(MODALITIES, values, strict=True)}


def features(cases, channels=3):
    random = np.random.default_rng(0)
    return {name: random.random((cases, 5, 5, channels)).astype(np.float32) for name in MODALITIES}


@pytest.mark.parametrize("training", [False, None])
def test_the_token_stands_exactly_where_the_picture_is_missing(training):
    layer, known = layer_of(0.5), features(4)
    pairs = [(True, True), (False, True), (True, False), (False, False)]
    seen, given = layer(pictures_of(*pairs), known, training=training)
    for place, name in enumerate(MODALITIES):
        token = -100.0 * place - np.arange(1, 4, dtype=np.float32)
        for case, pair in enumerate(pairs):
            expected = known[name][case] if pair[place] else np.broadcast_to(token, (5, 5, 3))
            np.testing.assert_array_equal(seen[name][case], expected)
        np.testing.assert_array_equal(given[name], [pair[place] for pair in pairs])


def test_a_picture_with_one_pixel_that_is_not_black_is_there():
    pictures = pictures_of((False, True), (True, True))
    pictures["clinical"][0, 1, 0, 2] = 1 / 255
    _, given = layer_of(0.5)(pictures, features(2), training=False)
    np.testing.assert_array_equal(given["clinical"], [1, 1])


def test_training_takes_either_picture_as_missing_as_often_and_never_both():
    keras.utils.set_random_seed(0)
    _, given = layer_of(0.4)(pictures_of(*[(True, True)] * CASES), features(CASES, 1 + 2), training=True)
    clinical, dermoscopic = (np.asarray(given[name]) == 0 for name in MODALITIES)
    assert not (clinical & dermoscopic).any()
    spread = 4 * np.sqrt(0.2 * 0.8 / CASES)
    assert abs(clinical.mean() - 0.2) < spread
    assert abs(dermoscopic.mean() - 0.2) < spread


def test_the_only_picture_is_never_taken_as_missing():
    _, given = layer_of(0.9999)(pictures_of(*[(False, True), (True, False)] * 50), features(100), training=True)
    np.testing.assert_array_equal(given["clinical"], [0, 1] * 50)
    np.testing.assert_array_equal(given["dermoscopic"], [1, 0] * 50)


def test_gradients_go_to_the_features_that_are_there_and_to_the_tokens_of_the_others():
    layer, known = layer_of(0.5), {name: tf.constant(value) for name, value in features(2).items()}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(known)
        seen, given = layer(pictures_of((False, True), (True, True)), known, training=False)
        total = sum(tf.reduce_sum(value) for value in seen.values())
        apart = tf.reduce_sum(without_gradient_of_missing(known["clinical"], given["clinical"]) ** 2)
    found = tape.gradient(total, known)
    np.testing.assert_array_equal(found["clinical"][0], np.zeros((5, 5, 3)))
    np.testing.assert_array_equal(found["clinical"][1], np.ones((5, 5, 3)))
    np.testing.assert_array_equal(found["dermoscopic"], np.ones((2, 5, 5, 3)))
    np.testing.assert_array_equal(tape.gradient(total, layer.tokens["clinical"].value), np.full(3, 25.0))
    np.testing.assert_array_equal(tape.gradient(total, layer.tokens["dermoscopic"].value), np.zeros(3))
    gradient = tape.gradient(apart, known["clinical"])
    np.testing.assert_array_equal(gradient[0], np.zeros((5, 5, 3)))
    np.testing.assert_array_equal(gradient[1], 2 * known["clinical"][1])


def test_other_features_than_those_of_two_pictures_are_refused():
    shapes = dict.fromkeys(MODALITIES, (None, 2, 2, 3))
    with pytest.raises(ValueError, match="Two modalities are needed"):
        MissingViews(0.5).build(shapes, {"clinical": (None, 3)})
