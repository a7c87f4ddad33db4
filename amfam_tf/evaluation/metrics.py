"""Metrics per class, per task and averaged; all in [0, 1] (kappa in [-1, 1]); undefined is NaN, never 0.

Source: Wang et al. 2022, Sec. 4.3. The paper's Tables 3, 4 and 7 have sensitivity and precision exchanged for the
authors' own models (see `amfam_tf.evaluation.paper`); here every metric is what its name says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    cohen_kappa_score,
    multilabel_confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)

from amfam_tf.evaluation import predictions
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, TASKS, Task, task_names

CLASS_METRICS = ("sensitivity", "specificity", "precision", "auc", "f1", "average_precision")
PAPER_METRICS = ("sensitivity", "specificity", "precision", "auc")
"""The columns of Tables 3, 4 and 7."""

REASONS: Mapping[str, str] = {
    "sensitivity": "no case has this class",
    "specificity": "every case has this class",
    "precision": "this class is never predicted",
    "auc": "cases with and without this class are needed",
    "f1": "this class neither occurs nor is predicted",
    "average_precision": "no case has this class",
}
"""Why a value of a class is undefined."""

AVERAGES: Mapping[str, str] = {
    "accuracy": "mean over the 8 tasks, as the paper's Tables 2 and 5",
    "balanced_accuracy": "mean over the tasks where it is defined",
    "kappa": "mean over the tasks where it is defined",
    "paper_criteria": "unweighted mean over the 19 classes of the seven criteria, undefined counted as 0, as Table 3",
    "paper_diagnosis": "unweighted mean over the 5 classes of DIAG, undefined counted as 0, as Tables 4 and 7",
    "macro": "mean over the 8 tasks of the mean over the classes where the metric is defined",
}
"""Over what each average is taken."""


def class_table(y_true: np.ndarray, probabilities: np.ndarray, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Returns the one-against-all metrics of each class of a task.

    Args:
        y_true: class numbers, int [N].
        probabilities: [N, C] in [0, 1]; the prediction is the argmax, the first one of equals.
        classes: C names for the rows; None numbers them.

    Returns:
        One row per class; columns sensitivity, specificity, precision, auc, support (cases of the class), f1,
        average_precision. NaN where a value is undefined, see `REASONS`.

    Raises:
        ValueError: the shapes do not fit, or a label is not in 0..C-1.
    """
    y_true, probabilities = _checked(y_true, probabilities)
    numbers = np.arange(probabilities.shape[1])
    y_pred = probabilities.argmax(axis=1)
    precision, sensitivity, f1, support = precision_recall_fscore_support(
        y_true, y_pred, labels=numbers, average=None, zero_division=np.nan
    )
    truth = y_true[:, None] == numbers
    table = {
        "sensitivity": sensitivity,
        "specificity": _specificity(y_true, y_pred, numbers),
        "precision": precision,
        "auc": [_auc(truth[:, number], probabilities[:, number]) for number in numbers],
        "support": support,
        "f1": f1,
        "average_precision": [_average_precision(truth[:, number], probabilities[:, number]) for number in numbers],
    }
    return pd.DataFrame(table, index=list(classes) if classes is not None else numbers)


