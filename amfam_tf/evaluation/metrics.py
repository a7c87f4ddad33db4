"""Metrics per class, per task and averaged; all in [0, 1] (kappa in [-1, 1]); undefined is NaN, never 0.

Each is defined once, for counts [R, N]: how often each of N cases is in each of R samples. It gives R values, so that
2,000 resamples are a few matrix products and cumulative sums, not 2,000 calls. The plain value is that of counts of 1.
A case whose label of a task nobody knows is left out of every metric of that task.

Source: Wang et al. 2022, Sec. 4.3. The paper's Tables 3, 4 and 7 have sensitivity and precision exchanged for the
authors' own models (see `amfam_tf.evaluation.paper`); here every metric is what its name says.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import OVERALL_METRICS, DataCard
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.evaluation import predictions, published
from amfam_tf.report.rates import Answers, divide, kappa_of, mean_of_defined
from amfam_tf.report.results import Baseline, ConstantAnswer, TaskValues, value

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

OVERALL, MORE_OVERALL = OVERALL_METRICS[:3], OVERALL_METRICS[3:]
"""Of a task as a whole; those of `MORE_OVERALL` are in no file about Derm7pt, which is older than they are."""

Path = tuple[str, ...]
"""Where a metric is in metrics.json, e.g. ("tasks", "DIAG", "classes", "MEL", "auc")."""


def overall_metrics(card: DataCard) -> tuple[str, ...]:
    """Returns the metrics of a task as a whole that results about a card have."""
    return OVERALL if cards.is_derm7pt(card) else OVERALL + MORE_OVERALL


def averages_over(card: DataCard) -> dict[str, str]:
    """Returns over what each average is taken, by its name in metrics.json."""
    if cards.is_derm7pt(card):
        return dict(published.AVERAGES_OVER)
    tasks = "mean over the tasks where it is defined"
    return {
        **dict.fromkeys(OVERALL, tasks),
        "macro_f1": f"{tasks}; of a task the mean over the classes that occur or are predicted",
        "macro_auc": f"{tasks}; of a task the mean over the classes where it is defined",
        "f1_at_half": f"{tasks}; of a task the mean over all classes of the F1 of a probability above 0.5, 1 for a "
        "class without any true, predicted or missed case",
        "macro": "mean over the tasks of the mean over the classes where the metric is defined",
    }


def measure_of(table: pd.DataFrame, card: DataCard) -> Callable[[np.ndarray], dict[Path, np.ndarray]]:
    """Returns the function from counts [R, N] to every metric of a table of predictions, [R], by its place.

    What does not depend on the counts is done here, once: resamples of a large table come in many blocks.
    """
    known = {task: predictions.labelled(table, task) for task in card.tasks}
    answers = {task: _answers(table[rows], task) for task, rows in known.items()}
    more = overall_metrics(card) != OVERALL

    def measure(counts: np.ndarray) -> dict[Path, np.ndarray]:
        values: dict[Path, np.ndarray] = {}
        for task, rows in known.items():
            values |= _task_values(task, answers[task], counts if rows.all() else counts[:, rows], more)
        return values | _averages(values, card)

    return measure


def _answers(table: pd.DataFrame, task: Task) -> Answers:
    return Answers.of(predictions.true_labels(table, task), predictions.task_probabilities(table, task))


def _task_values(task: Task, answers: Answers, counts: np.ndarray, more: bool = False) -> dict[Path, np.ndarray]:
    """Returns the metrics of a task and of its classes, [R]; balanced accuracy is over the classes that occur."""
    place, confusion = ("tasks", task.name), answers.confusion(counts)
    rates = answers.rates(counts, confusion)
    values: dict[Path, np.ndarray] = {
        (*place, "accuracy"): divide(np.trace(confusion, axis1=1, axis2=2), confusion.sum(axis=(1, 2))),
        (*place, "balanced_accuracy"): mean_of_defined(rates["sensitivity"]),
        (*place, "kappa"): kappa_of(confusion),
    }
    if more:
        values[*place, "macro_f1"] = mean_of_defined(rates["f1"])
        values[*place, "macro_auc"] = mean_of_defined(rates["auc"])
        values[*place, "f1_at_half"] = answers.f1_at_half(counts)
    for metric in CLASS_METRICS:
        values |= {(*place, "classes", name, metric): rates[metric][:, i] for i, name in enumerate(task.classes)}
    return values


def _averages(values: Mapping[Path, np.ndarray], card: DataCard) -> dict[Path, np.ndarray]:
    """Returns the averages that `averages_over` describes, [R], of the metrics of all tasks."""

    def of_classes(tasks: Sequence[Task], metric: str) -> np.ndarray:
        found = [values["tasks", task.name, "classes", name, metric] for task in tasks for name in task.classes]
        return np.stack(found, axis=1)

    averages: dict[Path, np.ndarray] = {
        ("average", metric): mean_of_defined(
            np.stack([values["tasks", task.name, metric] for task in card.tasks], axis=1)
        )
        for metric in overall_metrics(card)
    }
    for name, tasks in published.AVERAGED.items() if cards.is_derm7pt(card) else ():
        for metric in PAPER_METRICS:
            averages["average", name, metric] = np.nan_to_num(of_classes(tasks, metric)).mean(axis=1)
    for metric in CLASS_METRICS:
        means = np.stack([mean_of_defined(of_classes((task,), metric)) for task in card.tasks], axis=1)
        averages["average", "macro", metric] = mean_of_defined(means)
    return averages


def tasks_averaged(path: Path, card: DataCard) -> int:
    """Returns over how many tasks a metric is a mean, see `averages_over`; 1 for one of a task."""
    if path[0] != "average":
        return 1
    return len(published.AVERAGED.get(path[1], card.tasks) if cards.is_derm7pt(card) else card.tasks)


def _ones(cases: int) -> np.ndarray:
    """Returns the counts of a sample that has each case once."""
    return np.ones((1, cases))


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
    answers, counts = Answers.of(*_checked(y_true, probabilities)), _ones(len(y_true))
    rates = answers.rates(counts, answers.confusion(counts))
    return pd.DataFrame({name: columns[0] for name, columns in rates.items()}, index=classes).astype({"support": int})


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


def task_metrics(y_true: np.ndarray, probabilities: np.ndarray, task: Task) -> TaskValues:
    """Returns accuracy, balanced_accuracy, kappa and `classes` ({class: {metric: value}}) of a task."""
    answers = Answers.of(*_checked(y_true, probabilities))
    found = _nested(_task_values(task, answers, _ones(len(y_true))))["tasks"][task.name]
    return _with_support(found, y_true)


def _nested(values: Mapping[Path, np.ndarray]) -> dict[str, Any]:
    """Returns the values of the first sample, each at its place."""
    tree: dict[str, Any] = {}
    for path, found in values.items():
        node = tree
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = float(found[0])
    return tree


def _with_support(found: Mapping[str, Any], y_true: np.ndarray) -> TaskValues:
    """Returns the metrics of a task with the number of cases of each class, behind the paper's metrics."""
    classes = {
        name: {metric: row[metric] for metric in PAPER_METRICS} | {"support": int((y_true == number).sum())} | row
        for number, (name, row) in enumerate(found["classes"].items())
    }
    return cast(TaskValues, {**found, "classes": classes})


