"""The file that a challenge asks for: ids and a number in [0, 1] for each class, one row per blind case.

Where the challenge takes a probability above 0.5 for "yes" (MILK10k), a class has a threshold of its own only if the
numbers are mapped so that it falls on 0.5.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard, Submission
from amfam_tf.errors import DataError
from amfam_tf.evaluation import predictions
from amfam_tf.files.writing import write_text
from amfam_tf.report.csv_text import to_csv

VALUES = ("probabilities", "largest")


def numbers_of(table: pd.DataFrame, task: Task, values: str, thresholds: Mapping[str, float] | None) -> np.ndarray:
    """Returns what stands in the file for each class, [cases, classes] in [0, 1].

    Args:
        table: predictions.
        task: of the submission.
        values: "probabilities", or "largest": 1 for the most probable class and 0 for the others.
        thresholds: by class; each is moved to 0.5. Only with probabilities.
    """
    probabilities = predictions.task_probabilities(table, task)
    if values == "largest":
        return np.eye(len(task.classes))[probabilities.argmax(axis=1)]
    if thresholds is None:
        return probabilities
    return moved_to_half(probabilities, np.array([thresholds[name] for name in task.classes]))


def moved_to_half(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Returns probabilities [N, classes] on two straight lines for each class: 0 to 0, its threshold to 0.5, 1 to 1.

    Args:
        thresholds: [classes], each in (0, 1).
    """
    below = 0.5 * probabilities / thresholds
    above = 0.5 + 0.5 * (probabilities - thresholds) / (1.0 - thresholds)
    return np.where(probabilities > thresholds, above, np.minimum(below, 0.5))


def best_thresholds(tables: Sequence[pd.DataFrame], task: Task) -> dict[str, float]:
    """Returns for each class the threshold with the highest F1 of "its probability is above" on pooled predictions.

    Midway between two neighbouring probabilities; of equally good ones the nearest to 0.5. A class without a case keeps
    0.5.

    Args:
        tables: predictions of cases that the run that made them has not seen, each case once.

    Raises:
        DataError: a case is in two of them.
    """
    pooled = pd.concat([table[predictions.labelled(table, task)] for table in tables], ignore_index=True)
    twice = pooled[predictions.CASE].duplicated()
    if twice.any():
        number = pooled.loc[twice, predictions.CASE].iloc[0]
        raise DataError(f"case {number} is in the predictions of two of the runs: each must be of another fold")
    labels, probabilities = predictions.true_labels(pooled, task), predictions.task_probabilities(pooled, task)
    return {
        name: _best_threshold(labels == number, probabilities[:, number]) for number, name in enumerate(task.classes)
    }


def _best_threshold(truth: np.ndarray, scores: np.ndarray) -> float:
    if not truth.any():
        return 0.5
    order = np.argsort(scores, kind="stable")
    levels = np.unique(scores)
    # Between two neighbours nothing changes; 0 and 1 themselves cannot be moved to 0.5.
    edges = np.concatenate([[0.0], levels, [1.0]])
    candidates = np.unique(np.clip((edges[:-1] + edges[1:]) / 2, 1e-6, 1 - 1e-6))
    above = len(scores) - np.searchsorted(scores[order], candidates, side="right")
    positives = np.cumsum(truth[order][::-1])
    right = np.where(above > 0, positives[np.maximum(above, 1) - 1], 0)
    scored = 2 * right / (truth.sum() + above)
    best = candidates[scored >= scored.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def write(path: Path, rule: Submission, card: DataCard, ids: Sequence[str], numbers: np.ndarray) -> None:
    """Writes the file; checks it against the list of blind cases first.

    Args:
        rule: `card.submission`.
        ids: of the cases, in order.
        numbers: [cases, classes], see `numbers_of`.

    Raises:
        DataError: an id is there twice, or a number is not in [0, 1]; nothing is written then.
    """
    task = card.task(rule.task)
    twice = pd.Series(ids)[pd.Series(ids).duplicated()]
    if len(twice):
        raise DataError(f"{path}: {rule.id} {twice.iloc[0]!r} stands twice among the blind cases")
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise DataError(f"{path}: a number is not in [0, 1]")
    content = {rule.id: list(ids)} | dict(zip(task.classes, numbers.T, strict=True))
    write_text(path, to_csv(pd.DataFrame(content)))