def _checked(y_true: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y_true, probabilities = np.asarray(y_true), np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or y_true.shape != probabilities.shape[:1] or not len(y_true):
        shapes = f"{y_true.shape} and {probabilities.shape}"
        raise ValueError(f"y_true must be [N] and probabilities [N, C], N at least 1. Received: {shapes}")
    if not np.issubdtype(y_true.dtype, np.integer) or y_true.min() < 0 or y_true.max() >= probabilities.shape[1]:
        raise ValueError(f"y_true must be integers in 0..{probabilities.shape[1] - 1}. Received: {np.unique(y_true)}")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    return y_true, probabilities


def _specificity(y_true: np.ndarray, y_pred: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Returns TN / (TN + FP) of each class; scikit-learn has no function for it."""
    counts = multilabel_confusion_matrix(y_true, y_pred, labels=numbers)  # [C, 2, 2]: [[TN, FP], [FN, TP]]
    negatives = counts[:, 0, 0] + counts[:, 0, 1]
    return np.where(negatives > 0, counts[:, 0, 0] / np.maximum(negatives, 1), np.nan)


def _auc(truth: np.ndarray, scores: np.ndarray) -> float:
    return float(roc_auc_score(truth, scores)) if truth.any() and not truth.all() else np.nan


def _average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    return float(average_precision_score(truth, scores)) if truth.any() else np.nan


def kappa(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Returns Cohen's kappa in [-1, 1]; NaN if labels and predictions are all of one and the same class."""
    constant = len(np.unique(np.concatenate([y_true, y_pred]))) == 1
    return np.nan if constant else float(cohen_kappa_score(y_true, y_pred))


def task_metrics(y_true: np.ndarray, probabilities: np.ndarray, task: Task) -> dict[str, Any]:
    """Returns accuracy, balanced_accuracy, kappa and `classes` ({class: {metric: value}}) of a task.

    Balanced accuracy is the mean sensitivity over the classes that occur.
    """
    table = class_table(y_true, probabilities, task.classes)
    y_pred = np.asarray(probabilities).argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "balanced_accuracy": mean_of_defined(table["sensitivity"]),
        "kappa": kappa(np.asarray(y_true), y_pred),
        "classes": {label: row | {"support": int(row["support"])} for label, row in table.to_dict("index").items()},
    }


def mean_of_defined(values: Sequence[float] | pd.Series | np.ndarray) -> float:
    """Returns the mean of the values that are not NaN; NaN if there is none."""
    defined = np.asarray(values, np.float64)
    defined = defined[~np.isnan(defined)]
    return float(defined.mean()) if defined.size else np.nan


def average_metrics(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the averages that `AVERAGES` describes.

    Args:
        tasks: for each of the eight task names, what `task_metrics` returns.
    """
    averages: dict[str, Any] = {
        key: mean_of_defined([tasks[name][key] for name in task_names()])
        for key in ("accuracy", "balanced_accuracy", "kappa")
    }
    averages["paper_criteria"] = _paper_average(tasks, CRITERIA)
    averages["paper_diagnosis"] = _paper_average(tasks, (DIAGNOSIS,))
    averages["macro"] = {
        metric: mean_of_defined([mean_of_defined(_values(tasks, (task,), metric)) for task in TASKS])
        for metric in CLASS_METRICS
    }
    return averages


def _values(tasks: Mapping[str, Mapping[str, Any]], chosen: Sequence[Task], metric: str) -> np.ndarray:
    """Returns a metric of all classes of the chosen tasks."""
    return np.array([tasks[task.name]["classes"][name][metric] for task in chosen for name in task.classes], np.float64)


def _paper_average(tasks: Mapping[str, Mapping[str, Any]], chosen: Sequence[Task]) -> dict[str, float]:
    return {metric: float(np.nan_to_num(_values(tasks, chosen, metric)).mean()) for metric in PAPER_METRICS}


def undefined_values(tasks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Returns task, class, metric and reason of each value of a class that is undefined."""
    return [
        {"task": name, "class": label, "metric": metric, "reason": REASONS[metric]}
        for name, values in tasks.items()
        for label, row in values["classes"].items()
        for metric in CLASS_METRICS
        if np.isnan(row[metric])
    ]


def absent_classes(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Returns (task, class) of the classes that no case of a predictions table has."""
    return [
        (task.name, name) for task in TASKS for name in task.classes if not (frame[f"{task.name}_true"] == name).any()
    ]


def majority_baseline(labels: Mapping[str, np.ndarray], training: Mapping[str, np.ndarray] | None = None) -> dict:
    """Returns what always answering the most frequent class reaches.

    Args:
        labels: for each task name, the class numbers of the evaluated cases, int [N].
        training: the same for the training split, whose majority is then the answer; None takes the majority of
            `labels`, the best that any constant answer can reach.

    Returns:
        `majority_from` ("train" or "evaluated"), `average` accuracy over the 8 tasks, and `tasks`: for each name its
        `class` (the first one of equals) and `accuracy`.
    """
    tasks = {}
    for task in TASKS:
        source = labels if training is None else training
        majority = int(np.bincount(source[task.name], minlength=len(task.classes)).argmax())
        accuracy = float(np.mean(np.asarray(labels[task.name]) == majority))
        tasks[task.name] = {"class": task.classes[majority], "accuracy": accuracy}
    average = float(np.mean([row["accuracy"] for row in tasks.values()]))
    return {"majority_from": "evaluated" if training is None else "train", "average": average, "tasks": tasks}


def all_metrics(frame: pd.DataFrame) -> dict[str, Any]:
    """Returns `average`, `tasks` and `undefined` of a predictions table."""
    tasks = {
        task.name: task_metrics(predictions.true_labels(frame, task), predictions.task_probabilities(frame, task), task)
        for task in TASKS
    }
    return {"average": average_metrics(tasks), "tasks": tasks, "undefined": undefined_values(tasks)}
