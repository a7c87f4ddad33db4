"""Losses of mixed cases: share of the loss of the own label, the rest of that of the other one, for every loss."""

import numpy as np
import pytest
import tensorflow as tf
from small import random_batch, small_config

from amfam_tf.config import LossConfig
from amfam_tf.data.mixing import SHARE, other_label
from amfam_tf.tasks import DERM7PT, TASKS
from amfam_tf.training.class_losses.adjusted import adjusted_cross_entropy
from amfam_tf.training.class_losses.table import CLASS_LOSSES, loss_of_cases
from amfam_tf.training.class_weights import batch_class_weights
from amfam_tf.training.losses import cross_entropy
from amfam_tf.training.run import create_trainer

LOGITS = tf.constant([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0], [-1.0, 0.0, 0.3]])
OWN, OTHER = tf.constant([0, 1, 2]), tf.constant([2, 0, 2])
SHARES = tf.constant([0.25, 1.0, 0.6])
COUNTS = np.array([60, 30, 10], np.float32)


def of_cases(name):
    return adjusted_cross_entropy if name == "cross_entropy" else loss_of_cases(LossConfig(classification=name), COUNTS)


@pytest.mark.parametrize("name", ["cross_entropy", *CLASS_LOSSES])
def test_every_loss_is_mixed_and_not_the_labels(name):
    loss = of_cases(name)
    own, other, shares = loss(OWN, LOGITS).numpy(), loss(OTHER, LOGITS).numpy(), SHARES.numpy()
    found = cross_entropy(OWN, LOGITS, of_cases=loss, mixture=(OTHER, SHARES))
    np.testing.assert_allclose(found, np.mean(shares * own + (1 - shares) * other), rtol=1e-5)
    found = cross_entropy(OWN, LOGITS, of_cases=loss, mixture=(OTHER, tf.ones(3)))
    np.testing.assert_allclose(found, cross_entropy(OWN, LOGITS, of_cases=loss), rtol=1e-6)


def test_labels_that_nobody_knows_are_left_out_with_their_share():
    own, other = tf.constant([0, -1, -1]), tf.constant([-1, 0, -1])
    losses = adjusted_cross_entropy(tf.constant([0, 0, 0]), LOGITS).numpy()
    found = cross_entropy(own, LOGITS, incomplete=True, mixture=(other, tf.constant([0.25, 0.9, 0.5])))
    np.testing.assert_allclose(found, (0.25 * losses[0] + 0.1 * losses[1]) / 0.35, rtol=1e-5)
    nothing = cross_entropy(own[2:], LOGITS[2:], incomplete=True, mixture=(other[2:], tf.constant([0.5])))
    assert float(nothing) == 0.0


def test_class_weights_count_each_label_by_its_share():
    both, shares = tf.concat([OWN, OTHER], 0), tf.concat([SHARES, 1 - SHARES], 0)
    counts = np.array([0.25 + 0.0, 1.0, 0.6 + 0.75 + 0.4])
    np.testing.assert_allclose(batch_class_weights(both, 3, shares), (counts.max() / counts)[both], rtol=1e-6)
    found = cross_entropy(OWN, LOGITS, "batch", mixture=(OTHER, tf.ones(3)))
    np.testing.assert_allclose(found, cross_entropy(OWN, LOGITS, "batch"), rtol=1e-6)


@pytest.mark.usefixtures("tiny_backbone")
def test_a_step_on_mixed_cases_is_one_on_both_labels_of_their_pictures():
    trainer = create_trainer(small_config(method="concat"), steps_per_epoch=1, card=DERM7PT)
    batch, other = random_batch(3), random_batch(3, seed=1)
    mixed = batch | {other_label(task.name): other[task.name] for task in TASKS} | {SHARE: SHARES.numpy()}
    swapped = batch | {task.name: other[task.name] for task in TASKS}
    rows = []
    for labels in (batch, swapped):
        for case in range(3):
            one = {key: tf.constant(value[case : case + 1]) for key, value in labels.items()}
            rows.append(float(trainer.compute_losses(one, training=False)["classification"]))
    weights = [*SHARES.numpy(), *(1 - SHARES.numpy())]
    whole = {key: tf.constant(value) for key, value in mixed.items()}
    found = trainer.compute_losses(whole, training=False)
    assert float(found["loss"]) == pytest.approx(np.dot(rows, weights) / 3, rel=1e-5)
    trainer.reset_metrics()
    logs = {name: float(value) for name, value in trainer.train_step(whole).items()}
    assert np.isfinite(logs["loss"])
