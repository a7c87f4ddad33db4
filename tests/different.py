"""Results of which no two values are the same, so that a value at another's place is seen."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from prediction_tables import random_table
from releases import TinyRelease

from amfam_tf import config as configuration
from amfam_tf.data.derm7pt import read_release
from amfam_tf.evaluation import compare_runs, paper, predictions, report
from amfam_tf.tasks import DERM7PT, TASKS

NOT_SHOWN = ("bins", "decision_curve", "auc_differences")
"""Parts of metrics.json that no table has; the figures draw them."""
OF_TWO_DECIMALS = ("kappa", "brier_score", "log_loss")
NAMES = ("target", "seed")
"""Numbers that name something and are no result."""


class Deck:
    """Deals values that are all different when they are printed.

    Shares of [0.001, 0.999] that differ in percent with one decimal; numbers that differ with two decimals and with
    one decimal in percent; whole numbers from 1000 on.
    """

    def __init__(self, seed: int = 0):
        draw = random.Random(seed)
        self._shares = draw.sample(range(1, 1000), 999)
        self._numbers = draw.sample(range(101, 1000), 899)
        self._counts = draw.sample(range(1000, 9999), 3000)
        self._rest = [value for value in draw.sample(range(1, 100_000), 20_000) if value % 100]

    def share(self) -> float:
        """Returns a share, in thousandths."""
        return self._shares.pop() / 1000

    def number(self) -> float:
        """Returns a number above 1, in hundredths."""
        return self._numbers.pop() / 100

    def count(self) -> int:
        """Returns a whole number of four digits."""
        return self._counts.pop()

    def fine(self) -> float:
        """Returns a share of (0, 1) in hundred thousandths, never in thousandths, for what is drawn and not printed."""
        return self._rest.pop() / 100_000


def deal(node: Any, deck: Deck, key: str = "", shown: bool = True) -> Any:
    """Returns a copy of (a part of) metrics.json with every number replaced by another; lists of a pair rise."""
    shown = shown and key not in NOT_SHOWN
    if isinstance(node, Mapping):
        return {name: deal(value, deck, name, shown) for name, value in node.items()}
    if isinstance(node, list):
        dealt = [deal(value, deck, key, shown) for value in node]
        return sorted(dealt) if key.endswith("ci95") or key == "accuracy_wilson95" else dealt
    if isinstance(node, bool) or node is None or isinstance(node, str) or key in NAMES:
        return node
    if isinstance(node, int):
        return deck.count()
    if not shown or key in ("threshold", "accuracy_wilson95") or key.startswith("delong"):
        return deck.fine()
    return deck.number() if key in OF_TWO_DECIMALS else deck.share()


def leaves(node: Any) -> Iterator[float]:
    """Yields every number of (a part of) a report."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name not in NAMES:
                yield from leaves(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from leaves(value)
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield node


@dataclass(frozen=True)
class Results:
    """An evaluation that no run made: every number of its report is another; the predictions are of other numbers."""

    evaluation: Any
    comparison: dict[str, Any]
    release: pd.DataFrame


def of_evaluation(root: Path, cases: int = 60) -> Results:
    """Returns an evaluation with temperatures, published values and subgroups, and a comparison with another run."""
    from amfam_tf.evaluation.run import Evaluation

    release = read_release(TinyRelease(cases=cases).write(root / "release"))
    table = random_table(cases, seed=3, skill=1.2)
    names = {"case_num": release["case_num"].to_numpy()}
    release = release.assign(**{task.name: predictions.true_labels(table, task) for task in TASKS})
    table, deck = table.assign(**names), Deck()
    built = report.build_report(
        table,
        "test",
        cases=release,
        training=release,
        uncalibrated=table,
        temperatures={task.name: 1.0 for task in TASKS},
        card=DERM7PT,
    )
    for row in built["subgroups"]:
        row["too_small"] = row["variable"] == "location" and row["value"] != "back"
    dealt = deal(built, deck)
    dealt["calibration"]["temperatures"] = {task.name: deck.number() for task in TASKS}
    dealt["published"] = deal(paper.published_part("amfam", release, "test"), deck)
    dealt |= {"undefined": [], "averages_over": built["averages_over"]}
    comparison = deal(
        compare_runs.compare(table, random_table(cases, seed=3, skill=0.5).assign(**names), 20, card=DERM7PT), Deck(1)
    )
    config = configuration.load("tiny", [])
    notes = ("the first thing to know", "the second thing to know")
    run = root / "run of many values"
    run.mkdir()
    evaluation = Evaluation(run, "test", release, release, config, table, dealt, notes, card=DERM7PT)
    return Results(evaluation, {"first": "one run", "second": "another run"} | comparison, release)
