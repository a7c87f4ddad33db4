"""Which weights and data a result was made from, and whether they are still those that are there.

Digests decide and never time stamps: a file that is copied or unpacked keeps its own.
"""

from pathlib import Path
from typing import Final

from amfam_tf.files.digests import file_digest
from amfam_tf.report.results import Report
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import EVALUATION, OUT_OF_FOLD

MODEL: Final = "model_sha256"
DATA: Final = "data_fingerprint"
PREDICTIONS: Final = "predictions_sha256"
TRAINED_ON: Final = "trained_on_these_data"
"""Keys of metrics.json; the last one is null where the run does not say what it was trained on."""


def holds(metrics: Report | None, predictions: Path, model_sha256: str, fingerprint: str | None) -> bool:
    """Returns whether a predictions.csv is known to be of this model and these data.

    Args:
        metrics: content of the metrics.json beside it; None if there is none.
        predictions: the file.
        model_sha256: digest of the weights.
        fingerprint: of the data; None if it is not known.
    """
    if metrics is None or fingerprint is None or not predictions.is_file():
        return False
    expected = {MODEL: model_sha256, DATA: fingerprint, PREDICTIONS: file_digest(predictions)}
    return all(metrics.get(key) == value for key, value in expected.items())


def member_notes(run: FinishedRun, split: str) -> list[str]:
    """Returns notes if others, that a run is made of or has learned from, were trained on cases of this split."""
    return [*_notes_of_members(run, split), *_notes_of_teacher(run, split)]


def _notes_of_teacher(run: FinishedRun, split: str) -> list[str]:
    teacher = run.teacher
    if teacher is None:
        return []
    if teacher.data_fingerprint != run.data_fingerprint:
        return [
            f"its teacher {teacher.run} was trained on other data or other splits of them: if cases of the split "
            f"{split} were among its training cases, these numbers are better than on new cases"
        ]
    if teacher.folds < 2 or split == "validate":
        return []
    return [
        f"its teacher {teacher.run} is made of runs that left out {teacher.folds} different folds: each case of the "
        f"split {split} was trained on by some of them, and this run has learned from their answers: these numbers may "
        "be better than on new cases"
    ]


def _notes_of_members(run: FinishedRun, split: str) -> list[str]:
    folds = {one.fold for one in run.members}
    # Each of them trained on the folds of the others, and none on the validation split.
    if len(folds) < 2 or split == "validate":
        return []
    return [
        f"its {len(run.members)} members left out {len(folds)} different folds: each case of the split {split} was "
        f"trained on by some of them, so these numbers are better than on new cases; {EVALUATION}/{OUT_OF_FOLD} has "
        "each case by the members that left it out"
    ]


def training_notes(run: FinishedRun) -> list[str]:
    """Returns notes if a run's weights are not those that its training ended with, in one way or the other."""
    notes = []
    if run.state.diverged is not None:
        notes.append(f"the training ended early ({run.state.diverged}): these are its best weights before")
    if run.state.model_sha256 not in (None, run.model_sha256):
        name = run.folder.model_file.name
        notes.append(f"{name} is not the file that this run's fit wrote: history and curves are of other weights")
    return notes
