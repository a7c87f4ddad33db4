"""report.html: one file with everything that an evaluation found; no script, no network, pictures inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from amfam_tf import config as configuration
from amfam_tf.card import cards as data_cards
from amfam_tf.card.schema import SPLITS, DataCard
from amfam_tf.data.check import class_counts
from amfam_tf.errors import RunError
from amfam_tf.evaluation import clinical, intervals, metrics, tables, titles
from amfam_tf.evaluation.checklists import GUIDELINES
from amfam_tf.evaluation.figures import gallery, write
from amfam_tf.evaluation.figures.write import FigureFile
from amfam_tf.evaluation.run import Evaluation
from amfam_tf.files.writing import write_text
from amfam_tf.report import html
from amfam_tf.report.count_table import count_table
from amfam_tf.report.html import Key, data_uri
from amfam_tf.report.numbers import UNDEFINED, ends, share
from amfam_tf.report.results import Report, RunComparison, measured, targets_of
from amfam_tf.report.table import Table
from amfam_tf.runs import members
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import REPORT_FILE, RunFolder


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
        card=evaluation.card,
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
    report, card = evaluation.report, evaluation.card
    figures = {picture.name: picture for picture in pictures}
    published = report.get("published")
    sections = {"figure-training": "training", "figure-network": "network"}
    missing = {section for section, name in sections.items() if name not in figures}
    targets = [_target(evaluation, name) for name in targets_of(report)]
    first = targets[0]["id"] if targets else "targets"
    missing |= set() if targets else {first}
    subtitle = Markup("Method {} on the {} cases of the split <em>{}</em>")
    return {
        "name": evaluation.run.resolve().name,
        "what": "evaluation",
        "split": evaluation.scope,
        "subtitle": subtitle.format(evaluation.config.method, report["cases"], evaluation.scope),
        "other_data": None if published is None or published["comparable"] else published["note"],
        "notes": evaluation.notes,
        "keys": summary(report, card),
        "targets": targets,
        "target_contents": [(one["id"], one["title"]) for one in targets],
        "tables": _tables(evaluation, comparison),
        "figures": figures,
        "cards": cards(evaluation),
        "averages": metrics.averages_over(card),
        "intervals": intervals.method(card),
        "undefined": report["undefined"],
        "configuration": configuration.dump(evaluation.config),
        "guidelines": [tables.checklist_table(name, items, missing, first) for name, items in GUIDELINES.items()],
    }


def _target(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """Returns what the section of a target shows: id, titles, a sentence, tables and names of figures."""
    report, card = evaluation.report, evaluation.card
    title = titles.capital(titles.target(card, name))
    known = [card.checklist_title(score) for score in clinical.suggesting(card, name)]
    beside = f" beside the {titles.joined(known)}, whose score comes from the predicted criteria" if known else ""
    return {
        "id": name if data_cards.is_derm7pt(card) else f"target-{name}",
        "title": title,
        "beside": beside,
        "tables": [
            tables.score_table(report, "sensitivity_at_specificity", "specificity", card, name),
            tables.score_table(report, "specificity_at_sensitivity", "sensitivity", card, name),
            tables.rule_table(report, card, name),
        ],
        "figures": write.target_figures(card, name),
    }


def _tables(evaluation: Evaluation, comparison: RunComparison | None) -> dict[str, Table | None]:
    report, used, card = evaluation.report, evaluation.used, evaluation.card
    splits = {split: int((used["split"] == split).sum()) for split in SPLITS}
    counts = class_counts(used, card.tasks).to_dict("records")
    return {
        "overall": tables.overall_table(report, card),
        "accuracy": tables.accuracy_table(report, card).without("class", "ECE"),
        "shuffled": tables.shuffled_table(report, card),
        "views": tables.views_table(report, card),
        "averages": tables.average_table(report, card),
        "classes": tables.class_table(report, card),
        "calibration": tables.calibration_table(report, card),
        "decided": tables.decided_table(report) if "decided" in report else None,
        "subgroups": tables.subgroup_table(report, card),
        "counts": count_table("Cases of each class", len(used), splits, counts, card.tasks),
        "environment": tables.environment_table(environment_rows(RunFolder(evaluation.run))),
        "comparison": None
        if comparison is None
        else tables.comparison_table(comparison, card).without(*tables.ONLY_RIGHT),
    }


def summary(report: Report, card: DataCard) -> list[Key]:
    """Returns the numbers to read first: the headline, the accuracy of the main task, the AUC of each target."""
    baseline, where = tables.baseline_of(report)
    section, _, metric = card.headline.rpartition(".")
    main = report["tasks"][card.main_task.name]

    def key(title: str, values: Mapping[str, Any], name: str, beside: str) -> Key:
        found, bounds = measured(values, name)
        interval = ends(bounds)
        return Key(title, share(found), "" if UNDEFINED in (share(found), interval) else interval, beside)

    majority = baseline["tasks"][card.main_task.name]
    always = f"always {majority['class']}: {share(majority['accuracy'])}"
    average = f"majority class of the {where}: {share(baseline['average'])}"
    of_average = section == "average" and len(card.tasks) > 1
    beside = (average if of_average else always) if metric == "accuracy" else ""
    keys = [key(titles.headline(card), report["average"] if section == "average" else main, metric, beside)]
    if metric != "accuracy" or of_average:
        keys.append(key(f"Accuracy of the {card.main_task.title}", main, "accuracy", always))
    for name, part in targets_of(report).items():
        scores, suggesting = part["scores"], clinical.suggesting(card, name)
        told = [f"{card.score_title(one)} of the predicted criteria: {share(scores[one]['auc'])}" for one in suggesting]
        own = scores[clinical.probability_name(name)]
        keys.append(key(f"AUC of {titles.target(card, name)}", own, "auc", ", ".join(told)))
    return keys


def cards(evaluation: Evaluation) -> list[Card]:
    """Returns the errors of the gallery with their pictures."""
    found = []
    for mistake in gallery.choose_mistakes(evaluation.table, evaluation.card):
        pair = gallery.pair_of(evaluation.cases, mistake.case_num)
        title, text = gallery.describe(mistake)
        found.append(Card(title, text, data_uri(gallery.to_jpeg(pair), "jpeg"), pair.shape[1], pair.shape[0]))
    return found


def environment_rows(run: RunFolder) -> list[tuple[str, str]]:
    """Returns what environment.json says about the training, name and value; nothing if there is none."""
    content = run.read_environment() if run.environment_file.is_file() else {}
    rows = []
    if members.KEY in content:
        content[members.KEY] = {one.run: f"model {one.model_sha256}" for one in members.read(content)}
    for name, value in content.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, one in parts:
            text = ", ".join(map(str, one)) if isinstance(one, list) else str(one)
            if one is not None:
                rows.append((f"{name} {part}".strip().replace("_", " "), text))
    return rows
