"""The answers of a validation, case by case: of several pictures of a view the mean of those to all pairs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.card.questions import Task
from amfam_tf.training.replicas import sum_over_replicas


class CaseAnswers:
    """The answers so far, summed by case: pairs of a case may come in any batch and to any replica.

    Args:
        rows: of all pairs, with `case_num` and the class numbers of each task, below 0 where nobody knows.
        tasks: the questions.
        dtype: "float32", or "float64" where cases are ranked by their answers: in float32 those near 1 would be equal.
    """

    def __init__(self, rows: pd.DataFrame, tasks: Sequence[Task], dtype: str = "float32") -> None:
        cases = rows.drop_duplicates("case_num")
        self._dtype = dtype
        self._pairs = rows["case_num"].value_counts()[cases["case_num"]].to_numpy()
        self.labels = {task.name: cases[task.name].to_numpy(np.int64) for task in tasks}
        self._tasks = tuple(tasks)
        self._numbers = tf.constant(cases["case_num"].to_numpy(np.int64))
        # Each replica adds the same.
        self._sums = {
            task.name: tf.Variable(
                tf.zeros((len(cases), len(task.classes)), dtype),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for task in tasks
        }

    def reset(self) -> None:
        """Forgets all answers."""
        for total in self._sums.values():
            total.assign(tf.zeros_like(total))

    def add(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> None:
        """Adds the answers to pairs: `case_num` int [B] of the batch, and logits [B, classes] by task."""
        is_of_case = tf.cast(tf.equal(self._numbers[:, None], batch["case_num"][None, :]), self._dtype)
        added = [tf.matmul(is_of_case, tf.nn.softmax(tf.cast(outputs[task.name], self._dtype))) for task in self._tasks]
        for total, more in zip(self._sums.values(), sum_over_replicas(added), strict=True):
            total.assign_add(more)

    @property
    def any(self) -> tf.Tensor:
        """Whether there is an answer, bool []."""
        return tf.reduce_any(self._sums[self._tasks[0].name] > 0)

    def accuracies(self) -> dict[str, tf.Tensor]:
        """Returns the share of the cases with a label whose largest mean probability is at it, by task; else 0."""
        found = {}
        for name, labels in self.labels.items():
            known = tf.cast(labels >= 0, tf.float32)
            right = tf.cast(tf.equal(tf.argmax(self._sums[name], axis=-1), labels), tf.float32)
            found[name] = tf.math.divide_no_nan(tf.reduce_sum(right), tf.reduce_sum(known))
        return found

    def means(self) -> dict[str, np.ndarray]:
        """Returns the mean probabilities of each case, [cases, classes] by task; outside of a step."""
        sums = {name: np.asarray(tf.convert_to_tensor(total)) for name, total in self._sums.items()}
        return {name: total / self._pairs[:, None] for name, total in sums.items()}
