"""ROC curves for a target: the classifier's own probability against the scores that suggest it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import clinical, predictions, titles
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation.figures.panels import unit_square
from amfam_tf.report import rates


def draw_target_roc(table: pd.DataFrame, card: DataCard, target: str | None = None) -> Figure:
    """Returns the ROC curve of each score that ranks the cases by suspicion of a target.

    Args:
        table: the predictions table.
        card: of the data.
        target: by default the card's first.
    """
    target = target or clinical.first_target(card)
    table, names = table[predictions.labelled(table, clinical.task_of(card, target))], titles.scores(card, target)
    truth = clinical.has_target(table, card, target)
    with style.style():
        figure = style.new_figure(6.4, 4.6)
        axes = figure.subplots()
        unit_square(axes, "1 - specificity", "sensitivity")
        axes.plot([0, 1], [0, 1], color=style.PALE, linewidth=1)
        if truth.all() or not truth.any():
            style.say(axes, titles.none_is(card, target, every=bool(truth.any())))
            return figure
        for number, (name, score) in enumerate(clinical.scores_of(table, card, target).items()):
            # Of the labels' score only the cases are known of which every criterion is.
            known = ~np.isnan(score)
            colour, line = style.class_line(number)
            if truth[known].all() or not truth[known].any():
                axes.plot([], [], color=colour, linestyle=line, label=f"{names[name]}: undefined")
                continue
            false_positive, true_positive, _ = roc_curve(truth[known], score[known])
            (area,) = rates.weighted_auc(truth[known], score[known], np.ones((1, int(known.sum()))))
            label = f"{names[name]}, AUC {area:.2f}"
            axes.plot(false_positive, true_positive, color=colour, linestyle=line, label=label)
        axes.legend(loc="lower right", borderaxespad=0.1, frameon=True, edgecolor="none")
    return figure
