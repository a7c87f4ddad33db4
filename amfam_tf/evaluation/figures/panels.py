"""One panel per task on a page that prints on A4 and can be read on a phone."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amfam_tf.card.questions import Task
from amfam_tf.evaluation import figure_style as style

WIDTH = 6.4
COLUMNS = 2
MANY_CLASSES = 7
"""From so many on a task has a row for itself."""
TALL = 4.4
"""Height of that row, inches."""


def many_classes(task: Task) -> bool:
    """Returns whether the panel of a task needs the whole width of a page."""
    return len(task.classes) >= MANY_CLASSES


def per_task(draw: Callable[[Axes, Task], None], tasks: Sequence[Task], height: float = 2.5) -> Figure:
    """Returns a figure with a panel for each task, drawn by `draw`; with many classes one below the other.

    Args:
        draw: fills the axes of a task.
        tasks: of the data.
        height: of a row, inches.
    """
    wide = any(map(many_classes, tasks))
    columns = 1 if wide else min(COLUMNS, len(tasks))
    heights = (
        [TALL if many_classes(task) else height for task in tasks] if wide else [height] * -(-len(tasks) // columns)
    )
    with style.style():
        figure = style.new_figure(WIDTH if wide else WIDTH / COLUMNS * columns, sum(heights))
        grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
        for axes in grid.flat[len(tasks) :]:
            axes.set_axis_off()
        for axes, task in zip(grid.flat, tasks, strict=False):
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
