"""Laws of distillation: the divergence by hand, its limits, and what it is a part of in a step."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax, softmax
from small import random_batch, small_config
from staged_method import STAGED

from amfam_tf import models
from amfam_tf.config import LossConfig
from amfam_tf.data.answers import answer_key
from amfam_tf.data.mixing import SHARE, other_label
from amfam_tf.tasks import DERM7PT, TASKS
from amfam_tf.training.distillation import softened_divergence
from amfam_tf.training.losses import build_losses
from amfam_tf.training.run import create_trainer
from amfam_tf.training.task_weights import TaskUncertainty, fixed_weights

ANSWERS = np.array([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-3.0, 1.0, 0.5]], np.float32)
LOGITS = np.array([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0], [0.3, 0.2, 0.1]], np.float32)
TAUGHT = LossConfig(teacher="run", distillation=0.3, distillation_temperature=2.0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_three_cases_by_hand(temperature):
    p, q = (softmax(one / temperature, axis=1) for one in (ANSWERS, LOGITS))
    expected = temperature**2 * np.sum(p * np.log(p / q), axis=1)
    found = softened_divergence(tf.constant(ANSWERS), tf.constant(LOGITS), temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert min(expected) > 0.01


def test_its_gradient_is_t_times_the_difference_of_the_softened_answers():
    logits, answers = tf.constant(LOGITS), tf.constant(ANSWERS)
    for temperature in (1.0, 4.0):
        with tf.GradientTape() as tape:
            tape.watch([logits, answers])
            total = tf.reduce_sum(softened_divergence(answers, logits, temperature))
        of_logits, of_answers = tape.gradient(total, [logits, answers])
        p, q = (softmax(one / temperature, axis=1) for one in (ANSWERS, LOGITS))
        np.testing.assert_allclose(of_logits, temperature * (q - p), atol=1e-6)
        assert of_answers is None


def test_equal_answers_are_no_loss_and_no_gradient():
    logits = tf.constant(LOGITS)
    shifted = tf.constant(log_softmax(LOGITS, axis=1))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = softened_divergence(shifted, logits, 2.0)
    np.testing.assert_allclose(found, 0.0, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(found, logits), 0.0, atol=1e-6)


def test_a_teacher_that_is_sure_is_a_label():
    labels = np.array([2, 0, 1])
    sure = np.where(np.eye(3)[labels] > 0, 0.0, -60.0).astype(np.float32)
    found = softened_divergence(tf.constant(sure), tf.constant(LOGITS), 1.0)
    np.testing.assert_allclose(found, -log_softmax(LOGITS, axis=1)[np.arange(3), labels], rtol=1e-5)


def taught_batch(cases=3, **unknown):
    """Returns a batch with answers of a teacher, and logits for it."""
    batch, outputs, random = random_batch(cases), {}, np.random.default_rng(5)
    for task in TASKS:
        shape = (cases, len(task.classes))
        batch[answer_key(task.name)] = log_softmax(random.normal(size=shape), axis=1).astype(np.float32)
        outputs[task.name] = random.normal(size=shape).astype(np.float32)
    batch |= {name: np.array(labels, np.int32) for name, labels in unknown.items()}
    return batch, {name: tf.constant(value) for name, value in outputs.items()}


def divergence_of(batch, outputs, task, temperature=2.0):
    p = softmax(batch[answer_key(task)] / temperature, axis=1)
    return temperature**2 * np.sum(p * (np.log(p) - log_softmax(outputs[task].numpy() / temperature, axis=1)), axis=1)


def losses_of(values, batch, outputs, tasks=TASKS, weighing=None):
    found = build_losses(list(outputs), values, "none", tasks, weighing=weighing or {})
    return {loss.name: (loss.weight, float(loss(batch, outputs))) for loss in found}


def test_the_loss_is_one_share_of_the_labels_and_the_rest_of_the_teacher():
    batch, outputs = taught_batch()
    plain = losses_of(LossConfig(), batch, outputs)["classification"][1]
    found = losses_of(TAUGHT, batch, outputs)
    assert list(found) == ["classification", "distillation"]
    assert found["classification"] == (0.7, plain)
    weight, value = found["distillation"]
    assert weight == 0.3
    assert value == pytest.approx(sum(divergence_of(batch, outputs, task.name).mean() for task in TASKS), rel=1e-5)


def test_without_a_share_the_teacher_is_not_there():
    batch, outputs = taught_batch()
    none = dataclasses.replace(TAUGHT, distillation=0.0)
    assert not none.taught
    assert losses_of(none, batch, outputs) == losses_of(LossConfig(), batch, outputs)


def test_the_teacher_speaks_of_cases_whose_label_nobody_knows():
    tasks = [dataclasses.replace(task, missing=("?",)) for task in TASKS[:1]]
    name = tasks[0].name
    batch, outputs = taught_batch(**{name: [-1, 1, -1]})
    found = losses_of(TAUGHT, batch, outputs, tasks)
    assert found["classification"][1] == pytest.approx(-log_softmax(outputs[name].numpy(), axis=1)[1, 1], rel=1e-5)
    assert found["distillation"][1] == pytest.approx(divergence_of(batch, outputs, name).mean(), rel=1e-5)
    batch, outputs = taught_batch(**{name: [-1, -1, -1]})
    found = losses_of(TAUGHT, batch, outputs, tasks)
    assert found["classification"][1] == 0.0
    assert found["distillation"][1] > 0.0


def test_the_answers_are_mixed_in_the_share_of_the_labels():
    """A mixture is, up to a number that nothing learned changes, the divergence from the mixed answer."""
    batch, outputs = taught_batch()
    shares, random = np.array([0.25, 1.0, 0.6], np.float32), np.random.default_rng(6)
    name = TASKS[0].name
    key, logits = answer_key(name), outputs[name]
    other = log_softmax(random.normal(size=(3, len(TASKS[0].classes))), axis=1).astype(np.float32)
    mixed = batch | {SHARE: shares, other_label(key): other, other_label(name): batch[name]}
    (distillation,) = [loss for loss in build_losses([name], TAUGHT, "none", TASKS[:1]) if loss.name == "distillation"]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = distillation(mixed, {name: logits})
    own = divergence_of(batch, outputs, name)
    of_other = divergence_of(batch | {key: other}, outputs, name)
    assert float(found) == pytest.approx(np.mean(shares * own + (1 - shares) * of_other), rel=1e-5)
    p, q, r = (softmax(np.asarray(one) / 2.0, axis=1) for one in (batch[key], logits, other))
    wanted = shares[:, None] * p + (1 - shares[:, None]) * r
    np.testing.assert_allclose(tape.gradient(found, logits), 2.0 * (q - wanted) / 3, atol=1e-6)


def test_a_task_counts_in_both_parts_alike():
    batch, outputs = taught_batch()
    tasks, name = TASKS[:1], TASKS[0].name
    plain = losses_of(TAUGHT, batch, outputs, tasks)
    weighted = dataclasses.replace(TAUGHT, task_weights=(f"{name}=3",))
    found = losses_of(weighted, batch, outputs, tasks, fixed_weights(weighted, tasks))
    assert [value for _, value in found.values()] == pytest.approx([3 * value for _, value in plain.values()])
    uncertainty = TaskUncertainty(tasks)
    uncertainty.log_variances.assign([0.4])
    found = losses_of(TAUGHT, batch, outputs, tasks, uncertainty.weighing())
    together = sum(weight * value for weight, value in plain.values())
    assert sum(weight * value for weight, value in found.values()) == pytest.approx(np.exp(-0.4) * together + 0.2)


@pytest.fixture
def staged(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)
    config = small_config("loss.teacher=run", "loss.distillation=0.3", method="staged")
    return create_trainer(config, steps_per_epoch=1, card=DERM7PT)


def test_a_stage_minimises_the_divergence_beside_each_of_its_losses(staged):
    batch, _ = taught_batch()
    given = {name: tf.constant(value) for name, value in batch.items()}
    for stage, own in zip(staged.network.stages, ("_clinical", ""), strict=True):
        staged.enter_stage(stage)
        found = {name: float(value) for name, value in staged.compute_losses(given, training=False).items()}
        expected = 0.7 * found[f"classification{own}"] + 0.3 * found[f"distillation{own}"]
        assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["distillation"] != found["distillation_clinical"]
