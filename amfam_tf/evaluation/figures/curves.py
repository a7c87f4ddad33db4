"""One class against the rest: ROC (Fig. 5) and precision-recall curves of every task."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.figures.panels import many_classes, per_task, unit_square
from amfam_tf.report.results import Report

HEIGHT = 2.9
LEGEND: Mapping[str, Any] = {
    "handlelength": 2.2,
    "borderaxespad": 0.1,
    "title_fontsize": 7.5,
    "alignment": "left",
    "frameon": True,
    "framealpha": 0.8,
    "edgecolor": "none",
}
"""Pale behind the words, so that curves below them stay visible and the words readable."""


def draw_roc(table: pd.DataFrame, report: Report, card: DataCard) -> Figure:
    """Returns the ROC curve of each class of each task, with its AUC and interval.

    Args:
        table: the predictions table.
        report: content of metrics.json.
        card: of the data.
    """

    def draw(axes: Axes, task: Task) -> None:
        axes.plot([0, 1], [0, 1], color=style.PALE, linewidth=1)
        for number, label, truth, scores in _classes(table, task):
            row = report["tasks"][task.name]["classes"][label]
            if not truth.any() or truth.all():
                _draw_absent(axes, number, label, "no case" if not truth.any() else "every case")
                continue
            false_positive, true_positive, _ = roc_curve(truth, scores, drop_intermediate=True)
            _draw_line(axes, number, false_positive, true_positive, f"{label} {_value(row, 'auc')}")
        unit_square(axes, "1 - specificity", "sensitivity")
        _legend(axes, task, "lower right", "AUC (95 %)")

    return per_task(draw, card.tasks, HEIGHT)


def draw_precision_recall(table: pd.DataFrame, report: Report, card: DataCard) -> Figure:
    """Returns the precision-recall curve of each class of each task, with its average precision and its frequency."""

    def draw(axes: Axes, task: Task) -> None:
        for number, label, truth, scores in _classes(table, task):
            row = report["tasks"][task.name]["classes"][label]
            if not truth.any():
                _draw_absent(axes, number, label, "no case")
                continue
            precision, recall, _ = precision_recall_curve(truth, scores, drop_intermediate=True)
            text = f"{label} {row['average_precision']:.2f} ({truth.mean():.2f})"
            _draw_line(axes, number, recall, precision, text, steps=True)
        unit_square(axes, "recall (sensitivity)", "precision")
        _legend(axes, task, "lower left", "average precision (frequency)")

    return per_task(draw, card.tasks, HEIGHT)


def _legend(axes: Axes, task: Task, place: Literal["lower left", "lower right"], title: str) -> None:
    """Names the lines, beside the square if it has too many of them."""
    if many_classes(task):
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), title=title, **LEGEND)
    else:
        axes.legend(loc=place, title=title, **LEGEND)


def _classes(table: pd.DataFrame, task: Task) -> Iterator[tuple[int, str, np.ndarray, np.ndarray]]:
    """Yields number, name, truth bool [N] and probability [N] of each class."""
    table = table[predictions.labelled(table, task)]
    labels, probabilities = predictions.true_labels(table, task), predictions.task_probabilities(table, task)
    for number, label in enumerate(task.classes):
        yield number, label, labels == number, probabilities[:, number]


def _draw_line(axes: Axes, number: int, x: np.ndarray, y: np.ndarray, label: str, steps: bool = False) -> None:
    colour, line = style.class_line(number)
    axes.plot(x, y, color=colour, linestyle=line, label=label, drawstyle="steps-pre" if steps else "default")


def _draw_absent(axes: Axes, number: int, label: str, why: str) -> None:
    """Keeps the place of a class without a curve in the legend."""
    colour, line = style.class_line(number)
    axes.plot([], [], color=colour, linestyle=line, label=f"{label}: {why}")


def _value(row: Mapping[str, Any], metric: str) -> str:
    low, high = row[f"{metric}_ci95"]
    return f"{row[metric]:.2f}" if low != low else f"{row[metric]:.2f} ({low:.2f}-{high:.2f})"
