"""A comparison's outcome: what the finished cells found and cost, beside what was published, in sections."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.comparison import records
from amfam_tf.comparison.grid import Cell, GridFolder
from amfam_tf.comparison.results import AVERAGE, DIAGNOSIS_AUC, GroupResult, Tables, summarise
from amfam_tf.config import Config
from amfam_tf.evaluation import predictions, published, report
from amfam_tf.runs.folder import PREDICTIONS_FILE
from amfam_tf.tasks import task_names

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
        published_note: what the published values are about, and whether they are comparable.
        comparable: whether the published values are of the same cases.
        config: what all cells have in common.
        fingerprint: of the data.
    """

    split: str
    cases: int
    sections: Sequence[Section]
    failed: Mapping[str, str]
    published_note: str
    comparable: bool
    config: Config
    fingerprint: str


def read_tables(folder: GridFolder, cells: Sequence[Cell], split: str, cases: pd.DataFrame) -> Tables:
    """Returns the predictions of evaluated cells: group -> seed -> table.

    Args:
        folder: of the grid.
        cells: those that are evaluated.
        split: that they are evaluated on.
        cases: of that split.

    Raises:
        DataError: a predictions.csv is damaged or about other cases.
    """
    tables: dict[str, dict[int, pd.DataFrame]] = {}
    for cell in cells:
        path = folder.run_of(cell).evaluation(split) / PREDICTIONS_FILE
        tables.setdefault(cell.group, {})[cell.config.seed] = predictions.read(path, cases)
    return tables


def collect(
    folder: GridFolder,
    done: Sequence[Cell],
    failed: Mapping[str, str],
    everything: pd.DataFrame,
    split: str,
    config: Config,
    fingerprint: str,
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
    """
    cases = everything[(everything["split"] == split) & ~(everything["shared_file"] & config.data.drop_shared_files)]
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in done:
        groups.setdefault(tuple(cell.config.model.metadata), []).append(cell)
    sections = [_section(folder, groups[key], key, everything, split, cases) for key in sorted(groups)]
    about = report.published_part(REFERENCE, everything, split)
    return Outcome(split, len(cases), sections, dict(failed), about["note"], about["comparable"], config, fingerprint)


def _section(
    folder: GridFolder,
    cells: Sequence[Cell],
    metadata: tuple[str, ...],
    everything: pd.DataFrame,
    split: str,
    cases: pd.DataFrame,
) -> Section:
    results = summarise(read_tables(folder, cells, split, cases), REFERENCE)
    of_group = {result.name: [cell for cell in cells if cell.group == result.name] for result in results}
    # The published values are of methods that see images alone.
    found = {} if metadata else {name: published_metrics(name, everything, split) for name in of_group}
    return Section(
        metadata,
        results,
        {name: costs_of(folder, members) for name, members in of_group.items()},
        {name: values for name, values in found.items() if values is not None},
    )


def published_metrics(method: str, everything: pd.DataFrame, split: str) -> dict[str, float] | None:
    """Returns the corrected published values of a method by our names of the metrics; None if the paper has none."""
    if method not in published.METHOD_ROWS:
        return None
    values = report.published_part(method, everything, split)
    found = {name: values["accuracy"][name] for name in (*task_names(), AVERAGE)}
    if "paper_diagnosis" in values:
        found[DIAGNOSIS_AUC] = values["paper_diagnosis"]["auc"]
    return found


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
