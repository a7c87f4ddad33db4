"""Makes labels, probabilities and predictions tables for the tests of evaluation."""

import numpy as np
import pandas as pd

from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.evaluation import predictions
from amfam_tf.tasks import DERM7PT, TASKS


def certain(predicted: np.ndarray, classes: int) -> np.ndarray:
    """Returns probabilities [N, classes] that are 1 for the predicted class."""
    return np.eye(classes)[predicted]


def expand(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels [N] and probabilities [N, C] with these counts (rows labels, columns predictions)."""
    size = len(confusion)
    labels = np.repeat(np.repeat(np.arange(size), size), confusion.ravel())
    predicted = np.repeat(np.tile(np.arange(size), size), confusion.ravel())
    return labels, certain(predicted, size)


def random_table(cases: int, seed: int, skill: float = 1.0, card=DERM7PT, unknown: float = 0.4) -> pd.DataFrame:
    """Returns a predictions table with random labels and probabilities that lean to them by `skill`.

    Where the card says that labels of a task may be missing, a share of `unknown` is.
    """
    generator = np.random.default_rng(seed)
    labels, probabilities = {}, {}
    for task in card.tasks:
        classes = len(task.classes)
        labels[task.name] = generator.integers(0, classes, cases)
        logits = generator.normal(size=(cases, classes)) + skill * np.eye(classes)[labels[task.name]]
        weights = np.exp(logits)
        probabilities[task.name] = weights / weights.sum(axis=1, keepdims=True)
        if task.missing:
            labels[task.name] = np.where(generator.random(cases) < unknown, UNKNOWN, labels[task.name])
    return predictions.to_frame(np.arange(1, cases + 1), labels, probabilities, card)


def cases_of_table(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the cases that a predictions table is about, as `read_release` would."""
    columns = {task.name: predictions.true_labels(table, task) for task in TASKS}
    return pd.DataFrame({"case_num": table["case_num"], **columns})
