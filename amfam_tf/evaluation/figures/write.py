"""Draws all figures of an evaluation and writes them as PNG files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.evaluation import clinical, titles
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation.figures.confusion import draw_confusion
from amfam_tf.evaluation.figures.curves import draw_precision_recall, draw_roc
from amfam_tf.evaluation.figures.decision import draw_decision_curve
from amfam_tf.evaluation.figures.gallery import choose_mistakes, draw_gallery
from amfam_tf.evaluation.figures.network import draw_network
from amfam_tf.evaluation.figures.reliability import draw_reliability
from amfam_tf.evaluation.figures.target import draw_target_roc
from amfam_tf.evaluation.figures.training import draw_training
from amfam_tf.files.writing import write_bytes
from amfam_tf.report.results import Report, targets_of

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
    card: DataCard,
) -> list[FigureFile]:
    """Returns the figures that can be drawn, in the order of the report.

    Args:
        table: the predictions table.
        report: content of metrics.json.
        cases: rows of the data set, in the order of `table`.
        network: with all its outputs, and `config`, the run's configuration: for attention and reconstructions.
        history: content of history.csv, for the training curves.
        card: of the data.
    """
    monitor = "headline" if config is None else config.training.monitor
    drawn: dict[str, Figure | None] = {
        "confusion": draw_confusion(table, card),
        "roc": draw_roc(table, report, card),
        "precision_recall": draw_precision_recall(table, report, card),
        "reliability": draw_reliability(report, card),
    }
    for target in targets_of(report):
        roc, decision = target_figures(card, target)
        drawn |= {roc: draw_target_roc(table, card, target), decision: draw_decision_curve(report, card, target)}
    drawn |= {
        "training": None if history is None or history.empty else draw_training(history, card, monitor),
        "network": None if network is None or config is None else draw_network(network, cases, config, card),
        "errors": draw_gallery(choose_mistakes(table, card), cases),
    }
    words = _words(report, card)
    return [
        FigureFile(name, *words[name], png=style.to_png(figure)) for name, figure in drawn.items() if figure is not None
    ]


def target_figures(card: DataCard, target: str) -> tuple[str, str]:
    """Returns the names of the figures of a target: its ROC curves and its decision curve."""
    decision = "decision_curve"
    return f"{target}_roc", decision if cards.is_derm7pt(card) else f"{target}_{decision}"


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
    "training": ("Training curves", "Per epoch, from history.csv; validation losses are those of the same weights."),
    "network": (
        "Attention and reconstructions",
        "The first cases of the split: each picture, its attention map (yellow is 1, violet 0) and its reconstruction.",
    ),
}
"""Name of a figure of any card -> title and caption."""


def _words(report: Report, card: DataCard) -> dict[str, tuple[str, str, str]]:
    """Returns title, caption and the words that stand for each figure, with its main numbers."""
    classes: Mapping[str, Mapping[str, Any]] = report["tasks"][card.main_task.name]["classes"]
    main, tasks = card.main_task.name, titles.counted(len(card.tasks), "task", "tasks")

    def of_classes(metric: str) -> str:
        values = ((label, row[metric]) for label, row in classes.items())
        return ", ".join(f"{label} {value:.2f}" if value == value else f"{label} undefined" for label, value in values)

    matrices = titles.capital(titles.counted(len(card.tasks), "confusion matrix", "confusion matrices"))
    alternatives = {
        "confusion": f"{matrices} of {report['cases']} cases. Sensitivity for {main}: {of_classes('sensitivity')}.",
        "roc": f"ROC curves of {tasks}. AUC for {main}: {of_classes('auc')}.",
        "precision_recall": f"Precision-recall curves of {tasks}. Average precision for {main}: "
        f"{of_classes('average_precision')}.",
        "reliability": f"Reliability diagrams of {tasks}; the calibration table has the errors.",
        "training": "Accuracy, loss and its parts per epoch, training and validation.",
        "network": "Pictures, attention maps and reconstructions of the first cases.",
    }
    words = {name: (*TEXTS[name], alternative) for name, alternative in alternatives.items()}
    for target in targets_of(report):
        words |= _target_words(card, target)
    return words | {"errors": _gallery_words(card)}


def _target_words(card: DataCard, target: str) -> dict[str, tuple[str, str, str]]:
    roc, decision = target_figures(card, target)
    title, scores = titles.target(card, target), [card.score_title(one) for one in clinical.suggesting(card, target)]
    against = f" against the {titles.joined([f'{one}s' for one in scores])}: " if scores else ""
    against += "of the predicted criteria, the expected one under their probabilities, and that of the labels"
    curves = titles.counted(1 + 3 * len(scores), "score", "scores")
    rules = "".join(f"the {one.removesuffix(' score')} rule, " for one in scores)
    return {
        roc: (
            f"ROC curves for {title}",
            f"The classifier's own probability{against if scores else ''}.",
            f"ROC curves for {title} of {curves}; the tables above have the areas.",
        ),
        decision: (
            "Decision curve",
            f"Net benefit of suspecting {title}, by the probability from which on excision would be worth it. A rule "
            "is of use where its curve lies above both constant ones.",
            f"Net benefit for {title} by threshold probability, of the classifier, {rules}and suspecting everybody or "
            "nobody.",
        ),
    }


def _gallery_words(card: DataCard) -> tuple[str, str, str]:
    others = titles.other_tasks(card)
    criteria = {name for score in card.scores.values() for name in score.points}
    other = "criterion" if all(task.name in criteria for task in others) else "other task"
    rest = f", then one of each {other}" if others else ""
    return (
        "Most confident errors",
        f"The wrong predictions with the highest probability: eight of the {card.main_task.title}{rest}; left the "
        "clinical, right the dermoscopic picture.",
        "Pairs of pictures of wrongly predicted cases; the cards of the report name each.",
    )


def write_figures(pictures: list[FigureFile], folder: Path) -> None:
    """Writes each figure below the folder of an evaluation, and removes those of an earlier one that are not new."""
    kept = {f"{picture.name}.png" for picture in pictures}
    for picture in pictures:
        write_bytes(folder / picture.file, picture.png)
    for old in (folder / FOLDER).glob("*.png"):
        if old.name not in kept:
            old.unlink()
