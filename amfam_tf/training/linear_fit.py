"""Fitting a network whose classifiers are linear: features once, then a logistic regression for each task.

It is one epoch, at whose end the run has finished training; a process that ends before leaves nothing to go on with.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
import pandas as pd

from amfam_tf.card.questions import Task
from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.data import several
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.files.writing import writing
from amfam_tf.models.lesion_model import LesionModel
from amfam_tf.runs.folder import RunFolder, RunState
from amfam_tf.training.distribution import Distribution
from amfam_tf.training.logistic import FittedTask, Rows, fit_task, log_softmax, mean_answers
from amfam_tf.training.monitor import in_words, monitored
from amfam_tf.training.one_pass import one_pass
from amfam_tf.training.weights_file import write_weights

if TYPE_CHECKING:
    from rich.console import Console

BEST = "best-0000.weights.h5"
STRENGTH = "C_"
"""Before a task's name: the column of history.csv with its C."""


@dataclass(frozen=True)
class _Split:
    """Features and labels, a row for each pair of pictures; `labels` are class numbers by task, int64 [rows]."""

    rows: Rows
    labels: Mapping[str, np.ndarray]


def check_replicas(config: Config, distribution: Distribution) -> None:
    """Checks that one replica does it all.

    Raises:
        ConfigError: there are several.
    """
    if distribution.replicas > 1:
        raise ConfigError(f"method {config.method} is fitted and not trained, on one device: leave --strategy out")


def fit_linear(
    network: LesionModel,
    splits: Mapping[str, pd.DataFrame],
    config: Config,
    card: DataCard,
    folder: RunFolder,
    console: "Console",
) -> RunState:
    """Fits the classifiers of a network and writes its weights and the state.

    Args:
        network: with a `linear`; its classifiers get their weights.
        splits: the cases of "train" and "validate".
        config: of the run.
        card: of the data.
        folder: of the run.
        console: for the progress.

    Raises:
        RunError: a feature is no finite number.
        DataError: a picture cannot be read.
    """
    began = time.perf_counter()
    found = {
        name: _features(network, frame, config, card, f"features: {name}", console) for name, frame in splits.items()
    }
    fitted = {}
    for task in network.tasks:
        training, validation = (found[name] for name in ("train", "validate"))
        labels, truth = training.labels[task.name], validation.labels[task.name]
        one = fit_task(training.rows, labels, validation.rows, truth, len(task.classes))
        _write(network, task, one)
        fitted[task.name] = one
    row = {**_measure(fitted, found["train"], ""), **_measure(fitted, found["validate"], "val_")}
    row |= {f"{STRENGTH}{name}": one.strength for name, one in fitted.items() if one.strength is not None}
    with writing(folder.checkpoints / BEST, RunError) as partial:
        write_weights(network, partial)
    accuracy = row[monitored(card)]
    state = RunState(
        epochs=1,
        best_epoch=0,
        best_accuracy=accuracy,
        best_weights=BEST,
        history=[{"epoch": 0, **row}],
        seconds=[time.perf_counter() - began],
    )
    folder.write_state(state)
    _tell(fitted, row, card, console)
    return state


def _features(
    network: LesionModel, cases: pd.DataFrame, config: Config, card: DataCard, title: str, console: "Console"
) -> _Split:
    """Returns what the classifiers of a network take, of every pair of pictures of the cases.

    Raises:
        RunError: a feature is no finite number.
    """
    assert network.linear is not None
    rows = several.rows_of_pairs(cases, config)
    model = keras.Model(network.input, network.linear.vector)
    joined = one_pass(model, rows, config, card, title, console).astype(np.float64)
    numbers = rows["case_num"].to_numpy(np.int64)
    broken = ~np.isfinite(joined).all(axis=1)
    if broken.any():
        raise RunError(
            f"the features of {int(broken.sum())} of {len(numbers)} pairs of pictures are no finite numbers (the first "
            f"is of case {numbers[broken.argmax()]}): name other model.weights"
        )
    return _Split(Rows(joined, numbers), {task.name: rows[task.name].to_numpy(np.int64) for task in card.tasks})


def _write(network: LesionModel, task: Task, fitted: FittedTask) -> None:
    assert network.linear is not None
    network.linear.heads[task.name].set_weights([fitted.kernel.astype(np.float32), fitted.bias.astype(np.float32)])


def _measure(fitted: Mapping[str, FittedTask], split: _Split, prefix: str) -> dict[str, float]:
    """Returns what the trainer logs of an epoch: losses, means over rows; accuracies of the mean answers to cases."""
    _, first = np.unique(split.rows.cases, return_index=True)
    losses, accuracies = [], {}
    for name, labels in split.labels.items():
        logits = fitted[name].logits(split.rows.vectors)
        known, truth = labels != UNKNOWN, labels[first]
        of_labels = log_softmax(logits)[known, labels[known]]
        losses.append(-float(of_labels.mean()) if known.any() else 0.0)
        right = (mean_answers(logits, split.rows.cases).argmax(axis=1) == truth)[truth != UNKNOWN]
        accuracies[name] = float(right.mean()) if len(right) else None
    told = [value for value in accuracies.values() if value is not None]
    found = {"loss": sum(losses), "classification": sum(losses), "accuracy": float(np.mean(told)) if told else 0.0}
    found |= {f"accuracy_{name}": 0.0 if value is None else value for name, value in accuracies.items()}
    return {f"{prefix}{name}": value for name, value in found.items()}


def _tell(fitted: Mapping[str, FittedTask], row: Mapping[str, float], card: DataCard, console: "Console") -> None:
    chosen = "  ".join(f"{name} {one.strength:g}" for name, one in fitted.items() if one.strength is not None)
    judged = monitored(card)
    console.print(
        f"fitted in one go  loss {row['loss']:.4f}  accuracy {row['accuracy']:.4f}  "
        f"[bold]{in_words(judged).removeprefix('mean ')} {row[judged]:.4f}[/bold]",
        markup=True,
        soft_wrap=True,
    )
    if chosen:
        console.print(f"C, chosen on the validation split: {chosen}", markup=False, soft_wrap=True, highlight=False)
