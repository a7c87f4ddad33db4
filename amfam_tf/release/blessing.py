"""The rule by which a candidate is blessed. Both have to hold:

1. Thresholds: for each configured metric of metrics.json, the lower end of its 95 % interval reaches the threshold. A
   metric without an interval (undefined, or too rare in the split) does not reach any.
2. No significant loss against the version that is served now, on the same cases: overall, each quantity of
   `amfam_tf.release.losses` one-sided at the configured level; and in each subgroup, corrected by Holm over the
   subgroups. A first release has nothing to lose against, and the decision says so.

"No significant loss" is not "as good": a small split finds large losses only. The thresholds are what a version has to
be in itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amfam_tf.card.schema import DataCard
from amfam_tf.release.configuration import Threshold
from amfam_tf.release.metric_places import no_such_metric
from amfam_tf.report.results import Report


@dataclass(frozen=True)
class Blessing:
    """A decision.

    Attributes:
        reasons: why not, one sentence each; none if blessed.
        thresholds: per threshold: metric, at_least, value, ci95, reached.
        losses: what `losses.find_losses` returned; None for a first release.
    """

    reasons: tuple[str, ...]
    thresholds: tuple[dict[str, Any], ...]
    losses: tuple[dict[str, Any], ...] | None

    @property
    def blessed(self) -> bool:
        """Says whether the candidate may be served."""
        return not self.reasons


def judge(
    report: Report, thresholds: Sequence[Threshold], losses: Sequence[dict[str, Any]] | None, card: DataCard
) -> Blessing:
    """Returns the decision.

    Args:
        report: content of metrics.json.
        thresholds: to be reached.
        losses: see `losses.find_losses`; None if nothing is served.
        card: of the data.

    Raises:
        ConfigError: a threshold is on something that metrics.json does not have, or has without interval.
    """
    rows = tuple(_look(report, threshold, card) for threshold in thresholds)
    reasons = [_missed(row) for row in rows if not row["reached"]]
    reasons += [_lost(row) for row in losses or () if row["loss"]]
    return Blessing(tuple(reasons), rows, None if losses is None else tuple(losses))


def _look(report: Report, threshold: Threshold, card: DataCard) -> dict[str, Any]:
    *place, last = threshold.metric.split(".")
    node: Any = report
    for key in place:
        node = node.get(key) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or last not in node or f"{last}_ci95" not in node:
        raise no_such_metric(threshold.metric, card)
    low, high = (_number(end) for end in node[f"{last}_ci95"])
    return {
        "metric": threshold.metric,
        "at_least": threshold.at_least,
        "value": node[last],
        "ci95": [low, high],
        "reached": low >= _number(threshold.at_least),  # NaN does not
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _missed(row: Mapping[str, Any]) -> str:
    low, high = row["ci95"]
    if low != low:
        return f"{row['metric']} has no 95 % interval in this split, so it does not reach {row['at_least']:g}"
    return f"{row['metric']}: the 95 % interval {low:.4f} to {high:.4f} begins below {row['at_least']:g}"


def _lost(row: Mapping[str, Any]) -> str:
    where = "overall" if row["variable"] == "all" else f"for {row['variable']} {row['value']}"
    return (
        f"{row['quantity']} {where} is {row['candidate']:.4f}, the served version has {row['served']:.4f} on the same "
        f"{row['cases']} cases (p = {row['corrected_p']:.2g})"
    )
