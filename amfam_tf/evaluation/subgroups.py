"""Results by what is known of the cases beside their pictures, with counts and intervals.

The variables are the columns of metadata that the card marks with `subgroup`, the last one first. A number is put into
bands of its range, which are the same for every split; what nobody knows is a value of its own.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard, MetadataColumn
from amfam_tf.evaluation import clinical, delong, intervals, predictions, proportions
from amfam_tf.report import rates

FEWEST_CASES = 10
"""A cell with fewer cases is too small to be read: it keeps its count and has no values."""
MOST_BANDS = 6
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Names:
    """What the values of a subgroup are called in metrics.json.

    Attributes:
        main: the accuracy of the card's main task.
        counts: for each target, how many cases are of it.
        areas: for each target, the AUC of its probability.
    """

    main: str
    counts: Mapping[str, str]
    areas: Mapping[str, str]

    @classmethod
    def of(cls, card: DataCard) -> "Names":
        """Returns the names of a card; those of Derm7pt are older than the others."""
        areas = {target: f"{target}_auc" for target in card.targets}
        if cards.is_derm7pt(card):
            return cls(f"{card.main_task.title}_accuracy", {target: f"{target}s" for target in card.targets}, areas)
        return cls("main_accuracy", {target: f"{target}_cases" for target in card.targets}, areas)

    @property
    def values(self) -> tuple[str, ...]:
        """Returns what is measured, in order."""
        return ("accuracy", self.main, *self.areas.values())


def variables(card: DataCard) -> tuple[str, ...]:
    """Returns the columns whose values are shown apart, in order."""
    return tuple(name for name in reversed(list(card.metadata)) if card.metadata[name].subgroup)


def members_of(cases: pd.DataFrame, card: DataCard) -> dict[tuple[str, str], np.ndarray]:
    """Returns, for each variable and value that occurs, which cases have it, bool [N]."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for variable in variables(card):
        column, raw = card.metadata[variable], cases[variable].astype(str)
        inside = {value: raw == value for value in column.raw_values} if column.range is None else _bands(column, raw)
        inside[UNKNOWN] = inside.get(UNKNOWN, False) | (raw == "")
        found |= {(variable, value): rows.to_numpy(bool) for value, rows in inside.items() if rows.any()}
    return found


def _bands(column: MetadataColumn, raw: pd.Series) -> dict[str, pd.Series]:
    """Returns which cases are in each band of a number: at most `MOST_BANDS`, of a round width, over its range."""
    low, high = column.range or (0.0, 0.0)
    exponent = math.floor(math.log10((high - low) / MOST_BANDS))
    widths = [step * 10.0**power for power in (exponent, exponent + 1) for step in (1, 2, 5)]

    def edges(width: float) -> list[float]:
        first, last = math.floor(low / width), math.ceil(high / width)
        return [low, *(step * width for step in range(first + 1, last)), high]

    ends = next(found for width in widths if len(found := edges(width)) <= MOST_BANDS + 1)
    values = pd.to_numeric(raw, errors="coerce")
    bands = {f"{a:g} to under {b:g}": (values >= a) & (values < b) for a, b in zip(ends, ends[1:-1], strict=False)}
    # The upper end of the range belongs to the last band.
    return bands | {f"{ends[-2]:g} to {ends[-1]:g}": (values >= ends[-2]) & (values <= ends[-1])}


