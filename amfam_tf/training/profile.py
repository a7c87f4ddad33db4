"""What of a training belongs to which phase of `amfam_tf.phases`."""

from collections.abc import Sequence
from typing import Any

import keras

from amfam_tf.phases import OFF, Recorder
from amfam_tf.training import callbacks
from amfam_tf.training.trainer import Trainer

TRACE = "tracing the train step"
FIRST = "first step: optimising its graph or XLA, first batch"
STEPS = "training steps"
VALIDATION = "validation"
WATCHERS: dict[type, str] = {
    callbacks.Checkpoint: "checkpoints",
    callbacks.Curves: "curves for TensorBoard",
    callbacks.Pictures: "pictures",
}


class TrainingPhases(keras.callbacks.Callback):
    """Opens and closes the phases of a training.

    Args:
        recorder: of the phases.
    """

    def __init__(self, recorder: Recorder):
        super().__init__()
        self._recorder = recorder
        self._in_first_step = False

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._recorder.first_step is None and not self._in_first_step:
            self._in_first_step = True
            self._recorder.open(FIRST)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        if self._in_first_step:
            self._in_first_step = False
            self._recorder.mark_first_step()
            self._recorder.close()

    def on_test_begin(self, logs: Any = None) -> None:  # noqa: ARG002
        self._recorder.open(VALIDATION)

    def on_test_end(self, logs: Any = None) -> None:  # noqa: ARG002
        self._recorder.close()


def watch(recorder: Recorder, trainer: Trainer, watchers: Sequence[keras.callbacks.Callback]) -> list[Any]:
    """Returns the callbacks of a training, with what they do at an epoch's end and the training itself recorded."""
    if recorder is OFF:
        return list(watchers)
    # Its Python code runs while it is traced, and never again.
    trainer.train_step = recorder.timed(TRACE, trainer.train_step)  # type: ignore[method-assign]
    for watcher in watchers:
        name = WATCHERS.get(type(watcher))
        if name is not None:
            watcher.on_epoch_end = recorder.timed(name, watcher.on_epoch_end)
    return [TrainingPhases(recorder), *watchers]
