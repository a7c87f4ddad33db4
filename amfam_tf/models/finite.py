"""Whether weights are finite numbers: ReLU and pooling can keep a NaN from the answers."""

from collections.abc import Iterable

import keras
import numpy as np

from amfam_tf.card.questions import Task
from amfam_tf.finite import ADVICE, count_broken, describe_broken


def describe_broken_weights(model: keras.Model, tasks: Iterable[Task]) -> str | None:
    """Returns which weights of a model are no finite numbers, and which tasks they decide; None if all are finite.

    Args:
        model: with the logits of each task among its outputs, by name.
        tasks: that it answers.
    """
    arrays: dict[str, np.ndarray] = {}
    for variable in model.weights:
        # Parts of an ensemble have weights of the same path: a later one must not hide another.
        values, before = keras.ops.convert_to_numpy(variable), arrays.get(variable.path)
        arrays[variable.path] = values if before is None else np.concatenate([before.ravel(), values.ravel()])
    broken = describe_broken(arrays)
    if broken is None:
        return None
    paths = [path for path, values in arrays.items() if count_broken(values)]
    return f"{broken}, on which the answers of {', '.join(_tasks_that_use(model, paths, tasks))} depend; {ADVICE}"


def _tasks_that_use(model: keras.Model, paths: Iterable[str], tasks: Iterable[Task]) -> list[str]:
    """Returns the names of the tasks whose logits depend on one of these variables."""
    wanted, found = set(paths), []
    for task in tasks:
        alone = keras.Model(model.input, model.output[task.name])
        if wanted & {variable.path for variable in alone.weights}:
            found.append(task.name)
    return found