def subgroup_report(
    table: pd.DataFrame,
    cases: pd.DataFrame,
    resamples: int = intervals.RESAMPLES,
    seed: int = intervals.SEED,
    *,
    card: DataCard,
) -> list[dict[str, Any]]:
    """Returns one row per variable and value that occurs.

    Args:
        table: the predictions table.
        cases: metadata (and groups) of the same cases in the same order.
        resamples: of the whole table; a resample of a subgroup is its part of one.
        seed: of the draws.
        card: of the data.

    Returns:
        variable, value, cases, too_small and what `Names` names: how many cases are of each target; accuracy (mean over
        the tasks), that of the main task and the AUC of each target, each with `_ci95`, see `intervals`. NaN in a
        cell under 10 cases, and where fewer than 10 cases have a label; an AUC also where fewer than 10 cases are of
        the target or fewer than 10 are not.
    """
    members, groups, right = members_of(cases, card), intervals.groups_of(cases, card), _right(table, card)

    def measure(counts: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
        return {key: _accuracy(right[:, inside], counts[:, inside]) for key, inside in members.items()}

    drawn = intervals.replicates_of(measure, len(table), resamples, seed, groups)
    plain = measure(np.ones((1, len(table))))
    rows = []
    for key, inside in members.items():
        number = intervals.number_of(inside, groups)
        ends = intervals.spread_interval(float(plain[key][0]), drawn[key], number, number - 1, tasks=len(card.tasks))
        of_part = None if groups is None else groups[inside]
        rows.append(_row(table[inside], key, (float(plain[key][0]), ends), of_part, card))
    return rows


def _right(table: pd.DataFrame, card: DataCard) -> np.ndarray:
    """Returns whether each task is right for each case, 0 or 1, NaN where nobody knows, [tasks, N]."""
    rows = []
    for task in card.tasks:
        right = predictions.predicted_labels(table, task) == predictions.true_labels(table, task)
        rows.append(np.where(predictions.labelled(table, task), right, np.nan))
    return np.array(rows)


def _accuracy(right: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Returns the mean over the tasks of the accuracy of each, [R], of counts [R, N]; see `_right`."""
    known = ~np.isnan(right)
    if known.all():
        # The mean over the cases is the same, in one product.
        return rates.divide(drawn @ right.mean(axis=0), drawn.sum(axis=1))
    return rates.mean_of_defined(rates.divide(drawn @ np.where(known, right, 0).T, drawn @ known.T))


def _row(
    part: pd.DataFrame,
    key: tuple[str, str],
    accuracy: tuple[float, proportions.Interval],
    groups: np.ndarray | None,
    card: DataCard,
) -> dict[str, Any]:
    names, task = Names.of(card), card.main_task
    row: dict[str, Any] = {"variable": key[0], "value": key[1], "cases": len(part)}
    row |= {name: int(clinical.has_target(part, card, target).sum()) for target, name in names.counts.items()}
    row["too_small"] = len(part) < FEWEST_CASES
    row |= dict.fromkeys(names.values, np.nan) | {f"{name}_ci95": [np.nan, np.nan] for name in names.values}
    if row["too_small"]:
        return row
    found: dict[str, tuple[float, proportions.Interval]] = {}
    known = predictions.labelled(part, task)
    if known.sum() >= FEWEST_CASES:
        right = (part[f"{task.name}_true"] == part[f"{task.name}_pred"]).to_numpy()[known]
        ends = proportions.of_cases(right, None if groups is None else groups[known])
        found[names.main] = float(right.mean()), ends
    if max(predictions.labelled(part, one).sum() for one in card.tasks) >= FEWEST_CASES:
        found["accuracy"] = accuracy
    for target, name in names.areas.items():
        if (area := _area(part, card, target, groups)) is not None:
            found[name] = area
    for name, (one, interval) in found.items():
        row |= {name: one, f"{name}_ci95": list(interval)}
    return row


def _area(
    part: pd.DataFrame, card: DataCard, target: str, groups: np.ndarray | None
) -> tuple[float, proportions.Interval] | None:
    """Returns the AUC of a target's probability with its interval; None with fewer than 10 cases of either kind."""
    known = predictions.labelled(part, clinical.task_of(card, target))
    truth = clinical.has_target(part, card, target)[known]
    if min(truth.sum(), (~truth).sum()) < FEWEST_CASES:
        return None
    probability = clinical.target_probability(part, card, target)[known]
    area = float(rates.weighted_auc(truth, probability, np.ones((1, len(truth))))[0])
    return area, delong.interval(truth, probability, None if groups is None else groups[known])
