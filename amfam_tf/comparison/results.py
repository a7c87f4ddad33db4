"""What the cells of a grid found: mean and standard deviation over the seeds, intervals, paired differences.

An interval is from a bootstrap of two levels. Each resample draws the cases with replacement as
`amfam_tf.evaluation.intervals` does, one by one or patients as a whole, the same for all groups, and for each group by
itself as many seeds as it has, with replacement; its value is the mean over those seeds on those cases. So it is about
another sample of cases and another training. With one seed it is about cases only; of few seeds, S, such a draw shows
only (S - 1) / S of their variance. So a difference with fewer than `FEWEST_SEEDS` seeds on either side has no p-value,
and is marked as one of cases alone: equal methods differ from seed to seed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from amfam_tf.card.schema import DataCard
from amfam_tf.comparison.measures import measures_of
from amfam_tf.evaluation import compare_runs, intervals, metrics, predictions

FEWEST_SEEDS = 3
"""Of either group, for a difference with a p-value: of fewer it is not seen how much another training would differ."""


@dataclass(frozen=True)
class Value:
    """A metric of one group.

    Attributes:
        by_seed: its value for each seed.
        low, high: ends of the 95 % interval of the mean; NaN where there is none.
    """

    by_seed: tuple[float, ...]
    low: float
    high: float

    @property
    def ends(self) -> tuple[float, float]:
        """Returns the ends of the interval."""
        return self.low, self.high

    @property
    def mean(self) -> float:
        """Returns the mean over the seeds."""
        return float(np.mean(self.by_seed))

    @property
    def deviation(self) -> float:
        """Returns the standard deviation over the seeds (n - 1); NaN for one seed."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else np.nan


@dataclass(frozen=True)
class Difference:
    """How much the mean of a group is above the reference's, on the same cases.

    Attributes:
        value: the difference of the means over the seeds.
        low, high: ends of its 95 % interval.
        p: two-sided, from the same resamples: twice the smaller share of them on one side of 0; NaN of cases alone.
        p_holm: corrected by Holm for all groups that are held against the reference.
        cases_alone: fewer than `FEWEST_SEEDS` seeds on either side: the interval is not about another training.
    """

    value: float
    low: float
    high: float
    p: float
    p_holm: float
    cases_alone: bool = False


@dataclass(frozen=True)
class GroupResult:
    """What the runs of one group found.

    Attributes:
        name: of the group.
        seeds: of its runs.
        values: by metric.
        differences: to the reference, by metric; empty for the reference itself and where there is none.
    """

    name: str
    seeds: tuple[int, ...]
    values: Mapping[str, Value]
    differences: Mapping[str, Difference] = field(default_factory=dict)


Tables = Mapping[str, Mapping[int, pd.DataFrame]]
"""Group -> seed -> predictions table."""


def summarise(
    tables: Tables,
    reference: str | None = None,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
    *,
    card: DataCard,
    cases: pd.DataFrame | None = None,
) -> list[GroupResult]:
    """Returns the result of each group.

    Args:
        tables: at least one seed for each group; all on the same cases.
        reference: the group to take differences to; None, or one that is not there, takes none.
        resamples: of the bootstrap.
        seed: of its draws.
        card: of the data.
        cases: of the data, those of the tables among them; None draws case by case whatever the card says.

    Raises:
        DataError: two tables are about other cases or labels.
    """
    aligned = _align(tables, card)
    plain = {group: {seed: _measure(table, card) for seed, table in runs.items()} for group, runs in aligned.items()}
    groups = _groups(aligned, card, cases)
    drawn = _replicates(aligned, resamples, seed, card, groups)
    cases_drawn = len(_first(tables)) if groups is None else len(np.unique(groups))
    values = {group: _values(plain[group], drawn[group], cases_drawn, card) for group in tables}
    differences = {}
    if reference is not None and reference in tables:
        differences = _differences(values, drawn, reference)
    return [GroupResult(group, tuple(tables[group]), values[group], differences.get(group, {})) for group in tables]


def _align(tables: Tables, card: DataCard) -> dict[str, dict[int, pd.DataFrame]]:
    first = _first(tables)
    return {
        group: {seed: compare_runs.align(first, table, card) for seed, table in runs.items()}
        for group, runs in tables.items()
    }


def _first(tables: Tables) -> pd.DataFrame:
    return next(iter(next(iter(tables.values())).values()))


