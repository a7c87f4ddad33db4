"""Answers averaged over flips: by hand, whatever way a case is turned over, and the same when served."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config

from amfam_tf import models
from amfam_tf.data.images import to_unit_range
from amfam_tf.export.decode import Preparation
from amfam_tf.export.export import folded_network
from amfam_tf.export.signature_names import EXPLAIN, PREDICT_IMAGES
from amfam_tf.export.signatures import ServingModule
from amfam_tf.models.flips import FLIPS, over_flips
from amfam_tf.models.multiply_adds import count_multiply_adds
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

pytestmark = pytest.mark.usefixtures("tiny_backbone")
TEMPERATURES = {task.name: 1.0 + number / 4 for number, task in enumerate(TASKS)}


def flipped(pair, axes):
    return {name: np.flip(value, axes) if name in MODALITIES else value for name, value in pair.items()}


def pictures(cases=3, seed=0):
    return {name: value for name, value in random_batch(cases, seed).items() if name in MODALITIES}


def corner(inputs):
    """Answers by what is in one corner of the pictures, and by a number that is not flipped."""
    seen = inputs["clinical"][:, 0, 0, :] + 2 * inputs["dermoscopic"][:, 0, 0, :]
    return {"DX": 5 * seen * inputs["metadata"]}


def test_the_mean_of_four_softmaxes_by_hand_and_exactly_the_same_for_every_flip():
    given = pictures() | {"metadata": np.array([[1.0], [0.5], [2.0]], np.float32)}
    corners = [corner(flipped(given, axes))["DX"] for axes in FLIPS]
    expected = np.mean([tf.nn.softmax(logits).numpy() for logits in corners], axis=0)
    found = over_flips(corner, given, ["DX"])["DX"].numpy()
    np.testing.assert_allclose(tf.nn.softmax(found), expected, atol=1e-6)
    for axes in FLIPS[1:]:
        np.testing.assert_array_equal(over_flips(corner, flipped(given, axes), ["DX"])["DX"], found)
    one = given | {"clinical": np.flip(given["clinical"], 1)}
    assert np.abs(over_flips(corner, one, ["DX"])["DX"] - found).max() > 0.01


@pytest.fixture(scope="module")
def networks():
    """Without and with flips, of the same weights."""
    plain, averaged = (
        models.create("concat", small_config(f"model.average_flips={value}", method="concat"))
        for value in ("false", "true")
    )
    random = np.random.default_rng(0)
    plain.set_weights([random.normal(size=weight.shape) ** 2 / 4 for weight in plain.get_weights()])
    averaged.set_weights(plain.get_weights())
    return plain, averaged


def test_a_network_of_flips_gives_the_mean_and_has_the_same_layers(networks):
    plain, averaged = (network.inference_model() for network in networks)
    pair = pictures()
    answers = [plain(flipped(pair, axes)) for axes in FLIPS]
    found = averaged(pair)
    for task in TASKS:
        expected = np.mean([tf.nn.softmax(one[task.name]).numpy() for one in answers], axis=0)
        np.testing.assert_allclose(tf.nn.softmax(found[task.name]), expected, atol=1e-5)
    assert max(np.abs(answers[0][task.name] - answers[3][task.name]).max() for task in TASKS) > 1e-3
    assert [weight.path for weight in averaged.weights] == [weight.path for weight in plain.weights]
    assert {one.name for one in averaged.layers if one.weights} == {one.name for one in plain.layers if one.weights}
    assert count_multiply_adds(averaged) == 4 * count_multiply_adds(plain)


def test_a_served_version_answers_as_the_network_of_flips_however_a_case_is_turned_over(networks):
    _, network = networks
    preparation = Preparation.of(small_config(method="concat").data)
    module = ServingModule(folded_network(network), preparation, TEMPERATURES, DERM7PT, average_flips=True)
    pair = {name: (255 * value).astype(np.uint8) for name, value in pictures().items()}
    logits = network.inference_model()({name: to_unit_range(tf.constant(value)) for name, value in pair.items()})
    classify = module.functions[PREDICT_IMAGES]
    found = classify(**{name: tf.constant(value) for name, value in pair.items()})
    turned = classify(**{name: tf.constant(value) for name, value in flipped(pair, (1, 2)).items()})
    question = {"task_number": tf.constant([0, 1, 2]), "class_number": tf.constant([-1, -1, 0])}
    told = module.batching[EXPLAIN].batched(**{name: tf.constant(value) for name, value in pair.items()}, **question)
    for task in TASKS:
        expected = tf.nn.softmax(logits[task.name] / TEMPERATURES[task.name])
        np.testing.assert_allclose(found[task.name], expected, atol=1e-5)
        np.testing.assert_allclose(turned[task.name], found[task.name], atol=1e-6)
        np.testing.assert_allclose(told[task.name], found[task.name], atol=1e-6)
