"""`amfam-tf ensemble`: one run that answers with the mean of what finished runs answer."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.options import FOLDER, card_option, data_option, show_progress
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath
from amfam_tf.errors import RunError

if TYPE_CHECKING:
    from amfam_tf.data.cases import DataSet
    from amfam_tf.runs.finished import FinishedRun


@click.command()
@click.argument("out", type=FOLDER)
@click.argument("runs", nargs=-1, required=True, type=UserPath(exists=True, file_okay=False, path_type=Path))
@functools.partial(data_option, required=False)
@card_option
@click.option(
    "--thresholds",
    type=click.Choice(["balanced_accuracy", "macro_f1"]),
    help="Fit thresholds per class to this measure of the out-of-fold predictions; used only where they are asked for.",
)
def ensemble(out: Path, runs: tuple[Path, ...], data: Path | None, card: Path | None, thresholds: str | None) -> None:
    """Make of finished RUNS the run OUT, which answers with the mean of what they answer.

    The RUNS have the same questions, metadata and pictures; seeds, folds and methods may differ. OUT is evaluated,
    explained, exported and served like any other run. With --data, that of the RUNS, its temperatures are fitted on the
    validation split; if the RUNS left out different folds, it is needed, and OUT/evaluation/out-of-fold has each case
    as predicted by those that left it out.
    """
    from amfam_tf.evaluation.ensemble import make_ensemble

    if thresholds is not None and data is None:
        raise click.UsageError("--thresholds are fitted on the data: add --data DIR")
    made, parts, found = make_ensemble(out, runs, data, card)
    echo(f"ensemble of {len(parts)} runs: {made.folder.model_file}")
    if found is not None and data is not None:
        _measure(made, parts, data, found, thresholds)


def _measure(
    made: "FinishedRun", parts: Sequence["FinishedRun"], data: Path, found: "DataSet", thresholds: str | None
) -> None:
    """Fits temperatures and, of folds, measures the pooled out-of-fold predictions."""
    from amfam_tf.cli.evaluate import print_evaluation
    from amfam_tf.evaluation import html_report
    from amfam_tf.evaluation.out_of_fold import evaluate_out_of_fold
    from amfam_tf.evaluation.run import calibrate_run

    several = len({one.fold for one in made.members}) > 1
    if thresholds is not None and not several:
        raise RunError("--thresholds: the runs did not leave out different folds, whose predictions they are fitted on")
    fitted, notes = calibrate_run(made.path, data, show_progress, trained_on=found)
    if fitted is not None:
        echo(f"temperatures fitted on {fitted.cases} validation cases: {made.folder.calibration_file}")
    for note in notes:
        echo(f"note: {note}")
    if several:
        evaluation = evaluate_out_of_fold(made, parts, found, show_progress, thresholds)
        print_evaluation(evaluation, None, html_report.write_report(evaluation))
