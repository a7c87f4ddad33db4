"""The outcome of a comparison as tables of plain text cells, which terminal, Markdown and HTML all show."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from amfam_tf.comparison.outcome import REFERENCE, Costs, Outcome, Section
from amfam_tf.comparison.results import AUC, AVERAGE, DIAGNOSIS_AUC, Difference, GroupResult, Value
from amfam_tf.evaluation.intervals import RESAMPLES
from amfam_tf.report.numbers import (
    UNDEFINED,
    count,
    decimal,
    difference_with_interval,
    ends,
    p_value,
    share,
    value_with_interval,
)
from amfam_tf.report.table import Table, TableRow, text_table
from amfam_tf.tasks import task_names

INTERVALS = (
    f"95 %: bootstrap of two levels, {RESAMPLES:,} resamples, percentiles. Each resample draws the cases within each "
    "diagnosis, the same for every row, and for each row its seeds; with one seed an interval is about cases only"
)

DIFFERENCE = f"minus {REFERENCE} (95 %)"


def section_title(section: Section) -> str:
    """Returns what the methods of a section learn from."""
    return f"Images and {', '.join(section.metadata)}" if section.metadata else "Images alone"


def all_tables(outcome: Outcome, section: Section) -> list[Table]:
    """Returns every table of a section; the last but one are too wide for most terminals."""
    tables = [accuracy_table(outcome, section), task_table(outcome, section), auc_table(outcome, section)]
    tables += [task_interval_table(section)]
    tables += [task_difference_table(section)] if section.reference else []
    return [*tables, cost_table(section)]


def terminal_tables(outcome: Outcome, section: Section) -> list[Table]:
    """Returns the tables of a section that fit a terminal; what all of them say once is in `terminal_notes`."""
    auc = auc_table(outcome, section).without(DIFFERENCE)
    tables = (accuracy_table(outcome, section), task_table(outcome, section), auc)
    return [*(dataclasses.replace(table, note="") for table in tables), cost_table(section)]


def terminal_notes(outcome: Outcome) -> list[str]:
    """Returns how to read the tables of the terminal."""
    return [f"SD: standard deviation over the seeds (n - 1). {INTERVALS}.", published_note(outcome)]


def accuracy_table(outcome: Outcome, section: Section) -> Table:
    """Returns the mean accuracy over the eight tasks, the published one, and the difference to AMFAM."""
    headings = ["method", "seeds", "accuracy ± SD", "95 %", *_published_headings(outcome, section)]
    headings += [DIFFERENCE, "p", "p, Holm"] if section.reference else []
    rows = []
    for result in section.results:
        value = result.values[AVERAGE]
        cells = [result.name, str(len(result.seeds)), mean_and_deviation(value), ends(value.ends)]
        cells += _published_cells(section, result, AVERAGE)
        if section.reference:
            found = result.differences.get(AVERAGE)
            cells += ["", "", ""] if found is None else [with_ends(found), p_value(found.p), p_value(found.p_holm)]
        rows.append(TableRow(cells, _kind(result)))
    note = f"SD: standard deviation over the seeds (n - 1). {INTERVALS}.{_note(outcome, section)}"
    if section.reference:
        note += " p: from the same resamples; Holm: corrected for the number of methods held against AMFAM."
    return Table(f"Accuracy, mean of the 8 tasks, in percent of {outcome.cases} cases", headings, rows, note)


def task_table(outcome: Outcome, section: Section) -> Table:
    """Returns the accuracy of each task, ours above the published one."""
    names = (*task_names(), AVERAGE)
    rows = []
    for result in section.results:
        rows.append(TableRow([result.name, *(mean_and_deviation(result.values[name], "±") for name in names)], "first"))
        if result.name in section.published:
            found = section.published[result.name]
            rows.append(TableRow([published_heading(outcome), *(share(found[name]) for name in names)], "quiet"))
    headings = ["method", *task_names(), "mean"]
    note = f"Mean ± standard deviation over the seeds.{_note(outcome, section)}"
    return Table("Accuracy of each task in percent", headings, rows, note)


def auc_table(outcome: Outcome, section: Section) -> Table:
    """Returns the AUC over all tasks and that of the diagnosis, with differences to AMFAM where it is."""
    headings = ["method"]
    for title in ("AUC", "DIAG AUC"):
        headings += [f"{title} ± SD (95 %)"] + ([DIFFERENCE] if section.reference else [])
    rows = []
    for result in section.results:
        cells = [result.name]
        for metric in (AUC, DIAGNOSIS_AUC):
            value = result.values[metric]
            cells.append(f"{mean_and_deviation(value)} ({ends(value.ends)})")
            if section.reference:
                found = result.differences.get(metric)
                cells.append("" if found is None else with_ends(found))
        cells += _published_cells(section, result, DIAGNOSIS_AUC)
        rows.append(TableRow(cells, _kind(result)))
    note = (
        "AUC: mean over the 8 tasks of the mean over their classes, one against the rest; DIAG AUC: over the five "
        f"diagnoses.{_note(outcome, section)}"
    )
    headings += [f"DIAG AUC, {heading}" for heading in _published_headings(outcome, section)]
    return Table("Area under the ROC curve in percent", headings, rows, note)


def task_interval_table(section: Section) -> Table:
    """Returns the accuracy of each task with its interval."""
    return _task_cells(
        section,
        "Accuracy of each task in percent, mean over the seeds (95 %)",
        lambda result, name: value_with_interval(result.values[name].mean, result.values[name].ends),
    )


def task_difference_table(section: Section) -> Table:
    """Returns the difference of each method to AMFAM in each task."""
    others = [result for result in section.results if result.differences]
    return _task_cells(
        section,
        f"Accuracy of each task minus that of {REFERENCE} in points, on the same cases (95 %)",
        lambda result, name: with_ends(result.differences[name]),
        others,
    )


def _task_cells(
    section: Section,
    caption: str,
    cell: Callable[[GroupResult, str], str],
    results: Sequence[GroupResult] | None = None,
) -> Table:
    names = (*task_names(), AVERAGE)
    shown = section.results if results is None else results
    rows = [TableRow([result.name, *(cell(result, name) for name in names)], _kind(result)) for result in shown]
    return Table(caption, ["method", *task_names(), "mean"], rows)


def cost_table(section: Section) -> Table:
    """Returns training time, parameters and inference time of each method."""
    rows = []
    for result in section.results:
        costs = section.costs[result.name]
        milliseconds = None if costs.case_seconds is None else 1000 * costs.case_seconds
        cells = [result.name, decimal(costs.epoch_seconds), count(costs.parameters), count(costs.parameters_served)]
        rows.append(TableRow([*cells, decimal(milliseconds)], _kind(result)))
    headings = ["method", "s per epoch", "parameters", "of the classifier", "ms per case"]
    return Table("Costs", headings, rows, cost_note(section.costs))


def cost_note(costs: Mapping[str, Costs]) -> str:
    """Returns how the costs were measured."""
    measured = [cost for cost in costs.values() if cost.case_seconds is not None]
    text = (
        "s per epoch: median over the epochs of all seeds, validation included, as the runs were fitted. Parameters: "
    )
    text += "trainable ones, of the whole network and of the classifier that is served."
    if not measured:
        return text
    sizes = " or ".join(sorted({str(cost.batch_size) for cost in measured}))
    machines = "; ".join(sorted({str(cost.machine) for cost in measured}))
    how = f"median batch of {sizes} pairs in memory, one process alone, divided by {sizes}"
    return f"{text} ms per case: {how} ({machines})."


def _published_headings(outcome: Outcome, section: Section) -> list[str]:
    """Returns the heading of a column of published values, if the section has any."""
    return [published_heading(outcome)] if section.published else []


def _published_cells(section: Section, result: GroupResult, metric: str) -> list[str]:
    return [share(section.published.get(result.name, {}).get(metric))] if section.published else []


def published_heading(outcome: Outcome) -> str:
    """Returns the heading of the published values, which are always of Derm7pt's test cases."""
    return "published*" if outcome.comparable else "on Derm7pt*"


def _note(outcome: Outcome, section: Section) -> str:
    return f" {published_note(outcome)}" if section.published else ""


def published_note(outcome: Outcome) -> str:
    """Returns what the published values are."""
    return f"* Tables 2, 4, 5 and 7 of the paper, corrected by arithmetic; {outcome.published_note}."


def mean_and_deviation(value: Value, between: str = " ± ") -> str:
    """Returns "mean ± deviation" in percent; the mean alone for one seed."""
    mean = share(value.mean)
    deviation = value.deviation
    return mean if mean == UNDEFINED or deviation != deviation else f"{mean}{between}{100 * deviation:.1f}"


def with_ends(found: Difference) -> str:
    """Returns "difference (low to high)" in points."""
    return difference_with_interval(found.value, (found.low, found.high))


def failure_table(failed: Mapping[str, str]) -> Table:
    """Returns the cells that failed, with their errors."""
    return text_table("Cells that failed", ["cell", "error"], list(failed.items()))


def _kind(result: GroupResult) -> str:
    return "total" if result.name == REFERENCE else ""
