"""report.html: one file with everything that an evaluation found; no script, no network, pictures inside."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from amfam_tf import config as configuration
from amfam_tf.errors import RunError
from amfam_tf.evaluation import html_tables, intervals, metrics
from amfam_tf.evaluation.checklists import GUIDELINES
from amfam_tf.evaluation.figures import gallery, write
from amfam_tf.evaluation.figures.write import FigureFile
from amfam_tf.evaluation.run import Evaluation
from amfam_tf.files.writing import write_text
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import REPORT_FILE, RunFolder
from amfam_tf.tasks import DIAGNOSIS
from amfam_tf.text import visible

TEMPLATE = "report.html.j2"


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


@dataclass(frozen=True)
class Key:
    """A number of the summary: what it is, its value with interval, and what to hold it against."""

    title: str
    value: str
    interval: str
    beside: str


def write_report(evaluation: Evaluation, comparison: Mapping[str, Any] | None = None) -> list[Path]:
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


def render(evaluation: Evaluation, pictures: Sequence[FigureFile], comparison: Mapping[str, Any] | None = None) -> str:
    """Returns the HTML text.

    Args:
        evaluation: what `evaluate_run` returned.
        pictures: the figures to show.
        comparison: with another run, if there is one.
    """
    return templates().get_template(TEMPLATE).render(_content(evaluation, pictures, comparison))


def templates(*packages: str) -> jinja2.Environment:
    """Returns the environment of the pages: the templates of `packages`, and the style and blocks that all pages share.

    `blocks.html.j2` needs `data_uri` in the context, a function from a picture to its data URI.
    """
    return jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in (*packages, "amfam_tf.evaluation")]),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    """Returns what a page shows of a value: text whose marks of direction cannot turn around what stands beside it."""
    return visible(value, keep="\n\t") if type(value) is str else value


def _content(
    evaluation: Evaluation, pictures: Sequence[FigureFile], comparison: Mapping[str, Any] | None
) -> dict[str, Any]:
    report, figures = evaluation.report, {picture.name: picture for picture in pictures}
    published = report.get("published")
    sections = {"figure-training": "training", "figure-network": "network"}
    missing = {section for section, name in sections.items() if name not in figures}
    return {
        "run": evaluation.run.resolve().name,
        "method": evaluation.config.method,
        "split": evaluation.scope,
        "cases": report["cases"],
        "other_data": None if published is None or published["comparable"] else published["note"],
        "notes": evaluation.notes,
        "keys": summary(report),
        "tables": _tables(evaluation, comparison),
        "figures": figures,
        "data_uri": lambda picture: data_uri(picture.png, "png"),
        "cards": cards(evaluation),
        "averages": metrics.AVERAGES,
        "intervals": intervals.METHOD,
        "undefined": report["undefined"],
        "configuration": configuration.dump(evaluation.config),
        "environment": environment_rows(RunFolder(evaluation.run)),
        "guidelines": GUIDELINES,
        "missing": missing,
    }


def _tables(evaluation: Evaluation, comparison: Mapping[str, Any] | None) -> dict[str, html_tables.Table | None]:
    report = evaluation.report
    return {
        "accuracy": html_tables.accuracy_table(report),
        "averages": html_tables.average_table(report),
        "classes": html_tables.class_table(report),
        "calibration": html_tables.calibration_table(report),
        "sensitivity": html_tables.score_table(report, "sensitivity_at_specificity", "specificity"),
        "specificity": html_tables.score_table(report, "specificity_at_sensitivity", "sensitivity"),
        "rules": html_tables.rule_table(report),
        "subgroups": html_tables.subgroup_table(report),
        "counts": html_tables.count_table(evaluation.release),
        "comparison": None if comparison is None else html_tables.comparison_table(comparison),
    }


def summary(report: Mapping[str, Any]) -> list[Key]:
    """Returns the numbers to read first."""
    baseline, where = html_tables.baseline_of(report)
    average, diagnosis = report["average"], report["tasks"][DIAGNOSIS.name]
    melanoma = report["melanoma"]["scores"]
    own, checklist = melanoma["melanoma_probability"], melanoma["seven_point_score"]
    majority = baseline["tasks"][DIAGNOSIS.name]

    def key(title: str, value: float, bounds: Sequence[float], beside: str) -> Key:
        shown, _, ends = html_tables.value_with_interval(value, bounds).partition(" ")
        return Key(title, shown, ends.strip("()"), beside)

    return [
        key(
            "Accuracy, average of the 8 tasks",
            average["accuracy"],
            average["accuracy_ci95"],
            f"majority class of the {where}: {html_tables.share(baseline['average'])}",
        ),
        key(
            "Accuracy of the diagnosis",
            diagnosis["accuracy"],
            diagnosis["accuracy_ci95"],
            f"always {majority['class']}: {html_tables.share(majority['accuracy'])}",
        ),
        key(
            "AUC of melanoma",
            own["auc"],
            own["auc_ci95"],
            f"7-point score of the predicted criteria: {html_tables.share(checklist['auc'])}",
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


def data_uri(content: bytes, kind: str) -> str:
    """Returns a picture as text that stands for its file."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


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
