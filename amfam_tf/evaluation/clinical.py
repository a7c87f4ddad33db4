"""Clinical reading: melanoma or not, by the classifier's own probability and by the 7-point checklist.

The checklist score comes from the predicted criteria (0 to 10; the original rule suspects melanoma from 3 on, the
revised one from 1 on). Thresholds of operating points are chosen on the very cases that they are measured on, so they
are somewhat optimistic; the intervals resample that choice as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.evaluation import compare_runs, intervals, metrics, predictions
from amfam_tf.report.results import MelanomaScore
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, MELANOMA, SEVEN_POINT_THRESHOLDS

TARGETS = (0.80, 0.90, 0.95)
THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 51))
"""Threshold probabilities of the decision curve."""
PROBABILITY = "melanoma_probability"
ROUNDING = 1e-9

_Replicates = dict[tuple[str, str, float], np.ndarray]
"""(score, measure, target) -> its value in each resample, [R]."""


def melanoma(table: pd.DataFrame) -> np.ndarray:
    """Returns whether each case is a melanoma, bool [N]."""
    return predictions.true_labels(table, DIAGNOSIS) == MELANOMA


def melanoma_probability(table: pd.DataFrame) -> np.ndarray:
    """Returns the classifier's own probability of melanoma, [N] in [0, 1]."""
    return predictions.task_probabilities(table, DIAGNOSIS)[:, MELANOMA]


def seven_point_scores(table: pd.DataFrame, of_labels: bool = False) -> np.ndarray:
    """Returns the 7-point score of the predicted criteria (or of the labels), int [N] in 0..10."""
    numbers = predictions.true_labels if of_labels else predictions.predicted_labels
    return np.sum([np.array(task.scores)[numbers(table, task)] for task in CRITERIA], axis=0)


def expected_seven_point_scores(table: pd.DataFrame) -> np.ndarray:
    """Returns the mean 7-point score under the predicted probabilities, [N] in [0, 10]."""
    means = [predictions.task_probabilities(table, task) @ np.array(task.scores, np.float64) for task in CRITERIA]
    return np.sum(means, axis=0)


def scores_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Returns each score that ranks the cases by suspicion of melanoma, [N], higher for more."""
    return {
        PROBABILITY: melanoma_probability(table),
        "seven_point_score": seven_point_scores(table),
        "expected_seven_point_score": expected_seven_point_scores(table),
        "seven_point_score_of_labels": seven_point_scores(table, of_labels=True),
    }


def sensitivity_at(truth: np.ndarray, scores: np.ndarray, specificity: float, counts: np.ndarray) -> np.ndarray:
    """Returns the highest sensitivity of a threshold with at least this specificity, in each resample, [R].

    Args:
        truth: bool [N].
        scores: [N]; a case is suspected if its score is at least the threshold.
        specificity: in [0, 1].
        counts: [R, N].
    """
    reached = _rates_of_thresholds(truth, scores, counts)
    return _best(reached[0], reached[1], specificity)


def specificity_at(truth: np.ndarray, scores: np.ndarray, sensitivity: float, counts: np.ndarray) -> np.ndarray:
    """Returns the highest specificity of a threshold with at least this sensitivity, in each resample, [R]."""
    reached = _rates_of_thresholds(truth, scores, counts)
    return _best(reached[1], reached[0], sensitivity)


def _rates_of_thresholds(truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns sensitivity and specificity, [R, distinct scores + 1], of the thresholds at each score and above all."""
    positives, negatives = metrics.totals_per_score(truth, scores, counts)
    zeros = np.zeros((len(counts), 1))
    missed = np.concatenate([zeros, np.cumsum(positives, axis=1)], axis=1)
    cleared = np.concatenate([zeros, np.cumsum(negatives, axis=1)], axis=1)
    all_positives, all_negatives = missed[:, -1:], cleared[:, -1:]
    return metrics.divide(all_positives - missed, all_positives), metrics.divide(cleared, all_negatives)


def _best(wanted: np.ndarray, bound: np.ndarray, target: float) -> np.ndarray:
    """Returns the largest `wanted` where `bound` is at least the target; NaN where a rate is undefined."""
    allowed = np.where(bound >= target - ROUNDING, wanted, -np.inf)
    undefined = np.isnan(wanted).any(axis=1) | np.isnan(bound).any(axis=1)
    return np.where(undefined, np.nan, allowed.max(axis=1))


def threshold_for(truth: np.ndarray, scores: np.ndarray, target: float, of_specificity: bool) -> float:
    """Returns the threshold of an operating point: the one that `sensitivity_at` or `specificity_at` picks.

    Infinity if only suspecting nobody is specific enough; NaN without both kinds of case.
    """
    sensitivity, specificity = (rates[0] for rates in _rates_of_thresholds(truth, scores, np.ones((1, len(scores)))))
    if np.isnan(sensitivity).any() or np.isnan(specificity).any():
        return np.nan
    thresholds = np.append(np.unique(scores), np.inf)
    bound, wanted = (specificity, sensitivity) if of_specificity else (sensitivity, specificity)
    return float(thresholds[np.argmax(np.where(bound >= target - ROUNDING, wanted, -np.inf))])


