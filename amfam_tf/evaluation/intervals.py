"""95 % intervals: case-level bootstrap of every metric at once, and Wilson's for a plain proportion.

A resample is a row of counts: how often each case was drawn. Every metric here takes counts [R, N] and gives R values,
so that 2,000 resamples are a few matrix products and cumulative sums, not 2,000 calls. The metrics are those of
`amfam_tf.evaluation.metrics`; with all counts 1 they are equal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from amfam_tf.evaluation import metrics, predictions
from amfam_tf.tasks import CRITERIA, DIAGNOSIS, TASKS, Task

RESAMPLES = 2000
SEED = 0
CONFIDENCE = 0.95
FEWEST_DEFINED = 0.95
"""A metric that is undefined in more resamples than this leaves over has no interval."""
METHOD = (
    f"case-level bootstrap stratified by diagnosis, percentile method, {RESAMPLES} resamples, seed {SEED}; "
    "accuracy_wilson95 is Wilson's interval for comparison"
)
LARGEST_BLOCK = 4_000_000
"""Counts held at a time: bounds memory for large splits."""

Path = tuple[str, ...]
"""Where a metric is in metrics.json, e.g. ("tasks", "DIAG", "classes", "MEL", "auc")."""


def wilson(successes: int, cases: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns Wilson's interval of a proportion, in [0, 1]."""
    interval = binomtest(successes, cases).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def percentile_interval(replicates: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns the percentile interval of the values of R resamples.

    (NaN, NaN) if the metric is undefined in more than 5 % of the resamples; else of those where it is defined.
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size < FEWEST_DEFINED * replicates.size or not defined.size:
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def resample_blocks(strata: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """Yields counts, float64 [at most R, N], R rows in all; each stratum keeps its number of cases.

    Args:
        strata: for each case the stratum that it is drawn from, [N]; all equal for a plain bootstrap.
        resamples: R.
        seed: of the draws; equal arguments give equal counts.
    """
    strata = np.asarray(strata)
    generator = np.random.default_rng(seed)
    block = max(1, min(resamples, LARGEST_BLOCK // max(1, len(strata))))
    for start in range(0, resamples, block):
        counts = np.empty((min(block, resamples - start), len(strata)), np.float64)
        for stratum in np.unique(strata):
            members = np.flatnonzero(strata == stratum)
            shares = np.full(members.size, 1 / members.size)
            counts[:, members] = generator.multinomial(members.size, shares, size=len(counts))
        yield counts


def weighted_confusion(y_true: np.ndarray, y_pred: np.ndarray, classes: int, counts: np.ndarray) -> np.ndarray:
    """Returns confusion matrices, [R, classes, classes], rows labels and columns predictions."""
    cells = np.eye(classes * classes)[np.asarray(y_true) * classes + np.asarray(y_pred)]
    return (counts @ cells).reshape(len(counts), classes, classes)


@dataclass(frozen=True)
class Ranking:
    """Cases in the order of a score; made once, for any number of resamples.

    Attributes:
        order: of the cases by score, ascending, int [N].
        starts: where in it each distinct score begins, int [scores].
        truth: of the cases in this order, bool [N].
    """

    order: np.ndarray
    starts: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, scores: np.ndarray) -> "Ranking":
        """Returns the ranking of cases by scores [N], higher for true; truth is bool [N]."""
        order = np.argsort(scores, kind="stable")
        ordered = np.asarray(scores)[order]
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        return cls(order, starts, np.asarray(truth, bool)[order])

    def totals(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the counts, of [R, N], of true and of other cases at each distinct score, each [R, scores]."""
        drawn = counts[:, self.order]
        positives = drawn * self.truth
        drawn -= positives
        if len(self.starts) == len(self.order):
            return positives, drawn
        return np.add.reduceat(positives, self.starts, axis=1), np.add.reduceat(drawn, self.starts, axis=1)


def weighted_auc(truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the area under the ROC curve in each resample, [R]; a tie counts half; NaN without both kinds of case.

    Args:
        truth: bool [N].
        scores: [N], higher for true.
        counts: [R, N].
    """
    return _auc(*totals_per_score(truth, scores, counts))


def _auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Returns the area, [R], from the counts of both kinds at each score, ascending, [R, scores]."""
    below = np.cumsum(negatives, axis=1)
    below -= negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return divide(np.einsum("rs,rs->r", positives, below), pairs)


def _average_precision(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Returns the average precision, [R], from the counts of both kinds at each score, ascending, [R, scores]."""
    positives, negatives = positives[:, ::-1], negatives[:, ::-1]
    found, others = np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    others += found
    # Where nothing is drawn yet nothing is found either, and 0 / 1 is the 0 that it has to be.
    np.maximum(others, 1, out=others)
    precision = np.divide(found, others, out=others)
    return divide(np.einsum("rs,rs->r", positives, precision), found[:, -1])


def totals_per_score(truth: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the counts of true and of other cases at each distinct score, ascending, each [R, scores]."""
    return Ranking.of(truth, scores).totals(counts)


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns the quotient, NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def _mean_of_defined(columns: np.ndarray) -> np.ndarray:
    """Returns the mean over the last axis of what is not NaN; NaN where nothing is."""
    defined = ~np.isnan(columns)
    return divide(np.where(defined, columns, 0).sum(axis=-1), defined.sum(axis=-1))


def class_replicates(rankings: Sequence[Ranking], counts: np.ndarray, confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Returns each of `metrics.CLASS_METRICS`, [R, classes].

    Args:
        rankings: of the cases by the probability of each class.
        counts: [R, N].
        confusion: of the same counts, [R, classes, classes].
    """
    right = np.diagonal(confusion, axis1=1, axis2=2)
    support, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    negatives = confusion.sum(axis=(1, 2))[:, None] - support
    areas, precisions = [], []
    for ranking in rankings:
        totals = ranking.totals(counts)
        areas.append(_auc(*totals))
        precisions.append(_average_precision(*totals))
    return {
        "sensitivity": divide(right, support),
        "specificity": divide(negatives - (predicted - right), negatives),
        "precision": divide(right, predicted),
        "auc": np.stack(areas, axis=1),
        "f1": divide(2 * right, support + predicted),
        "average_precision": np.stack(precisions, axis=1),
    }


def _kappa(confusion: np.ndarray) -> np.ndarray:
    total = confusion.sum(axis=(1, 2))
    observed = np.trace(confusion, axis1=1, axis2=2) / total
    expected = (confusion.sum(axis=1) * confusion.sum(axis=2)).sum(axis=1) / total**2
    return divide(observed - expected, 1 - expected)


@dataclass(frozen=True)
class _Answers:
    """What a predictions table says about a task: labels and predictions [N], the ranking by each class."""

    task: Task
    y_true: np.ndarray
    y_pred: np.ndarray
    rankings: tuple[Ranking, ...]


def _answers(table: pd.DataFrame, task: Task) -> _Answers:
    y_true, probabilities = predictions.true_labels(table, task), predictions.task_probabilities(table, task)
    rankings = tuple(Ranking.of(y_true == number, scores) for number, scores in enumerate(probabilities.T))
    return _Answers(task, y_true, probabilities.argmax(axis=1), rankings)


def measure_of(table: pd.DataFrame) -> Callable[[np.ndarray], dict[Path, np.ndarray]]:
    """Returns the function from counts [R, N] to every metric of a table, [R], by its place in metrics.json.

    What does not depend on the counts is done here, once: resamples of a large table come in many blocks.
    """
    answers = [_answers(table, task) for task in TASKS]

    def measure(counts: np.ndarray) -> dict[Path, np.ndarray]:
        values: dict[Path, np.ndarray] = {}
        by_class: dict[str, dict[str, np.ndarray]] = {}
        for one in answers:
            confusion = weighted_confusion(one.y_true, one.y_pred, len(one.task.classes), counts)
            by_class[one.task.name] = class_replicates(one.rankings, counts, confusion)
            values |= _task_replicates(one.task, by_class[one.task.name], confusion)
        return values | _average_replicates(values, by_class)

    return measure


def _task_replicates(task: Task, rates: Mapping[str, np.ndarray], confusion: np.ndarray) -> dict[Path, np.ndarray]:
    place = ("tasks", task.name)
    values: dict[Path, np.ndarray] = {
        (*place, "accuracy"): np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2)),
        (*place, "balanced_accuracy"): _mean_of_defined(rates["sensitivity"]),
        (*place, "kappa"): _kappa(confusion),
    }
    for metric, columns in rates.items():
        values |= {(*place, "classes", name, metric): columns[:, i] for i, name in enumerate(task.classes)}
    return values


def table_replicates(table: pd.DataFrame, counts: np.ndarray) -> dict[Path, np.ndarray]:
    """Returns every metric of a predictions table in each resample, [R], by its place in metrics.json."""
    return measure_of(table)(counts)


def _average_replicates(
    values: Mapping[Path, np.ndarray], by_class: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[Path, np.ndarray]:
    """Returns the averages that `metrics.AVERAGES` describes."""
    averages = {
        ("average", metric): _mean_of_defined(np.stack([values["tasks", task.name, metric] for task in TASKS], axis=1))
        for metric in ("accuracy", "balanced_accuracy", "kappa")
    }
    for metric in metrics.CLASS_METRICS:
        means = np.stack([_mean_of_defined(by_class[task.name][metric]) for task in TASKS], axis=1)
        averages["average", "macro", metric] = _mean_of_defined(means)
    groups: dict[str, tuple[Task, ...]] = {"paper_criteria": CRITERIA, "paper_diagnosis": (DIAGNOSIS,)}
    for name, tasks in groups.items():
        for metric in metrics.PAPER_METRICS:
            columns = np.concatenate([by_class[task.name][metric] for task in tasks], axis=1)
            averages["average", name, metric] = np.nan_to_num(columns).mean(axis=1)
    return averages


@dataclass(frozen=True)
class Bootstrap:
    """Resampled metrics of a predictions table.

    Attributes:
        replicates: for each metric by its place in metrics.json, its value in each resample, [R].
    """

    replicates: Mapping[Path, np.ndarray]

    def interval(self, *path: str) -> tuple[float, float]:
        """Returns the 95 % interval of a metric; (NaN, NaN) if it has none."""
        return percentile_interval(self.replicates[path])


def bootstrap(table: pd.DataFrame, resamples: int = RESAMPLES, seed: int = SEED) -> Bootstrap:
    """Returns all metrics of a predictions table in each resample of its cases, stratified by diagnosis."""
    strata = predictions.true_labels(table, DIAGNOSIS)
    return Bootstrap(replicates_of(measure_of(table), strata, resamples, seed))


def replicates_of(measure, strata: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED) -> dict:
    """Returns {name: [R]} of a function from counts [r, N] to {name: [r]}, over all resamples."""
    blocks = [measure(counts) for counts in resample_blocks(strata, resamples, seed)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def add_intervals(report: dict, resampled: Bootstrap) -> None:
    """Puts `<metric>_ci95` beside every metric of a report, in place; (NaN, NaN) where there is none."""
    for path in resampled.replicates:
        node = report
        for key in path[:-1]:
            node = node[key]
        undefined = np.isnan(node[path[-1]])
        node[f"{path[-1]}_ci95"] = [np.nan, np.nan] if undefined else list(resampled.interval(*path))
