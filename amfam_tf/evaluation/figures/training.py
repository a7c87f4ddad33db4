"""Training curves from a run's history.csv."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation import titles
from amfam_tf.training.monitor import LOSS, monitored

ACCURACY = "accuracy"
VALIDATION = "val_"


def loss_parts(history: pd.DataFrame) -> list[str]:
    """Returns the columns of the parts of the loss, without their sum and the accuracies."""
    apart = ("epoch", "loss", "learning_rate")
    names = [name for name in history if not name.startswith(VALIDATION) and f"{VALIDATION}{name}" in history]
    return [name for name in names if name not in apart and not name.startswith(ACCURACY)]


def draw_training(history: pd.DataFrame, card: DataCard, monitor: str = "headline") -> Figure:
    """Returns accuracy, what else decides, total loss and each part of it per epoch, training and validation.

    Args:
        history: content of history.csv.
        card: of the data, whose headline says which accuracy is shown.
        monitor: `training.monitor` of the run.
    """
    decides = monitored(card, monitor).removeprefix(VALIDATION)
    task = card.headline_task
    accuracy = ACCURACY if task is None else f"{ACCURACY}_{task.name}"
    title = f"accuracy, mean of {titles.of_tasks(card)}" if task is None else f"accuracy of {task.name}"
    shown = dict.fromkeys((accuracy, decides, "loss", *loss_parts(history)))
    names = [name for name in shown if name in history or f"{VALIDATION}{name}" in history]
    rows = -(-len(names) // 2)
    with style.style():
        figure = style.new_figure(6.4, 1.9 * rows + 0.3)
        grid = figure.subplots(rows, 2, squeeze=False)
        for axes in grid.flat[len(names) :]:
            axes.set_axis_off()
        for axes, name in zip(grid.flat, names, strict=False):
            _draw(axes, history, name, title if name == accuracy else name.replace("_", " "), name == decides)
    return figure


def _draw(axes: Axes, history: pd.DataFrame, name: str, title: str, decides: bool) -> None:
    """Draws a column of the history; in the one that decides, the best epoch is marked."""
    axes.set_title(title, loc="left", fontweight="bold")
    marks: dict[str, Any] = {"marker": "o", "markersize": 3} if len(history) == 1 else {}
    if name in history:
        axes.plot(history["epoch"], history[name], color=style.BLUE, label="training", **marks)
    held_out = f"{VALIDATION}{name}"
    if held_out in history:
        axes.plot(
            history["epoch"], history[held_out], color=style.VERMILLION, linestyle="--", label="validation", **marks
        )
    if decides and held_out in history and history[held_out].notna().any():
        # Before the last stage the final prediction is not trained, and no epoch can be the best.
        last = history[history["stage"] == history["stage"].iloc[-1]] if "stage" in history else history
        best = history.loc[last[held_out].idxmin() if held_out == LOSS else last[held_out].idxmax()]
        text = f"best: {best[held_out]:.3f}, epoch {best['epoch']:.0f}"
        axes.axvline(best["epoch"], color=style.PALE, linewidth=1, zorder=0, label=text)
    axes.set_xlabel("epoch (from 0)")
    axes.legend(loc="best")
