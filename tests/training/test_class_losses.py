"""Losses for rare classes: three cases by hand, and exactly the cross-entropy where they should be."""

import functools
import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from small import random_batch, small_config
from staged_method import STAGED

from amfam_tf import models
from amfam_tf.config import LossConfig
from amfam_tf.errors import ConfigError
from amfam_tf.tasks import DERM7PT, TASKS
from amfam_tf.training.class_losses.adjusted import adjusted_cross_entropy
from amfam_tf.training.class_losses.class_balanced_focal import effective_weights
from amfam_tf.training.class_losses.table import CLASS_LOSSES, class_counts
from amfam_tf.training.losses import cross_entropy, losses_of_cases
from amfam_tf.training.run import trainer_for

ROWS = ((0.7, 0.2, 0.1), (0.1, 0.1, 0.8), (0.25, 0.5, 0.25))
LABELS = (0, 2, 0)
COUNTS = (60, 30, 10)
LOGITS = tf.math.log(tf.constant(ROWS))


def losses(name, counts=COUNTS, logits=LOGITS, labels=LABELS, **values):
    chosen = LossConfig(classification=name, **values)
    return CLASS_LOSSES[name](tf.constant(labels), logits, tf.constant(counts, tf.float32), chosen).numpy()


def plain():
    return [-math.log(row[label]) for row, label in zip(ROWS, LABELS, strict=True)]


def test_balanced_softmax_by_hand():
    scaled = [[n * p for n, p in zip(COUNTS, row, strict=True)] for row in ROWS]
    expected = [-math.log(row[label] / sum(row)) for row, label in zip(scaled, LABELS, strict=True)]
    np.testing.assert_allclose(losses("balanced_softmax"), expected, rtol=1e-5)


def test_logit_adjustment_by_hand():
    scaled = [[(n / 100) ** 0.5 * p for n, p in zip(COUNTS, row, strict=True)] for row in ROWS]
    expected = [-math.log(row[label] / sum(row)) for row, label in zip(scaled, LABELS, strict=True)]
    np.testing.assert_allclose(losses("logit_adjustment", adjustment=0.5), expected, rtol=1e-5)
    np.testing.assert_allclose(losses("logit_adjustment", adjustment=1.0), losses("balanced_softmax"), rtol=1e-6)


def test_class_balanced_focal_loss_by_hand():
    weights = [(1 - 0.9) / (1 - 0.9**n) for n in COUNTS]
    weights = [3 * weight / sum(weights) for weight in weights]
    of_label = [row[label] for row, label in zip(ROWS, LABELS, strict=True)]
    expected = [-weights[label] * (1 - p) ** 2 * math.log(p) for p, label in zip(of_label, LABELS, strict=True)]
    found = losses("class_balanced_focal", focusing=2.0, effective_samples=0.9)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert weights[2] > weights[1] > weights[0]


def test_ldam_by_hand():
    margins = [0.5 * (10 / n) ** 0.25 for n in COUNTS]
    expected = []
    for row, label in zip(ROWS, LABELS, strict=True):
        changed = [p * math.exp(-margins[label]) if k == label else p for k, p in enumerate(row)]
        expected.append(-math.log(changed[label] / sum(changed)))
    np.testing.assert_allclose(losses("ldam", margin=0.5), expected, rtol=1e-5)


def test_large_margin_focal_loss_is_the_mean_of_its_two():
    of_label = [row[label] for row, label in zip(ROWS, LABELS, strict=True)]
    focal = [-((1 - p) ** 3) * math.log(p) for p in of_label]
    expected = (losses("ldam", margin=0.4) + focal) / 2
    np.testing.assert_allclose(losses("large_margin_focal", margin=0.4, focusing=3.0), expected, rtol=1e-5)


