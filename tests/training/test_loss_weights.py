"""What cases and tasks count in a loss: weights of classes that wait for an epoch; of tasks, fixed or learned."""

import math

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from dying import Killed, die_at_write
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import random_batch, small_config
from staged_method import STAGED

from amfam_tf import models
from amfam_tf.config import LossConfig
from amfam_tf.errors import ConfigError
from amfam_tf.models import refuse_unread
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT, TASKS
from amfam_tf.training.class_losses.deferred import DeferredWeights
from amfam_tf.training.class_losses.table import loss_of_cases
from amfam_tf.training.losses import build_losses, losses_by_task
from amfam_tf.training.run import create_trainer, fit
from amfam_tf.training.task_weights import TaskUncertainty, fixed_weights

NAMES = [task.name for task in TASKS]


@pytest.fixture(autouse=True)
def staged_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)


def staged_trainer(*overrides):
    return create_trainer(small_config(*overrides, method="staged"), steps_per_epoch=1, card=DERM7PT)


def batch_of(cases, unknown=()):
    batch = {name: tf.constant(value) for name, value in random_batch(cases).items()}
    for name, labels in unknown:
        batch[name] = tf.constant(labels)
    return batch


# Weights of classes, deferred.

LABELS = tf.constant([0, 2, 1])
LOGITS = tf.constant([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0], [0.3, 0.2, 0.1]])
COUNTS = np.array([60, 30, 10], np.float32)
LDAM = LossConfig(classification="ldam", reweighted_after=2, effective_samples=0.9)


def losses_in_epoch(epoch, counts=COUNTS):
    deferred = DeferredWeights(LDAM.reweighted_after)
    deferred.enter(epoch)
    return loss_of_cases(LDAM, counts, deferred)(LABELS, LOGITS).numpy()


def test_the_weights_of_classes_wait_for_their_epoch_and_are_those_by_hand():
    plain = loss_of_cases(LDAM, COUNTS)(LABELS, LOGITS).numpy()
    weights = [(1 - 0.9) / (1 - 0.9**n) for n in COUNTS]
    weights = [3 * weight / sum(weights) for weight in weights]
    for epoch in (0, 1):
        assert losses_in_epoch(epoch).tobytes() == plain.tobytes()
    for epoch in (2, 3):
        np.testing.assert_allclose(losses_in_epoch(epoch), plain * np.array(weights)[LABELS.numpy()], rtol=1e-5)


def test_of_equally_frequent_classes_none_weighs_more():
    equal = np.array([7, 7, 7], np.float32)
    np.testing.assert_allclose(losses_in_epoch(2, equal), losses_in_epoch(0, equal), rtol=1e-6)


def test_without_epochs_to_wait_for_the_weights_are_there_at_once():
    weighted = loss_of_cases(LDAM, COUNTS, DeferredWeights(0))(LABELS, LOGITS)
    np.testing.assert_array_equal(weighted, losses_in_epoch(2))


def test_an_epoch_that_nothing_waits_for_is_refused():
    with pytest.raises(ConfigError, match="reweighted_after does nothing in loss.classification=cross_entropy: leave"):
        LossConfig(reweighted_after=1)
    with pytest.raises(ConfigError, match=r"less than training.epochs, or null. Received: 3 of 3"):
        models.resolve(small_config("loss.classification=ldam", "loss.reweighted_after=3", "training.epochs=3"))


def test_the_effective_number_of_cases_is_read_once_classes_are_weighted():
    ldam = small_config("loss.classification=ldam")
    with pytest.raises(ConfigError, match="loss.effective_samples would be of no use"):
        refuse_unread([ldam], ["loss.effective_samples"])
    refuse_unread([small_config("loss.classification=ldam", "loss.reweighted_after=1")], ["loss.effective_samples"])


# Fixed weights of tasks.


