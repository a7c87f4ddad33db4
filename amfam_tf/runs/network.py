"""The network of a run: its file as a Keras model, and whether its weights are numbers."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras

import amfam_tf.models  # noqa: F401  (registers the classes that the file names)
from amfam_tf.card.questions import Task
from amfam_tf.errors import RunError, one_line
from amfam_tf.models.finite import describe_broken_weights

LONGEST_REASON = 300


def load(path: Path) -> Any:
    """Returns the model in a `.keras` file, with all its outputs.

    Raises:
        RunError: the file cannot be loaded.
    """
    with naming(path):
        return keras.saving.load_model(path, compile=False)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes what Keras raises about a file of weights an error that names it.

    Raises:
        RunError: the file cannot be loaded.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be loaded: {shortened(error)}") from error


def shortened(error: Exception) -> str:
    """Returns the begin of a message as one line."""
    return one_line(error)[:LONGEST_REASON]


def check_weights(model: keras.Model, path: Path, tasks: Iterable[Task]) -> None:
    """Checks that the weights of a model that answers are finite numbers.

    Args:
        model: with the logits of each task among its outputs.
        path: where they come from.
        tasks: that it answers.

    Raises:
        RunError: names the weights, and the tasks whose answers depend on them.
    """
    broken = describe_broken_weights(model, tasks)
    if broken is not None:
        raise RunError(f"{path} cannot be used: {broken}")
