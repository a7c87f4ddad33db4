"""Predicts the blind part of a data set with a finished run, for the file that a challenge asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard, Submission
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.evaluation import predictions, submission
from amfam_tf.evaluation.run import Track, calibrated, predict_pairs
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import PREDICTIONS_FILE


@dataclass(frozen=True)
class Blind:
    """The predicted blind part.

    Attributes:
        card: of the data.
        rule: of the file.
        cases: as of `pairs.scan_blind`.
        table: predictions, in the order of `cases`.
        notes: what a reader has to know.
    """

    card: DataCard
    rule: Submission
    cases: pd.DataFrame
    table: pd.DataFrame
    notes: tuple[str, ...]


def predict_blind(run: Path, data: Path, card: Path | None = None, track: Track | None = None) -> Blind:
    """Returns the predictions of a finished run for the blind part of a data set, its temperatures applied.

    Args:
        run: a run folder that `amfam-tf fit` has finished.
        data: folder with the blind part.
        card: file of the data's card; by default the one beside the data, or else the run's. If that names no blind
            part (MILK10k's archive has none), it is the card of the package whose blind part is there.
        track: shows progress.

    Raises:
        ConfigError: the card cannot be used, or names no blind part.
        DataError: the blind part cannot be used.
        RunError: the run cannot be used, has other questions, or needs metadata that follow from the answer.
    """
    from amfam_tf.data.cases import refuse_missing_pictures
    from amfam_tf.data.pairs import scan_blind
    from amfam_tf.data.problems import refuse

    finished = FinishedRun.open(run)
    file = card or cards.beside(data)
    found = _card_of_blind(finished.card, data) if file is None else cards.read(file)
    if not cards.same_questions(found, finished.card):
        raise RunError(
            f"{run} is trained on {finished.card.name}, whose tasks or classes are not those of {found.name}"
        )
    if found.submission is None:
        raise ConfigError(f"the card {found.name} has no section submission, which says what the file holds")
    known_after = [name for name in finished.config.model.metadata if found.metadata[name].follows_from is not None]
    if known_after:
        raise RunError(
            f"{run} takes {known_after[0]}, which follows from the answer: nobody has it for the blind part, and a "
            "challenge does not allow it"
        )
    cases, findings = scan_blind(found, cards.folder_of(data, found.submission.table or ""))
    refuse(data, findings)
    refuse_missing_pictures(cases, data)
    pairs = predict_pairs(finished.inference_model(), cases, finished.config, found, track)
    fitted = finished.own_calibration
    notes = () if fitted is not None else ("no temperature is applied: the run has none",)
    answers = predictions.averaged(calibrated(pairs, fitted, found), found)
    return Blind(found, found.submission, cases, answers, notes)


def _card_of_blind(card: DataCard, data: Path) -> DataCard:
    if card.submission is not None and card.submission.table is not None:
        return card
    return cards.with_blind_part(data) or card


def tuned_thresholds(runs: Sequence[Path], blind: Blind) -> dict[str, float]:
    """Returns the thresholds of the classes, tuned on the pooled test predictions of runs, each of another fold.

    Raises:
        RunError: a run has not been evaluated, has no fold, or other questions.
        DataError: a case was predicted twice.
    """
    tables = []
    for path in runs:
        run = FinishedRun.open(path)
        if run.config.data.fold is None:
            raise RunError(f"{path} leaves no fold out (data.fold): its test cases are not those of a fold")
        if not cards.same_questions(run.card, blind.card):
            raise RunError(f"{path} is trained on {run.card.name}, whose tasks or classes are others")
        file = run.folder.evaluation("test") / PREDICTIONS_FILE
        if not file.is_file():
            raise RunError(f"{path} has not been evaluated: amfam-tf evaluate {path} --data DATA")
        tables.append(predictions.read(file, card=run.card))
    return submission.best_thresholds(tables, blind.card.task(blind.rule.task))
