"""A sweep: one method over a grid of configuration values, measured on the validation split only."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from amfam_tf import config as configuration
from amfam_tf import models, strict_yaml
from amfam_tf.card.inputs import inputs_of
from amfam_tf.card.schema import DataCard
from amfam_tf.comparison import fill
from amfam_tf.comparison.grid import NOT_VARIED, Cell, GridFolder, Purpose, common_part, folder_name, refuse_repeated
from amfam_tf.comparison.measures import Measure, Measures, labelled_cases, measures_of
from amfam_tf.comparison.outcome import measured_cases, read_tables
from amfam_tf.comparison.results import GroupResult, summarise
from amfam_tf.config import Config
from amfam_tf.data import cases as stored_cases
from amfam_tf.errors import ConfigError, DataError, RunError
from amfam_tf.report.numbers import defined
from amfam_tf.strict_yaml import shown

KIND = "sweep"
SPLIT = "validate"
MOST_AXES = 3


@dataclass(frozen=True)
class Axis:
    """A configuration key and the values that it takes.

    Attributes:
        key: dotted, e.g. "loss.adversarial".
        values: as YAML reads them, at least one.
    """

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Point:
    """A combination of values.

    Attributes:
        values: for each axis, as the configuration holds it.
        name: of the cells' group.
    """

    values: tuple[Any, ...]
    name: str


@dataclass(frozen=True)
class SweepOutcome:
    """What a sweep found.

    Attributes:
        method: that was fitted.
        axes: keys.
        points: all combinations, in order.
        results: of the points that have at least one evaluated run, by name of the point.
        failed: name of a cell -> its error.
        cases: of the validation split.
        card: of the data.
        labelled: how many of the cases have a label, of the tasks whose labels may be unknown.
    """

    method: str
    axes: tuple[str, ...]
    points: Sequence[Point]
    results: Mapping[str, GroupResult]
    failed: Mapping[str, str]
    cases: int
    card: DataCard
    labelled: Mapping[str, int] = field(default_factory=dict)

    @property
    def measures(self) -> Measures:
        """Returns what is measured."""
        return measures_of(self.card)

    @property
    def headline(self) -> Measure:
        """Returns the measure by which the points are compared."""
        return self.measures.headline

    @property
    def best(self) -> Point:
        """Returns the point with the highest mean of the headline over its seeds, the first one of equals."""
        measured = [point for point in self.points if point.name in self.results]
        # What is undefined is no number that another one could be above.
        means = {point.name: self.results[point.name].values[self.headline.name].mean for point in measured}
        return max(measured, key=lambda point: means[point.name] if defined(means[point.name]) else -math.inf)


def parse_axis(text: str) -> Axis:
    """Returns the axis of "section.key=value,value,...", e.g. "loss.adversarial=0,0.4,0.8"; values are YAML.

    Raises:
        ConfigError: it is not of this form.
    """
    key, separator, values = text.partition("=")
    if not separator or not key.strip() or not values.strip():
        raise ConfigError(f"--grid {text!r} is not of the form section.key=value,value,...")
    parsed = strict_yaml.parse(f"[{values}]", f"--grid {shown(text)}: the list of values")
    return Axis(key.strip(), tuple(parsed))


def check_axes(axes: Sequence[Axis], overrides: Sequence[str]) -> None:
    """Refuses axes that cannot be swept together.

    Raises:
        ConfigError: none or too many, a key twice, the seed, or a key that is also set.
    """
    keys = [axis.key for axis in axes]
    if not 1 <= len(axes) <= MOST_AXES:
        raise ConfigError(f"a sweep has 1 to {MOST_AXES} axes. Received: {len(axes)}")
    refuse_repeated(keys, "--grid")
    already = {override.partition("=")[0].strip() for override in overrides}
    for key in keys:
        if key in NOT_VARIED:
            raise ConfigError(f"{key} cannot be swept: {NOT_VARIED[key]}")
        if key in already:
            raise ConfigError(f"{key} is given by --grid and by --set: leave one out")


def sweep_cells(
    preset: str, overrides: Sequence[str], axes: Sequence[Axis], seeds: Sequence[int], method: str
) -> tuple[list[Point], list[Cell]]:
    """Returns the points of a sweep in order, and a cell for each and every seed, one seed after the other.

    Raises:
        ConfigError: a key does not exist, a value cannot be, two values are one and the same, or the method sets the
            key itself.
    """
    refuse_repeated(seeds, "seed")
    points: list[Point] = []
    configs: list[Config] = []
    for changes, asked in _asked(preset, overrides, axes, method):
        config = models.resolve(dataclasses.replace(asked, seed=0))
        if config in configs:
            raise ConfigError(f"--grid names {', '.join(changes)} twice")
        configs.append(config)
        points.append(_point(config, axes))
    cells = [
        Cell(f"{folder_name(point.name)}-seed{seed}", point.name, dataclasses.replace(config, seed=seed))
        for seed in seeds
        for point, config in zip(points, configs, strict=True)
    ]
    return points, cells


def _asked(
    preset: str, overrides: Sequence[str], axes: Sequence[Axis], method: str
) -> list[tuple[tuple[str, ...], Config]]:
    """Returns the overrides of each point with its configuration, not resolved; every value is of use somewhere."""
    values = [[f"{axis.key}={json.dumps(value)}" for value in axis.values] for axis in axes]
    found = [
        (changes, configuration.load(preset, [*overrides, *changes], {"method": method}))
        for changes in itertools.product(*values)
    ]
    for axis, texts in zip(axes, values, strict=True):
        for text in texts:
            models.refuse_unread([asked for changes, asked in found if text in changes], [axis.key])
    models.refuse_unread([asked for _, asked in found], configuration.overridden_keys(overrides))
    return found


def _point(config: Config, axes: Sequence[Axis]) -> Point:
    values = tuple(configuration.value_at(config, axis.key) for axis in axes)
    pairs = zip(axes, values, strict=True)
    return Point(values, ", ".join(f"{axis.key}={configuration.as_text(value)}" for axis, value in pairs))


def sweep(
    data: Path,
    out: Path,
    preset: str,
    overrides: Sequence[str],
    axes: Sequence[Axis],
    *,
    method: str,
    seeds: Sequence[int],
    console: Console,
    at_once: int = 1,
    card: Path | None = None,
) -> SweepOutcome:
    """Fits what is missing and returns what the validation split says; no case of the test split is predicted.

    Args:
        data: a data set, or a folder of records.
        out: the folder, new or begun with the same data, configuration and axes.
        preset: of all runs.
        overrides: of all runs.
        axes: 1 to MOST_AXES.
        method: name of the registry.
        seeds: of each point.
        console: for the progress.
        at_once: runs at the same time.
        card: file of the data's card, if it does not lie beside them.

    Raises:
        ConfigError: a key or value cannot be, or the card cannot be used; nothing has been fitted then.
        DataError: the data cannot be used.
        RunError: the folder is for something else, or every run failed.
    """
    check_axes(axes, overrides)
    points, cells = sweep_cells(preset, overrides, axes, seeds, method)
    common = common_part(configuration.load(preset, overrides, {"method": method}))
    everything = stored_cases.read(data, card=card)
    cases, labelled = _measured_cases(everything, common, data)
    for cell in cells:
        inputs_of(everything.card, cell.config.model.metadata)
    fingerprint, folder, keys = everything.fingerprint, GridFolder(out), tuple(axis.key for axis in axes)
    with folder.lock():
        folder.claim(Purpose(KIND, fingerprint, common, everything.card, keys))
        failed = fill.fill(folder, cells, data, SPLIT, fingerprint, console, at_once, card)
        done = [cell for cell in cells if cell.name not in failed]
        if not done:
            name, error = next(iter(failed.items()))
            raise RunError(f"every run failed; the first one, {name}: {error}")
        tables = read_tables(folder, done, SPLIT, cases, everything.card)
        results = {result.name: result for result in summarise(tables, card=everything.card, cases=cases)}
        return SweepOutcome(common.method, keys, points, results, failed, len(cases), everything.card, labelled)


def _measured_cases(
    everything: stored_cases.DataSet, common: Config, data: Path
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Returns the cases of the validation split, and how many have a label of the tasks that may be unknown.

    Raises:
        DataError: there are none, or none that the headline could be measured on: no point would be the best.
    """
    cases, card = measured_cases(everything, common, SPLIT), everything.card
    if cases.empty:
        raise DataError(f"{data} has no cases in the split {SPLIT}")
    stored_cases.refuse_missing_pictures(everything.used(common.data).cases, data)
    labelled = labelled_cases(cases, card)
    about = [card.main_task] if card.headline.startswith("tasks.") else card.tasks
    if not any(labelled.get(task.name, len(cases)) for task in about):
        names = ", ".join(task.name for task in about)
        raise DataError(f"{data}: no case of the split {SPLIT} has a label of {names}: there is nothing to choose by")
    return cases, labelled
