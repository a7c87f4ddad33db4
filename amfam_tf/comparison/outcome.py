"""A comparison's outcome: what the finished cells found and cost, beside what was published, in sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.comparison import records
from amfam_tf.comparison.grid import Cell, GridFolder
from amfam_tf.comparison.measures import Measures, labelled_cases, measures_of
from amfam_tf.comparison.results import GroupResult, Tables, summarise
from amfam_tf.config import Config
from amfam_tf.data.cases import DataSet
from amfam_tf.errors import RunError
from amfam_tf.evaluation import paper, predictions
from amfam_tf.runs.folder import PREDICTIONS_FILE

REFERENCE = "amfam"
"""The method that the others are held against."""


@dataclass(frozen=True)
class Costs:
    """What a method costs.

    Attributes:
        epoch_seconds: median over the epochs of all its runs, validation included.
        parameters: trainable, of the whole network.
        parameters_served: trainable, of the classifier alone.
        case_seconds: of the classifier for a case, see `amfam_tf.comparison.worker.seconds_per_case`.
        batch_size: of that measurement.
        machine: of that measurement, in words.

    All but the first are None for a method without a measurement.
    """

    epoch_seconds: float
    parameters: int | None = None
    parameters_served: int | None = None
    case_seconds: float | None = None
    batch_size: int | None = None
    machine: str | None = None


@dataclass(frozen=True)
class Section:
    """Methods that learn from the same: images alone, or images and the same metadata.

    Attributes:
        metadata: the columns that they get beside the images.
        results: of each method, in order.
        costs: by method.
        published: by method, what `published_metrics` returns; methods that the paper does not have are absent, and
            so are those with metadata, as the published values are of images alone.
    """

    metadata: tuple[str, ...]
    results: Sequence[GroupResult]
    costs: Mapping[str, Costs]
    published: Mapping[str, Mapping[str, float]]

    @property
    def reference(self) -> str | None:
        """Returns the method of the paired differences; None if it is not in this section."""
        return REFERENCE if any(result.name == REFERENCE for result in self.results) else None


@dataclass(frozen=True)
class Outcome:
    """Everything that the files of a comparison say.

    Attributes:
        split: that was evaluated.
        cases: its cases.
        sections: at least one.
        failed: name of a cell or measurement -> its error.
        published_note: what the published values are about, and whether they are comparable; "" if there are none.
        comparable: whether the published values are of the same cases.
        config: what all cells have in common.
        fingerprint: of the data.
        card: of the data.
        labelled: how many of the cases have a label, of the tasks whose labels may be unknown.
        folds: whose cases are the evaluated ones, each predicted by runs that did not see it; None for a split.
    """

    split: str
    cases: int
    sections: Sequence[Section]
    failed: Mapping[str, str]
    published_note: str
    comparable: bool
    config: Config
    fingerprint: str
    card: DataCard
    labelled: Mapping[str, int] = field(default_factory=dict)
    folds: int | None = None

    @property
    def measures(self) -> Measures:
        """Returns what is measured."""
        return measures_of(self.card)

    @property
    def has_published(self) -> bool:
        """Returns whether values are published for data with this card."""
        return cards.is_derm7pt(self.card)

    @property
    def scope(self) -> str:
        """Returns what was evaluated, for headings."""
        return f"the split {self.split}" if self.folds is None else f"{self.folds} folds"


def read_tables(
    folder: GridFolder,
    cells: Sequence[Cell],
    split: str,
    cases: pd.DataFrame,
    card: DataCard,
    folds: int | None = None,
) -> Tables:
    """Returns the predictions of evaluated cells: group -> seed -> table.

    Args:
        folder: of the grid.
        cells: those that are evaluated.
        split: that they are evaluated on.
        cases: of that split, or of all folds.
        card: of the data.
        folds: that the table of a seed is put together from; a seed without all of them is left out.

    Raises:
        DataError: a predictions.csv is damaged or about other cases.
    """
    parts: dict[str, dict[int, list[pd.DataFrame]]] = {}
    for cell in cells:
        path = folder.run_of(cell).evaluation(split) / PREDICTIONS_FILE
        of_seed = parts.setdefault(cell.group, {}).setdefault(cell.config.seed, [])
        of_seed.append(predictions.read(path, cases, card=card))
    whole = {
        group: {seed: pd.concat(found, ignore_index=True) for seed, found in runs.items() if len(found) == (folds or 1)}
        for group, runs in parts.items()
    }
    return {group: runs for group, runs in whole.items() if runs}


def collect(
    folder: GridFolder,
    done: Sequence[Cell],
    failed: Mapping[str, str],
    everything: DataSet,
    split: str,
    config: Config,
    fingerprint: str,
    folds: int | None = None,
) -> Outcome:
    """Returns the outcome of the evaluated cells.

    Args:
        folder: of the grid.
        done: the evaluated cells, at least one.
        failed: the errors of the others.
        everything: all cases of the data, those with a shared file included.
        split: that was evaluated.
        config: what all cells have in common.
        fingerprint: of the data.
        folds: that the cells left out, one each; None for a split.

    Raises:
        DataError: a predictions.csv is damaged or about other cases.
        RunError: not one seed has all its folds.
    """
    cases, card = measured_cases(everything, config, split, folds), everything.card
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in done:
        groups.setdefault(tuple(cell.config.model.metadata), []).append(cell)
    found = [(key, groups[key], read_tables(folder, groups[key], split, cases, card, folds)) for key in sorted(groups)]
    sections = [
        _section(folder, cells, key, everything, split, summarise(tables, REFERENCE, card=card, cases=cases))
        for key, cells, tables in found
        if tables
    ]
    if not sections:
        name, error = next(iter(failed.items()))
        raise RunError(f"of no method and seed all {folds} folds are done; the first that failed, {name}: {error}")
    note, comparable = "", False
    if cards.is_derm7pt(card):
        about = paper.published_part(REFERENCE, everything.cases, split)
        note, comparable = about["note"], about["comparable"]
    labelled = labelled_cases(cases, card)
    return Outcome(
        split, len(cases), sections, dict(failed), note, comparable, config, fingerprint, card, labelled, folds
    )


def measured_cases(everything: DataSet, config: Config, split: str, folds: int | None = None) -> pd.DataFrame:
    """Returns the cases that the cells predict: those of the split as the runs have it, or all, of folds."""
    used = everything.used(config.data).cases
    return used if folds is not None else used[used["split"] == split]


def _section(
    folder: GridFolder,
    cells: Sequence[Cell],
    metadata: tuple[str, ...],
    everything: DataSet,
    split: str,
    results: Sequence[GroupResult],
) -> Section:
    of_group = {result.name: [cell for cell in cells if cell.group == result.name] for result in results}
    # The published values are of methods that see images alone.
    without = metadata or not cards.is_derm7pt(everything.card)
    found = {} if without else {name: paper.published_metrics(name, everything.cases, split) for name in of_group}
    return Section(
        metadata,
        results,
        {name: costs_of(folder, members) for name, members in of_group.items()},
        {name: values for name, values in found.items() if values is not None},
    )


def costs_of(folder: GridFolder, cells: Sequence[Cell]) -> Costs:
    """Returns what the finished cells of one method cost."""
    runs = [folder.run_of(cell) for cell in cells]
    seconds = [second for run in runs for second in run.read_state().seconds]
    epoch = float(np.median(seconds)) if seconds else np.nan
    measured: dict[str, Any] | None = next(filter(None, (records.read_measurement(run.path) for run in runs)), None)
    if measured is None:
        return Costs(epoch)
    return Costs(
        epoch,
        measured["parameters"],
        measured["parameters_served"],
        measured["seconds_per_case"],
        measured["batch_size"],
        machine(measured),
    )


def machine(measured: Mapping[str, Any]) -> str:
    """Returns the device of a measurement in words."""
    accelerators = [line for line in measured["devices"] if line != "CPU"]
    return ", ".join(accelerators) or f"{measured['cpu_count']} x {measured['processor'] or 'CPU'}"