def logits_of(batch):
    return {name: tf.random.stateless_normal((batch[name].shape[0], 2), (1, i)) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("class_weights", ["none", "batch"])
def test_a_task_counts_its_weight_and_the_others_one(class_weights):
    batch = {name: tf.constant([0, 1, 1]) for name in NAMES}
    plain = losses_by_task(batch, logits_of(batch), class_weights)
    weighing = fixed_weights(LossConfig(task_weights=("DIAG=2.5", "PN=0")), TASKS)
    weighted = losses_by_task(batch, logits_of(batch), class_weights, weighing=weighing)
    for name in NAMES:
        expected = {"DIAG": 2.5, "PN": 0.0}.get(name, 1.0) * float(plain[name])
        assert float(weighted[name]) == pytest.approx(expected, rel=1e-6)


def test_with_weights_of_one_training_takes_the_same_steps_bit_for_bit():
    ones = ", ".join(f"{name}=1" for name in NAMES)
    plain, weighted = staged_trainer(), staged_trainer(f"loss.task_weights=[{ones}]")
    for trainer in (plain, weighted):
        keras.utils.set_random_seed(1)
        trainer.train_step(batch_of(4))
    for ours, theirs in zip(weighted.network.get_weights(), plain.network.get_weights(), strict=True):
        assert ours.tobytes() == theirs.tobytes()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[DIAG]", r"loss.task_weights\[0\] must be like TASK=2, with a number from 0 to 1000000. Received: 'DIAG'"),
        ("[DIAG=1, PN=-1]", r"loss.task_weights\[1\] must be like TASK=2, .* Received: 'PN=-1'"),
        ("[DIAG=nan]", r"loss.task_weights\[0\] must be like .* Received: 'DIAG=nan'"),
        ("[DIAG=1e7]", r"loss.task_weights\[0\] must be like .* Received: 'DIAG=1e7'"),
        ("[DIAG=1, DIAG=2]", r"loss.task_weights names a task twice. Received: \['DIAG=1', 'DIAG=2'\]"),
    ],
)
def test_a_weight_that_is_none_is_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        small_config(f"loss.task_weights={value}")


def test_a_task_that_the_card_does_not_have_is_refused_and_so_are_weights_beside_learned_ones():
    known = ", ".join(NAMES)
    with pytest.raises(ConfigError) as caught:
        staged_trainer("loss.task_weights=[DIAG=2, AGE=2]")
    assert str(caught.value) == f"loss.task_weights[1] must name one of the tasks {known}. Received: 'AGE'"
    with pytest.raises(ConfigError, match="are the fixed ones: leave them out, or set loss.task_weighting=fixed"):
        LossConfig(task_weights=("DIAG=2",), task_weighting="uncertainty")


# Learned weights of tasks.


@pytest.mark.parametrize("class_weights", ["none", "batch"])
def test_learned_weights_and_their_gradient_by_hand(class_weights):
    batch = {name: tf.constant([0, 1, 1]) for name in NAMES} | {"PN": tf.constant([0, -1, 1]), "VS": tf.fill(3, -1)}
    uncertainty, logits = TaskUncertainty(TASKS), logits_of(batch)
    values = np.linspace(-1, 1, len(NAMES)).astype(np.float32)
    uncertainty.log_variances.assign(values)
    plain = losses_by_task(batch, logits, class_weights, ("PN", "VS"))
    with tf.GradientTape() as tape:
        found = losses_by_task(batch, logits, class_weights, ("PN", "VS"), weighing=uncertainty.weighing())
        total = tf.add_n([*found.values()])
    gradient = tape.gradient(total, uncertainty.trainable_variables)[0].numpy()
    for name, s, slope in zip(NAMES, values, gradient, strict=True):
        loss = float(plain[name])
        # Of a task without a label there is nothing to learn.
        known = name != "VS"
        assert float(found[name]) == pytest.approx(math.exp(-s) * loss + (s / 2 if known else 0), rel=1e-5), name
        assert slope == pytest.approx(-math.exp(-s) * loss + (0.5 if known else 0), rel=1e-5), name