def net_benefit(truth: np.ndarray, suspected: np.ndarray, threshold: float) -> float:
    """Returns TP / N - FP / N * threshold / (1 - threshold) (Vickers and Elkin 2006).

    Args:
        truth: bool [N].
        suspected: bool [N].
        threshold: probability in (0, 1) from which on excision is worth it.
    """
    cases = len(truth)
    right, wrong = np.sum(suspected & truth), np.sum(suspected & ~truth)
    return float(right / cases - wrong / cases * threshold / (1 - threshold))


def decision_curve(table: pd.DataFrame, thresholds: Sequence[float] = THRESHOLDS) -> dict[str, list[float]]:
    """Returns the net benefit at each threshold: of the classifier, of the checklist, of suspecting all or nobody."""
    truth, probability = melanoma(table), melanoma_probability(table)
    checklist = seven_point_scores(table) >= SEVEN_POINT_THRESHOLDS["original"]
    everybody = np.ones(len(truth), bool)
    return {
        "thresholds": list(thresholds),
        PROBABILITY: [net_benefit(truth, probability >= value, value) for value in thresholds],
        "seven_point_rule": [net_benefit(truth, checklist, value) for value in thresholds],
        "everybody": [net_benefit(truth, everybody, value) for value in thresholds],
        "nobody": [0.0] * len(thresholds),
    }


def rules(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns sensitivity and specificity, with Wilson intervals, of the rules that need no chosen threshold."""
    truth = melanoma(table)
    suspected = {"predicted diagnosis is MEL": predictions.predicted_labels(table, DIAGNOSIS) == MELANOMA}
    for name, least in SEVEN_POINT_THRESHOLDS.items():
        suspected[f"7-point score of the predicted criteria at least {least} ({name} rule)"] = (
            seven_point_scores(table) >= least
        )
        suspected[f"7-point score of the labels at least {least} ({name} rule)"] = (
            seven_point_scores(table, of_labels=True) >= least
        )
    return [
        {"rule": name} | _proportion("sensitivity", answer[truth]) | _proportion("specificity", ~answer[~truth])
        for name, answer in suspected.items()
    ]


def _proportion(name: str, successes: np.ndarray) -> dict[str, Any]:
    if not len(successes):
        return {name: np.nan, f"{name}_ci95": [np.nan, np.nan]}
    return {name: float(successes.mean()), f"{name}_ci95": list(intervals.wilson(int(successes.sum()), len(successes)))}


def melanoma_report(
    table: pd.DataFrame, resamples: int = intervals.RESAMPLES, seed: int = intervals.SEED
) -> dict[str, Any]:
    """Returns how well melanoma is told from the rest.

    Returns:
        `cases` and `melanomas`; `scores` {score: auc, auc_ci95, sensitivity_at_specificity and
        specificity_at_sensitivity (list of target, value, ci95, threshold)}; `auc_differences` of the classifier and
        each other score (DeLong); `rules`; `decision_curve`.
    """
    truth, scores = melanoma(table), scores_of(table)
    strata = predictions.true_labels(table, DIAGNOSIS)
    drawn = intervals.replicates_of(lambda counts: _score_replicates(truth, scores, counts), strata, resamples, seed)
    plain = _score_replicates(truth, scores, np.ones((1, len(truth))))
    return {
        "cases": len(truth),
        "melanomas": int(truth.sum()),
        "scores": {name: _score_report(name, truth, values, plain, drawn) for name, values in scores.items()},
        "auc_differences": [_auc_difference(truth, scores, other) for other in scores if other != PROBABILITY],
        "rules": rules(table),
        "decision_curve": decision_curve(table),
    }


def _score_replicates(truth: np.ndarray, scores: Mapping[str, np.ndarray], counts: np.ndarray) -> _Replicates:
    """Returns (score, measure, target) -> [R]."""
    values = {}
    for name, score in scores.items():
        values[name, "auc", 0.0] = metrics.weighted_auc(truth, score, counts)
        sensitivity, specificity = _rates_of_thresholds(truth, score, counts)
        for target in TARGETS:
            values[name, "sensitivity_at_specificity", target] = _best(sensitivity, specificity, target)
            values[name, "specificity_at_sensitivity", target] = _best(specificity, sensitivity, target)
    return values


def _score_report(
    name: str, truth: np.ndarray, score: np.ndarray, plain: _Replicates, drawn: _Replicates
) -> MelanomaScore:
    area = (name, "auc", 0.0)
    report: MelanomaScore = {
        "auc": float(plain[area][0]),
        "auc_ci95": list(intervals.percentile_interval(drawn[area])),
    }
    for measure in ("sensitivity_at_specificity", "specificity_at_sensitivity"):
        report[measure] = [
            {
                "target": target,
                "value": float(plain[name, measure, target][0]),
                "ci95": list(intervals.percentile_interval(drawn[name, measure, target])),
                "threshold": threshold_for(truth, score, target, measure == "sensitivity_at_specificity"),
            }
            for target in TARGETS
        ]
    return report


def _auc_difference(truth: np.ndarray, scores: Mapping[str, np.ndarray], other: str) -> dict[str, Any]:
    difference, error, p_value = compare_runs.delong(truth, np.stack([scores[PROBABILITY], scores[other]]))
    return {
        "first": PROBABILITY,
        "second": other,
        "difference": difference,
        "delong_standard_error": error,
        "delong_p": p_value,
    }
