"""95 % intervals of everything that is measured of one run, and the resamples behind those that need them.

| metric | interval |
| --- | --- |
| accuracy of a task; sensitivity, specificity, precision of a class | Clopper and Pearson's |
| F1 of a class | Clopper and Pearson's of TP / (TP + FP + FN), of which it is a function |
| AUC of a class | `amfam_tf.evaluation.delong` |
| average precision of a class | Wilson's; variance of the resamples, at most as many cases as are of the class |
| balanced accuracy, macro F1, macro AUC | as below, or the classes' own put together if wider (Zou and Donner 2008) |
| kappa, F1 at 0.5 | Wilson's; variance of the resamples, at most as many cases as there are |
| averages over tasks | the same, at most as many answers as there are: cases times tasks |

`amfam_tf.evaluation.proportions` has the first and the last. A resample is a row of counts: how often each case was
drawn, see `amfam_tf.evaluation.metrics`. Cases are drawn plainly, whatever their labels: within classes, what is by
chance would be taken for fixed. Where the card has groups, such as patients, whole groups are drawn, and the intervals
without resamples count them: cases of one group are alike, and one by one would make the interval too narrow.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import delong, metrics, predictions, proportions
from amfam_tf.evaluation.metrics import Path
from amfam_tf.evaluation.proportions import CONFIDENCE, NONE, Interval
from amfam_tf.report.results import TaskValues, value

Name = TypeVar("Name", bound=Hashable)
RESAMPLES = 2000
SEED = 0
FEWEST_DEFINED = 0.95
"""A metric that is undefined in more resamples than this leaves over has no interval by them."""
LARGEST_BLOCK = 4_000_000
"""Counts held at a time: bounds memory for large splits."""
MEANS_OF_CLASSES = {"balanced_accuracy": "sensitivity", "macro_f1": "f1", "macro_auc": "auc"}
"""Of what of the classes a metric of a task is the mean."""
LOWEST = {"kappa": -1.0}
"""Where the range of a metric does not begin at 0."""


def method(card: DataCard) -> str:
    """Returns how the intervals of a card's data are made, in words."""
    drawn, exact = "cases drawn with replacement", "Clopper and Pearson's for shares of cases"
    if card.cases.group is not None:
        drawn = f"whole groups ({card.cases.group}) drawn with replacement with all their cases"
        exact += f", of the effective number of cases in groups ({card.cases.group})"
    return (
        f"{exact}; by DeLong's and Hanley and McNeil's variance for AUC; for the rest by the variance of a bootstrap, "
        f"{drawn}, {RESAMPLES} resamples, seed {SEED}; accuracy_wilson95 is Wilson's interval for comparison"
    )


def groups_of(cases: pd.DataFrame | None, card: DataCard) -> np.ndarray | None:
    """Returns the group of each case, [N], of the rows of a data set; None if its card has none."""
    return None if cases is None or card.cases.group is None else cases["group"].to_numpy()


def wilson(successes: int, cases: int) -> Interval:
    """Returns Wilson's interval of a proportion, in [0, 1]."""
    return proportions.wilson(successes / cases, cases)


def _defined(replicates: np.ndarray) -> np.ndarray:
    """Returns the values where they are defined; none if they are not in more than 5 % of the resamples."""
    defined = replicates[~np.isnan(replicates)]
    return defined if defined.size >= FEWEST_DEFINED * replicates.size else defined[:0]


def percentile_interval(replicates: np.ndarray) -> Interval:
    """Returns the percentile interval of the values of R resamples, for differences; none without enough of them."""
    defined = _defined(replicates)
    if not defined.size:
        return NONE
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def spread_interval(
    value: float, replicates: np.ndarray, cases: int, freedom: float, lowest: float = 0.0, tasks: int = 1
) -> Interval:
    """Returns Wilson's interval of an estimate by the variance of its values in R resamples.

    Args:
        value: the estimate, in [lowest, 1].
        replicates: [R]; NaN where it is undefined.
        cases: cases (or groups) that it rests on; of a single one the interval is the whole range.
        freedom: degrees of freedom of its variance.
        lowest: lower end of the range.
        tasks: that it is a mean over: it rests on as many answers to each case, of which it is not seen how much they
            are alike where the values do not vary.
    """
    defined, width = _defined(replicates), 1 - lowest
    if not defined.size or np.isnan(value):
        return NONE
    if cases < 2:
        return lowest, 1.0
    variance = float(np.var(defined)) * cases / (cases - 1) / width**2
    most = cases * tasks if variance > 0 else cases
    low, high = proportions.of_estimate((value - lowest) / width, variance, most, freedom)
    return lowest + width * low, lowest + width * high


