"""Reliability diagrams: how often the prediction is right, by its probability."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation.figures.panels import per_task, unit_square
from amfam_tf.report.results import CalibrationBin, Forecast, Report


def draw_reliability(report: Report, card: DataCard) -> Figure:
    """Returns a diagram per task, before and after temperature scaling if there was any.

    Args:
        report: content of metrics.json.
        card: of the data.
    """
    calibration = report["calibration"]

    def draw(axes: Axes, task: Task) -> None:
        axes.plot([0, 1], [0, 1], color=style.PALE, linewidth=1)
        after = calibration["tasks"][task.name]
        unit_square(axes, "probability of the prediction", "share that is right")
        if not any(row["cases"] for row in after["bins"]):
            style.say(axes, "no case has a label")
            return
        if "before" in calibration:
            before = calibration["before"]["tasks"][task.name]
            _draw_bins(axes, before["bins"], style.ORANGE, "s", f"before, ECE {_error(before)}", 0)
            temperature = (calibration["temperatures"] or {})[task.name]
            _draw_bins(axes, after["bins"], style.BLUE, "o", f"T = {temperature:.2f}, ECE {_error(after)}", 1)
        else:
            _draw_bins(axes, after["bins"], style.BLUE, "o", f"ECE {_error(after)}", 1)
        axes.legend(loc="lower right", borderaxespad=0.1, handlelength=1.2, frameon=True, edgecolor="none")

    return per_task(draw, card.tasks, height=2.8)


def _error(values: Forecast) -> str:
    return f"{100 * values['expected_calibration_error']:.1f} %"


def _draw_bins(axes: Axes, bins: Sequence[CalibrationBin], colour: str, marker: str, label: str, above: int) -> None:
    """Draws the bins that have cases; the bar is Wilson's interval, the area of the mark the number of cases."""
    used = [row for row in bins if row["cases"]]
    x, y = [row["confidence"] for row in used], [row["accuracy"] for row in used]
    total = sum(row["cases"] for row in used)
    if above:
        ends = [[row["accuracy"] - row["accuracy_low"] for row in used]]
        ends.append([row["accuracy_high"] - row["accuracy"] for row in used])
        axes.errorbar(
            x, y, yerr=[[max(0.0, value) for value in row] for row in ends], fmt="none", ecolor=colour, lw=0.8
        )
    sizes = [8 + 120 * row["cases"] / total for row in used]
    face = colour if above else "none"
    axes.scatter(x, y, s=sizes, marker=marker, facecolors=face, edgecolors=colour, zorder=2 + above)
    axes.plot([], [], marker=marker, linestyle="none", color=colour, markerfacecolor=face, markersize=5, label=label)
