"""Calibration: reliability, expected calibration error, Brier score, and one temperature per task.

The temperature of a task divides its logits (Guo et al. 2017). It is fitted on the validation split only, by the mean
negative log likelihood of the cases with a label, and kept in the run folder as calibration.json with the digest of the
model that it belongs to.
It changes no predicted class; but of a case with several pictures of a view the answers to its pairs are averaged
after it, as with a served version, and their mean may have another largest class than before.
"""

from collections.abc import Mapping
from typing import cast

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import clinical, intervals, predictions
from amfam_tf.report.results import Forecast, Forecasts
from amfam_tf.runs.calibration import Calibration

BINS = 10
FEWEST_CASES = 30
"""With fewer validation cases no temperature is fitted: it stays 1."""
BOUNDS = (0.05, 20.0)
SMALLEST = 1e-300
"""Stands for a probability of 0 where a logarithm is needed."""


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Returns softmax(logits / temperature) of probabilities = softmax(logits), [N, classes].

    The logits themselves are not needed: the logarithm of a softmax differs from them by a constant per case.
    """
    if temperature == 1:
        return np.asarray(probabilities, np.float64)
    return softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature, axis=-1)


def apply(table: pd.DataFrame, temperatures: Mapping[str, float], card: DataCard) -> pd.DataFrame:
    """Returns a predictions table with the temperature of each task applied; predicted classes stay as they are.

    But for probabilities that differ by rounding only: they can become equal, and then the first class is predicted.
    """
    labels = {task.name: predictions.true_labels(table, task) for task in card.tasks}
    scaled = {
        task.name: scale(predictions.task_probabilities(table, task), temperatures[task.name]) for task in card.tasks
    }
    return predictions.to_frame(table[predictions.CASE].to_numpy(), labels, scaled, card)


def fit_temperature(y_true: np.ndarray, probabilities: np.ndarray, first: np.ndarray | None = None) -> float:
    """Returns the temperature in `BOUNDS` with the least mean negative log likelihood.

    Args:
        y_true: class numbers, int [N].
        probabilities: [pairs, classes], at temperature 1.
        first: number of the first pair of each case, int [N], whose pairs follow; None where each has one.
    """

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(y_true, _means(scale(probabilities, np.exp(log_temperature)), first))

    result = minimize_scalar(loss, bounds=np.log(BOUNDS), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(result.x))


def _means(values: np.ndarray, first: np.ndarray | None) -> np.ndarray:
    """Returns the means over the pairs of each case, see `fit_temperature`; [N, classes] of [pairs, classes]."""
    if first is None or len(first) == len(values):
        return values
    return np.add.reduceat(values, first) / np.diff([*first, len(values)])[:, None]


def negative_log_likelihood(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean of -log p(label), in nats; NaN without any case."""
    if not len(y_true):
        return np.nan
    chosen = np.asarray(probabilities)[np.arange(len(y_true)), np.asarray(y_true)]
    return float(-np.log(np.maximum(chosen, SMALLEST)).mean())


def fit(table: pd.DataFrame, model_sha256: str, card: DataCard, data_fingerprint: str | None = None) -> Calibration:
    """Returns the temperatures for a predictions table of the validation split, made at temperature 1.

    A case may have several rows, one after the other: of each of its pairs.
    """
    notes = []
    cases = table[predictions.CASE].nunique()
    if cases < FEWEST_CASES:
        notes.append(f"fewer than {FEWEST_CASES} validation cases ({cases}): every temperature stays 1")
    temperatures, losses = {}, {}
    for task in card.tasks:
        known = table[predictions.labelled(table, task)]
        first = np.flatnonzero(~known[predictions.CASE].duplicated())
        y_true, values = predictions.true_labels(known, task)[first], predictions.task_probabilities(known, task)
        if cases < FEWEST_CASES:
            temperature, note = 1.0, None
        elif len(first) < FEWEST_CASES:
            temperature, note = (
                1.0,
                f"{len(first)} validation cases have a label, {FEWEST_CASES} are needed: it stays 1",
            )
        else:
            temperature, note = _fit_task(y_true, values, first)
        if note is not None:
            notes.append(f"{task.name}: {note}")
        before, after = (negative_log_likelihood(y_true, _means(scale(values, at), first)) for at in (1.0, temperature))
        temperatures[task.name], losses[task.name] = temperature, {"before": before, "after": after}
    return Calibration(temperatures, cases, model_sha256, losses, tuple(notes), data_fingerprint)


