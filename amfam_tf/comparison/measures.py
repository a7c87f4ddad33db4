"""What a grid measures of its runs, by the card of the data: accuracies, areas under curves, and the headline.

Of Derm7pt these are the numbers of the paper's tables, by names that are older than any other card; of every other
data set a name is the place in metrics.json, with dots.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import OVERALL_METRICS, DataCard
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.evaluation import metrics, published, titles
from amfam_tf.report import rates

AVERAGE, AUC, MAIN_AUC = "average", "auc", published.MAIN_AUC
"""Of Derm7pt."""


@dataclass(frozen=True)
class Measure:
    """A number of a run, in [0, 1] (kappa in [-1, 1]).

    Attributes:
        name: in files.
        short: as a heading.
        title: what it is.
        about: of what it is.
        places: in metrics.json, of what it is the mean where that is defined.
    """

    name: str
    short: str
    title: str
    about: str
    places: tuple[metrics.Path, ...]

    def of(self, values: Mapping[metrics.Path, np.ndarray]) -> np.ndarray:
        """Returns it, [R], of what `metrics.measure_of` gives."""
        return rates.mean_of_defined(np.stack([values[place] for place in self.places], axis=1))


@dataclass(frozen=True)
class Measures:
    """The numbers of a card.

    Attributes:
        tasks: the accuracy of each task, in order.
        average: their mean; None of a single task.
        areas: AUC over all tasks, if there are several, and that of the main task.
        overall: of the main task as a whole; () for Derm7pt.
        headline: by which runs are compared.
    """

    tasks: tuple[Measure, ...]
    average: Measure | None
    areas: tuple[Measure, ...]
    overall: tuple[Measure, ...]
    headline: Measure

    @property
    def accuracies(self) -> tuple[Measure, ...]:
        """Returns the accuracies of the tasks, then their mean."""
        return self.tasks if self.average is None else (*self.tasks, self.average)

    @property
    def by_name(self) -> dict[str, Measure]:
        """Returns all of them, each once, in the order of files."""
        found = (*self.accuracies, *self.areas, *self.overall, self.headline)
        return {measure.name: measure for measure in found}

    @property
    def titles(self) -> dict[str, str]:
        """Returns what each is, by its name."""
        return {name: measure.title for name, measure in self.by_name.items()}


def measures_of(card: DataCard) -> Measures:
    """Returns what is measured of data with a card."""
    older, main, all_tasks = cards.is_derm7pt(card), card.main_task, titles.of_tasks(card)

    def named(old: str, *place: str) -> str:
        return old if older else ".".join(place)

    def of_task(task: Task, metric: str) -> Measure:
        place, short = ("tasks", task.name, metric), titles.OVERALL[metric]
        return Measure(named(task.name, *place), short, f"{short} of {task.name}", task.title, (place,))

    def averaged(metric: str) -> Measure:
        place, short, about = ("average", metric), titles.OVERALL[metric], f"mean of {all_tasks}"
        return Measure(named(AVERAGE, *place), short, f"{short}, {about}", about, (place,))

    classes = tuple(("tasks", main.name, "classes", name, "auc") for name in main.classes)
    areas = (
        Measure(
            named(AUC, "average", "macro", "auc"),
            "AUC",
            f"AUC, mean over {all_tasks} of the mean over their classes",
            all_tasks,
            (("average", "macro", "auc"),),
        ),
        Measure(
            named(MAIN_AUC, "tasks", main.name, "macro_auc"),
            f"{main.name} AUC",
            f"AUC, mean over the classes of {main.name}",
            main.title,
            classes,
        ),
    )
    several = len(card.tasks) > 1
    section, _, metric = card.headline.rpartition(".")
    return Measures(
        tuple(of_task(task, "accuracy") for task in card.tasks),
        averaged("accuracy") if several else None,
        areas if several else areas[1:],
        () if older else tuple(of_task(main, name) for name in OVERALL_METRICS if name != "macro_auc"),
        averaged(metric) if several and section == "average" else of_task(main, metric),
    )


def labelled_cases(cases: pd.DataFrame, card: DataCard) -> dict[str, int]:
    """Returns how many of the cases have a label, for each task whose labels may be unknown."""
    return {task.name: int((cases[task.name] != UNKNOWN).sum()) for task in card.tasks if task.missing}