def resample_blocks(
    cases: int, resamples: int = RESAMPLES, seed: int = SEED, groups: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yields counts, float64 [at most R, N], R rows in all.

    Args:
        cases: N.
        resamples: R.
        seed: of the draws; equal arguments give equal counts.
        groups: for each case what is drawn in its place, as often as there are groups, [N].
    """
    if groups is not None:
        names, places = np.unique(groups, return_inverse=True)
        for drawn in resample_blocks(len(names), resamples, seed):
            yield drawn[:, places]
        return
    generator = np.random.default_rng(seed)
    block = max(1, min(resamples, LARGEST_BLOCK // max(1, cases)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        yield generator.multinomial(cases, np.full(cases, 1 / max(1, cases)), size=rows).astype(np.float64)


def bootstrap(
    table: pd.DataFrame,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    *,
    card: DataCard,
    groups: np.ndarray | None = None,
) -> dict[Path, np.ndarray]:
    """Returns, by its place in metrics.json, each metric of a predictions table in each resample of its cases, [R]."""
    return replicates_of(metrics.measure_of(table, card), len(table), resamples, seed, groups)


def replicates_of(
    measure: Callable[[np.ndarray], Mapping[Name, np.ndarray]],
    cases: int,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    groups: np.ndarray | None = None,
) -> dict[Name, np.ndarray]:
    """Returns {name: [R]} of a function from counts [r, N] to {name: [r]}, over all resamples."""
    blocks = [measure(counts) for counts in resample_blocks(cases, resamples, seed, groups)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def add_intervals(
    report: dict[str, Any],
    table: pd.DataFrame,
    drawn: Mapping[Path, np.ndarray],
    card: DataCard,
    groups: np.ndarray | None = None,
) -> None:
    """Puts `<metric>_ci95` beside every metric of a report, in place; (NaN, NaN) where there is none.

    Args:
        report: `average` and `tasks` of the table, see `metrics.all_metrics`.
        table: the predictions table.
        drawn: its metrics in resamples, see `bootstrap`.
        card: of the data.
        groups: of the cases, [N].
    """
    found: dict[Path, Interval] = {}
    for task in card.tasks:
        rows = predictions.labelled(table, task)
        of_task = None if groups is None else groups[rows]
        found |= _of_task(task, table[rows], report["tasks"][task.name], drawn, of_task)
    number = number_of(np.ones(len(table), bool), groups)
    for path, replicates in drawn.items():
        node = report
        for key in path[:-1]:
            node = node[key]
        if path not in found:
            lowest, tasks = LOWEST.get(path[-1], 0.0), metrics.tasks_averaged(path, card)
            found[path] = spread_interval(node[path[-1]], replicates, number, number - 1, lowest, tasks)
        node[f"{path[-1]}_ci95"] = list(NONE if np.isnan(node[path[-1]]) else found[path])


def number_of(inside: np.ndarray, groups: np.ndarray | None) -> int:
    """Returns how many cases are inside, bool [N], or how many groups these are of."""
    return int(inside.sum()) if groups is None else len(np.unique(groups[inside]))


def _of_task(
    task: Task,
    table: pd.DataFrame,
    values: TaskValues,
    drawn: Mapping[Path, np.ndarray],
    groups: np.ndarray | None,
) -> dict[Path, Interval]:
    """Returns the intervals of a task and its classes, by place; `table` are its labelled cases."""
    truth, given = predictions.true_labels(table, task), predictions.task_probabilities(table, task)
    answer, place = given.argmax(axis=1), ("tasks", task.name)
    found: dict[Path, Interval] = {(*place, "accuracy"): proportions.of_cases(answer == truth, groups)}
    for number, name in enumerate(task.classes):
        own, at = values["classes"][name], (*place, "classes", name)
        is_class = truth == number
        found |= {(*at, key): ends for key, ends in of_class(is_class, answer == number, groups).items()}
        found[*at, "auc"] = delong.interval(is_class, given[:, number], groups)
        cases = number_of(is_class, groups)
        precision = own["average_precision"]
        found[*at, "average_precision"] = spread_interval(precision, drawn[*at, "average_precision"], cases, np.inf)
    return found | _of_whole_task(values, place, found, drawn, number_of(np.ones(len(table), bool), groups))


def _of_whole_task(
    values: TaskValues, place: Path, found: Mapping[Path, Interval], drawn: Mapping[Path, np.ndarray], cases: int
) -> dict[Path, Interval]:
    """Returns the intervals of what is over all classes but the accuracy; `found` has those of the classes."""
    whole: dict[Path, Interval] = {}
    for metric in ("kappa", "f1_at_half", *MEANS_OF_CLASSES):
        at = (*place, metric)
        if at in drawn:
            lowest = LOWEST.get(metric, 0.0)
            whole[at] = spread_interval(value(values, metric), drawn[at], cases, cases - 1, lowest)
            if metric in MEANS_OF_CLASSES:
                of = MEANS_OF_CLASSES[metric]
                classes = values["classes"].items()
                parts = [(value(row, of), found[*place, "classes", name, of]) for name, row in classes]
                whole[at] = _wider(whole[at], _of_mean(parts))
    return whole


def of_class(truth: np.ndarray, answer: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Interval]:
    """Returns the intervals of sensitivity, specificity, precision and F1 of one class against the rest.

    Args:
        truth: whether a case is of the class, bool [N].
        answer: whether it is said to be.
        groups: of the cases, [N].
    """

    def share(right: np.ndarray, among: np.ndarray) -> Interval:
        return proportions.of_cases(right[among], None if groups is None else groups[among])

    low, high = share(truth & answer, truth | answer)
    return {
        "sensitivity": share(answer, truth),
        "specificity": share(~answer, ~truth),
        "precision": share(truth, answer),
        "f1": (2 * low / (1 + low), 2 * high / (1 + high)),
    }


def _of_mean(parts: Sequence[tuple[float, Interval]]) -> Interval:
    """Returns the interval of the mean of what is defined, put together from those of independent parts."""
    known = [(one, low, high) for one, (low, high) in parts if not np.isnan([one, low, high]).any()]
    if not known:
        return NONE
    values, lows, highs = np.array(known).T
    mean = float(values.mean())
    below, above = (float(np.sqrt(((values - ends) ** 2).sum())) / len(known) for ends in (lows, highs))
    return max(0.0, mean - below), min(1.0, mean + above)


def _wider(one: Interval, other: Interval) -> Interval:
    """Returns the lower lower end and the higher higher end; one alone where the other is not defined."""
    return float(np.fmin(one[0], other[0])), float(np.fmax(one[1], other[1]))
