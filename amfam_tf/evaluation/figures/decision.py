"""Decision curve of melanoma: net benefit by threshold probability (Vickers and Elkin 2006)."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from amfam_tf.evaluation import figure_style as style
from amfam_tf.report.results import Report

LINES: Mapping[str, tuple[str, str, object]] = {
    "melanoma_probability": ("classifier's probability of MEL", style.BLUE, "-"),
    "seven_point_rule": ("7-point score of the predicted criteria at least 3", style.VERMILLION, "--"),
    "everybody": ("suspect everybody", style.GREY, "-."),
    "nobody": ("suspect nobody", style.INK, ":"),
}


def draw_decision_curve(report: Report) -> Figure:
    """Returns the net benefit of each way to suspect melanoma.

    Args:
        report: content of metrics.json.
    """
    curve = report["melanoma"]["decision_curve"]
    with style.style():
        figure = style.new_figure(6.4, 3.4)
        axes = figure.subplots()
        for key, (label, colour, line) in LINES.items():
            axes.plot(curve["thresholds"], curve[key], color=colour, linestyle=line, label=label)
        top = max(max(curve[key]) for key in LINES)
        axes.set_ylim(-0.1 * max(top, 0.1), max(top, 0.1) * 1.15)
        axes.set_xlim(0, max(curve["thresholds"]))
        axes.set_xlabel("threshold probability: excision is worth it from here on")
        axes.set_ylabel("net benefit per case")
        axes.legend(loc="upper right")
        if not report["melanoma"]["melanomas"]:
            axes.set_title("no case is a melanoma: nothing can be gained", loc="left")
    return figure
