"""metrics.json as tables for report.html: plain text cells, values in percent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from amfam_tf.evaluation.metrics import CLASS_METRICS, PAPER_METRICS
from amfam_tf.evaluation.subgroups import FEWEST_CASES
from amfam_tf.evaluation.terminal_tables import AVERAGE_ROWS, SCORE_TITLES, percent
from amfam_tf.tasks import SPLITS, TASK_BY_NAME, TASKS

UNDEFINED = "–"
PLOT = 140
METRIC_TITLES: Mapping[str, str] = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "auc": "AUC",
    "f1": "F1",
    "average_precision": "average precision",
}


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes:
        cells: as many as the table has headings; the first ones are headers of the row.
        kind: "" or a class of the style sheet: total, quiet, first.
    """

    cells: Sequence[str]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        caption: what it shows.
        headings: of its columns.
        rows: top to bottom.
        note: below it.
        headers: leading cells of each row that name it.
        text: numbers of the columns that hold text, left-aligned.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[TableRow]
    note: str = ""
    headers: int = 1
    text: frozenset[int] = frozenset()


def value_with_interval(value: float | None, bounds: Iterable[float] | None) -> str:
    """Returns "value (low–high)" in percent; a dash where it is undefined."""
    number = percent(value)
    ends = [] if bounds is None else [percent(end) for end in bounds]
    if number == "-":
        return UNDEFINED
    return number if not ends or "-" in ends else f"{number} ({'–'.join(ends)})"


def number(value: float | None) -> str:
    """Returns a value with two decimals; a dash where it is undefined."""
    return UNDEFINED if value is None or value != value else f"{value:.2f}"


def share(value: float | None) -> str:
    """Returns a value of [0, 1] in percent with one decimal; a dash where it is undefined."""
    return UNDEFINED if percent(value) == "-" else percent(value)


def difference(value: float) -> str:
    """Returns a difference in points with its sign, a true minus."""
    return f"{100 * value:+.1f}".replace("-", "−")


def interval_plot(value: float, bounds: Sequence[float], mark: float) -> Markup:
    """Returns a drawing of a value with its interval on 0 to 100 %, and a mark; says nothing that cells do not."""
    low, high = (round(PLOT * bound, 1) for bound in bounds)
    return Markup(
        '<svg class="plot" viewBox="0 0 {w} 14" width="{w}" height="14" aria-hidden="true">'
        '<path class="axis" d="M0 7H{w}"/><path class="mark" d="M{m} 1V13"/><path class="bar" d="M{a} 7H{b}"/>'
        '<circle cx="{v}" cy="7" r="3.5"/></svg>'
    ).format(w=PLOT, m=round(PLOT * mark, 1), a=low, b=high, v=round(PLOT * value, 1))


