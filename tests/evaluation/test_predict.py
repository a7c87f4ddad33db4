"""Predictions of a model: softmax, order, argmax, temperature; nothing but the two images goes in."""

import numpy as np
import pytest

from amfam_tf.errors import RunError
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.predict import predict, probabilities_of
from amfam_tf.tasks import DERM7PT, TASK_BY_NAME, TASKS


def _model(images, training):
    """Returns logits that are the mean of both images times the class number."""
    import tensorflow as tf

    assert training is False
    level = tf.reduce_mean(images["clinical"] + 2 * images["dermoscopic"], axis=[1, 2, 3])
    return {task.name: level[:, None] * tf.range(len(task.classes), dtype=tf.float32) for task in TASKS}


def _batches(levels, size):
    """Yields batches of constant images; case 10 + i has level i and the labels of class i modulo classes."""
    import tensorflow as tf

    for start in range(0, len(levels), size):
        part = np.arange(start, min(start + size, len(levels)))
        image = np.array(levels, np.float32)[part, None, None, None] * np.ones((1, 4, 4, 3), np.float32)
        labels = {task.name: tf.constant(part % len(task.classes), tf.int32) for task in TASKS}
        yield {"clinical": image, "dermoscopic": 2 * image, "case_num": tf.constant(10 + part, tf.int64), **labels}


def test_softmax_of_the_logits_in_the_order_of_the_dataset():
    levels = [0.1, -0.2, 0.3, 0.0, 0.2]
    table = predict(_model, _batches(levels, 2), card=DERM7PT)
    assert list(table.columns) == predictions.columns(card=DERM7PT)
    assert list(table["case_num"]) == [10, 11, 12, 13, 14]
    weights = np.exp(5 * 0.3 * np.arange(5))
    row = table[predictions.probability_columns(TASK_BY_NAME["DIAG"])].to_numpy()[2]
    np.testing.assert_allclose(row, weights / weights.sum(), rtol=1e-6)
    assert list(table["DIAG_pred"]) == ["SK", "BCC", "SK", "BCC", "SK"]  # equal logits: the first class
    assert list(table["DIAG_true"]) == ["BCC", "NEV", "MEL", "MISC", "SK"]
    assert list(table["RS_true"]) == ["ABS", "PRS", "ABS", "PRS", "ABS"]


def test_probabilities_sum_to_one_beyond_float32():
    probabilities = probabilities_of(np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32) * 30)
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-12


def test_temperature_divides_the_logits_of_its_task_only():
    scales = {task.name: 1.0 for task in TASKS} | {"PN": 2.0}
    plain = predict(_model, _batches([0.4], 1), card=DERM7PT)
    scaled = predict(_model, _batches([0.4], 1), scales, card=DERM7PT)
    weights = np.exp(2.0 * np.arange(3) / 2)
    np.testing.assert_allclose(scaled[["PN_ABS", "PN_TYP", "PN_ATP"]].to_numpy()[0], weights / weights.sum(), rtol=1e-6)
    assert (scaled["VS_ABS"] == plain["VS_ABS"]).all()


def test_logits_that_are_not_finite_are_refused_with_task_and_case():
    with pytest.raises(
        RunError,
        match=r"no finite numbers: DIAG for 1 of 2 cases, PN for 1 of .*, RS for 1 of 2 cases "
        r"\(of one batch; the first is case 11\): the training has diverged",
    ):
        predict(_model, _batches([0.1, np.inf], 2), card=DERM7PT)
