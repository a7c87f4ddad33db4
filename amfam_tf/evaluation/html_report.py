"""report.html: one file with everything that an evaluation found; no script, no network, pictures inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from amfam_tf import config as configuration
from amfam_tf.data.check import class_counts
from amfam_tf.errors import RunError
from amfam_tf.evaluation import intervals, metrics, tables
from amfam_tf.evaluation.checklists import GUIDELINES
from amfam_tf.evaluation.figures import gallery, write
from amfam_tf.evaluation.figures.write import FigureFile
from amfam_tf.evaluation.run import Evaluation
from amfam_tf.files.writing import write_text
from amfam_tf.report import html
from amfam_tf.report.count_table import count_table
from amfam_tf.report.html import Key, data_uri
from amfam_tf.report.numbers import UNDEFINED, ends, share
from amfam_tf.report.results import Report, RunComparison
from amfam_tf.report.table import Table
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import REPORT_FILE, RunFolder
from amfam_tf.tasks import DIAGNOSIS, SPLITS


@dataclass(frozen=True)
class Card:
    """An error of the gallery.

    Attributes:
        title: case and task.
        text: prediction and label.
        source: the pair of pictures, as a data URI.
        width, height: of it, pixels.
    """

    title: str
    text: str
    source: str
    width: int
    height: int


def write_report(evaluation: Evaluation, comparison: RunComparison | None = None) -> list[Path]:
    """Draws the figures, writes them and report.html beside metrics.json, and returns the paths.

    Args:
        evaluation: what `evaluate_run` returned.
        comparison: what `compare_with` returned, if the run was compared with another.

    Raises:
        RunError: a file cannot be written, or the model cannot be loaded.
    """
    run = FinishedRun.open(evaluation.run)
    history = run.folder.history_file
    pictures = write.draw_all(
        evaluation.table,
        evaluation.report,
        evaluation.cases,
        network=run.network,
        config=evaluation.config,
        history=pd.read_csv(history) if history.is_file() else None,
    )
    path = evaluation.folder / REPORT_FILE
    try:
        write.write_figures(pictures, evaluation.folder)
        write_text(path, render(evaluation, pictures, comparison))
    except OSError as error:
        raise RunError(f"cannot write {error.filename or path}: {error.strerror}") from error
    return [evaluation.folder / write.FOLDER, path]


def render(evaluation: Evaluation, pictures: Sequence[FigureFile], comparison: RunComparison | None = None) -> str:
    """Returns the HTML text.

    Args:
        evaluation: what `evaluate_run` returned.
        pictures: the figures to show.
        comparison: with another run, if there is one.
    """
    return html.render("amfam_tf.evaluation", "report.html.j2", _content(evaluation, pictures, comparison))


def _content(
    evaluation: Evaluation, pictures: Sequence[FigureFile], comparison: RunComparison | None
) -> dict[str, Any]:
    report, figures = evaluation.report, {picture.name: picture for picture in pictures}
    published = report.get("published")
    sections = {"figure-training": "training", "figure-network": "network"}
    missing = {section for section, name in sections.items() if name not in figures}
    subtitle = Markup("Method {} on the {} cases of the split <em>{}</em>")
    return {
        "name": evaluation.run.resolve().name,
        "what": "evaluation",
        "split": evaluation.scope,
        "subtitle": subtitle.format(evaluation.config.method, report["cases"], evaluation.scope),
        "other_data": None if published is None or published["comparable"] else published["note"],
        "notes": evaluation.notes,
        "keys": summary(report),
        "tables": _tables(evaluation, comparison),
        "figures": figures,
        "cards": cards(evaluation),
        "averages": metrics.averages_over(evaluation.card),
        "intervals": intervals.method(evaluation.card),
        "undefined": report["undefined"],
        "configuration": configuration.dump(evaluation.config),
        "guidelines": [tables.checklist_table(name, items, missing) for name, items in GUIDELINES.items()],
    }


def _tables(evaluation: Evaluation, comparison: RunComparison | None) -> dict[str, Table | None]:
    report, used = evaluation.report, evaluation.used
    splits = {split: int((used["split"] == split).sum()) for split in SPLITS}
    counts = class_counts(used).to_dict("records")
    return {
        "accuracy": tables.accuracy_table(report).without("class", "ECE"),
        "averages": tables.average_table(report),
        "classes": tables.class_table(report),
        "calibration": tables.calibration_table(report),
        "sensitivity": tables.score_table(report, "sensitivity_at_specificity", "specificity"),
        "specificity": tables.score_table(report, "specificity_at_sensitivity", "sensitivity"),
        "rules": tables.rule_table(report),
        "subgroups": tables.subgroup_table(report),
        "counts": count_table("Cases of each class", len(used), splits, counts),
        "environment": tables.environment_table(environment_rows(RunFolder(evaluation.run))),
        "comparison": None if comparison is None else tables.comparison_table(comparison).without(*tables.ONLY_RIGHT),
    }


def summary(report: Report) -> list[Key]:
    """Returns the numbers to read first."""
    baseline, where = tables.baseline_of(report)
    average, diagnosis = report["average"], report["tasks"][DIAGNOSIS.name]
    melanoma = report["melanoma"]["scores"]
    own, checklist = melanoma["melanoma_probability"], melanoma["seven_point_score"]
    majority = baseline["tasks"][DIAGNOSIS.name]

    def key(title: str, value: float, bounds: Sequence[float], beside: str) -> Key:
        interval = ends(bounds)
        return Key(title, share(value), "" if UNDEFINED in (share(value), interval) else interval, beside)

    return [
        key(
            "Accuracy, average of the 8 tasks",
            average["accuracy"],
            average["accuracy_ci95"],
            f"majority class of the {where}: {share(baseline['average'])}",
        ),
        key(
            "Accuracy of the diagnosis",
            diagnosis["accuracy"],
            diagnosis["accuracy_ci95"],
            f"always {majority['class']}: {share(majority['accuracy'])}",
        ),
        key(
            "AUC of melanoma",
            own["auc"],
            own["auc_ci95"],
            f"7-point score of the predicted criteria: {share(checklist['auc'])}",
        ),
    ]


def cards(evaluation: Evaluation) -> list[Card]:
    """Returns the errors of the gallery with their pictures."""
    found = []
    for mistake in gallery.choose_mistakes(evaluation.table):
        pair = gallery.pair_of(evaluation.cases, mistake.case_num)
        title, text = gallery.describe(mistake)
        found.append(Card(title, text, data_uri(gallery.to_jpeg(pair), "jpeg"), pair.shape[1], pair.shape[0]))
    return found


def environment_rows(run: RunFolder) -> list[tuple[str, str]]:
    """Returns what environment.json says about the training, name and value; nothing if there is none."""
    content = run.read_environment() if run.environment_file.is_file() else {}
    rows = []
    for name, value in content.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, one in parts:
            text = ", ".join(map(str, one)) if isinstance(one, list) else str(one)
            if one is not None:
                rows.append((f"{name} {part}".strip().replace("_", " "), text))
    return rows
