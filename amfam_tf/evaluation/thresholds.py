"""Thresholds per class: weights that make a measure of the decided class as large as possible, and what that is worth.

The decided class is argmax_c w_c p_c. Weights are fitted by going through the classes: where the others stay, the
decisions change only where w_c p_c passes the largest of the others, so that all values that differ are tried. That
the weights look good on the cases that they were fitted on says nothing: they are judged nested, each fold by weights
that were fitted on the other folds.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import intervals, predictions
from amfam_tf.evaluation.calibration import FEWEST_CASES, SMALLEST
from amfam_tf.report.rates import divide, mean_of_defined, weighted_confusion
from amfam_tf.report.results import DecidedPart, DecidedTask
from amfam_tf.runs.thresholds import Thresholds

Measure = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From right answers, answers and cases of each class, [..., classes], to a value, [...]."""
MEASURES: Mapping[str, Measure] = {
    "accuracy": lambda right, _, cases: divide(right.sum(axis=-1), cases.sum(axis=-1)),
    "balanced_accuracy": lambda right, _, cases: mean_of_defined(divide(right, cases)),
    "macro_f1": lambda right, answers, cases: mean_of_defined(divide(2 * right, answers + cases)),
}
FITTED = ("balanced_accuracy", "macro_f1")
"""What weights are fitted to; the most probable class is the choice for accuracy."""
MOST_ROUNDS = 20
LEAST_GAIN = 1e-12
BEYOND = 1.0
"""How far outside of all values, on the scale of logarithms, the ends of the range are tried."""


