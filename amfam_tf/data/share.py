"""Which cases of a batch are whose, when several replicas of the network share it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from amfam_tf.data.pictures import without_autograph


@dataclass(frozen=True)
class Share:
    """The part of every batch that one worker's replicas take: the case at place j is of replica j mod `replicas`.

    By turns and not in blocks: the parts of a smaller last batch then differ by one case at most, and a balanced batch,
    which is in the order of the labels, gives each replica some of all.

    Attributes:
        replicas: among which a batch is shared.
        first: number of this worker's first replica.
        count: replicas of this worker.
    """

    replicas: int = 1
    first: int = 0
    count: int = 1

    def places(self, cases: int, batch_size: int) -> np.ndarray:
        """Returns which of the numbers 0 to `cases` - 1, taken in batches, are of this share; int64, increasing."""
        numbers = np.arange(cases, dtype=np.int64)
        return numbers[self._holds(numbers % batch_size)]

    def select(self, cases: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """Returns the cases of this share, in their order."""
        if self == WHOLE:
            return cases
        # Here and not after augmentation: a worker prepares only what its replicas see.
        held = cases.enumerate().filter(lambda number, _: self._holds(number % batch_size))
        return held.map(lambda _, case: case)

    def batch(self, selected: tf.data.Dataset, cases: int, batch_size: int) -> tf.data.Dataset:
        """Returns the selected cases, dicts, in batches: for each batch of all cases one per replica of this worker.

        A last batch of fewer cases than there are replicas leaves some of them batches of 0 cases.

        Args:
            selected: the cases of this share.
            cases: of all shares.
            batch_size: of all replicas together, at least `replicas`.
        """
        batches = selected.batch(len(self.places(batch_size, batch_size)), drop_remainder=False)
        if self == WHOLE:
            return batches
        last = cases % batch_size
        if last and not self.places(last, batch_size).size:
            # Every worker takes as many steps as the others.
            batches = batches.concatenate(tf.data.Dataset.from_tensors(_no_cases(selected.element_spec)))
        return batches.flat_map(self._split)

    @without_autograph
    def _split(self, batch: Mapping[str, tf.Tensor]) -> tf.data.Dataset:
        """Returns this worker's part of a batch in as many parts as it has replicas, by turns as well."""
        return tf.data.Dataset.range(self.count).map(
            without_autograph(lambda replica: {name: value[replica :: self.count] for name, value in batch.items()})
        )

    def _holds(self, place: Any) -> Any:
        replica = place % self.replicas
        return (replica >= self.first) & (replica < self.first + self.count)


WHOLE = Share()
"""Of the only replica."""


def _no_cases(spec: Mapping[str, tf.TensorSpec]) -> dict[str, tf.Tensor]:
    return {name: tf.zeros((0, *one.shape), one.dtype) for name, one in spec.items()}
