"""The published tables corrected by code, and what is left of the claims. All values in percent, as in the paper.

The printed numbers come from `published`, the counts behind them from `reconstruct`; nothing is typed in here.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from amfam_tf.evaluation import intervals, published, reconstruct
from amfam_tf.evaluation.published import AMFAM, TEST_CASES, PublishedRow
from amfam_tf.evaluation.reconstruct import ROUNDING, Reconstruction
from amfam_tf.report.results import PublishedPart
from amfam_tf.tasks import DIAGNOSIS, MELANOMA, TASKS

METRICS = ("sensitivity", "specificity", "precision", "auc")
PRINTED_COLUMNS: Mapping[str, str] = {"sensitivity": "Sen.", "specificity": "Spec.", "precision": "Prec.", "auc": "AUC"}
AVERAGE_TOLERANCE = 0.1001
"""Rounding of the printed average and of the printed cells together, in points."""


def readings() -> pd.DataFrame:
    """Returns how each printed row has to be read, with the arithmetic that shows it.

    Columns: table, method, task; reading; accuracy_printed, accuracy_if_prec_is_recall, accuracy_if_sen_is_recall;
    predicted_total (395 if the reading is right); spec_is_npv, spec_is_specificity (classes whose printed "Spec." is
    that); classes; note.
    """
    return pd.DataFrame([_reading(reconstruct.reconstruct(row)) for row in published.rows()])


def _reading(found: Reconstruction) -> dict[str, Any]:
    row = found.row
    support = np.array(row.support)
    kinds = [_meaning_of_spec(found, number) for number in range(len(support))]
    return {
        "table": row.table,
        "method": row.method,
        "task": row.task.name,
        "reading": found.reading,
        "accuracy_printed": row.accuracy,
        "accuracy_if_prec_is_recall": float(np.dot(row.prec, support) / TEST_CASES),
        "accuracy_if_sen_is_recall": float(np.dot(row.sen, support) / TEST_CASES),
        "predicted_total": sum(predicted for _, predicted in found.counts),
        "spec_is_npv": sum("npv" in kind for kind in kinds),
        "spec_is_specificity": sum("specificity" in kind for kind in kinds),
        "classes": len(support),
        "note": _note(found),
    }


def _meaning_of_spec(found: Reconstruction, number: int) -> set[str]:
    """Returns which of "npv" and "specificity" the printed "Spec." of a class agrees with."""
    printed, count, support = found.row.spec[number], found.counts[number], found.row.support[number]
    values = {
        "npv": reconstruct.negative_predictive_value(count, support),
        "specificity": reconstruct.true_specificity(count, support),
    }
    return {name for name, value in values.items() if abs(value - printed) <= ROUNDING}


def _note(found: Reconstruction) -> str:
    notes = []
    names = found.row.task.classes
    if found.turned is not None:
        notes.append(f"{names[found.turned]} is printed the other way round than the other classes")
    if found.repair is not None:
        notes.append(f"{found.repair.column} of {names[found.repair.number]} is mistyped")
    if not found.accuracy_fits:
        printed = found.row.accuracy
        notes.append(f"its own accuracy is {found.accuracy:.1f}, not the printed {printed:.1f}: another run")
    if len(found.solutions) > 1:
        notes.append(f"{len(found.solutions)} counts fit")
    return "; ".join(notes)


def corrected_classes() -> pd.DataFrame:
    """Returns the true rates of each class of each published row.

    Columns: table, method, task, class, support, true_positives, predicted, and for each of sensitivity, specificity,
    precision and auc the corrected value and `<metric>_as_printed` (the column of that name in the paper). NaN: a class
    that is never predicted has no precision; or several counts fit.
    """
    return _corrected_classes().copy()


@functools.cache
def _corrected_classes() -> pd.DataFrame:
    return pd.DataFrame([line for row in published.rows() for line in _corrected_row(row)])


def _corrected_row(row: PublishedRow) -> list[dict[str, Any]]:
    found = reconstruct.reconstruct(row)
    areas = corrected_auc(row)
    lines = []
    for number, name in enumerate(row.task.classes):
        values = _rates(found, number) | {"auc": areas[number]}
        printed = {"sensitivity": row.sen, "specificity": row.spec, "precision": row.prec, "auc": row.auc}
        line = {"table": row.table, "method": row.method, "task": row.task.name, "class": name}
        line |= {"support": row.support[number], **_counts(found, number)}
        for metric in METRICS:
            line |= {metric: values[metric], f"{metric}_as_printed": printed[metric][number]}
        lines.append(line)
    return lines


def _counts(found: Reconstruction, number: int) -> dict[str, float]:
    """Returns true_positives and predicted of a class; NaN where solutions differ."""
    columns = zip(*(solution[number] for solution in found.solutions), strict=True)
    return dict(zip(("true_positives", "predicted"), (_common(column) for column in columns), strict=True))


def _rates(found: Reconstruction, number: int) -> dict[str, float]:
    support = found.row.support[number]
    counts = [solution[number] for solution in found.solutions]
    return {
        "sensitivity": _common([100 * right / support for right, _ in counts]),
        "specificity": _common([reconstruct.true_specificity(count, support) for count in counts]),
        "precision": _common([100 * right / predicted if predicted else np.nan for right, predicted in counts]),
    }


def _common(values: Iterable[float]) -> float:
    """Returns the value that all have in common, NaN if they differ."""
    distinct = set(values)
    return float(distinct.pop()) if len(distinct) == 1 else np.nan


def corrected_auc(row: PublishedRow) -> tuple[float, ...]:
    """Returns the AUC of each class with a misplaced value put right.

    The two classes of a task of two have the same AUC. Where they do not, a value is missing: it is put in, what
    follows moves one place on, and the printed average tells whether that is right.
    """
    if row.table != 3:
        return row.auc
    line = published.printed_line(row.table, row.method, "AUC")
    cells = line.drop(["method", "column_as_printed", "average_as_printed"]).astype(float)
    cells = _with_missing_value(cells, float(line["average_as_printed"]))
    return tuple(float(value) for value in cells[published.class_columns(row.table, row.task)])


def _with_missing_value(cells: pd.Series, average: float) -> pd.Series:
    for task in published.tasks_of(3):
        columns = published.class_columns(3, task)
        if len(columns) == 2 and cells[columns[0]] != cells[columns[1]]:
            place = cells.index.get_loc(columns[1])
            values = np.insert(cells.to_numpy(), place, cells[columns[0]])[:-1]
            if abs(values.mean() - average) <= AVERAGE_TOLERANCE:
                return pd.Series(values, cells.index)
    return cells


def typing_errors() -> pd.DataFrame:
    """Returns each printed cell that cannot be right: table, method, column, task, class, printed, corrected.

    "Spec." is compared with what it really is in its row, the negative predictive value or the specificity.
    """
    lines = []
    for row in published.rows():
        found = reconstruct.reconstruct(row)
        lines += _mistyped_rate(found) + _mistyped_spec(found) + _misplaced_auc(row)
    return pd.DataFrame(lines)


def _error(row: PublishedRow, column: str, number: int, printed: float, corrected: float, kind: str) -> dict[str, Any]:
    return {
        "table": row.table,
        "method": row.method,
        "column": column,
        "task": row.task.name,
        "class": row.task.classes[number],
        "printed": printed,
        "corrected": round(corrected, 1),
        "kind": kind,
    }


def _mistyped_rate(found: Reconstruction) -> list[dict[str, Any]]:
    repair, row = found.repair, found.row
    if repair is None:
        return []
    is_recall = (repair.column == "Prec.") == (found.reading == "exchanged")
    corrected = _rates(found, repair.number)["sensitivity" if is_recall else "precision"]
    printed = (row.prec if repair.column == "Prec." else row.sen)[repair.number]
    return [_error(row, repair.column, repair.number, printed, corrected, _kind(printed, corrected))]


def _mistyped_spec(found: Reconstruction) -> list[dict[str, Any]]:
    row, lines = found.row, []
    measure = reconstruct.true_specificity
    if found.reading == "exchanged":
        measure = reconstruct.negative_predictive_value
    for number, support in enumerate(row.support):
        values = [measure(solution[number], support) for solution in found.solutions]
        if all(abs(value - row.spec[number]) > ROUNDING for value in values):
            kind = _kind(row.spec[number], values[0])
            lines.append(_error(row, "Spec.", number, row.spec[number], values[0], kind))
    return lines


def _kind(printed: float, corrected: float) -> str:
    if abs(100 * printed - corrected) < 100 * ROUNDING and printed <= 1:
        return "fraction among percentages"
    return "last digit" if abs(round(corrected, 1) - printed) < 0.15 else "another value"


def _misplaced_auc(row: PublishedRow) -> list[dict[str, Any]]:
    pairs = enumerate(zip(row.auc, corrected_auc(row), strict=True))
    return [
        _error(row, "AUC", number, printed, corrected, "moved by one place")
        for number, (printed, corrected) in pairs
        if printed != corrected
    ]


def averages() -> pd.DataFrame:
    """Returns the corrected averages over classes in the paper's way: unweighted, an undefined precision as 0.

    One row per table and method; for each metric the corrected value and `<metric>_as_printed`. NaN where several
    counts fit.
    """
    return _averages().copy()


@functools.cache
def _averages() -> pd.DataFrame:
    classes = _corrected_classes()
    lines = []
    for (table, method), group in classes.groupby(["table", "method"], sort=False):
        line: dict[str, Any] = {"table": table, "method": method, "classes": len(group)}
        for metric in METRICS:
            values = group[metric].mask(group["predicted"] == 0, 0) if metric == "precision" else group[metric]
            line[metric] = float(values.mean(skipna=False))
            printed = published.printed_line(table, method, PRINTED_COLUMNS[metric])
            line[f"{metric}_as_printed"] = float(printed["average_as_printed"])
        lines.append(line)
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class Claim:
    """A claim and what the corrected numbers say.

    Attributes:
        claim: a sentence.
        printed: the printed numbers that suggest it.
        corrected: the numbers after correction.
        verdict: "holds", "does not hold" or "open".
        reason: a sentence.
    """

    claim: str
    printed: str
    corrected: str
    verdict: str
    reason: str


def claims() -> list[Claim]:
    """Returns what is left of the claims that the printed tables suggest, each from the corrected ones."""
    return [
        _claim_of_accuracy(),
        _claim_of_diagnosis_accuracy(),
        *(_claim_of_average(metric) for metric in METRICS),
        _claim_of_melanoma(),
        _claim_of_ablation(),
    ]


def _verdict(holds: bool) -> str:
    return "holds" if holds else "does not hold"


def _claim_of_accuracy() -> Claim:
    column = published.accuracies(5)["average"]
    best = column.drop(AMFAM).idxmax()
    own = reconstruct.reconstruct(published.row(7, best, DIAGNOSIS.name)).accuracy
    printed_diagnosis = published.accuracies(5).loc[best, DIAGNOSIS.name]
    corrected = column[best] + (own - printed_diagnosis) / len(TASKS)
    return Claim(
        "AMFAM has the highest average accuracy over the eight tasks",
        f"AMFAM {column[AMFAM]:.1f}, next {best} {column[best]:.1f}",
        f"AMFAM {column[AMFAM]:.1f}, next {best} {corrected:.1f}",
        _verdict(column[AMFAM] > corrected),
        f"{best}'s DIAG accuracy is {printed_diagnosis:.1f} in Table 5 but {own:.1f} by its row of Table 7. The lead "
        f"is {column[AMFAM] - corrected:.1f} points, {(column[AMFAM] - corrected) * TEST_CASES / 100:.0f} of "
        f"{TEST_CASES} cases; no interval of it can be had without the predictions.",
    )


def _claim_of_diagnosis_accuracy() -> Claim:
    column = published.accuracies(5)[DIAGNOSIS.name]
    best = column.drop(AMFAM).idxmax()
    ends = [_interval(column[name]) for name in (AMFAM, best)]
    return Claim(
        "AMFAM has the highest DIAG accuracy",
        f"AMFAM {column[AMFAM]:.1f}, next {best} {column[best]:.1f}",
        f"AMFAM {column[AMFAM]:.1f} ({ends[0]}), {best} {column[best]:.1f} ({ends[1]})",
        "open",
        f"The difference is {(column[AMFAM] - column[best]) * TEST_CASES / 100:.0f} cases, and each 95 % interval "
        "(Wilson) holds the other's value.",
    )


def _interval(percent: float) -> str:
    low, high = intervals.wilson(round(percent * TEST_CASES / 100), TEST_CASES)
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _claim_of_average(metric: str) -> Claim:
    table = averages()
    table = table[table["table"] == 7].set_index("method")
    printed, corrected = table[f"{metric}_as_printed"], table[metric]
    best = corrected.drop(AMFAM).idxmax()
    title = "AUC" if metric == "auc" else metric
    reason = {
        "sensitivity": "The printed column is AMFAM's precision; it was compared with the sensitivity of others.",
        "precision": "The printed column is AMFAM's sensitivity.",
        "specificity": "The printed column is AMFAM's negative predictive value; the true one is rebuilt from counts.",
        "auc": "Nothing to correct in these rows.",
    }[metric]
    return Claim(
        f"AMFAM has the highest average {title} over the five diagnoses",
        f"AMFAM {printed[AMFAM]:.1f}, {best} {printed[best]:.1f}",
        f"AMFAM {corrected[AMFAM]:.1f}, {best} {corrected[best]:.1f}",
        _verdict(corrected[AMFAM] > corrected[best]),
        reason,
    )


def _claim_of_melanoma() -> Claim:
    table = corrected_classes()
    table = table[(table["table"] == 7) & (table["class"] == DIAGNOSIS.classes[MELANOMA])].set_index("method")
    printed, corrected = table["sensitivity_as_printed"], table["sensitivity"]
    best = corrected.drop(AMFAM).idxmax()
    found, of = (int(table.loc[AMFAM, column]) for column in ("true_positives", "support"))
    return Claim(
        "AMFAM finds more melanomas than the systems that it is compared with",
        f"AMFAM {printed[AMFAM]:.1f}, {best} {printed[best]:.1f}",
        f"AMFAM {corrected[AMFAM]:.1f}, {best} {corrected[best]:.1f}",
        _verdict(corrected[AMFAM] > corrected[best]),
        f"The printed 'Sen.' hides it: AMFAM finds {found} of {of}. Its specificity for melanoma is "
        f"{table.loc[AMFAM, 'specificity']:.1f}, that of {best} {table.loc[best, 'specificity']:.1f}: "
        "partly another operating point.",
    )


def _claim_of_ablation() -> Claim:
    table = published.accuracies(2)
    plain, full = table.loc["Concat."], table.loc[AMFAM]
    better = sum(full[task.name] > plain[task.name] for task in TASKS)
    gain = full["average"] - plain["average"]
    return Claim(
        "Adversarial training, reconstruction and attention improve on plain concatenation",
        f"average accuracy {plain['average']:.1f} to {full['average']:.1f}, {better} of {len(TASKS)} tasks",
        f"DIAG {plain['DIAG']:.1f} ({_interval(plain['DIAG'])}) to {full['DIAG']:.1f} ({_interval(full['DIAG'])})",
        "open",
        f"The average gain is {gain:.1f} points from one run each; the paired predictions that a test needs are not "
        "published.",
    )


def published_values(method: str = "amfam") -> dict[str, Any] | None:
    """Returns the corrected published values of a method as fractions in [0, 1]; None if the paper has none.

    Args:
        method: name of the method here, e.g. "amfam".

    Returns:
        `row` (name in the paper), `accuracy` {task: value, "average": value}, and, where a table has them,
        `paper_criteria`, `paper_diagnosis` {metric: value} and `diagnosis_auc` {class: value}.
    """
    name = published.METHOD_ROWS.get(method)
    table = next((number for number in published.ACCURACY_TABLES if name in published.accuracies(number).index), None)
    if name is None or table is None:
        return None
    line = published.accuracies(table).loc[name]
    values: dict[str, Any] = {"row": name, "accuracy": {key: float(line[key]) / 100 for key in line.index}}
    means = averages()
    for key, tables in (("paper_criteria", (3,)), ("paper_diagnosis", (4, 7))):
        found = means[(means["method"] == name) & means["table"].isin(tables)]
        if len(found):
            values[key] = {metric: float(found.iloc[0][metric]) / 100 for metric in METRICS}
    number = next((number for number in (4, 7) if name in published.methods_of(number)), None)
    if number is not None:
        areas = corrected_auc(published.row(number, name, DIAGNOSIS.name))
        values["diagnosis_auc"] = {label: area / 100 for label, area in zip(DIAGNOSIS.classes, areas, strict=True)}
    return values


def published_part(method: str, cases: pd.DataFrame, split: str) -> PublishedPart:
    """Returns the corrected published values of a method and whether ours may be set against them.

    Args:
        method: name of the method; for one that the paper does not have, AMFAM's values are returned.
        cases: all cases of the data, those with a shared file included.
        split: name of the split.

    Returns:
        What `published_values` returns, with `comparable` and `note`.
    """
    values = published_values(method) or published_values("amfam")
    difference = published.difference_from(cases)
    if difference is not None:
        note = f"published for Derm7pt; these are other data ({difference}): not comparable"
    elif split != "test":
        note = f"published for the test split of Derm7pt, this is {split}: not comparable"
    else:
        note = "published for the same 395 test cases"
    return cast(PublishedPart, {**(values or {}), "comparable": difference is None and split == "test", "note": note})


def published_metrics(method: str, everything: pd.DataFrame, split: str) -> dict[str, float] | None:
    """Returns the corrected published values of a method by our names of the metrics; None if the paper has none."""
    if method not in published.METHOD_ROWS:
        return None
    values = published_part(method, everything, split)
    found = dict(values["accuracy"])
    if "paper_diagnosis" in values:
        found[published.MAIN_AUC] = values["paper_diagnosis"]["auc"]
    return found