def baseline_of(report: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Returns the majority baseline and the split that its classes come from, in words."""
    source = "train" if "train" in report["majority_baseline"] else "evaluated"
    return report["majority_baseline"][source], "training split" if source == "train" else "evaluated cases"


def accuracy_table(report: Mapping[str, Any]) -> Table:
    """Returns the accuracy of each task and on average beside the majority class and the published value."""
    baseline, where = baseline_of(report)
    published = report.get("published")
    headings = ["task", "", "accuracy (95 %)", "0 to 100 %", "majority", "gain", "balanced", "kappa"]
    headings += ["published*"] if published else []

    def row(names: Sequence[str], values: Mapping[str, Any], majority: float, key: str, kind: str = "") -> TableRow:
        cells = [*names, value_with_interval(values["accuracy"], values["accuracy_ci95"])]
        cells.append(interval_plot(values["accuracy"], values["accuracy_ci95"], majority))
        cells += [percent(majority), difference(values["accuracy"] - majority)]
        cells += [value_with_interval(values["balanced_accuracy"], None), number(values["kappa"])]
        return TableRow(cells + ([percent(published["accuracy"][key])] if published else []), kind)

    rows = [
        row([task.name, task.title], report["tasks"][task.name], baseline["tasks"][task.name]["accuracy"], task.name)
        for task in TASKS
    ]
    rows.append(row(["average", "of the 8 tasks"], report["average"], baseline["average"], "average", "total"))
    note = f"Majority, the upright mark: always the most frequent class of the {where}."
    note += f" {published_note(published)}" if published else ""
    return Table("Accuracy in percent", headings, rows, note, headers=1, text=frozenset({1}))


def published_note(published: Mapping[str, Any]) -> str:
    """Returns what the column of published values is, and whether it is about the same cases."""
    about = "" if published["comparable"] else "Another data set or split: "
    return f"* {about}{published['row']} in the paper, corrected by arithmetic; {published['note']}."


def average_table(report: Mapping[str, Any]) -> Table:
    """Returns the averages over classes, each beside the published one after correction."""
    published, rows = report.get("published") or {}, []
    for key, text in AVERAGE_ROWS.items():
        values = report["average"][key]
        cells = [value_with_interval(values[metric], values[f"{metric}_ci95"]) for metric in PAPER_METRICS]
        rows.append(TableRow([text, *cells]))
        if key in published:
            rows.append(TableRow(["published*", *(share(published[key][metric]) for metric in PAPER_METRICS)], "quiet"))
    headings = ["average over", *(METRIC_TITLES[metric] for metric in PAPER_METRICS)]
    return Table("Averages over classes in percent", headings, rows, published_note(published) if published else "")


def class_table(report: Mapping[str, Any]) -> Table:
    """Returns every metric of every class, one class against the rest."""
    rows = []
    for name, values in report["tasks"].items():
        titles = TASK_BY_NAME[name].class_titles
        for place, (label, row) in enumerate(values["classes"].items()):
            cells = [value_with_interval(row[metric], row[f"{metric}_ci95"]) for metric in CLASS_METRICS]
            cells = [f"{name} {label}", titles[place], str(row["support"]), *cells]
            rows.append(TableRow(cells, "first" if place == 0 else ""))
    headings = ["class", "", "cases", *(METRIC_TITLES[metric] for metric in CLASS_METRICS)]
    note = f"{UNDEFINED} is undefined, never 0: the reasons are in metrics.json."
    return Table("One class against the rest, in percent (95 %)", headings, rows, note, text=frozenset({1}))


def calibration_table(report: Mapping[str, Any]) -> Table:
    """Returns the calibration errors of each task, before and after temperature scaling if there was any."""
    after, before = report["calibration"], report["calibration"].get("before")
    headings = ["task"] + (["temperature"] if before else [])
    names = {"expected_calibration_error": "ECE in %", "brier_score": "Brier score", "log_loss": "log loss"}
    for title in names.values():
        headings += [f"{title}, before", "after"] if before else [title]
    rows = []
    for task in TASKS:
        cells = [task.name, *([number(after["temperatures"][task.name])] if before else [])]
        for key in names:
            show = percent if key == "expected_calibration_error" else number
            cells += [show(part["tasks"][task.name][key]) for part in (before, after) if part]
        rows.append(TableRow(cells))
    method = "" if before else "No temperature was applied. "
    note = f"{method}ECE: expected calibration error over ten bins. Brier score: summed over the classes, 0 to 2."
    return Table("Calibration", headings, rows, note)


def score_table(report: Mapping[str, Any], measure: str, other: str) -> Table:
    """Returns a measure of each melanoma score at fixed values of another, e.g. sensitivity at a specificity."""
    scores = report["melanoma"]["scores"]
    targets = [row["target"] for row in next(iter(scores.values()))[measure]]
    rows = [
        TableRow(
            [SCORE_TITLES[name], value_with_interval(values["auc"], values["auc_ci95"])]
            + [value_with_interval(row["value"], row["ci95"]) for row in values[measure]]
        )
        for name, values in scores.items()
    ]
    headings = ["score", "AUC (95 %)", *(f"at {100 * target:.0f} % {other}" for target in targets)]
    kind = measure.partition("_")[0].capitalize()
    note = "Thresholds are chosen on these very cases, which flatters a little."
    return Table(f"{kind} for melanoma in percent", headings, rows, note)


def rule_table(report: Mapping[str, Any]) -> Table:
    """Returns the rules for melanoma that need no threshold to be chosen."""
    rows = [
        TableRow([row["rule"], *(value_with_interval(row[name], row[f"{name}_ci95"]) for name in PAPER_METRICS[:2])])
        for row in report["melanoma"]["rules"]
    ]
    note = "Wilson's intervals."
    return Table("Rules for melanoma in percent", ["rule", "sensitivity (95 %)", "specificity (95 %)"], rows, note)


def subgroup_table(report: Mapping[str, Any]) -> Table:
    """Returns the subgroups; a cell under 10 cases says so in place of values."""
    rows, previous = [], None
    for row in report.get("subgroups", []):
        values = [value_with_interval(row[name], row[f"{name}_ci95"]) for name in SUBGROUP_VALUES]
        cells = [f"under {FEWEST_CASES} cases: too small", "", ""] if row["too_small"] else values
        title = row["variable"].rpartition("_")[2]
        kind = "quiet" if row["too_small"] else ""
        kind += " first" if row["variable"] != previous else ""
        rows.append(
            TableRow([f"{title}: {row['value']}", str(row["cases"]), str(row["melanomas"]), *cells], kind.strip())
        )
        previous = row["variable"]
    headings = ["subgroup", "cases", "melanomas", "accuracy of the 8 tasks", "DIAG accuracy", "AUC of melanoma"]
    note = "The AUC needs 10 melanomas and 10 others. Differences between subgroups are not tested."
    return Table("Subgroups in percent (95 %)", headings, rows, note)


SUBGROUP_VALUES = ("accuracy", "diagnosis_accuracy", "melanoma_auc")


def count_table(release: pd.DataFrame) -> Table:
    """Returns the cases of each class in each split."""
    counts = {split: release[release["split"] == split] for split in SPLITS}
    rows = [TableRow(["cases", *(str(len(part)) for part in counts.values()), str(len(release))], "total")]
    for task in TASKS:
        found = [np.bincount(part[task.name], minlength=len(task.classes)) for part in counts.values()]
        for place, (label, title) in enumerate(zip(task.classes, task.class_titles, strict=True)):
            numbers = [int(part[place]) for part in found]
            cells = [f"{task.name} {label}, {title}", *map(str, numbers), str(sum(numbers))]
            rows.append(TableRow(cells, "first" if place == 0 else ""))
    return Table("Cases of each class", ["class", *SPLITS, "all"], rows)


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """Returns the differences to another run, case by case."""
    rows = [(task.name, comparison["tasks"][task.name]["accuracy"], "") for task in TASKS]
    shown = []
    for name, row, kind in [*rows, ("average", comparison["average"]["accuracy"], "total")]:
        ends = " to ".join(UNDEFINED if end != end else difference(end) for end in row["ci95"])
        cells = [name, percent(row["first"]), percent(row["second"]), f"{difference(row['difference'])} ({ends})"]
        keys = ("mcnemar_exact_p", "mcnemar_holm_p")
        shown.append(TableRow(cells + [f"{row[key]:.3f}" if key in row else "" for key in keys], kind))
    names = (comparison["first"], comparison["second"])
    headings = ["task", *names, "difference (95 %)", "p, McNemar", "p, Holm"]
    return Table(f"Accuracy of {names[0]} minus {names[1]}, in points", headings, shown)