def undefined_values(tasks: Mapping[str, TaskValues]) -> list[dict[str, str]]:
    """Returns task, class, metric and reason of each value of a class that is undefined."""
    return [
        {"task": name, "class": label, "metric": metric, "reason": REASONS[metric]}
        for name, values in tasks.items()
        for label, row in values["classes"].items()
        for metric in CLASS_METRICS
        if np.isnan(value(row, metric))
    ]


def absent_classes(frame: pd.DataFrame, card: DataCard) -> list[tuple[str, str]]:
    """Returns (task, class) of the classes that no case of a predictions table has, for tasks with some label."""
    return [
        (task.name, name)
        for task in card.tasks
        for name in task.classes
        if predictions.labelled(frame, task).any() and not (frame[f"{task.name}_true"] == name).any()
    ]


def majority_baseline(
    labels: Mapping[str, np.ndarray],
    training: Mapping[str, np.ndarray] | None = None,
    *,
    card: DataCard,
) -> Baseline:
    """Returns what always answering the most frequent class reaches.

    Args:
        labels: for each task name, the class numbers of the evaluated cases, int [N]; unknown ones do not count.
        training: the same for the training split, whose majority is then the answer; None takes the majority of
            `labels`, the best that any constant answer can reach.
        card: of the data.

    Returns:
        `majority_from` ("train" or "evaluated"), `average` accuracy over the tasks, and `tasks`: for each name its
        `class` (the first one of equals, "" without any label) and `accuracy`, NaN without any label.
    """
    tasks: dict[str, ConstantAnswer] = {}
    for task in card.tasks:
        known, source = (_known(part[task.name]) for part in (labels, labels if training is None else training))
        majority = int(np.bincount(source, minlength=len(task.classes)).argmax())
        defined = bool(len(known) and len(source))
        accuracy = float(np.mean(known == majority)) if defined else np.nan
        tasks[task.name] = {"class": task.classes[majority] if len(source) else "", "accuracy": accuracy}
    average = float(mean_of_defined(np.array([row["accuracy"] for row in tasks.values()])))
    return {"majority_from": "evaluated" if training is None else "train", "average": average, "tasks": tasks}


def _known(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    return labels[labels != UNKNOWN]


def all_metrics(frame: pd.DataFrame, card: DataCard) -> dict[str, Any]:
    """Returns `average`, `tasks` and `undefined` of a predictions table."""
    found = _nested(measure_of(frame, card)(_ones(len(frame))))
    labels = {task.name: predictions.true_labels(frame, task) for task in card.tasks}
    tasks = {name: _with_support(values, labels[name]) for name, values in found["tasks"].items()}
    for task in card.tasks:
        if task.missing:
            tasks[task.name] = {"labelled": int(len(_known(labels[task.name]))), **tasks[task.name]}
    return {"average": found["average"], "tasks": tasks, "undefined": undefined_values(tasks)}
