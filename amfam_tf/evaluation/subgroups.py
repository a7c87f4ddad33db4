"""Results by sex, location, elevation and difficulty, with counts and intervals."""

from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.evaluation import clinical, intervals, metrics, predictions
from amfam_tf.tasks import DIAGNOSIS, METADATA, TASKS

VARIABLES = ("sex", "location", "elevation", "level_of_diagnostic_difficulty")
FEWEST_CASES = 10
"""A cell with fewer cases is too small to be read: it keeps its count and has no values."""
_Replicates = dict[tuple[tuple[str, str], str], np.ndarray]
"""((variable, value), metric) -> its value in each resample, [R]."""

VALUES = ("accuracy", "diagnosis_accuracy", "melanoma_auc")


def subgroup_report(
    table: pd.DataFrame, cases: pd.DataFrame, resamples: int = intervals.RESAMPLES, seed: int = intervals.SEED
) -> list[dict[str, Any]]:
    """Returns one row per variable and value that occurs.

    Args:
        table: the predictions table.
        cases: metadata of the same cases in the same order.
        resamples: of the whole table; a resample of a subgroup is its part of one.
        seed: of the draws.

    Returns:
        variable, value, cases, melanomas, too_small; accuracy (mean over the 8 tasks), diagnosis_accuracy and
        melanoma_auc, each with `_ci95` (bootstrap; Wilson for diagnosis_accuracy). NaN in a cell under 10 cases;
        melanoma_auc also where there are fewer than 10 melanomas or fewer than 10 other cases.
    """
    members = {
        (variable, value): (cases[variable] == value).to_numpy()
        for variable in VARIABLES
        for value in METADATA[variable]
    }
    members = {key: inside for key, inside in members.items() if inside.any()}
    strata = predictions.true_labels(table, DIAGNOSIS)
    drawn = intervals.replicates_of(lambda counts: _replicates(table, members, counts), strata, resamples, seed)
    plain = _replicates(table, members, np.ones((1, len(table))))
    return [_row(table, key, inside, plain, drawn) for key, inside in members.items()]


def _correct(table: pd.DataFrame) -> np.ndarray:
    """Returns the share of the 8 tasks that is right for each case, [N]."""
    right = [predictions.predicted_labels(table, task) == predictions.true_labels(table, task) for task in TASKS]
    return np.mean(right, axis=0)


def _replicates(table: pd.DataFrame, members: dict[tuple[str, str], np.ndarray], counts: np.ndarray) -> _Replicates:
    correct, truth, probability = _correct(table), clinical.melanoma(table), clinical.melanoma_probability(table)
    values = {}
    for key, inside in members.items():
        drawn = counts[:, inside]
        values[key, "accuracy"] = metrics.divide(drawn @ correct[inside], drawn.sum(axis=1))
        values[key, "melanoma_auc"] = metrics.weighted_auc(truth[inside], probability[inside], drawn)
    return values


def _row(
    table: pd.DataFrame, key: tuple[str, str], inside: np.ndarray, plain: _Replicates, drawn: _Replicates
) -> dict[str, Any]:
    count, melanomas = int(inside.sum()), int(clinical.melanoma(table)[inside].sum())
    row: dict[str, Any] = {"variable": key[0], "value": key[1], "cases": count, "melanomas": melanomas}
    row["too_small"] = count < FEWEST_CASES
    row |= dict.fromkeys(VALUES, np.nan) | {f"{name}_ci95": [np.nan, np.nan] for name in VALUES}
    if row["too_small"]:
        return row
    part = table[inside]
    right = int((part[f"{DIAGNOSIS.name}_true"] == part[f"{DIAGNOSIS.name}_pred"]).sum())
    row |= {"diagnosis_accuracy": right / count, "diagnosis_accuracy_ci95": list(intervals.wilson(right, count))}
    names = ["accuracy"]
    if min(melanomas, count - melanomas) >= FEWEST_CASES:
        names.append("melanoma_auc")
    for name in names:
        row[name] = float(plain[key, name][0])
        row[f"{name}_ci95"] = list(intervals.percentile_interval(drawn[key, name]))
    return row
