"""Dropout: a mask of its own for each layer, step, epoch and seed; the same ones for a run that goes on."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config

from amfam_tf import models
from amfam_tf.tasks import TASKS
from amfam_tf.training.callbacks import EpochSeeds

UNITS = 4000
FURTHEST = 5 / UNITS**0.5


@pytest.fixture(scope="module")
def network():
    """Returns two layers of dropout beside each other, on an input of ones."""
    inputs = keras.Input((UNITS,))
    layers = [keras.layers.Dropout(0.5, name=name) for name in ("first", "second")]
    return keras.Model(inputs, [layer(inputs) for layer in layers])


def masks(network, seed: int, epochs: range, steps: int = 2) -> dict[tuple[int, int, int], np.ndarray]:
    """Returns what each layer lets through in each step: (epoch, step, layer) -> [UNITS] of 0 and 1."""
    callback, found = EpochSeeds(network, seed), {}
    ones = tf.ones((1, UNITS))
    for epoch in epochs:
        callback.on_epoch_begin(epoch)
        for step in range(steps):
            for layer, values in enumerate(network(ones, training=True)):
                found[epoch, step, layer] = (values.numpy()[0] > 0).astype(float)
    return found


def test_masks_of_layers_steps_and_epochs_are_independent(network):
    found = masks(network, 0, range(3))
    for mask in found.values():
        assert mask.mean() == pytest.approx(0.5, abs=FURTHEST)
    for one, other in itertools.combinations(found, 2):
        assert abs(np.corrcoef(found[one], found[other])[0, 1]) < FURTHEST, (one, other)


def test_masks_of_another_seed_are_others_and_of_the_same_epoch_the_same(network):
    first, again, other = (masks(network, seed, range(2)) for seed in (0, 0, 1))
    resumed = masks(network, 0, range(1, 2))
    for key, mask in first.items():
        np.testing.assert_array_equal(mask, again[key])
        assert abs(np.corrcoef(mask, other[key])[0, 1]) < FURTHEST
        if key in resumed:
            np.testing.assert_array_equal(mask, resumed[key])


def test_every_classifier_has_its_own_state_and_none_drops_in_evaluation():
    config = small_config("model.classifier_dropout=0.5", "model.classifier_units=64")
    model = models.create("amfam", config)
    callback = EpochSeeds(model, 0)
    states = []
    for epoch in (0, 1):
        callback.on_epoch_begin(epoch)
        states += [tuple(np.asarray(generator.state)) for generator in callback._generators]
    assert len(states) == len(set(states)) >= 2 * len(TASKS)
    batch = random_batch(2)
    pictures = {name: tf.constant(batch[name]) for name in ("clinical", "dermoscopic")}
    still = [model(pictures, training=False)["DIAG"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*still)
