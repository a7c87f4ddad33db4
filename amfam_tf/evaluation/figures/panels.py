"""One panel per task on a page that prints on A4 and can be read on a phone."""

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amfam_tf.card.questions import Task
from amfam_tf.evaluation import figure_style as style
from amfam_tf.tasks import TASKS

WIDTH = 6.4
COLUMNS = 2


def per_task(draw: Callable[[Axes, Task], None], height: float = 2.5) -> Figure:
    """Returns a figure with a panel for each task, drawn by `draw`.

    Args:
        draw: fills the axes of a task.
        height: of a row, inches.
    """
    rows = -(-len(TASKS) // COLUMNS)
    with style.style():
        figure = style.new_figure(WIDTH, rows * height)
        grid = figure.subplots(rows, COLUMNS, squeeze=False)
        for axes, task in zip(grid.flat, TASKS, strict=True):
            axes.set_title(f"{task.name}: {task.title}", loc="left", fontweight="bold")
            draw(axes, task)
    return figure


def unit_square(axes: Axes, x_label: str, y_label: str) -> None:
    """Makes axes a square from 0 to 1 both ways."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    axes.set_box_aspect(1)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
