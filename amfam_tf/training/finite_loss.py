"""Ends a training at the first step whose loss is no finite number: all later steps would be for nothing."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from amfam_tf.errors import RunError


class DivergedError(RunError):
    """A loss is no longer a finite number; the message says which, and when."""


class FiniteLoss(keras.callbacks.Callback):
    """Looks at the loss after each step; Keras brings the logs to the host then in any case, for the progress display.

    The logs are means over the epoch so far: the first one that is not finite is that of the first such step.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if logs and not math.isfinite(logs["loss"]):
            names = broken_losses(logs)
            raise DivergedError(
                f"the loss is no longer a finite number in epoch {self._epoch + 1}, step {batch + 1}{_parts(names)}"
            )


def check_epoch(epoch: int, logs: Mapping[str, float]) -> None:
    """Checks what an epoch has logged: also the losses that its stage does not minimise, and the validation's.

    Args:
        epoch: 0-based.
        logs: of training and validation.

    Raises:
        DivergedError: a value is not finite.
    """
    validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
    training = {name: value for name, value in logs.items() if not name.startswith("val_")}
    for what, values in (("loss", training), ("validation loss", validation)):
        names = broken_losses(values)
        if names:
            raise DivergedError(f"the {what} is no longer a finite number after epoch {epoch + 1}{_parts(names)}")


def broken_losses(logs: Mapping[str, float]) -> list[str]:
    """Returns the names of the logged values that are not finite."""
    return [name for name, value in logs.items() if not math.isfinite(value)]


def _parts(names: list[str]) -> str:
    parts = [name for name in names if name != "loss"]
    return f" ({', '.join(parts)})" if parts else ""
