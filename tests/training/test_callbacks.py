"""Each callback by itself, on models that stand for a trainer: what it does before and after an epoch or a step."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.layers import GradientReversal
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.training import callbacks, panel
from amfam_tf.training.stages import StagePlan

SIDE = 6


@pytest.fixture
def folder(tmp_path):
    """Returns a run folder that is begun."""
    found = RunFolder(tmp_path / "run")
    for path in (found.checkpoints, found.pictures):
        path.mkdir(parents=True)
    return found


def entered(monkeypatch, starts, steps, epochs) -> list[tuple]:
    """Returns what `Stages` does in these epochs, in order: what, and with which value."""
    done: list[tuple] = []
    optimizer = SimpleNamespace()
    monkeypatch.setattr(callbacks.optimizers, "continue_schedule", lambda _, before: done.append(("rate", before)))
    monkeypatch.setattr(callbacks.optimizers, "restart", lambda one: done.append(("anew", one is optimizer)))
    callback = callbacks.Stages(StagePlan(("first", "last")[: len(starts)], starts), steps)
    callback.set_model(
        SimpleNamespace(
            optimizer=optimizer,
            enter_stage=lambda stage: done.append(("enter", stage)),
            make_train_function=lambda: done.append(("trace", None)),
        )
    )
    for epoch in epochs:
        done.append(("epoch", epoch))
        callback.on_epoch_begin(epoch)
    return done


@pytest.mark.parametrize("start", [1, 3])
def test_a_stage_is_entered_at_its_first_epoch_with_a_new_optimiser_and_the_rate_goes_on(monkeypatch, start):
    assert entered(monkeypatch, (0, start), 5, range(start + 2)) == [
        *[("epoch", 0), ("enter", "first"), ("rate", 0), ("trace", None)],
        *[("epoch", epoch) for epoch in range(1, start + 1)],
        *[("enter", "last"), ("rate", 5 * start), ("anew", True), ("trace", None)],
        ("epoch", start + 1),
    ]


def test_a_run_that_goes_on_within_a_stage_keeps_its_optimiser(monkeypatch):
    assert entered(monkeypatch, (0, 3), 5, (4, 5)) == [
        *[("epoch", 4), ("enter", "last"), ("rate", 15), ("trace", None), ("epoch", 5)],
    ]


def test_the_reversal_rises_from_nothing_to_its_scale():
    layers = [GradientReversal(scale) for scale in (1.0, 0.5)]
    for layer in layers:
        layer.build((1,))
    iterations = tf.Variable(0, dtype=tf.int64)
    callback = callbacks.ReversalRamp(SimpleNamespace(_flatten_layers=lambda: [keras.layers.ReLU(), *layers]), 20)
    callback.set_model(SimpleNamespace(optimizer=SimpleNamespace(iterations=iterations)))
    # tanh(5 p) is the same curve.
    for steps, expected in ((0, 0.0), (2, 0.462117), (10, 0.986614), (20, 0.999909)):
        iterations.assign(steps)
        callback.on_train_batch_begin(7)
        assert [float(layer.coefficient) for layer in layers] == pytest.approx([expected, expected / 2], abs=1e-6)


class Trainer(keras.Model):
    """A trainer of a network of one number."""

    def __init__(self):
        super().__init__()
        self.network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, name="only")])
        self.build((None, 1))

    def call(self, inputs):
        return self.network(inputs)


def test_a_checkpoint_is_the_last_epoch_and_the_best_one(folder, monkeypatch):
    times = iter([100.0, 107.5, 200.0, 201.0, 300.0, 300.25])
    monkeypatch.setattr(callbacks.time, "perf_counter", lambda: next(times))
    trainer, callback = Trainer(), callbacks.Checkpoint(folder, RunState(), None, StagePlan((None,), (0,)))
    callback.set_model(trainer)
    for epoch, accuracy in enumerate((0.25, 0.75, 0.5)):
        trainer.network.set_weights([np.full((1, 1), epoch)])
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"loss": 3.0 - epoch, "val_accuracy": np.float32(accuracy)})
        assert trainer.stop_training is False
    names = {"epoch-0002.weights.h5", "best-0001.weights.h5", folder.state_file.name}
    assert {path.name for path in folder.checkpoints.iterdir()} == names
    state = folder.read_state()
    assert state == callback.state
    assert (state.epochs, state.best_epoch, state.best_accuracy, state.waited) == (3, 1, 0.75, 1)
    assert (state.weights, state.best_weights) == ("epoch-0002.weights.h5", "best-0001.weights.h5")
    assert state.seconds == [7.5, 1.0, 0.25]
    assert state.history == [
        {"epoch": epoch, "loss": 3.0 - epoch, "val_accuracy": accuracy}
        for epoch, accuracy in enumerate((0.25, 0.75, 0.5))
    ]
    trainer.load_weights(folder.checkpoints / state.weights)
    assert float(trainer.network.get_weights()[0][0, 0]) == 2
    trainer.network.load_weights(folder.checkpoints / state.best_weights)
    assert float(trainer.network.get_weights()[0][0, 0]) == 1


@pytest.mark.parametrize(("waited", "stopped"), [(0, False), (1, True), (5, True)])
def test_whoever_has_waited_too_long_stops(waited, stopped):
    state = RunState(epochs=9, best_epoch=3, best_accuracy=0.9, waited=waited)
    callback = callbacks.Checkpoint(None, state, 2, StagePlan((None,), (0,)))
    callback.set_model(SimpleNamespace(stop_training=None))
    callback.on_epoch_begin(9)
    callback.on_epoch_end(9, {"val_accuracy": 0.5})
    assert (callback.state.waited, callback.state.stopped) == (waited + 1, stopped)
    assert callback.model.stop_training is stopped


def test_only_epochs_of_the_last_stage_are_judged_and_the_history_names_the_stage():
    stages = tuple(SimpleNamespace(name=name) for name in ("branch", "embedding"))
    callback = callbacks.Checkpoint(None, RunState(), 1, StagePlan(stages, (0, 2)))
    callback.set_model(SimpleNamespace(stop_training=None, network=None))
    for epoch, accuracy in enumerate((0.9, 0.8, 0.5)):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {"val_accuracy": accuracy})
        assert callback.model.stop_training is False
    assert (callback.state.best_epoch, callback.state.best_accuracy) == (2, 0.5)
    assert [row["stage"] for row in callback.state.history] == ["branch", "branch", "embedding"]


def events(path) -> list:
    """Returns (step, tag, value) of each summary below a folder."""
    return [
        (event.step, value.tag, tf.make_ndarray(value.tensor))
        for file in sorted(path.iterdir())
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]


def test_curves_of_training_and_validation_are_two_runs_of_one_chart(folder):
    callback = callbacks.Curves(folder)
    for epoch in (0, 1):
        callback.on_epoch_end(epoch, {"loss": 3.0 - epoch, "val_loss": 4.0 - epoch, "accuracy": 0.5})
        # What is written can be looked at while the training goes on.
        assert len(events(folder.tensorboard / "validation")) == 1 + epoch
    callback.on_train_end()
    assert events(folder.tensorboard / "validation") == [(0, "loss", 4.0), (1, "loss", 3.0)]
    train = [(0, "loss", 3.0), (0, "accuracy", 0.5), (1, "loss", 2.0), (1, "accuracy", 0.5)]
    assert events(folder.tensorboard / "train") == train


def test_pictures_are_drawn_every_few_epochs_of_the_cases_as_they_are(folder):
    random = np.random.default_rng(0)
    batch = {name: random.random((2, SIDE, SIDE, 3)) for name in ("clinical", "dermoscopic")}
    asked = []

    def model(inputs, training):
        asked.append((inputs is batch, training))
        return {"reconstruction_clinical": tf.constant(1 - inputs["clinical"])}

    callback = callbacks.Pictures(folder, batch, 3)
    callback.set_model(model)
    for epoch in range(7):
        callback.on_epoch_end(epoch)
    assert sorted(path.name for path in folder.pictures.iterdir()) == ["epoch-0002.png", "epoch-0005.png"]
    assert asked == [(True, False)] * 2
    expected = panel.draw_panel(batch, {"reconstruction_clinical": 1 - batch["clinical"]})
    for path in folder.pictures.iterdir():
        np.testing.assert_array_equal(tf.io.decode_png(path.read_bytes()), expected)
    shown = events(folder.tensorboard / "pictures")
    assert [(step, tag) for step, tag, _ in shown] == [(step, "inputs, attention, reconstruction") for step in (2, 5)]
    for _, _, (_, _, png) in shown:
        np.testing.assert_array_equal(tf.io.decode_png(png), expected)


def test_moving_averages_are_those_of_the_layers_that_gather():
    layers = [keras.layers.BatchNormalization(name=name) for name in ("frozen", "gathering")]
    for layer in layers:
        layer.build((None, 3))
    layers[0].trainable = False
    averaged = []
    network = SimpleNamespace(_flatten_layers=lambda: [*layers, keras.layers.ReLU()])
    callback = callbacks.MovingAverages(network, SimpleNamespace(average=averaged.extend))
    assert averaged == []
    callback.on_test_begin()
    assert [id(one) for one in averaged] == [id(layers[1].moving_mean), id(layers[1].moving_variance)]


def test_each_replica_draws_its_own_masks_and_the_first_one_those_of_a_single_one():
    layers = [keras.layers.Dropout(0.5), keras.layers.ReLU(), keras.layers.Dropout(0.5)]
    drawn = {}
    distribution = SimpleNamespace(
        assign=lambda variable, value: drawn.update({id(variable): [value(replica) for replica in range(3)]})
    )
    network = SimpleNamespace(_flatten_layers=lambda: layers)
    callbacks.EpochSeeds(network, 4, distribution).on_epoch_begin(2)
    states = [layer.seed_generator.state for layer in (layers[0], layers[2])]
    several = [drawn[id(state)] for state in states]
    assert len({value.tobytes() for values in several for value in values}) == 6
    callbacks.EpochSeeds(network, 4).on_epoch_begin(2)
    for values, state in zip(several, states, strict=True):
        assert {value.dtype for value in values} == {np.dtype(state.dtype)}
        np.testing.assert_array_equal(values[0], np.asarray(state))
