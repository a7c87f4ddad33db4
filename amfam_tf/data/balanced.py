"""Balanced batches: for each label, some cases that have it.

A batch has `cases_per_label` places for each label (each class of each task), filled with cases of that label, so a
case of several rare labels is drawn more often, and may be in a batch more than once. Each label goes through its cases
in an order of its own that is drawn anew in each epoch and whenever all of them were drawn.

Source: Kawahara et al. 2018 (mini-batches with k cases of each label).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.errors import DataError


def label_count(tasks: Sequence[Task]) -> int:
    """Returns the number of labels: each class of each task is one."""
    return sum(len(task.classes) for task in tasks)


def cases_by_label(cases: pd.DataFrame, tasks: Sequence[Task]) -> list[np.ndarray]:
    """Returns, for each label, the rows (numbers from 0) of the cases that have it, int64, increasing.

    Args:
        cases: one row each.
        tasks: whose classes are the labels, in the order of their places in a batch.

    Raises:
        DataError: a label has no case; names each such label.
    """
    labels = [(task, number) for task in tasks for number in range(len(task.classes))]
    rows = [np.flatnonzero(cases[task.name].to_numpy() == number) for task, number in labels]
    absent = [
        f"{task.name} {task.classes[number]}"
        for (task, number), found in zip(labels, rows, strict=True)
        if not found.size
    ]
    if absent:
        raise DataError(
            f"data.sampling=balanced needs a training case of each label, but there is none with {', '.join(absent)}: "
            "set data.sampling=shuffled, or another method if this one always samples so, or use data that have one"
        )
    return rows


def epoch_order(rows: list[np.ndarray], seed: int, epoch: int, steps: int, cases_per_label: int) -> np.ndarray:
    """Returns the rows to draw in an epoch, batch after batch: int64 [steps * labels * cases_per_label].

    Args:
        rows: of each label, see `cases_by_label`.
        seed: of the run.
        epoch: 0-based.
        steps: batches in the epoch.
        cases_per_label: of each batch.
    """
    needed = steps * cases_per_label
    drawn = [_cycle(found, needed, [seed, epoch, label]) for label, found in enumerate(rows)]
    # [labels, steps * cases_per_label] -> [steps, labels, cases_per_label]
    return np.stack(drawn).reshape(len(rows), steps, cases_per_label).swapaxes(0, 1).ravel()


def occurrences(order: np.ndarray) -> np.ndarray:
    """Returns, for each place of an order, how often its row came before, int64."""
    return pd.Series(order).groupby(order).cumcount().to_numpy(np.int64)


def _cycle(rows: np.ndarray, needed: int, key: list[int]) -> np.ndarray:
    """Returns `needed` of the rows: all in a drawn order, then all in another, and so on."""
    rounds = -(-needed // len(rows))
    # Ranks of raw bits: NumPy promises to keep these, but not what Generator.permutation makes of them.
    bits = np.random.PCG64(key).random_raw((rounds, len(rows)))
    return rows[np.argsort(bits, axis=1, kind="stable")].ravel()[:needed]