def test_learning_the_weights_begins_with_the_plain_loss():
    batch = batch_of(4)
    plain, learned = (
        staged_trainer(*more).compute_losses(batch, training=False)
        for more in ((), ("loss.task_weighting=uncertainty",))
    )
    assert {name: float(value) for name, value in learned.items()} == {name: float(v) for name, v in plain.items()}


def test_each_branch_has_the_same_weights():
    uncertainty = TaskUncertainty(TASKS[:1])
    uncertainty.log_variances.assign([1.0])
    losses = build_losses(["DIAG"], LossConfig(), "none", TASKS[:1], ("", "clinical"), None, uncertainty.weighing())
    batch, logits = {"DIAG": tf.constant([0])}, tf.zeros((1, 5))
    found = [float(loss(batch, {"DIAG": logits, "clinical_DIAG": logits})) for loss in losses]
    assert found == pytest.approx([math.exp(-1) * math.log(5) + 0.5] * 2, rel=1e-6)


@pytest.mark.parametrize("mode", ["coupled", "decoupled"])
def test_learned_weights_do_not_decay(mode):
    decay = (f"optimizer.weight_decay_mode={mode}", "optimizer.weight_decay=0.5", "optimizer.learning_rate=0.1")
    trainer = staged_trainer("loss.task_weighting=uncertainty", *decay)
    own = trainer.uncertainty.log_variances
    own.assign(np.full(len(NAMES), 3.0))
    kernel = trainer.network.get_layer("branch").kernel
    before = kernel.numpy()
    trainer.optimizer.apply_gradients([(tf.zeros(one.shape), one) for one in trainer.trainable_variables])
    np.testing.assert_array_equal(own.numpy(), np.full(len(NAMES), 3.0))
    assert np.abs(kernel.numpy() - before).max() > 0.001


FAST = ("training.epochs=4", "training.pretraining_epochs=2", "training.batch_size=8", "optimizer.learning_rate=0.01")
WEIGHTED = ("loss.classification=ldam", "loss.task_weighting=uncertainty")


def test_a_run_learns_the_weights_reweights_in_its_epoch_and_resumes_exactly(drawn, tmp_path, monkeypatch):
    config = small_config(*FAST, *WEIGHTED, "loss.reweighted_after=2", method="staged")
    die_at_write(monkeypatch, "epoch-0003.weights.h5")
    with recycled_trainers():
        with pytest.raises(Killed):
            fit(drawn, tmp_path / "run", config, Console(quiet=True))
        assert RunFolder(tmp_path / "run").read_state().epochs == 3
        monkeypatch.undo()
        monkeypatch.setitem(models.METHODS, "staged", STAGED)
        for name in ("run", "unbroken"):
            fit(drawn, tmp_path / name, config, Console(quiet=True))
        plain = small_config(*FAST, *WEIGHTED, method="staged")
        fit(drawn, tmp_path / "plain", plain, Console(quiet=True))
    run, unbroken, never = (pd.read_csv(tmp_path / name / "history.csv") for name in ("run", "unbroken", "plain"))
    pd.testing.assert_frame_equal(run, unbroken, check_exact=True)
    pd.testing.assert_frame_equal(run[:2], never[:2], check_exact=True)
    assert (run["loss"][2:] != never["loss"][2:]).all()
    learned = []
    for name in ("run", "unbroken"):
        trainer = create_trainer(config, 2, DERM7PT, {task.name: np.ones(len(task.classes)) for task in TASKS})
        trainer.load_weights(tmp_path / name / "checkpoints/epoch-0003.weights.h5")
        learned.append(trainer.uncertainty.log_variances.numpy())
    np.testing.assert_array_equal(*learned)
    assert (np.abs(learned[0]) > 0.01).all()
