"""The pooled out-of-fold predictions of an ensemble: each case by the members that left its fold out.

Those have neither trained nor validated with it, so this is an honest estimate; of single members (or the seeds of a
fold), where the ensemble itself is the mean of all.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from amfam_tf.card.schema import DataCard
from amfam_tf.data.cases import FOLD, DataSet
from amfam_tf.evaluation import intervals, predictions, provenance, report, thresholds
from amfam_tf.evaluation.run import Evaluation, Track, calibrated, predict_pairs, write_evaluation
from amfam_tf.report import results
from amfam_tf.runs import thresholds as stored_thresholds
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import METRICS_FILE, OUT_OF_FOLD, PREDICTIONS_FILE

LEFT_OUT = "test"
"""The split that the cases of a run's fold are in."""


def evaluate_out_of_fold(
    ensemble: FinishedRun,
    runs: Sequence[FinishedRun],
    found: DataSet,
    track: Track | None = None,
    measure: str | None = None,
) -> Evaluation:
    """Measures the pooled out-of-fold predictions and writes them as `evaluate_run` does, as a split of that name.

    With a measure, it also fits the thresholds per class to it, judges them nested, and writes thresholds.json.

    Args:
        ensemble: whose members left out different folds.
        runs: the members.
        found: the data that they were trained on, as the ensemble uses them.
        track: shows progress.
        measure: one of `thresholds.FITTED`.
    """
    tables = [out_of_fold(run, found, track) for run in runs]
    table = pooled(tables, found.card)
    cases = found.cases.set_index(predictions.CASE, drop=False).loc[table[predictions.CASE]].reset_index(drop=True)
    count = len({one.fold for one in ensemble.members})
    notes = [
        f"each of the {len(cases)} cases of {count} folds is predicted by the members that left it out, and not by the "
        "whole ensemble"
    ]
    fitted = None
    if measure is not None:
        digest, groups = ensemble.model_sha256, intervals.groups_of(cases, found.card)
        folds = folds_of(found, table)
        fitted = thresholds.fit(table, folds, measure, found.card, digest, ensemble.data_fingerprint, groups)
        stored_thresholds.write(ensemble.folder.thresholds_file, fitted)
        notes += fitted.notes
    content = report.build_report(table, OUT_OF_FOLD, cases=cases, notes=notes, card=found.card)
    content |= {provenance.MODEL: ensemble.model_sha256, provenance.DATA: ensemble.data_fingerprint}
    content |= {provenance.TRAINED_ON: True}
    if fitted is not None:
        content["decided"] = {"measure": fitted.measure, "nested": True, "tasks": dict(fitted.judged)}
    evaluation = Evaluation(
        ensemble.path, OUT_OF_FOLD, cases, found.cases, ensemble.config, table, content, tuple(notes), found.card
    )
    write_evaluation(evaluation)
    return evaluation


def out_of_fold(run: FinishedRun, found: DataSet, track: Track | None = None) -> pd.DataFrame:
    """Returns a member's predictions of the fold that it left out, with its temperatures if it has any.

    Those that it has already been evaluated with are read.

    Args:
        run: the member.
        found: the data, with the split of any fold.
        track: shows progress.
    """
    used = found.used(run.config.data).cases
    cases = used[used["split"] == LEFT_OUT].reset_index(drop=True)
    path = run.folder.evaluation(LEFT_OUT) / PREDICTIONS_FILE
    measured = results.read(path.with_name(METRICS_FILE))
    if provenance.holds(measured, path, run.model_sha256, run.data_fingerprint):
        return predictions.read(path, cases, card=found.card)
    pairs = predict_pairs(run.inference_model(), cases, run.config, found.card, track)
    return predictions.averaged(calibrated(pairs, run.calibration, found.card), found.card)


def pooled(tables: Sequence[pd.DataFrame], card: DataCard) -> pd.DataFrame:
    """Returns one predictions table of several, in the order of case numbers; of a case in several, the mean."""
    together = pd.concat(tables, ignore_index=True).sort_values(predictions.CASE, kind="stable")
    return predictions.averaged(together, card).reset_index(drop=True)


def folds_of(found: DataSet, table: pd.DataFrame) -> np.ndarray:
    """Returns the number of the fold of each case of a table, int [N]."""
    return found.cases.set_index(predictions.CASE)[FOLD].loc[table[predictions.CASE]].to_numpy(np.int64)
