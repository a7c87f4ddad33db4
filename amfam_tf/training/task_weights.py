"""What each task counts in a classification loss: a fixed weight, or as much as its answers are certain."""

import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from amfam_tf.card.questions import Task
from amfam_tf.config import LossConfig
from amfam_tf.errors import ConfigError

Weighing = Mapping[str, Callable[[tf.Tensor], tf.Tensor]]
"""Task name -> from the loss of each case, [B], to what is minimised in its place; a task that is not here counts 1."""
LOG_VARIANCES = "log_variances"


def fixed_weights(values: LossConfig, tasks: Sequence[Task]) -> Weighing:
    """Returns the weights of `loss.task_weights`.

    Raises:
        ConfigError: a task that the card does not have, or one is named twice.
    """
    names, found = [task.name for task in tasks], {}
    for number, (name, weight) in enumerate(values.weights_by_task()):
        if name not in names:
            known = ", ".join(names)
            raise ConfigError(f"loss.task_weights[{number}] must name one of the tasks {known}. Received: {name!r}")
        found[name] = functools.partial(tf.multiply, weight)
    return found


class TaskUncertainty(keras.layers.Layer):
    """Learns how uncertain each task is: exp(-s) L + s / 2 of a task's loss L, s = log sigma^2, at first 0.

    The least value for a given L is at s = log 2 L, where the task weighs 1 / (2 L): a task that is hard counts less.
    At s = 0 it is L. Cases without a label count in neither term.

    Args:
        tasks: the questions, in order.

    Source: Kendall et al. 2018, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
    Semantics", Eq. 10 (its term for classification) with s as there in Sec. 3.3.
    """

    def __init__(self, tasks: Sequence[Task]):
        super().__init__(name="task_uncertainty", dtype="float32")
        self._names = [task.name for task in tasks]
        self.log_variances = self.add_weight(
            name=LOG_VARIANCES, shape=(len(tasks),), initializer="zeros", autocast=False
        )
        self.built = True

    def weighing(self) -> Weighing:
        """Returns what each task counts."""
        return {name: functools.partial(self._weigh, place) for place, name in enumerate(self._names)}

    def _weigh(self, place: int, losses: tf.Tensor) -> tf.Tensor:
        s = tf.convert_to_tensor(self.log_variances.value)[place]
        return tf.exp(-s) * losses + s / 2.0
