"""Decision curve of a target: net benefit by threshold probability (Vickers and Elkin 2006)."""

from matplotlib.figure import Figure

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import clinical, titles
from amfam_tf.evaluation import figure_style as style
from amfam_tf.report.results import Report, positives_of, targets_of

RULE_LINES = ((style.VERMILLION, "--"), (style.GREEN, (0, (3, 1, 1, 1))), (style.ORANGE, (0, (5, 1))))
"""Of the scores, in order, beside the classifier's and the two constant ones."""


def lines_of(card: DataCard, target: str | None = None) -> dict[str, tuple[str, str, object]]:
    """Returns label, colour and style of each curve, by its name in metrics.json."""
    target = target or clinical.first_target(card)
    own = clinical.probability_name(target)
    lines: dict[str, tuple[str, str, object]] = {own: (titles.scores(card, target)[own], style.BLUE, "-")}
    for place, score in enumerate(clinical.suggesting(card, target)):
        least = next(iter(card.scores[score].thresholds.values()))
        label = f"{card.score_title(score)} of the predicted criteria at least {least}"
        lines[clinical.rule_name(score)] = (label, *RULE_LINES[place % len(RULE_LINES)])
    lines["everybody"] = ("suspect everybody", style.GREY, "-.")
    return lines | {"nobody": ("suspect nobody", style.INK, ":")}


def draw_decision_curve(report: Report, card: DataCard, target: str | None = None) -> Figure:
    """Returns the net benefit of each way to suspect a target.

    Args:
        report: content of metrics.json.
        card: of the data.
        target: by default the card's first.
    """
    target = target or clinical.first_target(card)
    part, lines = targets_of(report)[target], lines_of(card, target)
    curve = part["decision_curve"]
    with style.style():
        figure = style.new_figure(6.4, 3.4)
        axes = figure.subplots()
        for key, (label, colour, line) in lines.items():
            axes.plot(curve["thresholds"], curve[key], color=colour, linestyle=line, label=label)
        top = max(max(curve[key]) for key in lines)
        axes.set_ylim(-0.1 * max(top, 0.1), max(top, 0.1) * 1.15)
        axes.set_xlim(0, max(curve["thresholds"]))
        axes.set_xlabel("threshold probability: excision is worth it from here on")
        axes.set_ylabel("net benefit per case")
        axes.legend(loc="upper right")
        if not positives_of(part):
            axes.set_title(f"{titles.none_is(card, target)}: nothing can be gained", loc="left")
    return figure
