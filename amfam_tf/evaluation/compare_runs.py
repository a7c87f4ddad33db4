"""Paired comparison of two runs on the same cases.

| question | test |
| --- | --- |
| difference of any metric | paired bootstrap: both runs in the same resamples, percentile interval |
| accuracy of a task | McNemar's exact test; also its mid-p variant, less conservative (Fagerland et al. 2013) |
| AUC of a class | DeLong et al. 1988 |

Holm's correction is over the tasks for accuracy (exact p-values), and over all distinct AUC comparisons (a task of
two classes has one, not two). Cases of which nobody knows the label of a task are left out of its tests.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import pandas as pd
from scipy.stats import binom, binomtest, norm

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import DataError
from amfam_tf.evaluation import intervals, metrics, predictions
from amfam_tf.evaluation.delong import FEWEST, placements, variance_of
from amfam_tf.report.results import Change, RunComparison, TaskChange

AVERAGES = ("accuracy", "balanced_accuracy")


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
    *,
    card: DataCard,
    groups: np.ndarray | None = None,
) -> RunComparison:
    """Returns how two runs differ; every difference is first minus second.

    Args:
        first: predictions table of one run.
        second: that of the other, on the same cases in any order.
        resamples, seed: of the bootstrap.
        card: of the data.
        groups: of the cases of `first`, [N], which are drawn as a whole; None draws cases.

    Returns:
        `cases`; `average` {accuracy, balanced_accuracy: {first, second, difference, ci95}}; `tasks` {task: {accuracy:
        {..., only_first_right, only_second_right, mcnemar_exact_p, mcnemar_mid_p, mcnemar_holm_p}, classes: {class:
        {auc: {..., delong_standard_error, delong_p, delong_holm_p}}}}}. NaN where undefined. For other cards than
        Derm7pt's every metric of a task as a whole, of tasks and on average.

    Raises:
        DataError: the tables are not about the same cases with the same labels.
    """
    second = align(first, second, card)
    measures = [metrics.measure_of(table, card) for table in (first, second)]
    plain = [measure(np.ones((1, len(first)))) for measure in measures]

    def differences(counts: np.ndarray) -> dict[metrics.Path, np.ndarray]:
        one, other = (measure(counts) for measure in measures)
        return {path: one[path] - other[path] for path in one}

    drawn = intervals.replicates_of(differences, len(first), resamples, seed, groups)

    def change(*path: str) -> Change:
        one, other = (float(values[path][0]) for values in plain)
        interval = list(intervals.percentile_interval(drawn[path]))
        return {"first": one, "second": other, "difference": one - other, "ci95": interval}

    def task_changes(task: Task) -> TaskChange:
        areas = {
            name: change("tasks", task.name, "classes", name, "auc")
            | delong_of_class(first, second, task, number, groups)
            for number, name in enumerate(task.classes)
        }
        of_task = {metric: change("tasks", task.name, metric) for metric in of_tasks}
        of_task["accuracy"] |= mcnemar(first, second, task)
        return cast(TaskChange, of_task | {"classes": {name: {"auc": area} for name, area in areas.items()}})

    older = cards.is_derm7pt(card)
    of_tasks, averaged = (("accuracy",), AVERAGES) if older else (metrics.overall_metrics(card),) * 2
    tasks = {task.name: task_changes(task) for task in card.tasks}
    _correct(tasks)
    average = {metric: change("average", metric) for metric in averaged}
    return {"cases": len(first), "average": average, "tasks": tasks}


def align(first: pd.DataFrame, second: pd.DataFrame, card: DataCard) -> pd.DataFrame:
    """Returns `second` with its rows in the order of `first`.

    Raises:
        DataError: a case is in one table only, or has another label; names it.
    """
    alone = sorted(set(first[predictions.CASE]) ^ set(second[predictions.CASE]))
    if alone:
        raise DataError(f"the runs were not evaluated on the same cases: case {alone[0]} is in one of them only")
    aligned = second.set_index(predictions.CASE).loc[first[predictions.CASE]].reset_index()
    for task in card.tasks:
        wrong = np.flatnonzero(aligned[f"{task.name}_true"].to_numpy() != first[f"{task.name}_true"].to_numpy())
        if wrong.size:
            case = first[predictions.CASE].iloc[wrong[0]]
            raise DataError(f"the runs were evaluated with different labels: case {case}, task {task.name}")
    return aligned


def mcnemar(first: pd.DataFrame, second: pd.DataFrame, task: Task) -> Change:
    """Returns McNemar's counts and p-values for the accuracy of a task; the tables are aligned."""
    truth = predictions.true_labels(first, task)
    # What nobody knows is right in neither.
    one, other = (predictions.predicted_labels(table, task) == truth for table in (first, second))
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    exact, middle = mcnemar_p_values(only_first, only_second) if (truth != UNKNOWN).any() else (np.nan, np.nan)
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "mcnemar_exact_p": exact,
        "mcnemar_mid_p": middle,
    }


