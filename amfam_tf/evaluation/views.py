"""What each picture alone is worth to a network that answers for one or both: C, D and C+D on the same cases."""

from collections.abc import Mapping

import pandas as pd

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import compare_runs, intervals
from amfam_tf.evaluation.intervals import Bootstrap
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
        _add_intervals(comparison, intervals.bootstrap(table, card=card, groups=groups))
        found[modality] = {"first": BOTH, "second": of_one(modality), **comparison}
    return found


def _add_intervals(comparison: RunComparison, drawn: Bootstrap) -> None:
    """Puts `second_ci95` beside every value of the second table, in place."""

    def add(changes: Mapping[str, Change], *place: str) -> None:
        for metric, change in changes.items():
            change["second_ci95"] = list(drawn.interval(*place, metric))

    add(comparison["average"], "average")
    for name, task in comparison["tasks"].items():
        add({metric: change for metric, change in task.items() if metric != "classes"}, "tasks", name)  # type: ignore[misc]
        for label, of_class in task["classes"].items():
            add(of_class, "tasks", name, "classes", label)
