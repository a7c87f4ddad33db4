"""Explains cases of a data set by a finished run: Grad-CAM maps, probabilities, label and prediction."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES
from amfam_tf.data import pipeline
from amfam_tf.data.cases import DataSet, in_stored_order, read, refuse_missing_pictures
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation.predict import probabilities_of
from amfam_tf.explain.grad_cam import PREDICTED, feature_names, grad_cam
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.network import check_weights


@dataclass(frozen=True)
class CaseExplanation:
    """What one run says about one case and one task.

    Attributes:
        run: name of the run.
        case_num: of the case.
        task: the question.
        shown: number of the class that the maps speak for.
        truth: number of the label; `UNKNOWN` if nobody knows it.
        probabilities: [classes] in [0, 1]; after temperature scaling if the run has been calibrated.
        pictures: {modality: RGB [S, S, 3] in [0, 1]}, as the network saw them.
        maps: {modality: [S, S] in [0, 1]}; only the modalities that the run uses.
        model_sha256: digest of the weights.
    """

    run: str
    case_num: int
    task: Task
    shown: int
    truth: int
    probabilities: np.ndarray
    pictures: Mapping[str, np.ndarray]
    maps: Mapping[str, np.ndarray]
    model_sha256: str = ""

    @property
    def predicted(self) -> int:
        """Number of the most probable class, the first one of equals."""
        return int(np.argmax(self.probabilities))


def choose_cases(
    data: Path, split: str, names: Sequence[str], first: int, dataset: DataSet | None = None
) -> pd.DataFrame:
    """Returns rows of the data set.

    Args:
        data: a data set with a card, or a folder of records.
        split: name of the split.
        names: ids of cases in that split, or their numbers as in predictions.csv, in the order wanted; none for the
            first ones of the split.
        first: how many of those.
        dataset: what is read of `data`, if it is; see `evaluation.run.read_for`.

    Raises:
        DataError: the data set cannot be used, the split has no cases or not this one.
    """
    found = read(data) if dataset is None else dataset
    everything = found.cases
    refuse_missing_pictures(everything, data)
    cases = everything[everything["split"] == split].reset_index(drop=True)
    if cases.empty:
        raise DataError(f"{data} has no cases in the split {split}")
    if not names:
        return cases.head(first)
    split_of = dict(zip(everything["case_num"], everything["split"], strict=True))
    numbers = {name: _number_of(name, found, data) for name in names}
    for name, number in numbers.items():
        if split_of[number] != split:
            raise DataError(f"case {name} is in the split {split_of[number]}: add --split {split_of[number]}")
    wanted = list(dict.fromkeys(numbers.values()))
    return cases.set_index("case_num").loc[wanted].reset_index()


def _number_of(name: str, found: DataSet, data: Path) -> int:
    """Returns the number of a case by its id, or else by the number itself; of Derm7pt that is the id.

    Raises:
        DataError: there is no such case; names the table that its id would be in.
    """
    numbers = found.cases["case_num"]
    older = cards.is_derm7pt(found.card)
    if not older and "case_id" in found.cases:
        numbers = numbers[found.cases["case_id"] == name]
        if len(numbers):
            return int(numbers.iloc[0])
    if name.isdecimal() and int(name) in set(found.cases["case_num"]):
        return int(name)
    rule = found.card.cases
    raise DataError(f"{data} has no case {name}" + ("" if older else f" (column {rule.id!r} of {rule.table})"))


def explain_run(
    run: Path, cases: pd.DataFrame, task: Task, class_number: int = PREDICTED, name: str | None = None
) -> list[CaseExplanation]:
    """Returns the explanation of each case.

    Args:
        run: a run folder that `amfam-tf fit` has finished.
        cases: rows of a data set, in the order wanted.
        task: the question.
        class_number: of the class to explain; PREDICTED for each case's predicted one.
        name: to show for the run; by default that of its folder.

    Raises:
        RunError: no run folder, not finished, has no such task, or its network has no feature maps to look into.
        DataError: a picture cannot be read.
    """
    finished = FinishedRun.open(run)
    config, tasks = finished.config, finished.card.tasks
    if (task.name, task.classes) not in [(one.name, one.classes) for one in tasks]:
        raise RunError(f"{run} has no task {task.name} of the classes {', '.join(task.classes)}")
    if not hasattr(finished.network, "explanation_model"):
        raise RunError(f"{run}: the network of method {config.method} has no feature maps for Grad-CAM")
    model = finished.network.explanation_model()
    check_weights(model, finished.folder.model_file, tasks)
    digest, fitted = finished.model_sha256, finished.own_calibration
    temperature = 1.0 if fitted is None else fitted.temperatures[task.name]
    found: list[CaseExplanation] = []
    stored = in_stored_order(cases)
    with pipeline.naming_bad_files(stored, config):
        for batch in pipeline.evaluation_dataset(stored, config, card=finished.card):
            found += _explain_batch(model, batch, tasks, task, class_number, temperature, name or run.resolve().name)
    by_number = {one.case_num: dataclasses.replace(one, model_sha256=digest) for one in found}
    return [by_number[number] for number in cases["case_num"]]


def _explain_batch(
    model: Any,
    batch: Mapping[str, Any],
    tasks: Sequence[Task],
    task: Task,
    class_number: int,
    temperature: float,
    name: str,
) -> list[CaseExplanation]:
    import tensorflow as tf

    pictures = {modality: batch[modality] for modality in MODALITIES}
    count = len(batch["case_num"])
    task_numbers = tf.fill((count,), [one.name for one in tasks].index(task.name))
    class_numbers = tf.fill((count,), class_number)
    inputs = {name: batch[name] for name in model.input}
    size = pictures[MODALITIES[0]].shape[1]
    maps, logits = grad_cam(model, inputs, task_numbers, class_numbers, size, tasks)
    probabilities = probabilities_of(logits[task.name].numpy(), temperature)
    used = feature_names(model.output)
    return [
        CaseExplanation(
            run=name,
            case_num=int(batch["case_num"][row]),
            task=task,
            shown=int(np.argmax(probabilities[row])) if class_number == PREDICTED else class_number,
            truth=int(batch[task.name][row]),
            probabilities=probabilities[row],
            pictures={modality: pictures[modality][row].numpy() for modality in MODALITIES},
            maps={modality: maps[modality][row].numpy() for modality in used},
        )
        for row in range(count)
    ]
