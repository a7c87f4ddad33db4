"""ROC curves for melanoma: the classifier's own probability against the 7-point scores."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from amfam_tf.evaluation import clinical, metrics
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation.figures.panels import unit_square
from amfam_tf.evaluation.tables import SCORE_TITLES


def draw_melanoma_roc(table: pd.DataFrame) -> Figure:
    """Returns the ROC curve of each score that ranks the cases by suspicion of melanoma.

    Args:
        table: the predictions table.
    """
    truth = clinical.has_target(table)
    with style.style():
        figure = style.new_figure(6.4, 4.6)
        axes = figure.subplots()
        unit_square(axes, "1 - specificity", "sensitivity")
        axes.plot([0, 1], [0, 1], color=style.PALE, linewidth=1)
        if truth.all() or not truth.any():
            style.say(axes, "no case is a melanoma" if not truth.any() else "every case is a melanoma")
            return figure
        for number, (name, score) in enumerate(clinical.scores_of(table).items()):
            false_positive, true_positive, _ = roc_curve(truth, score)
            (area,) = metrics.weighted_auc(truth, score, np.ones((1, len(truth))))
            label = f"{SCORE_TITLES[name]}, AUC {area:.2f}"
            colour, line = style.CLASS_COLOURS[number], style.CLASS_LINES[number]
            axes.plot(false_positive, true_positive, color=colour, linestyle=line, label=label)
        axes.legend(loc="lower right", borderaxespad=0.1, frameon=True, edgecolor="none")
    return figure
