"""What each picture alone is worth to a network that answers for one or both: C, D and C+D on the same cases."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import compare_runs, intervals, metrics
from amfam_tf.report.results import Change, RunComparison

BOTH = "both pictures"


def of_one(modality: str) -> str:
    """Returns the heading of what is answered to one picture."""
    return f"{modality} picture alone"


def compared(
    both: pd.DataFrame, alone: Mapping[str, pd.DataFrame], cases: pd.DataFrame, card: DataCard
) -> dict[str, RunComparison]:
    """Returns, by modality, the answers to both pictures beside those to that one alone, the latter with intervals.

    Args:
        both: predictions table.
        alone: {modality: predictions table of that picture}.
        cases: in the order of `both`.
        card: of the data.
    """
    groups = intervals.groups_of(cases, card)
    found: dict[str, RunComparison] = {}
    for modality, table in alone.items():
        comparison = compare_runs.compare(both, table, card=card, groups=groups)
        measured = metrics.all_metrics(table, card)
        intervals.add_intervals(measured, table, intervals.bootstrap(table, card=card, groups=groups), card, groups)
        _add_intervals(comparison, measured)
        found[modality] = {"first": BOTH, "second": of_one(modality), **comparison}
    return found


def _add_intervals(comparison: RunComparison, measured: Mapping[str, Any]) -> None:
    """Puts `second_ci95` beside every value of the second table, in place, of its metrics."""

    def add(changes: Mapping[str, Change], values: Mapping[str, Any]) -> None:
        for metric, change in changes.items():
            change["second_ci95"] = values[f"{metric}_ci95"]

    add(comparison["average"], measured["average"])
    for name, task in comparison["tasks"].items():
        values = measured["tasks"][name]
        add({metric: change for metric, change in task.items() if metric != "classes"}, values)  # type: ignore[misc]
        for label, of_class in task["classes"].items():
            add(of_class, values["classes"][label])
