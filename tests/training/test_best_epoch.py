"""The best epoch is the first one with the highest validation accuracy, and patience counts the epochs since."""

import pytest

from amfam_tf.runs.folder import RunState
from amfam_tf.training.callbacks import Checkpoint
from amfam_tf.training.monitor import LOSS, MONITORED
from amfam_tf.training.stages import StagePlan


class Network:
    """Stands for a trainer: nothing is written without a folder."""

    stop_training = False
    network = None


def judge(accuracies, patience=None, losses=None, monitored=MONITORED):
    """Returns the state after epochs with these validation accuracies, and how many of them there were."""
    callback = Checkpoint(None, RunState(), patience, StagePlan((None,), (0,)), monitored)
    callback.set_model(Network())
    callback._write = lambda *_: None
    for epoch, accuracy in enumerate(accuracies):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {MONITORED: accuracy, "val_loss": (losses or accuracies)[epoch], "loss": 1.0})
        if callback.model.stop_training:
            break
    return callback.state, epoch + 1


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [([0.1, 0.2, 0.3], 2), ([0.3, 0.2, 0.1], 0), ([0.1, 0.3, 0.2], 1), ([0.2, 0.3, 0.3], 1), ([0.0, 0.0], 0)],
)
def test_the_highest_accuracy_is_the_best_the_first_one_of_equals(accuracies, best):
    state, _ = judge(accuracies)
    assert state.best_epoch == best
    assert state.best_accuracy == max(accuracies)
    assert state.best_weights == f"best-{best:04d}.weights.h5"
    assert state.weights == f"epoch-{len(accuracies) - 1:04d}.weights.h5"


def test_a_lower_loss_is_not_what_decides():
    state, _ = judge([0.3, 0.2], losses=[9.0, 1.0])
    assert state.best_epoch == 0


def test_of_losses_the_lowest_is_the_best_the_first_one_of_equals():
    state, done = judge([0.1, 0.9, 0.9, 0.2, 0.9], 2, [9.0, 5.0, 4.0, 4.0, 6.0], LOSS)
    assert (state.best_epoch, state.best_accuracy, state.waited, done) == (2, 4.0, 2, 5)


@pytest.mark.parametrize(
    ("accuracies", "patience", "epochs"),
    [
        ([0.5, 0.4, 0.4, 0.9], 2, 3),
        ([0.5, 0.4, 0.6, 0.5, 0.5, 0.9], 2, 5),
        ([0.5, 0.5, 0.6], 1, 2),
        ([0.1, 0.2, 0.3, 0.4], 1, 4),
        ([0.5, 0.4, 0.3, 0.2], None, 4),
    ],
)
def test_patience_counts_epochs_without_a_better_one(accuracies, patience, epochs):
    state, done = judge(accuracies, patience)
    assert done == epochs
    assert state.epochs == epochs
    assert state.stopped is (patience is not None and state.waited >= patience)
    assert [row["epoch"] for row in state.history] == list(range(epochs))
