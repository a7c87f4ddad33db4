"""Whether a candidate loses against the served version on the same cases, overall and in each subgroup.

| quantity | per case | one-sided test of "no loss" |
| --- | --- | --- |
| accuracy (mean over the tasks) | share of the tasks that are right | exact sign-flip test of the differences |
| diagnosis_accuracy | DIAG right or not | the same, which is McNemar's exact test here |
| melanoma_sensitivity | of melanomas: is the answer melanoma | the same |
| melanoma_specificity | of the others: is it not | the same |
| melanoma_auc | probability of melanoma | DeLong |

That is for Derm7pt. For other cards the second is `<TASK>_accuracy` of the main task, if there are others, and the rest
are `<target>_sensitivity`, `<target>_specificity` and `<target>_auc` of each target. The answer is the one that is
served: the most probable class. An area does not see a probability that is too low everywhere, and the accuracy hardly
does; the sensitivity of the answer is what is lost then. A label that nobody knows counts nowhere. Where the card has
groups, such as patients, the signs of whole groups are flipped, and DeLong's variance is that of groups.

A small p-value says that a loss as large as this one is unlikely if there is none. The p-values of the whole split are
corrected by Holm over the quantities, those of the subgroups by Holm over all quantities and subgroups together: two
families, each at the level of significance. So an equal candidate is refused at most twice as often as the level says;
how often, and how often a worse one is, by simulation: docs/release.md.

A subgroup that is too small to be read (`subgroups.FEWEST_CASES`) is not tested, and listed; so is a rate or an area of
one with too few cases of its kind.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import convolve
from scipy.stats import binom

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import clinical, compare_runs, intervals, predictions, proportions
from amfam_tf.evaluation.subgroups import FEWEST_CASES
from amfam_tf.report import rates

Owners = np.ndarray | None
"""Of each case, [N], whose cases are alike; None takes each for itself."""
Measure = Callable[[tuple[str, str], pd.DataFrame, pd.DataFrame, Owners], tuple[float, float, float]]
"""From a group of cases, both tables and the owners to the value of each table, and the p-value."""
WHOLE = ("all", "all")
ROUNDING = 1e-12


def find_losses(
    candidate: pd.DataFrame,
    served: pd.DataFrame,
    cases: pd.DataFrame,
    variables: Sequence[str],
    significance: float,
    card: DataCard,
) -> list[dict[str, Any]]:
    """Returns a row per quantity and group of cases.

    Args:
        candidate: its predictions table.
        served: that of the served version, on the same cases in any order.
        cases: metadata of the cases in the order of `candidate`.
        variables: whose values are the subgroups.
        significance: from which p-value on, corrected, a loss is not significant.
        card: of the data.

    Returns:
        quantity, variable, value ("all" for the whole split), cases, candidate, served, difference (candidate minus
        served), p, corrected_p, tested, loss. NaN where a group is not tested.

    Raises:
        DataError: the tables are not about the same cases with the same labels.
    """
    served = compare_runs.align(candidate, served, card)
    owners = intervals.groups_of(cases, card)
    groups = [(WHOLE, candidate, served, owners)]
    for key, inside in _groups(cases, variables, card):
        parts = (table[inside].reset_index(drop=True) for table in (candidate, served))
        groups.append((key, *parts, None if owners is None else owners[inside]))
    rows = [_row(quantity, measure, *group) for quantity, measure in _quantities(card).items() for group in groups]
    for of_whole in (True, False):
        family = [row for row in rows if ((row["variable"], row["value"]) == WHOLE) == of_whole]
        for row, corrected in zip(family, compare_runs.holm([row["p"] for row in family]), strict=True):
            loss = bool(corrected < significance)  # NaN is not
            row |= {"corrected_p": corrected, "tested": not np.isnan(corrected), "loss": loss}
    return rows


def _quantities(card: DataCard) -> dict[str, Measure]:
    """Returns what is measured, by the name of the quantity."""
    main = f"{card.main_task.title if cards.is_derm7pt(card) else card.main_task.name}_accuracy"
    found: dict[str, Measure] = {"accuracy": functools.partial(_right, card.tasks)}
    if len(card.tasks) > 1:
        found[main] = functools.partial(_right, (card.main_task,))
    for target in card.targets:
        found[f"{target}_sensitivity"] = functools.partial(_rate, card, target, True)
        found[f"{target}_specificity"] = functools.partial(_rate, card, target, False)
        found[f"{target}_auc"] = functools.partial(_area, card, target)
    return found


def _groups(
    cases: pd.DataFrame, variables: Sequence[str], card: DataCard
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    for variable in variables:
        for value in card.metadata[variable].raw_values:
            inside = (cases[variable] == value).to_numpy()
            if inside.any():
                yield (variable, value), inside


def _row(
    quantity: str,
    measure: Measure,
    key: tuple[str, str],
    candidate: pd.DataFrame,
    served: pd.DataFrame,
    owners: Owners,
) -> dict[str, Any]:
    readable = key == WHOLE or len(candidate) >= FEWEST_CASES
    one, other, p_value = measure(key, candidate, served, owners) if readable else (np.nan, np.nan, np.nan)
    return {
        "quantity": quantity,
        "variable": key[0],
        "value": key[1],
        "cases": len(candidate),
        "candidate": one,
        "served": other,
        "difference": one - other,
        "p": p_value,
    }


def _right(
    tasks: Sequence[Task], _: tuple[str, str], candidate: pd.DataFrame, served: pd.DataFrame, owners: Owners
) -> tuple[float, float, float]:
    known = sum(int(predictions.labelled(candidate, task).sum()) for task in tasks)
    if not known:
        return np.nan, np.nan, np.nan
    counts = [_right_answers(table, tasks) for table in (candidate, served)]
    one, other = (float(count.sum() / known) for count in counts)
    return one, other, sign_flip_p_value(_of_owners(counts[0] - counts[1], owners))


def _rate(
    card: DataCard,
    target: str,
    of_target: bool,
    key: tuple[str, str],
    candidate: pd.DataFrame,
    served: pd.DataFrame,
    owners: Owners,
) -> tuple[float, float, float]:
    """Returns the sensitivity of the answers for a target, or the specificity, of both, and the p-value."""
    known = predictions.labelled(candidate, clinical.task_of(card, target))
    inside = known & (clinical.has_target(candidate, card, target) == of_target)
    if inside.sum() < (1 if key == WHOLE else FEWEST_CASES):
        return np.nan, np.nan, np.nan
    right = [(clinical.answers_target(table, card, target) == of_target)[inside] for table in (candidate, served)]
    differences = _of_owners(right[0].astype(np.int64) - right[1], None if owners is None else owners[inside])
    return float(right[0].mean()), float(right[1].mean()), sign_flip_p_value(differences)


def _of_owners(differences: np.ndarray, owners: Owners) -> np.ndarray:
    """Returns the sums of whole numbers, int [N], over the cases of each owner."""
    return proportions.sums_of(differences, owners).astype(np.int64)


def _right_answers(table: pd.DataFrame, tasks: Sequence[Task]) -> np.ndarray:
    """Returns in how many of the tasks each case is right, int [N]; an unknown label is no class."""
    right = [predictions.predicted_labels(table, task) == predictions.true_labels(table, task) for task in tasks]
    return np.sum(right, axis=0)


def sign_flip_p_value(differences: np.ndarray) -> float:
    """Returns the exact one-sided p-value of a paired test: the chance of a sum as small as this or smaller.

    Without a loss, each difference is as likely to have the other sign. Differences of equal size m are together m
    (2 B - n), B binomial, so the distribution is a convolution over the few sizes.

    Args:
        differences: first minus second, small whole numbers, [N].
    """
    differences = np.asarray(differences, np.int64)
    distribution, lowest = np.ones(1), 0
    for size in range(1, int(np.abs(differences).max(initial=0)) + 1):
        count = int((np.abs(differences) == size).sum())
        if count:
            spread = np.zeros(2 * size * count + 1)
            spread[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
            distribution, lowest = convolve(distribution, spread), lowest - size * count
    place = int(differences.sum()) - lowest
    return float(np.clip(distribution[: place + 1].sum(), 0, 1))


def _area(
    card: DataCard,
    target: str,
    key: tuple[str, str],
    candidate: pd.DataFrame,
    served: pd.DataFrame,
    owners: Owners,
) -> tuple[float, float, float]:
    known = predictions.labelled(candidate, clinical.task_of(card, target))
    candidate, served = candidate[known], served[known]
    truth = clinical.has_target(candidate, card, target)
    fewest = min(int(truth.sum()), int((~truth).sum()))
    if fewest < (2 if key == WHOLE else FEWEST_CASES):
        return np.nan, np.nan, np.nan
    scores = np.stack([clinical.target_probability(table, card, target) for table in (candidate, served)])
    ones = np.ones((1, len(truth)))
    one, other = (float(rates.weighted_auc(truth, row, ones)[0]) for row in scores)
    difference, _width, two_sided = compare_runs.delong(truth, scores, None if owners is None else owners[known])
    return one, other, two_sided / 2 if difference < -ROUNDING else 1 - two_sided / 2