def mcnemar_p_values(only_first: int, only_second: int) -> tuple[float, float]:
    """Returns the two-sided exact and mid p-value of McNemar's test; 1 without discordant cases.

    Exact: the discordant cases are a fair coin. Mid-p: the observed outcome counts half (Fagerland et al. 2013).
    """
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0, 1.0
    exact = float(binomtest(only_first, discordant).pvalue)
    middle = exact - float(binom.pmf(only_first, discordant, 0.5))
    return exact, 1.0 if only_first == only_second else middle


def delong_of_class(
    first: pd.DataFrame, second: pd.DataFrame, task: Task, number: int, groups: np.ndarray | None = None
) -> Change:
    """Returns DeLong's standard error and p-value for the AUC of a class; the tables are aligned."""
    known = predictions.labelled(first, task)
    truth = predictions.true_labels(first, task)[known] == number
    scores = np.stack([predictions.task_probabilities(table, task)[known, number] for table in (first, second)])
    _, error, p_value = delong(truth, scores, None if groups is None else groups[known])
    return {"delong_standard_error": error, "delong_p": p_value}


def delong(truth: np.ndarray, scores: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float, float]:
    """Returns the difference of two correlated AUCs, its standard error and the two-sided p-value.

    Args:
        truth: bool [N].
        scores: [2, N], higher for true.
        groups: of each case, [N], whose cases are alike; None takes every case for itself.

    Returns:
        All NaN with fewer than two cases (or groups) of a kind. p is 1 if both orders are the same.

    Source: DeLong et al. 1988.
    """
    truth, scores = np.asarray(truth, bool), np.asarray(scores, np.float64)
    if min(truth.sum(), (~truth).sum()) < FEWEST:
        return np.nan, np.nan, np.nan
    first, second = placements(truth, scores)
    difference = float(first[0].mean() - first[1].mean())
    variance, _ = variance_of((first[0] - first[1], second[0] - second[1]), truth, groups)
    error = float(np.sqrt(variance))
    if error < 1e-12:
        return difference, 0.0, 1.0 if abs(difference) < 1e-12 else 0.0
    return difference, error, float(2 * norm.sf(abs(difference) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected by Holm 1979 for testing all of them; NaN stays NaN and does not count."""
    values = np.asarray(p_values, np.float64)
    corrected = np.full(values.shape, np.nan)
    order = [index for index in np.argsort(values, kind="stable") if not np.isnan(values[index])]
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * values[index]))
        corrected[index] = largest
    return corrected.tolist()


def _correct(tasks: Mapping[str, TaskChange]) -> None:
    """Adds mcnemar_holm_p and delong_holm_p in place."""
    accuracies = [changes["accuracy"] for changes in tasks.values()]
    for row, value in zip(accuracies, holm([row["mcnemar_exact_p"] for row in accuracies]), strict=True):
        row["mcnemar_holm_p"] = value
    groups = [_distinct_areas(changes["classes"]) for changes in tasks.values()]
    flat = [rows for group in groups for rows in group]
    for rows, value in zip(flat, holm([rows[0]["delong_p"] for rows in flat]), strict=True):
        for row in rows:
            row["delong_holm_p"] = value


def _distinct_areas(classes: Mapping[str, Mapping[str, Change]]) -> list[list[Change]]:
    """Returns the AUC comparisons of a task; the two of a task of two classes are one and the same."""
    rows = [values["auc"] for values in classes.values()]
    return [rows] if len(rows) == 2 else [[row] for row in rows]
