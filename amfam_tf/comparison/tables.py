"""The outcome of a comparison as tables of plain text cells, which terminal, Markdown and HTML all show."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from amfam_tf.card.schema import DataCard
from amfam_tf.comparison.measures import MAIN_AUC, Measure
from amfam_tf.comparison.outcome import REFERENCE, Costs, Outcome, Section
from amfam_tf.comparison.results import FEWEST_SEEDS, Difference, GroupResult, Value
from amfam_tf.evaluation import published, titles
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

DIFFERENCE = f"minus {REFERENCE} (95 %)"
CASES_ALONE = "cases alone"
ABOUT_CASES_ALONE = (
    f"Cases alone: fewer than {FEWEST_SEEDS} seeds, so no p, and the interval does not hold what another training "
    "would change: equal methods can differ by more."
)


def intervals_text(card: DataCard) -> str:
    """Returns how the intervals are made."""
    drawn = "cases"
    if card.cases.group is not None:
        drawn = f"whole groups ({card.cases.group}) with all their cases"
    return (
        f"95 %: bootstrap of two levels, {RESAMPLES:,} resamples; of differences their percentiles, of values Wilson's "
        f"interval by their variance. Each resample draws {drawn}, the same for every row, and for each row its seeds; "
        "with one seed an interval is about cases only"
    )


def section_title(section: Section) -> str:
    """Returns what the methods of a section learn from."""
    return f"Images and {', '.join(section.metadata)}" if section.metadata else "Images alone"


def all_tables(outcome: Outcome, section: Section) -> list[Table]:
    """Returns every table of a section; the last but one are too wide for most terminals."""
    tables = [*_first_tables(outcome, section), auc_table(outcome, section), task_interval_table(outcome, section)]
    tables += [task_difference_table(outcome, section)] if section.reference else []
    return [*tables, cost_table(section)]


def _first_tables(outcome: Outcome, section: Section) -> list[Table]:
    tables = [headline_table(outcome, section), task_table(outcome, section)]
    return [*tables, overall_table(outcome, section)] if outcome.measures.overall else tables


def terminal_tables(outcome: Outcome, section: Section) -> list[Table]:
    """Returns the tables of a section that fit a terminal; what all of them say once is in `terminal_notes`."""
    auc = auc_table(outcome, section).without(DIFFERENCE)
    tables = (*_first_tables(outcome, section), auc)
    return [*(dataclasses.replace(table, note="") for table in tables), cost_table(section)]


def terminal_notes(outcome: Outcome) -> list[str]:
    """Returns how to read the tables of the terminal."""
    notes = [f"SD: standard deviation over the seeds (n - 1). {intervals_text(outcome.card)}."]
    return [*notes, *filter(None, [labelled_note(outcome.labelled), published_note(outcome)])]


def headline_table(outcome: Outcome, section: Section) -> Table:
    """Returns the number by which runs are compared, the published one, and the difference to AMFAM."""
    headline = outcome.measures.headline
    headings = ["method", "seeds", f"{headline.short} ± SD", "95 %", *_published_headings(outcome, section)]
    headings += [DIFFERENCE, "p", "p, Holm"] if section.reference else []
    rows = []
    for result in section.results:
        value = result.values[headline.name]
        cells = [result.name, str(len(result.seeds)), mean_and_deviation(value), ends(value.ends)]
        cells += _published_cells(section, result, headline.name)
        if section.reference:
            found = result.differences.get(headline.name)
            cells += ["", "", ""] if found is None else [with_ends(found), p_value(found.p), p_value(found.p_holm)]
        rows.append(TableRow(cells, _kind(result)))
    note = f"SD: standard deviation over the seeds (n - 1). {intervals_text(outcome.card)}.{_note(outcome, section)}"
    if section.reference:
        note += " p: from the same resamples; Holm: corrected for the number of methods held against AMFAM."
        note += cases_alone_note(section)
    caption = f"{titles.capital(headline.title)}, in percent of {outcome.cases} cases"
    return Table(caption, headings, rows, note)


def task_table(outcome: Outcome, section: Section) -> Table:
    """Returns the accuracy of each task, ours above the published one."""
    names = [measure.name for measure in outcome.measures.accuracies]
    rows = []
    for result in section.results:
        rows.append(TableRow([result.name, *(mean_and_deviation(result.values[name], "±") for name in names)], "first"))
        if result.name in section.published:
            found = section.published[result.name]
            rows.append(TableRow([published_heading(outcome), *(share(found[name]) for name in names)], "quiet"))
    told = labelled_note(outcome.labelled)
    note = f"Mean ± standard deviation over the seeds.{f' {told}' if told else ''}{_note(outcome, section)}"
    return Table("Accuracy of each task in percent", _task_headings(outcome), rows, note)


def _task_headings(outcome: Outcome) -> list[str]:
    mean = [] if outcome.measures.average is None else ["mean"]
    return ["method", *(task.name for task in outcome.card.tasks), *mean]


def labelled_note(labelled: Mapping[str, int]) -> str:
    """Returns how many cases have a label of the tasks whose labels may be unknown; "" without any such task."""
    known = ", ".join(f"{name} {number}" for name, number in labelled.items())
    return f"Cases with a label: {known}; the others are left out of all metrics of the task." if known else ""


def overall_table(outcome: Outcome, section: Section) -> Table:
    """Returns the metrics of the main task as a whole."""
    measures, main = outcome.measures.overall, outcome.card.main_task
    rows = []
    for result in section.results:
        values = [result.values[measure.name] for measure in measures]
        cells = [f"{mean_and_deviation(value)} ({ends(value.ends)})" for value in values]
        rows.append(TableRow([result.name, *cells], _kind(result)))
    note = "F1 at probability > 0.5: mean over all classes, the score of the MILK10k challenge."
    headings = ["method", *(measure.short for measure in measures)]
    return Table(f"{titles.capital(main.title)}, mean ± SD (95 %) in percent", headings, rows, note)


def auc_table(outcome: Outcome, section: Section) -> Table:
    """Returns the AUC over all tasks and that of the main one, with differences to AMFAM where it is."""
    headings, areas = ["method"], outcome.measures.areas
    for measure in areas:
        headings += [f"{measure.short} ± SD (95 %)"] + ([DIFFERENCE] if section.reference else [])
    rows = []
    for result in section.results:
        cells = [result.name]
        for measure in areas:
            value = result.values[measure.name]
            cells.append(f"{mean_and_deviation(value)} ({ends(value.ends)})")
            if section.reference:
                found = result.differences.get(measure.name)
                cells.append("" if found is None else with_ends(found))
        cells += _published_cells(section, result, MAIN_AUC)
        rows.append(TableRow(cells, _kind(result)))
    note = f"{_about_areas(outcome)}{_note(outcome, section)}{cases_alone_note(section)}"
    headings += [f"{areas[-1].short}, {heading}" for heading in _published_headings(outcome, section)]
    return Table("Area under the ROC curve in percent", headings, rows, note)


def _about_areas(outcome: Outcome) -> str:
    main, tasks = outcome.card.main_task, titles.of_tasks(outcome.card)
    over = "the five diagnoses" if outcome.has_published else f"the {len(main.classes)} classes of {main.name}"
    if len(outcome.measures.areas) == 1:
        return f"{main.name} AUC: mean over {over}, one against the rest."
    return f"AUC: mean over {tasks} of the mean over their classes, one against the rest; {main.name} AUC: over {over}."


def task_interval_table(outcome: Outcome, section: Section) -> Table:
    """Returns the accuracy of each task with its interval."""
    return _task_cells(
        outcome,
        section,
        "Accuracy of each task in percent, mean over the seeds (95 %)",
        lambda result, one: value_with_interval(result.values[one.name].mean, result.values[one.name].ends),
    )


def task_difference_table(outcome: Outcome, section: Section) -> Table:
    """Returns the difference of each method to AMFAM in each task."""
    others = [result for result in section.results if result.differences]
    return _task_cells(
        outcome,
        section,
        f"Accuracy of each task minus that of {REFERENCE} in points, on the same cases (95 %)",
        lambda result, one: with_ends(result.differences[one.name]),
        others,
        cases_alone_note(section).strip(),
    )


def _task_cells(
    outcome: Outcome,
    section: Section,
    caption: str,
    cell: Callable[[GroupResult, Measure], str],
    results: Sequence[GroupResult] | None = None,
    note: str = "",
) -> Table:
    measures, shown = outcome.measures.accuracies, section.results if results is None else results
    rows = [TableRow([result.name, *(cell(result, one) for one in measures)], _kind(result)) for result in shown]
    return Table(caption, _task_headings(outcome), rows, note)


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
    return "published*" if outcome.comparable else f"on {published.DATA_SET}*"


def _note(outcome: Outcome, section: Section) -> str:
    return f" {published_note(outcome)}" if section.published else ""


def published_note(outcome: Outcome) -> str:
    """Returns what the published values are; "" of data that nothing is published for."""
    if not outcome.has_published:
        return ""
    return f"* Tables 2, 4, 5 and 7 of the paper, corrected by arithmetic; {outcome.published_note}."


def mean_and_deviation(value: Value, between: str = " ± ") -> str:
    """Returns "mean ± deviation" in percent; the mean alone for one seed."""
    mean = share(value.mean)
    deviation = value.deviation
    return mean if mean == UNDEFINED or deviation != deviation else f"{mean}{between}{100 * deviation:.1f}"


def with_ends(found: Difference) -> str:
    """Returns "difference (low to high)" in points; with a word where the interval is not about another training."""
    text = difference_with_interval(found.value, (found.low, found.high))
    return f"{text}, {CASES_ALONE}" if found.cases_alone else text


def cases_alone_note(section: Section) -> str:
    """Returns what is to be said of differences with too few seeds; "" where there are none."""
    found = any(change.cases_alone for result in section.results for change in result.differences.values())
    return f" {ABOUT_CASES_ALONE}" if found else ""


def failure_table(failed: Mapping[str, str]) -> Table:
    """Returns the cells that failed, with their errors."""
    return text_table("Cells that failed", ["cell", "error"], list(failed.items()))


def _kind(result: GroupResult) -> str:
    return "total" if result.name == REFERENCE else ""
