"""Draws all figures of an evaluation and writes them as PNG files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from amfam_tf.config import Config
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation.figures.confusion import draw_confusion
from amfam_tf.evaluation.figures.curves import draw_precision_recall, draw_roc
from amfam_tf.evaluation.figures.decision import draw_decision_curve
from amfam_tf.evaluation.figures.gallery import choose_mistakes, draw_gallery
from amfam_tf.evaluation.figures.melanoma import draw_melanoma_roc
from amfam_tf.evaluation.figures.network import draw_network
from amfam_tf.evaluation.figures.reliability import draw_reliability
from amfam_tf.evaluation.figures.training import draw_training
from amfam_tf.files.writing import write_bytes
from amfam_tf.report.results import Report
from amfam_tf.tasks import DIAGNOSIS

FOLDER = "figures"


@dataclass(frozen=True)
class FigureFile:
    """A figure as a file.

    Attributes:
        name: of the file, without ending.
        title: heading.
        caption: how to read it, a sentence or two.
        alternative: what it shows, for who cannot see it.
        png: content of the file.
    """

    name: str
    title: str
    caption: str
    alternative: str
    png: bytes

    @property
    def file(self) -> str:
        """Path below the folder of the evaluation."""
        return f"{FOLDER}/{self.name}.png"


def draw_all(
    table: pd.DataFrame,
    report: Report,
    cases: pd.DataFrame,
    *,
    network: Any = None,
    config: Config | None = None,
    history: pd.DataFrame | None = None,
) -> list[FigureFile]:
    """Returns the figures that can be drawn, in the order of the report.

    Args:
        table: the predictions table.
        report: content of metrics.json.
        cases: rows of the data set, in the order of `table`.
        network: with all its outputs, and `config`, the run's configuration: for attention and reconstructions.
        history: content of history.csv, for the training curves.
    """
    drawn: dict[str, Figure | None] = {
        "confusion": draw_confusion(table),
        "roc": draw_roc(table, report),
        "precision_recall": draw_precision_recall(table, report),
        "reliability": draw_reliability(report),
        "melanoma_roc": draw_melanoma_roc(table),
        "decision_curve": draw_decision_curve(report),
        "training": None if history is None or history.empty else draw_training(history),
        "network": None if network is None or config is None else draw_network(network, cases, config),
        "errors": draw_gallery(choose_mistakes(table), cases),
    }
    return [
        FigureFile(name, *TEXTS[name], alternative=_alternative(name, report), png=style.to_png(figure))
        for name, figure in drawn.items()
        if figure is not None
    ]


TEXTS: Mapping[str, tuple[str, str]] = {
    "confusion": (
        "Confusion matrices",
        "A row is a label, a column a prediction. Each cell has the number of cases and their share of the row; the "
        "colour is the share. After the paper's Fig. 4.",
    ),
    "roc": (
        "ROC curves",
        "One class against the rest, with the area under the curve and its 95 % interval. After the paper's Fig. 5.",
    ),
    "precision_recall": (
        "Precision and recall",
        "One class against the rest, with the average precision and, in brackets, the frequency of the class, which "
        "is what guessing reaches.",
    ),
    "reliability": (
        "Reliability",
        "How often the predicted class is right, by its probability, in ten bins; on the diagonal a probability means "
        "what it says. Bars are Wilson's 95 % intervals, the area of a mark is its number of cases. T: temperature; "
        "ECE: expected calibration error.",
    ),
    "melanoma_roc": (
        "ROC curves for melanoma",
        "The classifier's own probability against the 7-point scores: of the predicted criteria, the expected one "
        "under their probabilities, and that of the labels.",
    ),
    "decision_curve": (
        "Decision curve",
        "Net benefit of suspecting melanoma, by the probability from which on excision would be worth it. A rule is of "
        "use where its curve lies above both constant ones.",
    ),
    "training": ("Training curves", "Per epoch, from history.csv; validation losses are those of the same weights."),
    "network": (
        "Attention and reconstructions",
        "The first cases of the split: each picture, its attention map (yellow is 1, violet 0) and its reconstruction.",
    ),
    "errors": (
        "Most confident errors",
        "The wrong predictions with the highest probability: eight of the diagnosis, then one of each criterion; left "
        "the clinical, right the dermoscopic picture.",
    ),
}
"""Name of a figure -> title and caption."""


def _alternative(name: str, report: Report) -> str:
    """Returns the words that stand for a figure, with its main numbers."""
    cases, tasks = report["cases"], report["tasks"]
    classes: Mapping[str, Mapping[str, Any]] = tasks[DIAGNOSIS.name]["classes"]

    def of_classes(metric: str) -> str:
        values = ((label, row[metric]) for label, row in classes.items())
        return ", ".join(f"{label} {value:.2f}" if value == value else f"{label} undefined" for label, value in values)

    texts = {
        "confusion": f"Eight confusion matrices of {cases} cases. Sensitivity for DIAG: {of_classes('sensitivity')}.",
        "roc": f"ROC curves of eight tasks. AUC for DIAG: {of_classes('auc')}.",
        "precision_recall": "Precision-recall curves of eight tasks. Average precision for DIAG: "
        f"{of_classes('average_precision')}.",
        "reliability": "Reliability diagrams of eight tasks; the calibration table has the errors.",
        "melanoma_roc": "ROC curves for melanoma of four scores; the tables above have the areas.",
        "decision_curve": "Net benefit for melanoma by threshold probability, of the classifier, the 7-point rule, and "
        "suspecting everybody or nobody.",
        "training": "Accuracy, loss and its parts per epoch, training and validation.",
        "network": "Pictures, attention maps and reconstructions of the first cases.",
        "errors": "Pairs of pictures of wrongly predicted cases; the cards of the report name each.",
    }
    return texts[name]


def write_figures(pictures: list[FigureFile], folder: Path) -> None:
    """Writes each figure below the folder of an evaluation, and removes those of an earlier one that are not new."""
    kept = {f"{picture.name}.png" for picture in pictures}
    for picture in pictures:
        write_bytes(folder / picture.file, picture.png)
    for old in (folder / FOLDER).glob("*.png"):
        if old.name not in kept:
            old.unlink()