def _fit_task(
    y_true: np.ndarray, probabilities: np.ndarray, first: np.ndarray | None = None
) -> tuple[float, str | None]:
    """Returns the temperature of a task, and what is to be said about it; see `fit_temperature`."""
    if (_means(probabilities, first).argmax(axis=1) == y_true).all():
        return 1.0, "every validation case is right, which fits any lower temperature better: it stays 1"
    temperature = fit_temperature(y_true, probabilities, first)
    if BOUNDS[0] * 1.01 < temperature < BOUNDS[1] * 0.99:
        return temperature, None
    return temperature, f"the temperature is at the end of the range {BOUNDS[0]:g} to {BOUNDS[1]:g}"


def reliability(y_true: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Returns how often the predicted class is right, by its probability.

    Args:
        y_true: class numbers, int [N].
        probabilities: [N, classes] in [0, 1].
        bins: equal widths over [0, 1]; a value on an edge belongs to the bin below it.

    Returns:
        One row per bin: low, high, cases, confidence (mean probability), accuracy, accuracy_low, accuracy_high
        (Wilson, 95 %); NaN in an empty bin.
    """
    confidence = np.asarray(probabilities).max(axis=1)
    right = np.asarray(probabilities).argmax(axis=1) == np.asarray(y_true)
    return reliability_of(right, confidence, bins)


def reliability_of(outcomes: np.ndarray, scores: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Returns the table of `reliability` for yes/no outcomes [N] and their predicted probabilities [N]."""
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.ceil(np.asarray(scores) * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for place in range(bins):
        inside = places == place
        cases, successes = int(inside.sum()), int(np.asarray(outcomes)[inside].sum())
        interval = intervals.wilson(successes, cases) if cases else (np.nan, np.nan)
        rows.append(
            {
                "low": float(edges[place]),
                "high": float(edges[place + 1]),
                "cases": cases,
                "confidence": float(np.asarray(scores)[inside].mean()) if cases else np.nan,
                "accuracy": successes / cases if cases else np.nan,
                "accuracy_low": interval[0],
                "accuracy_high": interval[1],
            }
        )
    return pd.DataFrame(rows)


def expected_calibration_error(bins: pd.DataFrame) -> float:
    """Returns the mean over cases of |accuracy - confidence| of their bin, in [0, 1]; NaN without any case."""
    used = bins[bins["cases"] > 0]
    if used.empty:
        return np.nan
    return float((used["cases"] * (used["accuracy"] - used["confidence"]).abs()).sum() / used["cases"].sum())


def brier_score(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean over cases of the sum over classes of (probability - label)^2, in [0, 2] (Brier 1950)."""
    values = np.asarray(probabilities, np.float64)
    if not len(values):
        return np.nan
    return float(((values - np.eye(values.shape[1])[np.asarray(y_true)]) ** 2).sum(axis=1).mean())


def task_calibration(y_true: np.ndarray, probabilities: np.ndarray) -> Forecast:
    """Returns expected_calibration_error, brier_score, log_loss and the bins of a task."""
    bins = reliability(y_true, probabilities)
    return {
        "expected_calibration_error": expected_calibration_error(bins),
        "brier_score": brier_score(y_true, probabilities),
        "log_loss": negative_log_likelihood(y_true, probabilities),
        "bins": bins.to_dict("records"),
    }


def table_calibration(table: pd.DataFrame, card: DataCard) -> Forecasts:
    """Returns `tasks` ({task: see `task_calibration`}) and `targets` (the probability of each as a yes/no forecast).

    Of the cases with a label; the one target of an older file stands beside `tasks`.
    """
    tasks = {}
    for task in card.tasks:
        known = table[predictions.labelled(table, task)]
        tasks[task.name] = task_calibration(
            predictions.true_labels(known, task), predictions.task_probabilities(known, task)
        )
    targets = {name: _target_calibration(table, card, name) for name in card.targets}
    return cast(Forecasts, {"tasks": tasks} | (targets if cards.is_derm7pt(card) else {"targets": targets}))


def _target_calibration(table: pd.DataFrame, card: DataCard, target: str) -> Forecast:
    known = table[predictions.labelled(table, clinical.task_of(card, target))]
    outcome, scores = clinical.has_target(known, card, target), clinical.target_probability(known, card, target)
    bins = reliability_of(outcome, scores)
    return {
        "expected_calibration_error": expected_calibration_error(bins),
        "brier_score": float(((scores - outcome) ** 2).mean()) if len(known) else np.nan,
        "bins": bins.to_dict("records"),
    }
