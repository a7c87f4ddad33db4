"""Laws of training on two devices; test_replicas_fit.py runs them in a process with two logical CPU devices."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console
from run_comparison import assert_same_training
from small import SMALL_FOR_ANY, random_batch, small_config
from tiny_backbone import TINY_BACKBONE
from tiny_method import TINY

from amfam_tf import models
from amfam_tf.card import cards
from amfam_tf.layers import BatchNormalization
from amfam_tf.models import backbones
from amfam_tf.phases import Recorder
from amfam_tf.tasks import DERM7PT
from amfam_tf.training import callbacks, distribution, profile
from amfam_tf.training.case_answers import CaseAnswers
from amfam_tf.training.class_losses.deferred import DeferredWeights
from amfam_tf.training.run import create_trainer, fit

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
MIRRORED = distribution.create("mirrored")
# Adam's epsilon: a gradient that is 0 but for rounding must not become a step.
STEADY = ("optimizer.epsilon=1e-4", "model.embedding_dropout=0")


@pytest.fixture(autouse=True)
def tiny_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "tiny", TINY)


def trainers(*overrides, method="tiny", of_mirrored=()):
    """Returns two trainers with the same weights, on one device and on two, this one with further overrides."""
    configs = [small_config(*STEADY, *overrides, *more, method=method) for more in ((), of_mirrored)]
    single, mirrored = map(models.resolve, configs)
    alone = create_trainer(single, steps_per_epoch=4, card=DERM7PT)
    with MIRRORED.scope():
        return alone, create_trainer(mirrored, steps_per_epoch=4, card=DERM7PT)


def step(trainer, batch, name="train_step"):
    """Returns what a step logs; on two devices by turns, and the same on each."""
    trainer.reset_metrics()
    if trainer.distribute_strategy is not MIRRORED.strategy:
        return {key: float(value) for key, value in getattr(trainer, name)(constants(batch)).items()}
    logs = on_both(getattr(trainer, name), batch)
    found = {key: MIRRORED.strategy.experimental_local_results(value) for key, value in logs.items()}
    assert all(np.array_equal(*values, equal_nan=True) for values in found.values())
    return {key: float(first) for key, (first, _) in found.items()}


def on_both(function, batch):
    """Returns what a function of a batch gives on two devices that share the batch by turns."""
    parts = MIRRORED.strategy.experimental_distribute_values_from_function(
        lambda context: constants({key: value[context.replica_id_in_sync_group :: 2] for key, value in batch.items()})
    )
    return MIRRORED.strategy.run(function, args=(parts,))


def constants(batch):
    return {key: tf.constant(value) for key, value in batch.items()}


def state(trainer):
    """Returns {path: value} of the network and of the optimiser, whose first moments are the gradients."""
    own = trainer.uncertainty.variables if trainer.uncertainty else []
    variables = [*trainer.network.variables, *own, *trainer.optimizer.variables]
    return {f"{number} {variable.path}": variable.numpy() for number, variable in enumerate(variables)}


def assert_same(ours, theirs, tolerance=1e-4):
    for (name, value), other in zip(theirs.items(), ours.values(), strict=True):
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(other, value, rtol=0, atol=tolerance * scale, err_msg=name)


def test_batches_wait_in_the_memory_of_the_device_and_are_the_same():
    plain = tf.data.Dataset.from_tensor_slices(constants(random_batch(6))).batch(4)
    waiting = distribution.prefetch(plain, tf.config.list_logical_devices("CPU")[1].name)
    for _ in range(2):
        found = list(waiting)
        assert all(value.device.endswith("CPU:1") for one in found for value in one.values())
        for ours, theirs in zip(found, plain, strict=True):
            assert ours.keys() == theirs.keys()
            assert all(np.array_equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)


def test_a_fit_takes_its_batches_from_the_memory_of_a_device(monkeypatch):
    """One replica, as with one GPU, whose place the second CPU device takes."""
    device = tf.config.list_logical_devices("CPU")[1]
    alone, other = (create_trainer(models.resolve(small_config(*STEADY, method="tiny")), 2, DERM7PT) for _ in range(2))
    other.network.set_weights(alone.network.get_weights())
    history = fit_six_cases(alone)
    taken, prefetch = [], distribution.prefetch
    monkeypatch.setattr(distribution, "prefetch", lambda dataset, name: taken.append(name) or prefetch(dataset, name))
    with monkeypatch.context() as context:
        context.setattr(tf.config, "list_logical_devices", lambda kind: [device] if kind == "GPU" else [])
        again = fit_six_cases(other)
    assert taken == [device.name]
    assert again == history
    assert_same(state(other), state(alone), tolerance=0.0)


def fit_six_cases(trainer):
    """Returns the history of two epochs of two steps each."""
    batches = tf.data.Dataset.from_tensor_slices(constants(random_batch(6))).batch(4)
    training = distribution.SINGLE.distribute(lambda _: batches.repeat(2), steps_told=True)
    validation = distribution.SINGLE.distribute(lambda _: batches)
    arguments = {"epochs": 2, "steps_per_epoch": 2, "shuffle": False, "verbose": 0}
    return trainer.fit(training, validation_data=validation, **arguments).history


def test_a_fit_of_twenty_steps_ends_as_on_one_device(tmp_path):
    """The reference is of the process that started this one; that what takes the time is recorded changes nothing."""
    data, reference, overrides = json.loads(os.environ["REPLICAS_FIT"])
    config, recorder = small_config(*overrides, method="tiny", sizes=SMALL_FOR_ANY), Recorder()
    fit(Path(data), tmp_path / "run", config, Console(quiet=True), recorder, MIRRORED)
    assert_same_training(tmp_path / "run", Path(reference))
    phases = {row.name for row in recorder.rows()}
    assert phases >= {profile.TRACE, profile.FIRST, profile.STEPS, profile.VALIDATION, "checkpoints"}


def test_a_step_of_amfam_is_one_on_the_whole_batch(monkeypatch):
    """All parts and losses; three cases over two devices, clipped by the norm of the whole gradient, then one case.

    On two devices the decoders are computed again for their gradient, which changes nothing, averages included.
    """
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    overrides = ("optimizer.clip_norm=0.1", "optimizer.exclude_norm_and_bias=true", "optimizer.weight_decay=0.1")
    single, mirrored = trainers(*overrides, method="amfam", of_mirrored=("training.recompute=true",))
    for cases, name in ((3, "train_step"), (1, "train_step"), (1, "test_step")):
        batch = random_batch(cases, seed=cases)
        ours, theirs = step(mirrored, batch, name), step(single, batch, name)
        assert ours == pytest.approx(theirs, rel=1e-4), (cases, name)
    assert_same(state(mirrored), state(single))


def test_a_small_variance_beside_a_large_mean_is_not_lost():
    """Channel means of 1000, deviations of 0.01 to 1; images and vectors, one device without a case."""
    for shape in ((5, 3, 3, 4), (5, 4), (1, 3, 3, 4)):
        values = 1000 + np.random.default_rng(0).normal(size=shape) * (0.01, 0.1, 0.3, 1.0)
        exact = values.astype(np.float32).astype(np.float64)
        axes = tuple(range(len(shape) - 1))
        with MIRRORED.scope():
            layer = BatchNormalization(momentum=0.0, epsilon=1e-6, synchronized=True)
            layer.build((None, *shape[1:]))
        parts = on_both(lambda batch, layer=layer: layer(batch["x"], training=True), {"x": np.float32(exact)})
        outputs = np.empty(shape, np.float32)
        outputs[0::2], outputs[1::2] = (part.numpy() for part in MIRRORED.strategy.experimental_local_results(parts))
        np.testing.assert_allclose(layer.moving_variance.numpy(), exact.var(axes), rtol=0.05)
        wanted = (exact - exact.mean(axes)) / np.sqrt(exact.var(axes) + 1e-6)
        np.testing.assert_allclose(outputs, wanted, atol=0.05)


@pytest.mark.parametrize(("precision", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
def test_class_weights_and_loss_scaling_are_of_the_whole_batch(precision, tolerance):
    single, mirrored = trainers("loss.class_weights=batch", f"training.precision={precision}")
    batch = random_batch(5)
    assert step(mirrored, batch) == pytest.approx(step(single, batch), rel=tolerance)
    assert_same(state(mirrored), state(single), tolerance)


@pytest.mark.parametrize(
    ("weights", "mixed"),
    [
        ("class_weights=none", False),
        ("class_weights=batch", False),
        ("class_weights=batch", True),
        ("task_weighting=uncertainty", True),
    ],
)
def test_unknown_labels_are_left_out_of_the_whole_batch(weights, mixed):
    """Also where one device has fewer labels than the other, none at all, or no case; and of mixed cases."""
    tree = cards.to_dict(DERM7PT)
    few = [task | {"missing": [""]} for task in tree["tasks"][:3]]
    card = cards.from_dict(tree | {"tasks": few, "scores": {}}, "labels that may be unknown")
    configs = [models.resolve(small_config(*STEADY, f"loss.{weights}", method="tiny"))] * 2
    single = create_trainer(configs[0], 4, card)
    with MIRRORED.scope():
        mirrored = create_trainer(configs[1], 4, card)
    for cases, unknown, name in ((5, (0, 2), "train_step"), (4, (0, 2), "train_step"), (1, (), "test_step")):
        batch = random_batch(cases, seed=cases)
        batch["PN"][list(unknown)] = -1
        batch["BWV"][:] = -1
        if mixed:
            batch |= {f"mixing.{task.name}": np.roll(batch[task.name], 1) for task in DERM7PT.tasks}
            batch["mixing.share"] = np.linspace(0.2, 0.9, cases, dtype=np.float32)
        ours, theirs = step(mirrored, batch, name), step(single, batch, name)
        assert ours == pytest.approx(theirs, rel=1e-4), (cases, name)
    assert_same(state(mirrored), state(single))


def test_missing_pictures_are_left_out_of_the_losses_of_the_whole_batch(monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    # So seldom that nothing is dropped: what is missing is missing in the batch.
    single, mirrored = trainers("model.modality_dropout=1e-12", method="amfam")
    batch = random_batch(5)
    batch["clinical"][[0, 2, 3]] = 0.0
    batch["dermoscopic"][1] = 0.0
    assert step(mirrored, batch) == pytest.approx(step(single, batch), rel=1e-4)
    assert_same(state(mirrored), state(single))


def test_weights_that_wait_for_an_epoch_wait_on_both_devices():
    with MIRRORED.scope():
        deferred = DeferredWeights(2)
    batch = {"losses": np.float32([1, 2, 3]), "labels": np.int32([0, 1, 0])}
    for epoch, expected in ((1, [1, 2, 3]), (2, [0.5, 8, 1.5])):
        deferred.enter(epoch)
        found = on_both(lambda one: deferred.weigh(one["losses"], one["labels"], tf.constant([0.5, 4.0])), batch)
        first, second = MIRRORED.strategy.experimental_local_results(found)
        assert [first[0], second[0], first[1]] == expected


def test_answers_to_pairs_of_a_case_on_two_devices_are_averaged():
    trained = trainers()
    batch = random_batch(5)
    batch["case_num"] = np.array([1, 1, 2, 1, 3])
    labels = {task.name: batch[task.name] for task in DERM7PT.tasks}
    rows = pd.DataFrame({"case_num": batch["case_num"], **labels})
    for trainer, scope in zip(trained, (contextlib.nullcontext(), MIRRORED.scope()), strict=True):
        with scope:
            trainer.average_answers(CaseAnswers(rows, DERM7PT.tasks, "float64"))
    single, mirrored = (step(trainer, batch, "test_step") for trainer in trained)
    assert mirrored == pytest.approx(single, rel=1e-4)
    ours, theirs = (trainer.answers.means() for trainer in trained)
    for name, means in ours.items():
        np.testing.assert_allclose(means.sum(axis=1), 1.0, rtol=1e-9)
        np.testing.assert_allclose(theirs[name], means, rtol=1e-4)
    thirds = [3 * value for name, value in single.items() if name.startswith("accuracy_")]
    assert thirds == pytest.approx(np.round(thirds), abs=1e-5)


def test_an_overflow_on_one_device_skips_the_step_on_both():
    _, mirrored = trainers("training.precision=mixed_float16")
    batch = random_batch(4)
    batch["clinical"][1] = np.inf
    before = state(mirrored)
    step(mirrored, batch)
    after = state(mirrored)
    scale = next(name for name in before if name.endswith("dynamic_scale"))
    assert after[scale] == before[scale] / 2
    kernels = [name for name in before if name.endswith("kernel")]
    assert kernels
    assert all(np.array_equal(before[name], after[name]) for name in kernels)


def test_statistics_per_replica_are_those_of_its_own_part():
    """Where both parts are the same, they are those of the whole batch; else they are not, and are averaged."""
    single, mirrored = trainers("model.batch_norm=per_replica")
    twice = {key: np.repeat(value, 2, axis=0) for key, value in random_batch(3).items()}
    assert step(mirrored, twice) == pytest.approx(step(single, twice), rel=1e-4)
    assert_same(state(mirrored), state(single))
    step(mirrored, random_batch(4))
    norm = next(layer for layer in mirrored.network._flatten_layers() if layer.name == "norm")
    first, second = (copy.numpy() for copy in norm.moving_mean.value.values)
    assert np.abs(first - second).max() > 1e-4
    callbacks.MovingAverages(mirrored.network, MIRRORED).on_test_begin()
    for copy in norm.moving_mean.value.values:
        np.testing.assert_allclose(copy.numpy(), (first + second) / 2, rtol=1e-6)


def test_replicas_drop_units_of_their_own_and_the_first_as_a_single_one():
    single, mirrored = trainers("model.embedding_dropout=0.3")
    states = []
    for trainer, where in ((single, distribution.SINGLE), (mirrored, MIRRORED)):
        callbacks.EpochSeeds(trainer.network, 7, where).on_epoch_begin(2)
        generator = trainer.network.get_layer("dropout").seed_generator.state
        copies = where.strategy.experimental_local_results(generator.value) if where.strategy else [generator.value]
        states.append([copy.numpy().tolist() for copy in copies])
    ((alone,), (first, second)) = states
    assert alone == first != second
