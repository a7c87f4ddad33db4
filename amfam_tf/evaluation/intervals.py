"""95 % intervals: bootstrap of every metric at once, and Wilson's for a plain proportion.

A resample is a row of counts: how often each case was drawn, see `amfam_tf.evaluation.metrics`. Cases are drawn within
each class of the card's main task, those of which nobody knows it apart; where the card has groups, such as patients,
whole groups are drawn, of all classes: cases of one group are alike, and drawn one by one they would make the interval
too narrow.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import metrics, predictions
from amfam_tf.evaluation.metrics import Path

Name = TypeVar("Name", bound=Hashable)
RESAMPLES = 2000
SEED = 0
CONFIDENCE = 0.95
FEWEST_DEFINED = 0.95
"""A metric that is undefined in more resamples than this leaves over has no interval."""
LARGEST_BLOCK = 4_000_000
"""Counts held at a time: bounds memory for large splits."""


def method(card: DataCard) -> str:
    """Returns how the intervals of a card's data are made, in words."""
    drawn = f"case-level bootstrap stratified by {card.main_task.title}"
    if card.cases.group is not None:
        drawn = f"bootstrap of whole groups ({card.cases.group}), drawn with replacement with all their cases"
    return (
        f"{drawn}, percentile method, {RESAMPLES} resamples, seed {SEED}; "
        "accuracy_wilson95 is Wilson's interval for comparison"
    )


def groups_of(cases: pd.DataFrame | None, card: DataCard) -> np.ndarray | None:
    """Returns the group of each case, [N], of the rows of a data set; None if its card has none."""
    return None if cases is None or card.cases.group is None else cases["group"].to_numpy()


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


def resample_blocks(
    strata: np.ndarray, resamples: int = RESAMPLES, seed: int = SEED, groups: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yields counts, float64 [at most R, N], R rows in all; each stratum keeps its number of cases.

    Args:
        strata: for each case the stratum that it is drawn from, [N]; all equal for a plain bootstrap.
        resamples: R.
        seed: of the draws; equal arguments give equal counts.
        groups: for each case what is drawn in its place, as often as there are groups, [N]; strata are then not kept.
    """
    if groups is not None:
        names, places = np.unique(groups, return_inverse=True)
        for drawn in resample_blocks(np.zeros(len(names)), resamples, seed):
            yield drawn[:, places]
        return
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


def bootstrap(
    table: pd.DataFrame,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    *,
    card: DataCard,
    groups: np.ndarray | None = None,
) -> Bootstrap:
    """Returns all metrics of a predictions table in each resample of its cases, see `resample_blocks`."""
    strata = predictions.true_labels(table, card.main_task)
    return Bootstrap(replicates_of(metrics.measure_of(table, card), strata, resamples, seed, groups))


def replicates_of(
    measure: Callable[[np.ndarray], Mapping[Name, np.ndarray]],
    strata: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    groups: np.ndarray | None = None,
) -> dict[Name, np.ndarray]:
    """Returns {name: [R]} of a function from counts [r, N] to {name: [r]}, over all resamples."""
    blocks = [measure(counts) for counts in resample_blocks(strata, resamples, seed, groups)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def add_intervals(report: dict[str, Any], resampled: Bootstrap) -> None:
    """Puts `<metric>_ci95` beside every metric of a report, in place; (NaN, NaN) where there is none."""
    for path in resampled.replicates:
        node = report
        for key in path[:-1]:
            node = node[key]
        undefined = np.isnan(node[path[-1]])
        node[f"{path[-1]}_ci95"] = [np.nan, np.nan] if undefined else list(resampled.interval(*path))
