"""The content of metrics.json: everything that is measured on one split, with intervals.

The stable part is `split`, `cases`, `average` and `tasks`; docs/evaluation.md lists the rest.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import pandas as pd

from amfam_tf.evaluation import calibration, clinical, intervals, metrics, paper, predictions, published, subgroups
from amfam_tf.report.results import Baseline, CalibrationPart, PublishedPart, Report, TaskValues
from amfam_tf.runs.calibration import METHOD
from amfam_tf.tasks import TASKS, task_names


def build_report(
    table: pd.DataFrame,
    split: str,
    *,
    cases: pd.DataFrame | None = None,
    training: pd.DataFrame | None = None,
    uncalibrated: pd.DataFrame | None = None,
    temperatures: Mapping[str, float] | None = None,
    notes: Iterable[str] = (),
) -> Report:
    """Returns the content of metrics.json (NaN where undefined).

    Args:
        table: the predictions table.
        split: name of the split.
        cases: metadata of the same cases in the same order, for the subgroups; None leaves them out.
        training: cases of the training split, whose majority class is the baseline; None leaves that one out.
        uncalibrated: the predictions table before temperature scaling; None if there was none.
        temperatures: of each task, that led from `uncalibrated` to `table`.
        notes: sentences to keep with the numbers.
    """
    measured = metrics.all_metrics(table)
    intervals.add_intervals(measured, intervals.bootstrap(table))
    report: dict[str, Any] = {
        "split": split,
        "cases": len(table),
        "average": measured["average"],
        "tasks": {name: _with_wilson(values, len(table)) for name, values in measured["tasks"].items()},
        "majority_baseline": _baselines(table, training),
        "calibration": _calibration(table, uncalibrated, temperatures),
        "melanoma": clinical.melanoma_report(table),
    }
    if cases is not None:
        report["subgroups"] = subgroups.subgroup_report(table, cases)
    explained = {"averages_over": dict(metrics.AVERAGES), "intervals": intervals.METHOD}
    return cast(Report, report | explained | {"undefined": measured["undefined"], "notes": list(notes)})


def _with_wilson(values: TaskValues, cases: int) -> TaskValues:
    """Returns the metrics of a task with `classes` last and Wilson's interval of the accuracy."""
    correct = round(values["accuracy"] * cases)
    classes = values.pop("classes")
    return values | {"accuracy_wilson95": list(intervals.wilson(correct, cases)), "classes": classes}


def _baselines(table: pd.DataFrame, training: pd.DataFrame | None) -> dict[str, Baseline]:
    labels = {task.name: predictions.true_labels(table, task) for task in TASKS}
    baselines = {"evaluated": metrics.majority_baseline(labels)}
    if training is not None:
        trained = {name: training[name].to_numpy() for name in task_names()}
        baselines["train"] = metrics.majority_baseline(labels, trained)
    return baselines


def _calibration(
    table: pd.DataFrame, uncalibrated: pd.DataFrame | None, temperatures: Mapping[str, float] | None
) -> CalibrationPart:
    """Returns how well probabilities fit, of the table and of the one before temperature scaling."""
    content: dict[str, Any] = {"method": None, "temperatures": None}
    if uncalibrated is not None and temperatures is not None:
        content = {"method": METHOD, "temperatures": dict(temperatures)}
        content["before"] = calibration.table_calibration(uncalibrated)
    return cast(CalibrationPart, content | calibration.table_calibration(table))


def published_part(method: str, cases: pd.DataFrame, split: str) -> PublishedPart:
    """Returns the corrected published values of a method and whether ours may be set against them.

    Args:
        method: name of the method; for one that the paper does not have, AMFAM's values are returned.
        cases: all cases of the data, those with a shared file included.
        split: name of the split.

    Returns:
        What `paper.published_values` returns, with `comparable` and `note`.
    """
    values = paper.published_values(method) or paper.published_values("amfam")
    difference = published.difference_from_derm7pt(cases)
    if difference is not None:
        note = f"published for Derm7pt; these are other data ({difference}): not comparable"
    elif split != "test":
        note = f"published for the test split of Derm7pt, this is {split}: not comparable"
    else:
        note = "published for the same 395 test cases"
    return cast(PublishedPart, {**(values or {}), "comparable": difference is None and split == "test", "note": note})
