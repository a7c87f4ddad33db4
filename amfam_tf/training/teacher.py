"""What a finished run answers to the cases that another one learns from: asked once, of pictures as they are."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import pandas as pd

from amfam_tf.card import cards, inputs
from amfam_tf.config import Config, LossConfig
from amfam_tf.data import several
from amfam_tf.data.answers import with_answers
from amfam_tf.data.cases import FOLD, DataSet, fingerprints
from amfam_tf.errors import RunError
from amfam_tf.finite import ADVICE
from amfam_tf.models.ensemble import Ensemble
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.teacher import Teacher
from amfam_tf.training.logistic import log_softmax
from amfam_tf.training.one_pass import one_pass

if TYPE_CHECKING:
    from rich.console import Console

Answers = Mapping[str, np.ndarray]
"""Task name -> logarithms of the probabilities, float64 [cases, classes]."""


def open_teacher(values: LossConfig) -> FinishedRun:
    """Returns the run that `loss.teacher` names.

    Raises:
        RunError: it cannot teach.
    """
    assert values.teacher is not None
    try:
        run = FinishedRun.open(Path(values.teacher))
    except RunError as error:
        raise RunError(f"loss.teacher: {error}") from error
    if run.state.diverged is not None:
        raise RunError(f"loss.teacher: run {run.path} has ended early ({run.state.diverged}): name another one")
    if values.teacher_answers == "out_of_fold" and len(_folds(run)) < 2:
        raise RunError(
            f"loss.teacher_answers=out_of_fold: {run.path} is no ensemble of runs that left out different folds: "
            "name one (amfam-tf ensemble), or set loss.teacher_answers=whole"
        )
    return run


def describe(run: FinishedRun) -> Teacher:
    """Returns what a run says of its teacher."""
    own = 1 if run.teacher is None else run.teacher.folds
    folds = max(len(_folds(run)), own)
    return Teacher(run.path.resolve().name, run.config.method, folds, run.model_sha256, run.data_fingerprint)


def _folds(run: FinishedRun) -> set[int | None]:
    return {one.fold for one in run.members}


def ask_teacher(
    splits: Mapping[str, pd.DataFrame], config: Config, found: DataSet, console: "Console"
) -> dict[str, pd.DataFrame]:
    """Returns the cases of each split with the answers of `loss.teacher` beside their labels.

    Of a case with several pairs of pictures they are of the mean probability, as in evaluation; without temperatures.

    Args:
        splits: the cases of each.
        config: of the run that learns; pictures and metadata are made as the teacher's own configuration says.
        found: the data that the run learns from.
        console: for the progress.

    Raises:
        RunError: the teacher cannot be used, answers other questions, or has no answer to a case.
        DataError: a picture cannot be read.
    """
    run = open_teacher(config.loss)
    _check_questions(run, found)
    cases = pd.concat(splits.values(), ignore_index=True)
    model = run.inference_model()
    if config.loss.teacher_answers == "whole":
        answers = _answers([model], cases, run, found, console)
    else:
        answers = _out_of_fold(run, cases, found, console)
    taught = with_answers(cases, {name: values.astype(np.float32) for name, values in answers.items()})
    return {name: taught[taught["split"] == name].reset_index(drop=True) for name in splits}


def _check_questions(run: FinishedRun, found: DataSet) -> None:
    if not cards.same_questions(run.card, found.card):
        raise RunError(
            f"loss.teacher: {run.path} is trained on {run.card.name}, whose tasks or classes are not those of "
            f"{found.card.name}: a teacher has the same ones in the same order"
        )
    columns = run.config.model.metadata
    if not inputs.same_inputs(run.card, found.card, columns):
        raise RunError(
            f"loss.teacher: {run.path} takes {' and '.join(columns)}, of which the card {found.card.name} has other "
            f"values or ranges than {run.card.name}"
        )


def _answers(
    models: Sequence[keras.Model], cases: pd.DataFrame, run: FinishedRun, found: DataSet, console: "Console"
) -> Answers:
    """Returns the logarithm of the models' mean probabilities, of a case's pairs, too."""
    rows = several.rows_of_pairs(cases, run.config)
    answers = [one_pass(model, rows, run.config, found.card, "asking the teacher", console) for model in models]
    numbers = rows["case_num"].to_numpy(np.int64)
    first = np.flatnonzero(np.append(True, numbers[1:] != numbers[:-1]))
    counts = np.diff(np.append(first, len(numbers)))[:, None] * len(models)
    means = {}
    for task in found.card.tasks:
        logits = np.stack([log_softmax(one[task.name].astype(np.float64)) for one in answers])
        broken = ~np.isfinite(logits).all(axis=(0, 2))
        if broken.any():
            case = numbers[broken.argmax()]
            raise RunError(
                f"loss.teacher: {run.path} answers no finite numbers to {task.name} of case {case}: {ADVICE}"
            )
        means[task.name] = np.logaddexp.reduceat(np.logaddexp.reduce(logits, axis=0), first) - np.log(counts)
    return means


def _out_of_fold(run: FinishedRun, cases: pd.DataFrame, found: DataSet, console: "Console") -> Answers:
    """Returns the answers to each case of those members that left its fold out.

    Raises:
        RunError: the data are not those of the members, or no member left a case's fold out.
    """
    assert isinstance(run.network, Ensemble)
    if not _same_folds(run, found):
        raise RunError(
            f"loss.teacher_answers=out_of_fold: these are not the data whose folds {run.path} is made of: name those, "
            "or set loss.teacher_answers=whole"
        )
    means = {task.name: np.empty((len(cases), len(task.classes))) for task in found.card.tasks}
    for fold, rows in cases.groupby(FOLD):
        pairs = zip(run.members, run.network.members, strict=True)
        models = [network.inference_model() for member, network in pairs if member.fold == fold]
        if not models:
            raise RunError(
                f"loss.teacher_answers=out_of_fold: no member of {run.path} left out fold {fold}, of which there are "
                f"{len(rows)} cases: make an ensemble of all folds, or set loss.teacher_answers=whole"
            )
        for name, values in _answers(models, rows, run, found, console).items():
            means[name][rows.index] = values
    return means


def _same_folds(run: FinishedRun, found: DataSet) -> bool:
    """Returns whether each member was trained on these data without its fold."""
    folds = [0 if one.fold is None else one.fold for one in run.members]
    if max(folds) >= found.folds:
        return False
    frames = [found.used(dataclasses.replace(run.config.data, fold=fold)).cases for fold in folds]
    return fingerprints(frames, found.card) == [one.data_fingerprint for one in run.members]