def _measure(table: pd.DataFrame, card: DataCard) -> dict[str, float]:
    return {metric: float(found[0]) for metric, found in _measure_of(table, card)(np.ones((1, len(table)))).items()}


def _measure_of(table: pd.DataFrame, card: DataCard) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Returns the function from counts [R, N] to each measure of a table, [R], by its name."""
    measure, chosen = metrics.measure_of(table, card), measures_of(card).by_name

    def measured(counts: np.ndarray) -> dict[str, np.ndarray]:
        values = measure(counts)
        return {name: one.of(values) for name, one in chosen.items()}

    return measured


def _groups(aligned: Tables, card: DataCard, cases: pd.DataFrame | None) -> np.ndarray | None:
    """Returns the group of each case of the tables, [N]; None if the card has none."""
    order = _first(aligned)[predictions.CASE]
    return intervals.groups_of(None if cases is None else cases.set_index(predictions.CASE).loc[order], card)


def _replicates(
    aligned: Tables, resamples: int, seed: int, card: DataCard, groups: np.ndarray | None
) -> dict[str, dict[str, np.ndarray]]:
    """Returns the mean over the drawn seeds of each metric in each resample: group -> metric -> [R]."""
    found = {}
    for group, runs in aligned.items():
        # Equal arguments give equal counts: every table is measured on the same resamples.
        drawn = [
            intervals.replicates_of(_measure_of(table, card), len(table), resamples, seed, groups)
            for table in runs.values()
        ]
        weights = seed_weights(group, len(runs), resamples, seed)
        found[group] = {
            metric: np.sum(weights.T * np.stack([one[metric] for one in drawn]), axis=0) for metric in drawn[0]
        }
    return found


def seed_weights(group: str, seeds: int, resamples: int, seed: int = intervals.SEED) -> np.ndarray:
    """Returns the share of each seed in each resample, [R, seeds], rows with sum 1.

    The draws depend on the name of the group, not on which others there are.
    """
    generator = np.random.default_rng([seed, *group.encode()])
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds


def _values(
    plain: Mapping[int, Mapping[str, float]], drawn: Mapping[str, np.ndarray], cases: int, card: DataCard
) -> dict[str, Value]:
    """Returns each metric with Wilson's interval by the variance over the resamples of so many cases (or groups)."""
    found, measures = {}, measures_of(card).by_name
    for metric, replicates in drawn.items():
        by_seed = tuple(one[metric] for one in plain.values())
        lowest = intervals.LOWEST.get(metric.rpartition(".")[2], 0.0)
        tasks = max(metrics.tasks_averaged(place, card) for place in measures[metric].places)
        ends = intervals.spread_interval(float(np.mean(by_seed)), replicates, cases, cases - 1, lowest, tasks)
        found[metric] = Value(by_seed, *ends)
    return found


def _differences(
    values: Mapping[str, Mapping[str, Value]], drawn: Mapping[str, Mapping[str, np.ndarray]], reference: str
) -> dict[str, dict[str, Difference]]:
    others = [group for group in values if group != reference]
    few = {group: _fewest_seeds(values[group], values[reference]) < FEWEST_SEEDS for group in others}
    found: dict[str, dict[str, Difference]] = {group: {} for group in others}
    for metric in drawn[reference]:
        changes = {group: drawn[group][metric] - drawn[reference][metric] for group in others}
        p_values = [np.nan if few[group] else two_sided_p(change) for group, change in changes.items()]
        for (group, change), p, corrected in zip(changes.items(), p_values, compare_runs.holm(p_values), strict=True):
            value = values[group][metric].mean - values[reference][metric].mean
            found[group][metric] = Difference(value, *intervals.percentile_interval(change), p, corrected, few[group])
    return found


def _fewest_seeds(*groups: Mapping[str, Value]) -> int:
    return min(len(value.by_seed) for values in groups for value in values.values())


def two_sided_p(change: np.ndarray) -> float:
    """Returns twice the smaller share of resampled differences on one side of 0, at least 2 / (R + 1).

    One resample is added to either side, so that the value is never 0; NaN where the difference is undefined.
    """
    if np.isnan(change).any():
        return np.nan
    smaller = min(np.sum(change <= 0), np.sum(change >= 0))
    return float(min(1.0, 2 * (smaller + 1) / (len(change) + 1)))