def decide(probabilities: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns argmax_c w_c p_c of probabilities [N, classes], int [N]; the first one of equals."""
    return np.argmax(np.asarray(probabilities) * np.asarray(weights), axis=1)


def decided(table: pd.DataFrame, weights: Mapping[str, Mapping[str, float]], card: DataCard) -> dict[str, np.ndarray]:
    """Returns the decided class of each case of a predictions table, int [N], by task."""
    return {
        task.name: decide(
            predictions.task_probabilities(table, task), np.array([weights[task.name][name] for name in task.classes])
        )
        for task in card.tasks
    }


def measures_of(y_true: np.ndarray, y_pred: np.ndarray, classes: int) -> dict[str, float]:
    """Returns each of MEASURES of labels and answers, int [N]."""
    found = _resampled(y_true, y_pred, classes, np.ones((1, len(y_true))))
    return {name: float(values[0]) for name, values in found.items()}


def _resampled(y_true: np.ndarray, y_pred: np.ndarray, classes: int, counts: np.ndarray) -> dict[str, np.ndarray]:
    confusion = weighted_confusion(y_true, y_pred, classes, counts)
    parts = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=1), confusion.sum(axis=2)
    return {name: measure(*parts) for name, measure in MEASURES.items()}


def fit_weights(y_true: np.ndarray, probabilities: np.ndarray, measure: str) -> np.ndarray:
    """Returns weights [classes], of geometric mean 1, with which no weight of a single class would be better.

    Ones where nothing is better than the most probable class. Of equally good values the nearest to before is taken.

    Args:
        y_true: class numbers, int [N].
        probabilities: [N, classes] in [0, 1].
        measure: one of MEASURES.
    """
    logs, classes = np.log(np.maximum(probabilities, SMALLEST)), probabilities.shape[1]
    offsets = np.zeros(classes)
    best = measures_of(y_true, logs.argmax(axis=1), classes)[measure]
    for _ in range(MOST_ROUNDS):
        before = best
        for number in range(classes):
            offset, found = _best_offset(y_true, logs, offsets, number, MEASURES[measure])
            if found > best + LEAST_GAIN:
                offsets[number], best = offset, found
        if best <= before + LEAST_GAIN:
            break
    return np.exp(offsets - offsets.mean())


def _best_offset(
    y_true: np.ndarray, logs: np.ndarray, offsets: np.ndarray, number: int, measure: Measure
) -> tuple[float, float]:
    """Returns the best offset of a class where those of the others stay, and what the measure is with it."""
    classes = np.eye(len(offsets))
    others = logs + offsets
    others[:, number] = -np.inf
    rival = others.argmax(axis=1)
    # A case is decided for the class if its offset is above:
    turns = others.max(axis=1) - logs[:, number]
    order = np.argsort(turns, kind="stable")
    levels = turns[order]
    distinct = np.unique(levels)
    middles = (distinct[:-1] + distinct[1:]) / 2
    candidates = np.concatenate([[distinct[0] - BEYOND], middles, [distinct[-1] + BEYOND]])
    turned = np.searchsorted(levels, candidates)

    def after(of_cases: np.ndarray) -> np.ndarray:
        """Returns sums over the first cases that turn, for each candidate."""
        sums = np.concatenate([np.zeros((1, len(offsets))), np.cumsum(of_cases[order], axis=0)])
        return sums[turned]

    to_rival, to_class = classes[rival], np.tile(classes[number], (len(rival), 1))
    right_rival, right_class = to_rival * (rival == y_true)[:, None], to_class * (y_true == number)[:, None]
    right = right_rival.sum(axis=0) - after(right_rival) + after(right_class)
    answers = to_rival.sum(axis=0) - after(to_rival) + after(to_class)
    values = measure(right, answers, np.broadcast_to(classes[y_true].sum(axis=0), right.shape))
    best = candidates[values >= np.nanmax(values) - LEAST_GAIN]
    return float(best[np.abs(best - offsets[number]).argmin()]), float(np.nanmax(values))


def nested(y_true: np.ndarray, probabilities: np.ndarray, folds: np.ndarray, measure: str) -> np.ndarray:
    """Returns the decided class of each case, int [N], by weights that were fitted on the cases of the other folds.

    Args:
        y_true: class numbers, int [N].
        probabilities: [N, classes] in [0, 1].
        folds: number of the fold of each case, int [N]; at least two different ones.
        measure: one of MEASURES.
    """
    found = np.empty(len(y_true), np.int64)
    for fold in np.unique(folds):
        own = folds == fold
        found[own] = decide(probabilities[own], fit_weights(y_true[~own], probabilities[~own], measure))
    return found


def fit(
    table: pd.DataFrame,
    folds: np.ndarray,
    measure: str,
    card: DataCard,
    model_sha256: str,
    data_fingerprint: str | None,
    groups: np.ndarray | None = None,
) -> Thresholds:
    """Returns the weights of all tasks, and what they are worth.

    Args:
        table: pooled out-of-fold predictions.
        folds: number of the fold of each case, int [N].
        measure: one of FITTED.
        card: of the data.
        model_sha256: of the run that the weights are for.
        data_fingerprint: of its data.
        groups: of the cases, [N], which the intervals draw as a whole; None draws cases.
    """
    weights, judged, notes = {}, {}, []
    for task in card.tasks:
        known = predictions.labelled(table, task)
        y_true, own = predictions.true_labels(table[known], task), folds[known]
        probabilities = predictions.task_probabilities(table[known], task)
        weights[task.name] = dict.fromkeys(task.classes, 1.0)
        answers = probabilities.argmax(axis=1)
        if len(y_true) < FEWEST_CASES or len(np.unique(own)) < 2:
            notes.append(
                f"{task.name}: {len(y_true)} cases of {len(np.unique(own))} folds have a label, {FEWEST_CASES} of two "
                "are needed: its thresholds change nothing"
            )
        else:
            found = fit_weights(y_true, probabilities, measure)
            weights[task.name] = dict(zip(task.classes, found.tolist(), strict=True))
            answers = nested(y_true, probabilities, own, measure)
        drawn = None if groups is None else groups[known]
        judged[task.name] = judge(y_true, probabilities.argmax(axis=1), answers, len(task.classes), measure, drawn)
    return Thresholds(
        measure, weights, judged, len(np.unique(folds)), len(table), model_sha256, data_fingerprint, tuple(notes)
    )


def measured(
    table: pd.DataFrame, thresholds: Thresholds, card: DataCard, groups: np.ndarray | None = None
) -> DecidedPart:
    """Returns what the weights change in a predictions table; tasks without a label are left out."""
    chosen, tasks = decided(table, thresholds.weights, card), {}
    for task in card.tasks:
        known = predictions.labelled(table, task)
        if known.any():
            plain = predictions.task_probabilities(table, task).argmax(axis=1)[known]
            y_true, drawn = predictions.true_labels(table[known], task), None if groups is None else groups[known]
            answers = chosen[task.name][known]
            tasks[task.name] = judge(y_true, plain, answers, len(task.classes), thresholds.measure, drawn)
    return {"measure": thresholds.measure, "nested": False, "tasks": tasks}


def judge(
    y_true: np.ndarray, plain: np.ndarray, chosen: np.ndarray, classes: int, measure: str, groups: np.ndarray | None
) -> DecidedTask:
    """Returns the measures of the most probable and of the decided class, and the interval of the gain of one.

    Args:
        y_true, plain, chosen: labels, most probable and decided classes of the same cases, int [N], N at least 1.
        classes: of the task.
        measure: whose gain it is; both are in the same resamples.
        groups: of the cases, [N], drawn as a whole; None draws cases.
    """

    def gain(counts: np.ndarray) -> dict[str, np.ndarray]:
        one, other = (_resampled(y_true, answers, classes, counts)[measure] for answers in (plain, chosen))
        return {measure: other - one}

    drawn = intervals.replicates_of(gain, len(y_true), groups=groups)[measure]
    return {
        "cases": len(y_true),
        "plain": measures_of(y_true, plain, classes),
        "decided": measures_of(y_true, chosen, classes),
        "gain_ci95": list(intervals.percentile_interval(drawn)),
    }
