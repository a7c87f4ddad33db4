"""metrics.json as rich tables for the terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from amfam_tf.evaluation.metrics import PAPER_METRICS
from amfam_tf.tasks import TASKS

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


def percent(value: float | None) -> str:
    """Returns a value of [0, 1] in percent with one decimal; "-" where it is undefined."""
    return "-" if _undefined(value) else f"{100 * value:.1f}"


def interval(bounds: Iterable[float] | None) -> str:
    """Returns an interval in percent; "" where there is none."""
    ends = [] if bounds is None else list(bounds)
    return "" if not ends or any(map(_undefined, ends)) else "-".join(percent(end) for end in ends)


def with_interval(value: float | None, bounds: Iterable[float] | None) -> str:
    """Returns "value (low-high)" in percent."""
    ends = interval(bounds)
    return f"{percent(value)} ({ends})" if ends else percent(value)


def _undefined(value: float | None) -> bool:
    return value is None or value != value


def _signed(value: float) -> str:
    return "-" if _undefined(value) else f"{100 * value:+.1f}"


def _decimal(value: float) -> str:
    return "-" if _undefined(value) else f"{value:.2f}"


def accuracy_table(report: Mapping[str, Any]) -> Table:
    """Returns accuracy with its interval beside the majority class and the published value, per task and on average."""
    source = "train" if "train" in report["majority_baseline"] else "evaluated"
    baseline = report["majority_baseline"][source]
    where = "training" if source == "train" else "evaluated"
    published = report.get("published")
    notes = [f"majority: always the most frequent class of the {where} split; ECE: expected calibration error"]
    notes += [] if published is None else [f"* {published['row']}: {published['note']}"]
    title = f"Accuracy in %, {report['cases']} cases of the split {report['split']}"
    table = Table("task", "", title=title, caption="\n".join(notes))
    for heading in ("accuracy (95 %)", "majority", "gain", "balanced", "kappa", "ECE"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("published*", justify="right", style="dim")
    for task in TASKS:
        majority = baseline["tasks"][task.name]
        values = report["tasks"][task.name] | report["calibration"]["tasks"][task.name]
        cells = _accuracy_cells(values, majority["accuracy"], majority["class"])
        table.add_row(task.name, task.title, *cells, percent(published and published["accuracy"][task.name]))
    table.add_section()
    cells = _accuracy_cells(report["average"], baseline["average"], "")
    mean = percent(published and published["accuracy"]["average"])
    table.add_row("average", "of the 8 tasks", *cells, mean, style="bold")
    return table


def _accuracy_cells(values: Mapping[str, Any], majority: float, majority_class: str) -> list[str]:
    """Returns the cells accuracy, majority, gain, balanced, kappa and expected calibration error ("" if absent)."""
    error = values.get("expected_calibration_error")
    return [
        with_interval(values["accuracy"], values["accuracy_ci95"]),
        f"{percent(majority)} {majority_class:>4}",
        _signed(values["accuracy"] - majority),
        percent(values["balanced_accuracy"]),
        _decimal(values["kappa"]),
        "" if error is None else percent(error),
    ]


def average_table(report: Mapping[str, Any]) -> Table:
    """Returns the averages over classes, each with the classes that it is taken over, beside the published ones."""
    published = report.get("published") or {}
    caption = f"* corrected, {published['row']}: {published['note']}" if published else None
    table = Table("average over", "", title="Averages over classes, one class against the rest, in %", caption=caption)
    for metric in PAPER_METRICS:
        table.add_column("AUC" if metric == "auc" else metric, justify="right")
    for key, text in AVERAGE_ROWS.items():
        values = report["average"][key]
        cells = (with_interval(values[metric], values[f"{metric}_ci95"]) for metric in PAPER_METRICS)
        table.add_row(text, "this run", *cells)
        if key in published:
            table.add_row("", "published*", *(percent(published[key][metric]) for metric in PAPER_METRICS), style="dim")
    return table


def auc_table(report: Mapping[str, Any]) -> Table:
    """Returns the AUC of each class with its interval and the number of its cases."""
    table = Table("task", title="AUC in %, one class against the rest (95 %)")
    width = max(len(values["classes"]) for values in report["tasks"].values())
    for _ in range(width):
        table.add_column("class (cases)", justify="right")
    for name, values in report["tasks"].items():
        cells = (
            f"{label} ({row['support']})\n{with_interval(row['auc'], row['auc_ci95'])}"
            for label, row in values["classes"].items()
        )
        table.add_row(name, *cells)
    return table


def melanoma_table(report: Mapping[str, Any]) -> Table:
    """Returns how well each score tells melanoma: AUC, and sensitivity at given specificities."""
    melanoma = report["melanoma"]
    title = f"Melanoma or not, in %: {melanoma['melanomas']} of {melanoma['cases']} cases"
    caption = "sensitivity at a specificity: thresholds are chosen on these very cases; more in metrics.json"
    table = Table("score", title=title, caption=caption)
    first = next(iter(melanoma["scores"].values()))
    headings = [f"at {100 * row['target']:.0f} specificity" for row in first["sensitivity_at_specificity"]]
    for heading in ("AUC (95 %)", *headings):
        table.add_column(heading, justify="right")
    for name, values in melanoma["scores"].items():
        cells = (with_interval(row["value"], row["ci95"]) for row in values["sensitivity_at_specificity"])
        table.add_row(SCORE_TITLES[name], with_interval(values["auc"], values["auc_ci95"]), *cells)
    return table


def subgroup_table(report: Mapping[str, Any]) -> Table:
    """Returns the subgroups; a cell under 10 cases says so in place of values."""
    table = Table("subgroup", "", title="Subgroups, in % (95 %)")
    for heading in ("cases", "melanomas", "accuracy of the 8 tasks", "DIAG accuracy", "AUC of melanoma"):
        table.add_column(heading, justify="right")
    previous = None
    for row in report.get("subgroups", []):
        if previous not in (None, row["variable"]):
            table.add_section()
        cells = ["too small", "", ""]
        if not row["too_small"]:
            names = ("accuracy", "diagnosis_accuracy", "melanoma_auc")
            cells = [with_interval(row[name], row[f"{name}_ci95"]) for name in names]
        title = "" if previous == row["variable"] else row["variable"].rpartition("_")[2]
        table.add_row(title, row["value"], str(row["cases"]), str(row["melanomas"]), *cells)
        previous = row["variable"]
    return table


def comparison_table(comparison: Mapping[str, Any]) -> Table:
    """Returns the differences of two runs per task, with their tests."""
    title = f"{comparison['first']} minus {comparison['second']}, {comparison['cases']} cases, points (95 %)"
    caption = (
        "p: McNemar's exact test, and corrected for the 8 tasks by Holm; AUC and DeLong's tests: metrics of --json"
    )
    table = Table("task", title=title, caption=caption)
    headings = (comparison["first"], comparison["second"], "difference", "only 1st right", "only 2nd right")
    for heading in (*headings, "p", "p, Holm"):
        table.add_column(heading, justify="right")
    rows = [(task.name, comparison["tasks"][task.name]["accuracy"]) for task in TASKS]
    for name, row in [*rows, ("average", comparison["average"]["accuracy"])]:
        ends = " to ".join(map(_signed, row["ci95"]))
        cells = [percent(row["first"]), percent(row["second"]), f"{_signed(row['difference'])} ({ends})"]
        if "mcnemar_exact_p" in row:
            cells += [str(row["only_first_right"]), str(row["only_second_right"])]
            cells += [f"{row['mcnemar_exact_p']:.3f}", f"{row['mcnemar_holm_p']:.3f}"]
        table.add_row(name, *cells)
    return table
