"""The content of metrics.json: everything that is measured on one split, with intervals.

The stable part is `split`, `cases`, `average` and `tasks`; docs/evaluation.md lists the rest.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import calibration, clinical, intervals, metrics, predictions, subgroups
from amfam_tf.report.results import Baseline, CalibrationPart, Report, TaskValues
from amfam_tf.runs.calibration import METHOD


def build_report(
    table: pd.DataFrame,
    split: str,
    *,
    cases: pd.DataFrame | None = None,
    training: pd.DataFrame | None = None,
    uncalibrated: pd.DataFrame | None = None,
    temperatures: Mapping[str, float] | None = None,
    notes: Iterable[str] = (),
    card: DataCard,
) -> Report:
    """Returns the content of metrics.json (NaN where undefined).

    Args:
        table: the predictions table.
        split: name of the split.
        cases: metadata and groups of the same cases in the same order; None leaves subgroups out and groups apart.
        training: cases of the training split, whose majority class is the baseline; None leaves that one out.
        uncalibrated: the predictions table before temperature scaling; None if there was none.
        temperatures: of each task, that led from `uncalibrated` to `table`.
        notes: sentences to keep with the numbers.
        card: of the data.
    """
    groups = intervals.groups_of(cases, card)
    measured = metrics.all_metrics(table, card)
    intervals.add_intervals(measured, table, intervals.bootstrap(table, card=card, groups=groups), card, groups)
    known = [name for name in card.targets if predictions.labelled(table, clinical.task_of(card, name)).any()]
    targets = {name: clinical.target_report(table, card=card, target=name, groups=groups) for name in known}
    older = cards.is_derm7pt(card)
    report: dict[str, Any] = {} if older else {"card": card.name}
    report |= {
        "split": split,
        "cases": len(table),
        "average": measured["average"],
        "tasks": {name: _with_wilson(values, len(table)) for name, values in measured["tasks"].items()},
        "majority_baseline": _baselines(table, training, card),
        "calibration": _calibration(table, uncalibrated, temperatures, card),
    }
    report |= targets if older else {"targets": targets}
    if cases is not None:
        report["subgroups"] = subgroups.subgroup_report(table, cases, card=card)
    explained = {"averages_over": metrics.averages_over(card), "intervals": intervals.method(card)}
    return cast(Report, report | explained | {"undefined": measured["undefined"], "notes": list(notes)})


def _with_wilson(values: TaskValues, cases: int) -> TaskValues:
    """Returns the metrics of a task with `classes` last and Wilson's interval of the accuracy."""
    cases = values.get("labelled", cases)
    wilson = intervals.wilson(round(values["accuracy"] * cases), cases) if cases else (np.nan, np.nan)
    classes = values.pop("classes")
    return values | {"accuracy_wilson95": list(wilson), "classes": classes}


def _baselines(table: pd.DataFrame, training: pd.DataFrame | None, card: DataCard) -> dict[str, Baseline]:
    labels = {task.name: predictions.true_labels(table, task) for task in card.tasks}
    baselines = {"evaluated": metrics.majority_baseline(labels, card=card)}
    if training is not None:
        trained = {name: training[name].to_numpy() for name in labels}
        baselines["train"] = metrics.majority_baseline(labels, trained, card=card)
    return baselines


def _calibration(
    table: pd.DataFrame,
    uncalibrated: pd.DataFrame | None,
    temperatures: Mapping[str, float] | None,
    card: DataCard,
) -> CalibrationPart:
    """Returns how well probabilities fit, of the table and of the one before temperature scaling."""
    content: dict[str, Any] = {"method": None, "temperatures": None}
    if uncalibrated is not None and temperatures is not None:
        content = {"method": METHOD, "temperatures": dict(temperatures)}
        content["before"] = calibration.table_calibration(uncalibrated, card)
    return cast(CalibrationPart, content | calibration.table_calibration(table, card))
