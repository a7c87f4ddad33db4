"""Clinical reading: a target of the card or not, by the classifier's own probability and by scores that suggest it.

For Derm7pt that is melanoma, by its probability and by the 7-point checklist. A score comes from the predicted
criteria, the tasks that give it points; each of its rules suspects from a number of points on. Cases of which nobody
knows the target's label are left out, and of the score of the labels those with an unknown criterion. Thresholds of
operating points are chosen on the very cases that they are measured on, so they are somewhat optimistic; the intervals
resample that choice as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import compare_runs, delong, intervals, predictions
from amfam_tf.report import rates
from amfam_tf.report.results import TargetScore

TARGETS = (0.80, 0.90, 0.95)
THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 51))
"""Threshold probabilities of the decision curve."""
ROUNDING = 1e-9

_Replicates = dict[tuple[str, str, float], np.ndarray]
"""(score, measure, target) -> its value in each resample, [R]."""


def first_target(card: DataCard) -> str:
    """Returns the target that is meant where none is named."""
    return next(iter(card.targets))


def task_of(card: DataCard, target: str) -> Task:
    """Returns the task whose classes a target is made of."""
    return card.task(card.targets[target].task)


def probability_name(target: str) -> str:
    """Returns the name of the classifier's own probability of a target."""
    return f"{target}_probability"


def suggesting(card: DataCard, target: str) -> list[str]:
    """Returns the scores that suggest a target."""
    return [name for name, score in card.scores.items() if score.suggests == target]


def rule_name(score: str) -> str:
    """Returns the name of the rule of a score in the decision curve."""
    return f"{score.removesuffix('_score')}_rule"


def _numbers(card: DataCard, target: str) -> list[int]:
    return [task_of(card, target).classes.index(name) for name in card.targets[target].classes]


def has_target(table: pd.DataFrame, card: DataCard, target: str | None = None) -> np.ndarray:
    """Returns whether each case is of a target, by default the card's first, bool [N]; not if nobody knows."""
    target = target or first_target(card)
    return np.isin(predictions.true_labels(table, task_of(card, target)), _numbers(card, target))


def answers_target(table: pd.DataFrame, card: DataCard, target: str | None = None) -> np.ndarray:
    """Returns whether the answer to each case, the most probable class, is of a target, bool [N]."""
    target = target or first_target(card)
    return np.isin(predictions.predicted_labels(table, task_of(card, target)), _numbers(card, target))


def target_probability(table: pd.DataFrame, card: DataCard, target: str | None = None) -> np.ndarray:
    """Returns the classifier's own probability of a target, the sum over its classes, [N] in [0, 1]."""
    target = target or first_target(card)
    values = predictions.task_probabilities(table, task_of(card, target))
    return np.minimum(values[:, _numbers(card, target)].sum(axis=1), 1.0)


def points(table: pd.DataFrame, card: DataCard, of_labels: bool = False, score: str | None = None) -> np.ndarray:
    """Returns a score, by default the card's first, of the predicted criteria or of the labels, float [N].

    NaN where the label of a criterion is unknown.
    """
    numbers = predictions.true_labels if of_labels else predictions.predicted_labels
    # The last one is that of UNKNOWN, -1.
    return np.sum([np.append(of, np.nan)[numbers(table, task)] for task, of in _points_of(card, score)], axis=0)


def expected_points(table: pd.DataFrame, card: DataCard, score: str | None = None) -> np.ndarray:
    """Returns the mean of a score under the predicted probabilities, [N]."""
    return np.sum([predictions.task_probabilities(table, task) @ of for task, of in _points_of(card, score)], axis=0)


def _points_of(card: DataCard, score: str | None) -> list[tuple[Task, np.ndarray]]:
    """Returns the tasks of a score with the points of each class."""
    given = card.scores[score or next(iter(card.scores))].points
    tasks = [(card.task(name), of) for name, of in given.items()]
    return [(task, np.array([of.get(name, 0) for name in task.classes], np.float64)) for task, of in tasks]


def scores_of(table: pd.DataFrame, card: DataCard, target: str | None = None) -> dict[str, np.ndarray]:
    """Returns each score that ranks the cases by suspicion of a target, [N], higher for more; NaN where unknown."""
    target = target or first_target(card)
    found = {probability_name(target): target_probability(table, card, target)}
    for score in suggesting(card, target):
        found[score] = points(table, card=card, score=score)
        found[f"expected_{score}"] = expected_points(table, card, score)
        found[f"{score}_of_labels"] = points(table, card, True, score)
    return found


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
    positives, negatives = rates.totals_per_score(truth, scores, counts)
    zeros = np.zeros((len(counts), 1))
    missed = np.concatenate([zeros, np.cumsum(positives, axis=1)], axis=1)
    cleared = np.concatenate([zeros, np.cumsum(negatives, axis=1)], axis=1)
    all_positives, all_negatives = missed[:, -1:], cleared[:, -1:]
    return rates.divide(all_positives - missed, all_positives), rates.divide(cleared, all_negatives)


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
    if not cases:
        return np.nan
    right, wrong = np.sum(suspected & truth), np.sum(suspected & ~truth)
    return float(right / cases - wrong / cases * threshold / (1 - threshold))


def decision_curve(
    table: pd.DataFrame,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    card: DataCard,
    target: str | None = None,
) -> dict[str, list[float]]:
    """Returns the net benefit at each threshold: of the classifier, of each score, of suspecting all or nobody.

    The rule of a score is the one of its first threshold.
    """
    target = target or first_target(card)
    truth, probability = has_target(table, card, target), target_probability(table, card, target)
    curve = {
        "thresholds": list(thresholds),
        probability_name(target): [net_benefit(truth, probability >= value, value) for value in thresholds],
    }
    for score in suggesting(card, target):
        least = next(iter(card.scores[score].thresholds.values()))
        suspected = points(table, card=card, score=score) >= least
        curve[rule_name(score)] = [net_benefit(truth, suspected, value) for value in thresholds]
    everybody = np.ones(len(truth), bool)
    curve["everybody"] = [net_benefit(truth, everybody, value) for value in thresholds]
    return curve | {"nobody": [0.0] * len(thresholds)}


