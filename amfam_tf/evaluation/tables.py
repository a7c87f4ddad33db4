"""metrics.json as tables, values in percent: those of report.html, of which the terminal shows a part."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from amfam_tf.evaluation.checklists import Item
from amfam_tf.evaluation.metrics import CLASS_METRICS, PAPER_METRICS
from amfam_tf.evaluation.subgroups import FEWEST_CASES, Names
from amfam_tf.report.numbers import (
    UNDEFINED,
    difference,
    difference_with_interval,
    number,
    share,
    value_with_interval,
)
from amfam_tf.report.results import Baseline, Overall, Report, RunComparison, measured, value
from amfam_tf.report.table import Table, TableRow, text_table
from amfam_tf.tasks import DERM7PT, TASK_BY_NAME, TASKS

PLOT = 140
PLOT_HEADING = "0 to 100 %"
METRIC_TITLES: Mapping[str, str] = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "auc": "AUC",
    "f1": "F1",
    "average_precision": "average precision",
}
AVERAGE_ROWS: Mapping[str, str] = {
    "paper_criteria": "19 classes of the criteria (Table 3)",
    "paper_diagnosis": "5 classes of DIAG (Tables 4, 7)",
    "macro": "8 tasks, each over its classes",
}
SCORE_TITLES: Mapping[str, str] = {
    "melanoma_probability": "classifier's probability of MEL",
    "seven_point_score": "7-point score, predicted criteria",
    "expected_seven_point_score": "expected 7-point score",
    "seven_point_score_of_labels": "7-point score of the labels",
}
ONLY_RIGHT = ("only 1st right", "only 2nd right")


def terminal_tables(report: Report, comparison: RunComparison | None = None) -> list[Table]:
    """Returns what the terminal shows of an evaluation."""
    others = (title for metric, title in METRIC_TITLES.items() if metric != "auc")
    accuracy = accuracy_table(report).without(PLOT_HEADING)
    tables = [
        dataclasses.replace(accuracy, note=f"ECE: expected calibration error. {accuracy.note}"),
        average_table(report),
        class_table(report).without(*others),
        score_table(report, "sensitivity_at_specificity", "specificity"),
        subgroup_table(report),
    ]
    return tables if comparison is None else [*tables, comparison_table(comparison)]


def interval_plot(value: float, bounds: Sequence[float], mark: float) -> Markup:
    """Returns a drawing of a value with its interval on 0 to 100 %, and a mark; says nothing that cells do not."""
    low, high = (round(PLOT * bound, 1) for bound in bounds)
    return Markup(
        '<svg class="plot" viewBox="0 0 {w} 14" width="{w}" height="14" aria-hidden="true">'
        '<path class="axis" d="M0 7H{w}"/><path class="mark" d="M{m} 1V13"/><path class="bar" d="M{a} 7H{b}"/>'
        '<circle cx="{v}" cy="7" r="3.5"/></svg>'
    ).format(w=PLOT, m=round(PLOT * mark, 1), a=low, b=high, v=round(PLOT * value, 1))


def baseline_of(report: Report) -> tuple[Baseline, str]:
    """Returns the majority baseline and the split that its classes come from, in words."""
    source = "train" if "train" in report["majority_baseline"] else "evaluated"
    return report["majority_baseline"][source], "training split" if source == "train" else "evaluated cases"


def accuracy_table(report: Report) -> Table:
    """Returns the accuracy of each task and on average beside the majority class and the published value."""
    baseline, where = baseline_of(report)
    published, calibration = report.get("published"), report["calibration"]["tasks"]
    headings = ["task", "", "accuracy (95 %)", PLOT_HEADING, "majority", "class", "gain", "balanced", "kappa", "ECE"]
    headings += ["published*"] if published else []

    def row(names: Sequence[str], values: Overall, majority: float, name: str, *rest: str) -> list[str]:
        cells = [*names, value_with_interval(*measured(values, "accuracy"))]
        cells.append(interval_plot(*measured(values, "accuracy"), majority))
        cells += [share(majority), rest[0], difference(values["accuracy"] - majority)]
        cells += [share(values["balanced_accuracy"]), number(values["kappa"]), rest[1]]
        return cells + ([share(published["accuracy"][name])] if published else [])

    rows = []
    for task in TASKS:
        name, most = task.name, baseline["tasks"][task.name]
        error = share(calibration[name]["expected_calibration_error"])
        cells = row([name, task.title], report["tasks"][name], most["accuracy"], name, most["class"], error)
        rows.append(TableRow(cells))
    average = row(["average", "of the 8 tasks"], report["average"], baseline["average"], "average", "", "")
    note = f"Majority, the upright mark where it is drawn: always the most frequent class of the {where}."
    note += f" {published_note(published)}" if published else ""
    caption = f"Accuracy in percent, {report['cases']} cases of the split {report['split']}"
    return Table(caption, headings, [*rows, TableRow(average, "total")], note, text=frozenset({1, 5}))


def published_note(published: Mapping[str, Any]) -> str:
    """Returns what the column of published values is, and whether it is about the same cases."""
    about = "" if published["comparable"] else "Another data set or split: "
    return f"* {about}{published['row']} in the paper, corrected by arithmetic; {published['note']}."


def average_table(report: Report) -> Table:
    """Returns the averages over classes, each beside the published one after correction."""
    average: Mapping[str, Any] = report["average"]
    published: Mapping[str, Any] = report.get("published") or {}
    rows = []
    for key, text in AVERAGE_ROWS.items():
        values = average[key]
        cells = [value_with_interval(*measured(values, metric)) for metric in PAPER_METRICS]
        rows.append(TableRow([text, *cells]))
        if key in published:
            rows.append(TableRow(["published*", *(share(published[key][metric]) for metric in PAPER_METRICS)], "quiet"))
    headings = ["average over", *(METRIC_TITLES[metric] for metric in PAPER_METRICS)]
    note = published_note(published) if published else ""
    return Table("Averages over classes in percent", headings, rows, note, text=frozenset({0}))


def class_table(report: Report) -> Table:
    """Returns every metric of every class, one class against the rest."""
    rows = []
    for name, values in report["tasks"].items():
        titles = TASK_BY_NAME[name].class_titles
        for place, (label, row) in enumerate(values["classes"].items()):
            cells = [value_with_interval(*measured(row, metric)) for metric in CLASS_METRICS]
            cells = [f"{name} {label}", titles[place], str(row["support"]), *cells]
            rows.append(TableRow(cells, "first" if place == 0 else ""))
    headings = ["class", "", "cases", *(METRIC_TITLES[metric] for metric in CLASS_METRICS)]
    note = f"{UNDEFINED} is undefined, never 0: the reasons are in metrics.json."
    return Table("One class against the rest, in percent (95 %)", headings, rows, note, text=frozenset({1}))


def calibration_table(report: Report) -> Table:
    """Returns the calibration errors of each task, before and after temperature scaling if there was any."""
    after, before = report["calibration"], report["calibration"].get("before")
    temperatures = after.get("temperatures") or {}
    headings = ["task"] + (["temperature"] if before else [])
    names = {"expected_calibration_error": "ECE in %", "brier_score": "Brier score", "log_loss": "log loss"}
    for title in names.values():
        headings += [f"{title}, before", "after"] if before else [title]
    rows = []
    for task in TASKS:
        cells = [task.name, *([number(temperatures[task.name])] if before else [])]
        for key in names:
            show = share if key == "expected_calibration_error" else number
            cells += [show(value(part["tasks"][task.name], key)) for part in (before, after) if part]
        rows.append(TableRow(cells))
    method = "" if before else "No temperature was applied. "
    note = f"{method}ECE: expected calibration error over ten bins. Brier score: summed over the classes, 0 to 2."
    return Table("Calibration", headings, rows, note)


def score_table(report: Report, measure: str, other: str) -> Table:
    """Returns a measure of each melanoma score at fixed values of another, e.g. sensitivity at a specificity."""
    scores: Mapping[str, Mapping[str, Any]] = report["melanoma"]["scores"]
    targets = [row["target"] for row in next(iter(scores.values()))[measure]]
    rows = [
        TableRow(
            [SCORE_TITLES[name], value_with_interval(*measured(values, "auc"))]
            + [value_with_interval(row["value"], row["ci95"]) for row in values[measure]]
        )
        for name, values in scores.items()
    ]
    headings = ["score", "AUC (95 %)", *(f"at {100 * target:.0f} % {other}" for target in targets)]
    kind = measure.partition("_")[0].capitalize()
    note = "Thresholds are chosen on these very cases, which flatters a little."
    found = f"{report['melanoma']['melanomas']} melanomas in {report['melanoma']['cases']} cases"
    return Table(f"{kind} for melanoma in percent, {found}", headings, rows, note)


def rule_table(report: Report) -> Table:
    """Returns the rules for melanoma that need no threshold to be chosen."""
    rows = [
        TableRow([row["rule"], *(value_with_interval(*measured(row, name)) for name in PAPER_METRICS[:2])])
        for row in report["melanoma"]["rules"]
    ]
    note = "Wilson's intervals."
    return Table("Rules for melanoma in percent", ["rule", "sensitivity (95 %)", "specificity (95 %)"], rows, note)


def subgroup_table(report: Report) -> Table:
    """Returns the subgroups; a cell under 10 cases says so in place of values."""
    rows, previous = [], None
    for row in report.get("subgroups", []):
        values = [value_with_interval(*measured(row, name)) for name in Names.of(DERM7PT).values]
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


def comparison_table(comparison: RunComparison) -> Table:
    """Returns the differences to another run, case by case."""
    rows = [(task.name, comparison["tasks"][task.name]["accuracy"], "") for task in TASKS]
    shown = []
    for name, row, kind in [*rows, ("average", comparison["average"]["accuracy"], "total")]:
        tests = ["", "", "", ""]
        if "mcnemar_exact_p" in row:
            tests = [str(row["only_first_right"]), str(row["only_second_right"])]
            tests += [f"{row[key]:.3f}" for key in ("mcnemar_exact_p", "mcnemar_holm_p")]
        change = difference_with_interval(row["difference"], row["ci95"])
        shown.append(TableRow([name, share(row["first"]), share(row["second"]), change, *tests], kind))
    names = (comparison["first"], comparison["second"])
    headings = ["task", *names, "difference (95 %)", *ONLY_RIGHT, "p, McNemar", "p, Holm"]
    caption = f"Accuracy of {names[0]} minus {names[1]}, {comparison['cases']} cases, in points"
    note = "Holm: p corrected for the 8 tasks. AUC and DeLong's tests: the file of the comparison, against_...json."
    return Table(caption, headings, shown, note)


def environment_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Returns what environment.json says, name and value."""
    return text_table("From environment.json", ["what", "value"], rows)


def checklist_table(guideline: str, items: Sequence[Item], missing: Collection[str]) -> Table:
    """Returns where the page answers the items of a guideline; `missing` are sections that it does not have."""
    link = Markup('<a href="#{}">{}</a>')
    rows = []
    for item in items:
        where = "not answered here"
        if item.section is not None and item.section not in missing:
            where = link.format(item.section, item.section.removeprefix("figure-"))
        rows.append([item.number, item.topic, where])
    return text_table(guideline, ["item", "asks for", "where"], rows)
