"""Confusion matrices of the tasks (Fig. 4): counts, coloured by their share of the row."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.figures.panels import many_classes, per_task
from amfam_tf.report import rates

LETTERS_ON_A_PAGE = 72
"""With more of them below a panel of full width, names of classes are written aslant."""
DARK = 0.55
"""Share of a row from which on the text is white."""


def counts_of(table: pd.DataFrame, task: Task) -> np.ndarray:
    """Returns the confusion matrix of a task, int [classes, classes]: rows labels, columns predictions."""
    table = table[predictions.labelled(table, task)]
    true, predicted = predictions.true_labels(table, task), predictions.predicted_labels(table, task)
    return rates.weighted_confusion(true, predicted, len(task.classes), np.ones((1, len(table))))[0].astype(int)


def shares_of(counts: np.ndarray) -> np.ndarray:
    """Returns each row divided by its sum, [classes, classes] in [0, 1]; NaN in the row of a class without cases."""
    sums = counts.sum(axis=1, keepdims=True)
    return np.where(sums > 0, counts / np.maximum(sums, 1), np.nan)


def draw_confusion(table: pd.DataFrame, card: DataCard) -> Figure:
    """Returns the matrices: each cell has its count and its share of the label's cases in percent."""
    return per_task(lambda axes, task: _draw(axes, task, counts_of(table, task)), card.tasks, height=2.75)


def _draw(axes: Axes, task: Task, counts: np.ndarray) -> None:
    shares = shares_of(counts)
    axes.imshow(np.nan_to_num(shares), cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    small = 6 if many_classes(task) else 7 if len(task.classes) > 3 else 8
    for row, column in np.ndindex(*counts.shape):
        share = shares[row, column]
        if np.isnan(share):
            continue
        colour = "white" if share > DARK else style.INK
        text = f"{counts[row, column]}\n{100 * share:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=small, linespacing=1.1)
    for row in np.flatnonzero(counts.sum(axis=1) == 0).tolist():
        middle = (len(task.classes) - 1) / 2
        axes.text(middle, row, "no case", ha="center", va="center", color=style.GREY, fontsize=small, style="italic")
    axes.set_xticks(range(len(task.classes)), task.classes)
    if len(" ".join(task.classes)) > (LETTERS_ON_A_PAGE if many_classes(task) else LETTERS_ON_A_PAGE // 2):
        axes.tick_params(axis="x", rotation=30)
    axes.set_yticks(range(len(task.classes)), task.classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