def rules(
    table: pd.DataFrame, card: DataCard, target: str | None = None, groups: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """Returns sensitivity and specificity, with exact intervals, of the rules that need no chosen threshold."""
    target = target or first_target(card)
    truth, task, known = has_target(table, card, target), task_of(card, target), np.ones(len(table), bool)
    name = f"predicted {task.title} is {' or '.join(card.targets[target].classes)}"
    found = [_rule(name, truth, answers_target(table, card, target), known, groups)]
    for score in suggesting(card, target):
        for name, least in card.scores[score].thresholds.items():
            for source, of_labels in (("the predicted criteria", False), ("the labels", True)):
                values = points(table, card, of_labels, score)
                text = f"{card.score_title(score)} of {source} at least {least} ({name} rule)"
                found.append(_rule(text, truth, values >= least, ~np.isnan(values), groups))
    return found


def _rule(
    name: str, truth: np.ndarray, answer: np.ndarray, known: np.ndarray, groups: np.ndarray | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"rule": name}
    ends = intervals.of_class(truth[known], answer[known], None if groups is None else groups[known])
    for metric, right in (("sensitivity", answer[truth & known]), ("specificity", ~answer[~truth & known])):
        share = float(right.mean()) if len(right) else np.nan
        found |= {metric: share, f"{metric}_ci95": list(ends[metric])}
    return found


def target_report(
    table: pd.DataFrame,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
    *,
    card: DataCard,
    target: str | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, Any]:
    """Returns how well a target is told from the rest.

    Returns:
        `cases` of which it is known, and how many are of the target, `positives` (for Derm7pt `melanomas`); `scores`
        {score: auc, auc_ci95, sensitivity_at_specificity and specificity_at_sensitivity (list of target, value, ci95,
        threshold)}; `auc_differences` of the classifier and each other score (DeLong); `rules`; `decision_curve`.
    """
    target = target or first_target(card)
    known = predictions.labelled(table, task_of(card, target))
    table, groups = table[known], None if groups is None else groups[known]
    truth, scores = has_target(table, card, target), scores_of(table, card, target)

    def measure(counts: np.ndarray) -> _Replicates:
        return _score_replicates(truth, scores, counts)

    drawn = intervals.replicates_of(measure, len(truth), resamples, seed, groups)
    plain = measure(np.ones((1, len(truth))))
    own = probability_name(target)
    return {
        "cases": len(truth),
        "melanomas" if cards.is_derm7pt(card) else "positives": int(truth.sum()),
        "scores": {name: _score_report(name, truth, values, plain, drawn, groups) for name, values in scores.items()},
        "auc_differences": [_auc_difference(truth, scores, own, other, groups) for other in scores if other != own],
        "rules": rules(table, card, target, groups),
        "decision_curve": decision_curve(table, card=card, target=target),
    }


def _score_replicates(truth: np.ndarray, scores: Mapping[str, np.ndarray], counts: np.ndarray) -> _Replicates:
    """Returns (score, measure, target) -> [R]."""
    values = {}
    for name, score in scores.items():
        known = ~np.isnan(score)
        of_known = (truth[known], score[known], counts if known.all() else counts[:, known])
        values[name, "auc", 0.0] = rates.weighted_auc(*of_known)
        sensitivity, specificity = _rates_of_thresholds(*of_known)
        for target in TARGETS:
            values[name, "sensitivity_at_specificity", target] = _best(sensitivity, specificity, target)
            values[name, "specificity_at_sensitivity", target] = _best(specificity, sensitivity, target)
    return values


def _score_report(
    name: str,
    truth: np.ndarray,
    score: np.ndarray,
    plain: _Replicates,
    drawn: _Replicates,
    groups: np.ndarray | None,
) -> TargetScore:
    area, known = (name, "auc", 0.0), ~np.isnan(score)
    truth, score, groups = truth[known], score[known], None if groups is None else groups[known]
    report: TargetScore = {"auc": float(plain[area][0]), "auc_ci95": list(delong.interval(truth, score, groups))}
    # Sensitivity and specificity at one threshold rest on the rarer kind.
    cases = min(intervals.number_of(kind, groups) for kind in (truth, ~truth))
    for measure in ("sensitivity_at_specificity", "specificity_at_sensitivity"):
        report[measure] = []
        for target in TARGETS:
            point = float(plain[name, measure, target][0])
            ends = intervals.spread_interval(point, drawn[name, measure, target], cases, cases - 1)
            threshold = threshold_for(truth, score, target, measure == "sensitivity_at_specificity")
            report[measure].append({"target": target, "value": point, "ci95": list(ends), "threshold": threshold})
    return report


def _auc_difference(
    truth: np.ndarray, scores: Mapping[str, np.ndarray], own: str, other: str, groups: np.ndarray | None
) -> dict[str, Any]:
    """Returns the difference of two AUCs on the cases of which both scores are known."""
    both = np.stack([scores[own], scores[other]])
    known = ~np.isnan(both).any(axis=0)
    difference, error, p_value = compare_runs.delong(
        truth[known], both[:, known], None if groups is None else groups[known]
    )
    return {
        "first": own,
        "second": other,
        "difference": difference,
        "delong_standard_error": error,
        "delong_p": p_value,
    }
