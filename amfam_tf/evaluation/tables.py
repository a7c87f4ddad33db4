"""metrics.json as tables, values in percent: those of report.html, of which the terminal shows a part."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import published as published_tables
from amfam_tf.evaluation import titles
from amfam_tf.evaluation.checklists import TARGET, Item
from amfam_tf.evaluation.metrics import CLASS_METRICS, OVERALL, PAPER_METRICS, overall_metrics
from amfam_tf.evaluation.subgroups import FEWEST_CASES, Names
from amfam_tf.report.numbers import (
    UNDEFINED,
    defined,
    difference,
    difference_with_interval,
    number,
    share,
    value_with_interval,
)
from amfam_tf.report.results import (
    Baseline,
    Change,
    Overall,
    Report,
    RunComparison,
    measured,
    positives_of,
    targets_of,
    value,
)
from amfam_tf.report.table import Table, TableRow, text_table

PLOT = 140
PLOT_HEADING = "0 to 100 %"
ONLY_RIGHT = ("only 1st right", "only 2nd right")


def terminal_tables(report: Report, card: DataCard, comparison: RunComparison | None = None) -> list[Table]:
    """Returns what the terminal shows of an evaluation."""
    others = (title for metric, title in titles.METRICS.items() if metric != "auc")
    accuracy = accuracy_table(report, card).without(PLOT_HEADING)
    tables = [
        overall_table(report, card),
        dataclasses.replace(accuracy, note=f"ECE: expected calibration error. {accuracy.note}"),
        average_table(report, card),
        class_table(report, card).without(*others),
        *(score_table(report, "sensitivity_at_specificity", "specificity", card, name) for name in targets_of(report)),
        *([decided_table(report)] if "decided" in report else []),
        subgroup_table(report, card),
    ]
    tables = [table for table in [*tables, shuffled_table(report, card), views_table(report, card)] if table.rows]
    return tables if comparison is None else [*tables, comparison_table(comparison, card)]


def overall_table(report: Report, card: DataCard) -> Table:
    """Returns the headline, and below it the metrics of each task that are not in `accuracy_table`; none of Derm7pt."""
    metrics = [name for name in overall_metrics(card) if name not in OVERALL]
    if not metrics:
        return Table("", [], [])
    section, _, name = card.headline.rpartition(".")
    about: Mapping[str, Any] = report["average"] if section == "average" else report["tasks"][card.main_task.name]
    rows = [TableRow([titles.headline(card), value_with_interval(*measured(about, name))], "total")]
    for task in card.tasks:
        for metric in metrics:
            cells = [f"{task.name}, {titles.OVERALL[metric]}"]
            rows.append(TableRow([*cells, value_with_interval(*measured(report["tasks"][task.name], metric))]))
    note = (
        "Macro: mean over the classes, each against the rest. F1 at probability > 0.5: mean over all classes, the "
        "score of the MILK10k challenge; 1 for a class without any true, predicted or missed case."
    )
    caption = f"{card.title or card.name}: in percent, {report['cases']} cases of the split {report['split']}"
    return Table(caption, ["metric", "value (95 %)"], rows, note)


def interval_plot(value: float, bounds: Sequence[float], mark: float) -> Markup:
    """Returns a drawing of a value with its interval on 0 to 100 %, and a mark; says nothing that cells do not.

    Nothing if one of them is undefined.
    """
    if not all(map(defined, (value, *bounds, mark))):
        return Markup("")
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


def accuracy_table(report: Report, card: DataCard) -> Table:
    """Returns the accuracy of each task and on average beside the majority class and the published value."""
    baseline, where = baseline_of(report)
    published, calibration = report.get("published"), report["calibration"]["tasks"]
    headings = ["task", "", "accuracy (95 %)", PLOT_HEADING, "majority", "class", "gain", "balanced", "kappa", "ECE"]
    headings += ["published*"] if published else []
    partly = any(task.missing for task in card.tasks)
    headings += ["labelled"] if partly else []

    def row(names: Sequence[str], values: Overall, majority: float, name: str, *rest: str) -> list[str]:
        cells = [*names, value_with_interval(*measured(values, "accuracy"))]
        cells.append(interval_plot(*measured(values, "accuracy"), majority))
        cells += [share(majority), rest[0], difference(values["accuracy"] - majority)]
        cells += [share(values["balanced_accuracy"]), number(values["kappa"]), rest[1]]
        cells += [share(published["accuracy"][name])] if published else []
        return cells + (list(rest[2:]) if partly else [])

    rows = []
    for task in card.tasks:
        name, most = task.name, baseline["tasks"][task.name]
        error = share(calibration[name]["expected_calibration_error"])
        values = report["tasks"][name]
        labelled = str(values.get("labelled", report["cases"]))
        cells = row([name, task.title], values, most["accuracy"], name, most["class"], error, labelled)
        rows.append(TableRow(cells))
    if len(card.tasks) > 1:
        where_of = ["average", f"of {titles.of_tasks(card)}"]
        cells = row(where_of, report["average"], baseline["average"], "average", "", "", "")
        rows.append(TableRow(cells, "total"))
    note = f"Majority, the upright mark where it is drawn: always the most frequent class of the {where}."
    note += " Labelled: cases of which somebody knows the label; the others are left out of the task." if partly else ""
    note += f" {published_note(published)}" if published else ""
    caption = f"Accuracy in percent, {report['cases']} cases of the split {report['split']}"
    return Table(caption, headings, rows, note, text=frozenset({1, 5}))


def published_note(published: Mapping[str, Any]) -> str:
    """Returns what the column of published values is, and whether it is about the same cases."""
    about = "" if published["comparable"] else "Another data set or split: "
    return f"* {about}{published['row']} in the paper, corrected by arithmetic; {published['note']}."


def average_rows(card: DataCard) -> dict[str, str]:
    """Returns what the averages over classes are taken over, by name."""
    one = f"{len(card.tasks[0].classes)} classes of {card.tasks[0].name}"
    macro = {"macro": one if len(card.tasks) == 1 else f"{len(card.tasks)} tasks, each over its classes"}
    if not cards.is_derm7pt(card):
        return macro
    return {**published_tables.AVERAGE_ROWS, **macro}


def average_table(report: Report, card: DataCard) -> Table:
    """Returns the averages over classes, each beside the published one after correction."""
    average: Mapping[str, Any] = report["average"]
    published: Mapping[str, Any] = report.get("published") or {}
    rows = []
    for key, text in average_rows(card).items():
        values = average[key]
        cells = [value_with_interval(*measured(values, metric)) for metric in PAPER_METRICS]
        rows.append(TableRow([text, *cells]))
        if key in published:
            rows.append(TableRow(["published*", *(share(published[key][metric]) for metric in PAPER_METRICS)], "quiet"))
    headings = ["average over", *(titles.METRICS[metric] for metric in PAPER_METRICS)]
    note = published_note(published) if published else ""
    return Table("Averages over classes in percent", headings, rows, note, text=frozenset({0}))


def class_table(report: Report, card: DataCard) -> Table:
    """Returns every metric of every class, one class against the rest."""
    rows = []
    for name, values in report["tasks"].items():
        class_titles = card.task(name).class_titles
        for place, (label, row) in enumerate(values["classes"].items()):
            cells = [value_with_interval(*measured(row, metric)) for metric in CLASS_METRICS]
            cells = [f"{name} {label}", class_titles[place], str(row["support"]), *cells]
            rows.append(TableRow(cells, "first" if place == 0 else ""))
    headings = ["class", "", "cases", *(titles.METRICS[metric] for metric in CLASS_METRICS)]
    note = f"{UNDEFINED} is undefined, never 0: the reasons are in metrics.json."
    return Table("One class against the rest, in percent (95 %)", headings, rows, note, text=frozenset({1}))


def calibration_table(report: Report, card: DataCard) -> Table:
    """Returns the calibration errors of each task, before and after temperature scaling if there was any."""
    after, before = report["calibration"], report["calibration"].get("before")
    temperatures = after.get("temperatures") or {}
    headings = ["task"] + (["temperature"] if before else [])
    names = {"expected_calibration_error": "ECE in %", "brier_score": "Brier score", "log_loss": "log loss"}
    for title in names.values():
        headings += [f"{title}, before", "after"] if before else [title]
    rows = []
    for task in card.tasks:
        cells = [task.name, *([number(temperatures[task.name])] if before else [])]
        for key in names:
            show = share if key == "expected_calibration_error" else number
            cells += [show(value(part["tasks"][task.name], key)) for part in (before, after) if part]
        rows.append(TableRow(cells))
    method = "" if before else "No temperature was applied. "
    note = f"{method}ECE: expected calibration error over ten bins. Brier score: summed over the classes, 0 to 2."
    return Table("Calibration", headings, rows, note)


def decided_table(report: Report) -> Table:
    """Returns what thresholds per class change in each task: of the most probable class, and of the decided one."""
    part = report["decided"]
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro F1"}
    headings = ["task", *(heading for title in names.values() for heading in (title, "decided")), "gain (95 %)"]
    rows = []
    for name, row in part["tasks"].items():
        cells = [share(row[kind][metric]) for metric in names for kind in ("plain", "decided")]
        gain = row["decided"][part["measure"]] - row["plain"][part["measure"]]
        rows.append(TableRow([name, *cells, difference_with_interval(gain, row["gain_ci95"])]))
    judged = "each fold by thresholds fitted on the other folds only" if part["nested"] else "by thresholds.json"
    note = f"Fitted to {names[part['measure']]} and decided {judged}. The gain is that of {names[part['measure']]}."
    return Table("Thresholds per class, in percent", headings, rows, note)


def score_table(report: Report, measure: str, other: str, card: DataCard, target: str) -> Table:
    """Returns a measure of each score for a target at fixed values of another, e.g. sensitivity at a specificity."""
    part, names, title = targets_of(report)[target], titles.scores(card, target), titles.target(card, target)
    scores: Mapping[str, Mapping[str, Any]] = part["scores"]
    targets = [row["target"] for row in next(iter(scores.values()))[measure]]
    rows = [
        TableRow(
            [names[name], value_with_interval(*measured(values, "auc"))]
            + [value_with_interval(row["value"], row["ci95"]) for row in values[measure]]
        )
        for name, values in scores.items()
    ]
    headings = ["score", "AUC (95 %)", *(f"at {100 * target:.0f} % {other}" for target in targets)]
    kind = measure.partition("_")[0].capitalize()
    note = "Thresholds are chosen on these very cases, which flatters a little."
    found = f"{positives_of(part)} {f'{title}s in' if cards.is_derm7pt(card) else 'of'} {part['cases']} cases"
    return Table(f"{kind} for {title} in percent, {found}", headings, rows, note)


def _cases_of(title: str, card: DataCard) -> str:
    """Returns the words for the cases of a target: not every title has a plural."""
    return f"{title}s" if cards.is_derm7pt(card) else f"cases of {title}"


def rule_table(report: Report, card: DataCard, target: str) -> Table:
    """Returns the rules for a target that need no threshold to be chosen."""
    rows = [
        TableRow([row["rule"], *(value_with_interval(*measured(row, name)) for name in PAPER_METRICS[:2])])
        for row in targets_of(report)[target]["rules"]
    ]
    note = "Clopper and Pearson's intervals."
    caption = f"Rules for {titles.target(card, target)} in percent"
    return Table(caption, ["rule", "sensitivity (95 %)", "specificity (95 %)"], rows, note)


def subgroup_table(report: Report, card: DataCard) -> Table:
    """Returns the subgroups; a cell under 10 cases says so in place of values."""
    rows, previous, names = [], None, Names.of(card)
    # The accuracy of one task is that of the main task.
    shown = names.values if len(card.tasks) > 1 else names.values[1:]
    for row in report.get("subgroups", []):
        values = [value_with_interval(*measured(row, name)) for name in shown]
        too_small = [f"under {FEWEST_CASES} cases: too small", *[""] * (len(values) - 1)]
        cells = too_small if row["too_small"] else values
        title = card.metadata_title(row["variable"])
        kind = "quiet" if row["too_small"] else ""
        kind += " first" if row["variable"] != previous else ""
        counts = [str(row["cases"]), *(str(value(row, name)) for name in names.counts.values())]
        rows.append(TableRow([f"{title}: {row['value']}", *counts, *cells], kind.strip()))
        previous = row["variable"]
    targets = [titles.target(card, name) for name in card.targets]
    headings = ["subgroup", "cases", *(_cases_of(title, card) for title in targets)]
    headings += [f"accuracy of {titles.of_tasks(card)}"] if len(card.tasks) > 1 else []
    headings.append(f"{card.main_task.name} accuracy")
    headings += [f"AUC of {title}" for title in targets]
    needed = _cases_of(targets[0], card) if len(targets) == 1 else "cases of its target"
    note = f"The AUC needs {FEWEST_CASES} {needed} and {FEWEST_CASES} others. " if targets else ""
    note += "Differences between subgroups are not tested."
    return Table("Subgroups in percent (95 %)", headings, rows, note)


def comparison_table(comparison: RunComparison, card: DataCard) -> Table:
    """Returns the differences to another run, case by case; the headline first if it is no accuracy."""
    shown = []
    for name, row, kind in _changes(comparison, card):
        tests = ["", "", "", ""]
        if "mcnemar_exact_p" in row:
            tests = [str(row["only_first_right"]), str(row["only_second_right"])]
            tests += [f"{row[key]:.3f}" for key in ("mcnemar_exact_p", "mcnemar_holm_p")]
        change = difference_with_interval(row["difference"], row["ci95"])
        shown.append(TableRow([name, share(row["first"]), share(row["second"]), change, *tests], kind))
    names = (comparison["first"], comparison["second"])
    headings = ["task", *names, "difference (95 %)", *ONLY_RIGHT, "p, McNemar", "p, Holm"]
    caption = f"Accuracy of {names[0]} minus {names[1]}, {comparison['cases']} cases, in points"
    note = f"Holm: p corrected for {titles.of_tasks(card)}. "
    note += "AUC and DeLong's tests: the file of the comparison, against_...json."
    return Table(caption, headings, shown, note)


def _changes(comparison: RunComparison, card: DataCard) -> list[tuple[str, Change, str]]:
    """Returns the accuracy of each task and on average, the headline before them if it is no accuracy: with names."""
    rows = [(task.name, comparison["tasks"][task.name]["accuracy"], "") for task in card.tasks]
    if len(card.tasks) > 1:
        rows.append(("average", comparison["average"]["accuracy"], "total"))
    section, _, metric = card.headline.rpartition(".")
    if metric != "accuracy":
        of_task: Mapping[str, Any] = comparison["tasks"][card.main_task.name]
        about = comparison["average"] if section == "average" else of_task
        rows.insert(0, (titles.headline(card), about[metric], "total"))
    return rows


def views_table(report: Report, card: DataCard) -> Table:
    """Returns what each picture alone is worth beside both, see `amfam_tf.evaluation.views`; no rows of other runs."""
    found = report.get("views")
    if found is None:
        return Table("", [], [])
    rows = []
    for changes in zip(*(_changes(one, card) for one in found.values()), strict=True):
        name, first, kind = changes[0]
        cells = [value_with_interval(row["second"], row["second_ci95"]) for _, row, _ in changes]
        cells += [share(first["first"])]
        cells += [difference_with_interval(row["difference"], row["ci95"]) for _, row, _ in changes]
        rows.append(TableRow([name, *cells], kind))
    headings = ["task", *(one["second"] for one in found.values()), "both"]
    headings += [f"both minus {key} (95 %)" for key in found]
    note = "The same network and cases; the interval of both is in the table of the accuracies."
    return Table("Accuracy with one picture and with both, in percent (95 %)", headings, rows, note)


def shuffled_table(report: Report, card: DataCard) -> Table:
    """Returns what the metadata are worth, see `amfam_tf.evaluation.shuffled`; no rows of a run without."""
    found = report.get("shuffled_metadata")
    if found is None:
        return Table("", [], [])
    columns = ", ".join(found["columns"])
    caption = f"Accuracy with the metadata ({columns}) of each case, and with those of another one, in points"
    note = "Metadata of the cases of this split exchanged among them, pictures as they are. "
    note += f"Holm: p corrected for {titles.of_tasks(card)}."
    return dataclasses.replace(comparison_table(found, card), caption=caption, note=note).without(*ONLY_RIGHT)


def environment_table(rows: Sequence[tuple[str, str]]) -> Table:
    """Returns what environment.json says, name and value."""
    return text_table("From environment.json", ["what", "value"], rows)


def checklist_table(guideline: str, items: Sequence[Item], missing: Collection[str], target: str) -> Table:
    """Returns where the page answers the items of a guideline.

    Args:
        guideline: its name.
        items: of it.
        missing: sections that the page does not have.
        target: the section that `TARGET` stands for.
    """
    link = Markup('<a href="#{}">{}</a>')
    rows = []
    for item in items:
        where = "not answered here"
        section = target if item.section == TARGET else item.section
        if section is not None and section not in missing:
            where = link.format(section, section.removeprefix("figure-").removeprefix("target-"))
        rows.append([item.number, item.topic, where])
    return text_table(guideline, ["item", "asks for", "where"], rows)