def test_asymmetric_loss_by_hand():
    expected = []
    for row, label in zip(ROWS, LABELS, strict=True):
        own = -((1 - row[label]) ** 1.5) * math.log(row[label])
        shifted = [max(p - 0.15, 0) for k, p in enumerate(row) if k != label]
        expected.append(own - sum(q**3 * math.log(1 - q) for q in shifted))
    found = losses("asymmetric", focusing=1.5, focusing_others=3.0, shift=0.15)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_focusing_and_shift_the_asymmetric_loss_is_the_sum_of_binary_cross_entropies():
    expected = [
        -sum(math.log(p if k == label else 1 - p) for k, p in enumerate(row))
        for row, label in zip(ROWS, LABELS, strict=True)
    ]
    found = losses("asymmetric", focusing=0.0, focusing_others=0.0, shift=0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


EQUAL = (7, 7, 7)


@pytest.mark.parametrize(
    ("name", "counts", "values"),
    [
        ("balanced_softmax", EQUAL, {}),
        ("logit_adjustment", EQUAL, {"adjustment": 1.7}),
        ("logit_adjustment", COUNTS, {"adjustment": 0.0}),
        ("class_balanced_focal", EQUAL, {"focusing": 0.0}),
        ("class_balanced_focal", COUNTS, {"focusing": 0.0, "effective_samples": 0.0}),
        ("ldam", COUNTS, {"margin": 0.0}),
        ("large_margin_focal", COUNTS, {"margin": 0.0, "focusing": 0.0}),
        ("asymmetric", COUNTS, {"focusing": 0.0, "focusing_others": 0.5, "shift": 1.0}),
    ],
)
def test_in_its_limit_each_is_the_cross_entropy(name, counts, values):
    np.testing.assert_allclose(losses(name, counts, **values), plain(), rtol=2e-6)


@pytest.mark.parametrize(("name", "more"), [*((name, {}) for name in CLASS_LOSSES), ("asymmetric", {"shift": 0.0})])
def test_gradients_are_finite_for_answers_that_are_certain(name, more):
    logits = tf.Variable([[60.0, -60.0, 0.0], [60.0, -60.0, 0.0], [0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        values = LossConfig(classification=name, focusing=0.5, focusing_others=0.5, **more)
        total = tf.reduce_sum(CLASS_LOSSES[name](tf.constant([0, 1, 2]), logits, tf.constant([5.0, 1.0, 1e6]), values))
    assert np.isfinite(total.numpy())
    assert np.isfinite(tape.gradient(total, logits).numpy()).all()


def test_effective_weights_have_mean_1_and_go_from_equal_to_inverse_frequency():
    counts = tf.constant([100.0, 10.0, 1.0])
    np.testing.assert_allclose(effective_weights(counts, 0.0), [1, 1, 1], rtol=1e-6)
    nearly = effective_weights(counts, 0.999999).numpy()
    np.testing.assert_allclose(nearly / nearly[2], [0.01, 0.1, 1], rtol=0.1)
    assert nearly.mean() == pytest.approx(1, rel=1e-5)


# Label smoothing.


def test_label_smoothing_by_hand():
    of_all = [-sum(math.log(value) for value in row) / 3 for row in ROWS]
    expected = [0.9 * own + 0.1 * mean for own, mean in zip(plain(), of_all, strict=True)]
    np.testing.assert_allclose(adjusted_cross_entropy(tf.constant(LABELS), LOGITS, 0.1), expected, rtol=1e-6)


def test_label_smoothing_is_the_share_of_a_label_that_all_classes_get():
    """(1 - e) times the loss of the label, and e times the mean of the losses of all labels; unknown ones left out."""
    logits, labels, known = tf.random.stateless_normal((4, 5), (1, 2)), tf.constant([3, -1, 0, 4]), [0, 2, 3]
    each = [cross_entropy(tf.fill(3, k), tf.gather(logits, known)) for k in range(5)]
    expected = 0.7 * float(cross_entropy(labels, logits, incomplete=True)) + 0.3 * float(tf.reduce_mean(each))
    smoothed = functools.partial(adjusted_cross_entropy, smoothing=0.3)
    found = cross_entropy(labels, logits, incomplete=True, of_cases=smoothed)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["class_balanced_focal", "asymmetric"])
def test_smoothing_where_it_would_do_nothing_is_refused(name):
    with pytest.raises(ConfigError, match=f"label_smoothing does nothing in loss.classification={name}: leave it out"):
        LossConfig(classification=name, label_smoothing=0.1)


# With a training split.


def frame(**labels):
    return pd.DataFrame({task.name: np.resize(labels.get(task.name, (0, 1)), 6) for task in TASKS})


def test_counts_are_of_the_known_labels_and_no_class_has_none():
    counts = class_counts(frame(DIAG=(0, 0, 3, -1, 3, 3), PN=(2,)), TASKS)
    np.testing.assert_array_equal(counts["DIAG"], [2, 1, 1, 3, 1])
    np.testing.assert_array_equal(counts["PN"], [1, 1, 6])
    assert counts["DIAG"].dtype == np.float32


def test_without_counts_there_is_no_such_loss():
    with pytest.raises(ValueError, match="`counts` must be given for ldam"):
        losses_of_cases(LossConfig(classification="ldam"), None, TASKS)
    assert losses_of_cases(LossConfig(), None, TASKS) == {}


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_run_minimises_the_loss_with_the_counts_of_its_training_split(name, monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)
    config = small_config(f"loss.classification={name}", method="staged")
    training = frame(DIAG=(0, 0, 0, 2, 3, 4), PN=(1, 1, 2))
    trainer = trainer_for(config, 1, training, DERM7PT)
    batch = {key: tf.constant(value) for key, value in random_batch(4).items()}
    outputs = trainer(batch)
    expected = 0.0
    for task in TASKS:
        counts = tf.constant(class_counts(training, TASKS)[task.name])
        each = CLASS_LOSSES[name](batch[task.name], outputs[task.name], counts, config.loss)
        expected += float(tf.reduce_mean(each))
    found = trainer.compute_losses(batch, training=False)["classification"]
    assert float(found) == pytest.approx(expected, rel=1e-5)
