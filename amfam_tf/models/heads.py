"""The classifiers of all tasks, shared by every method: one table of tasks, one loop; and linear ones."""

from collections.abc import Sequence

from keras import KerasTensor, layers

from amfam_tf.card.questions import Task
from amfam_tf.config import ModelConfig


class ClassifierHeads:
    """C: for each task, Dense `classifier_units` and a linear layer to its classes, on one pooled vector.

    Call: vector [B, c] -> {task name: logits [B, classes], float32}. The softmax of Sec. 3.4 is applied by the loss
    and by whoever needs probabilities.
    """

    def __init__(self, config: ModelConfig, tasks: Sequence[Task], name: str = "classifier"):
        self._tasks = tasks
        self._hidden = {
            task.name: layers.Dense(
                config.classifier_units, activation=config.classifier_activation, name=f"{name}_{task.name}_hidden"
            )
            for task in tasks
        }
        self._dropout = {
            task.name: layers.Dropout(config.classifier_dropout, name=f"{name}_{task.name}_dropout") for task in tasks
        }
        # Logits in float32 whatever the policy: softmax and cross-entropy lose too much in 16 bits.
        self._logits = {
            task.name: layers.Dense(len(task.classes), dtype="float32", name=f"{name}_{task.name}_logits")
            for task in tasks
        }

    def __call__(self, vector: KerasTensor) -> dict[str, KerasTensor]:
        return {
            task.name: self._logits[task.name](self._dropout[task.name](self._hidden[task.name](vector)))
            for task in self._tasks
        }

    @property
    def layers(self) -> list[layers.Layer]:
        """All layers, task by task."""
        groups = (self._hidden, self._dropout, self._logits)
        return [group[task.name] for task in self._tasks for group in groups]


class LinearHeads:
    """A linear layer for each task on one vector.

    Call: vector [B, c] -> {task name: logits [B, classes], float32}. The weights are 0 until they are fitted.
    """

    def __init__(self, tasks: Sequence[Task], name: str = "classifier"):
        self.of_tasks = {
            task.name: layers.Dense(
                len(task.classes), kernel_initializer="zeros", dtype="float32", name=f"{name}_{task.name}_logits"
            )
            for task in tasks
        }

    def __call__(self, vector: KerasTensor) -> dict[str, KerasTensor]:
        return {name: layer(vector) for name, layer in self.of_tasks.items()}

    @property
    def layers(self) -> list[layers.Layer]:
        """All layers, task by task."""
        return [*self.of_tasks.values()]
