"""External validation: a run held against data with another card, by a map of their classes.

The run's probabilities of the classes that a class of the map stands for are added; what it says of classes in none is
left out and the rest scaled to a sum of 1. A case whose label is in no class of the map counts as one without a label.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from amfam_tf.card import mapping
from amfam_tf.card.mapping import QuestionMap, TaskPair
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation import predictions, provenance, report
from amfam_tf.evaluation.run import Evaluation, Track, calibrated, predict_pairs, write_evaluation
from amfam_tf.runs.finished import FinishedRun

if TYPE_CHECKING:
    from amfam_tf.data.cases import DataSet

ALL = "all"
"""Every case of the data: none of them was trained on."""


def evaluate_external(
    run: Path, data: Path, map_file: Path, split: str = ALL, track: Track | None = None, card: Path | None = None
) -> Evaluation:
    """Predicts data with other questions, measures what the map makes comparable, and writes it as `evaluate_run` does.

    Args:
        run: a run folder that `amfam-tf fit` has finished.
        data: a data set, or a folder of records, see `cases.read`.
        map_file: see `mapping.QuestionMap`.
        split: train, validate or test of the data, or ALL.
        track: shows progress.
        card: file of the data's card, if it does not lie beside them.

    Raises:
        RunError: no run folder, training has not finished, or the run needs metadata, which a map says nothing of.
        ConfigError: a card or the map cannot be used.
        DataError: the data set cannot be used, or the split has no cases.
    """
    from amfam_tf.data.cases import read, refuse_missing_pictures

    finished, found = FinishedRun.open(run), read(data, card=card)
    if finished.config.model.metadata:
        raise RunError(
            f"{run} takes metadata ({', '.join(finished.config.model.metadata)}): a map says nothing of them"
        )
    questions = mapping.read(map_file, finished.card, found.card)
    shown = mapping.mapped_card(questions, found.card, map_file)
    cases = found.cases if split == ALL else found.cases[found.cases["split"] == split].reset_index(drop=True)
    if cases.empty:
        raise DataError(f"{data} has no cases in the split {split}")
    refuse_missing_pictures(cases, data)
    # The run's own questions have no answer in these data.
    asked = cases.assign(**{task.name: UNKNOWN for task in finished.card.tasks})
    pairs = predict_pairs(finished.inference_model(), asked, finished.config, finished.card, track)
    fitted = finished.own_calibration
    answers = predictions.averaged(calibrated(pairs, fitted, finished.card), finished.card)
    labels = {pair.name: mapped_labels(cases, pair, found.card) for pair in questions.tasks}
    table = mapped_table(answers, labels, questions, finished.card, shown)
    notes = [
        f"trained on {finished.card.name}, measured on {found.card.name}, classes as in {map_file}",
        *(["no temperature is applied: the run has none"] if fitted is None else []),
        *provenance.training_notes(finished),
        *(note for pair in questions.tasks for note in _notes(cases, pair, finished.card, found.card)),
    ]
    return _finish(finished, found, shown, cases.assign(**labels), table, split, notes)


def _finish(
    finished: FinishedRun,
    found: "DataSet",
    shown: DataCard,
    cases: pd.DataFrame,
    table: pd.DataFrame,
    split: str,
    notes: list[str],
) -> Evaluation:
    content = report.build_report(table, split, cases=cases, notes=notes, card=shown)
    content |= {"modalities": list(MODALITIES), provenance.MODEL: finished.model_sha256}
    content |= {provenance.DATA: found.fingerprint, provenance.TRAINED_ON: False}
    place = f"{split}-on-{found.card.name}"
    evaluation = Evaluation(
        finished.path, place, cases, cases, finished.config, table, content, tuple(notes), shown, MODALITIES
    )
    write_evaluation(evaluation)
    return evaluation


def mapped_labels(cases: pd.DataFrame, pair: TaskPair, data: DataCard) -> np.ndarray:
    """Returns the class number of each case in the map, int64 [cases]; `UNKNOWN` for a label that it leaves out."""
    task = data.task(pair.of_data)
    numbers = np.full(len(task.classes) + 1, UNKNOWN)
    for number, entry in enumerate(pair.classes):
        numbers[mapping.classes_of(task, entry.of_data)] = number
    # The last one is that of UNKNOWN, -1.
    return numbers[cases[task.name].to_numpy(np.int64)]


def mapped_table(
    answers: pd.DataFrame, labels: dict[str, np.ndarray], questions: QuestionMap, run: DataCard, shown: DataCard
) -> pd.DataFrame:
    """Returns the predictions table of the map's questions.

    Args:
        answers: predictions table of the run's questions.
        labels: of each question of the map, see `mapped_labels`.
        questions: the map.
        run: card of the run.
        shown: card of the map's questions.

    Raises:
        DataError: a run gives the classes of the map no probability at all for a case.
    """
    probabilities = {}
    for pair in questions.tasks:
        task = run.task(pair.of_run)
        given = predictions.task_probabilities(answers, task)
        merged = np.stack([given[:, mapping.classes_of(task, one.of_run)].sum(axis=1) for one in pair.classes], axis=1)
        total = merged.sum(axis=1, keepdims=True)
        if not (total > 0).all():
            number = answers[predictions.CASE].iloc[int((total[:, 0] <= 0).argmax())]
            raise DataError(f"case {number}: the run gives no class of {pair.name} that the map names any probability")
        probabilities[pair.name] = merged / total
    return predictions.to_frame(answers[predictions.CASE].to_numpy(), labels, probabilities, shown)


def _notes(cases: pd.DataFrame, pair: TaskPair, run: DataCard, data: DataCard) -> list[str]:
    """Returns what the map leaves out of a question, on both sides."""
    task, mapped = data.task(pair.of_data), mapped_labels(cases, pair, data)
    left = Counter(task.classes[number] for number in cases[task.name][mapped == UNKNOWN] if number != UNKNOWN)
    notes = []
    if left:
        counts = ", ".join(f"{name} {count}" for name, count in left.most_common())
        notes.append(f"{pair.name}: {sum(left.values())} of {len(cases)} cases are in no class of the map: {counts}")
    unknown = int((cases[task.name] == UNKNOWN).sum())
    if unknown:
        notes.append(f"{pair.name}: the label of {unknown} of {len(cases)} cases is unknown")
    named = {name for entry in pair.classes for name in entry.of_run}
    others = [name for name in run.task(pair.of_run).classes if name not in named]
    if others:
        notes.append(f"{pair.name}: the run's probability of {', '.join(others)} is left out, the rest is scaled to 1")
    return notes
