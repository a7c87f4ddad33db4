"""`amfam-tf fit`: fit a method into a run folder, or go on with an interrupted one."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.options import card_option, configuration_options, console, data_option
from amfam_tf.cli.paths import UserPath

if TYPE_CHECKING:
    from rich.console import Console

    from amfam_tf.data.cases import DataSet
    from amfam_tf.phases import Recorder
    from amfam_tf.training.run import FitResult

PROFILE_FILE = "profile.json"
STRATEGIES = ("single", "mirrored", "multi-worker", "auto")


@click.command(short_help="Fit a method; the same run folder again resumes.")
@data_option
@card_option
@click.option("--run", type=UserPath(path_type=Path, file_okay=False), help="Run folder, new or to be resumed.")
@configuration_options
@click.option("--method", metavar="NAME", help="Method of the comparison; by default the preset's.")
@click.option("--fold", type=click.IntRange(0, 99), help="Leave this fold of the card out, as the test split.")
@click.option(
    "--dry-run", is_flag=True, help="Build everything, run one batch, print shapes and memory; train nothing."
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="single",
    show_default=True,
    help="Train on one device, on all of this machine, on the machines of TF_CONFIG, or on what there is.",
)
@click.option("--profile", is_flag=True, help="Tell what takes the time; also written to RUN/profile.json.")
def fit(
    data: Path,
    card: Path | None,
    run: Path | None,
    preset: str,
    overrides: tuple[str, ...],
    method: str | None,
    fold: int | None,
    dry_run: bool,
    strategy: str,
    profile: bool,
) -> None:
    """Fit a method on a data set.

    Everything goes into the run folder. If the process is interrupted, the same command goes on after the last complete
    epoch and ends with the result of an unbroken run. At the end, temperatures are fitted on the validation split.

    Of several workers (--strategy multi-worker, started with the same command on each machine), the first one alone
    reads and writes the run folder.
    """
    from amfam_tf import config as configuration
    from amfam_tf import phases

    if run is None and not dry_run:
        raise click.UsageError("Missing option '--run' (only --dry-run does without).")
    if profile and dry_run:
        raise click.UsageError("--profile tells about a training; --dry-run trains nothing.")
    if strategy != "single" and dry_run:
        raise click.UsageError("--dry-run tries one batch on one device: leave --strategy out.")
    recorder = phases.Recorder() if profile else phases.OFF
    with recorder.phase("importing TensorFlow and the rest"):
        from amfam_tf import models
        from amfam_tf.training import distribution
        from amfam_tf.training import run as training
    if fold is not None:
        overrides = (*overrides, f"data.fold={fold}")
    chosen = configuration.load(preset, overrides, {"method": method} if method else None)
    models.refuse_unread([chosen], configuration.asked_keys(preset, overrides, method))
    terminal = console()
    if dry_run or run is None:  # without a run folder only --dry-run gets here
        from amfam_tf.training.dry_run import dry_run as try_one_batch

        try_one_batch(data, chosen, terminal, card)
        return
    where = distribution.create(strategy, functools.partial(terminal.print, soft_wrap=True, markup=False))
    result = training.fit(data, run, chosen, terminal, recorder, where, card)
    terminal.print(_describe(result, run if where.chief else None), soft_wrap=True, markup=False)
    if not where.chief:
        return
    with recorder.phase("fitting the temperatures"):
        told = _calibrate(run, data, result.data)
    for line in told:
        terminal.print(line, soft_wrap=True, markup=False)
    if profile:
        _write_profile(recorder, run, terminal)


def _calibrate(run: Path, data: Path, trained_on: "DataSet | None") -> list[str]:
    """Fits the temperatures on the validation split, unless the run has them; returns what to tell."""
    from amfam_tf.evaluation.run import calibrate_run
    from amfam_tf.runs.finished import FinishedRun

    finished = FinishedRun.open(run)
    if finished.calibration is not None:
        return []
    fitted, notes = calibrate_run(run, data, trained_on=trained_on)
    place = finished.folder.calibration_file
    done = [] if fitted is None else [f"temperatures fitted on {fitted.cases} validation cases: {place}"]
    return [*done, *(f"note: {note}" for note in notes)]


def _write_profile(recorder: "Recorder", run: Path, terminal: "Console") -> None:
    """Writes profile.json and prints it as a table."""
    from amfam_tf import phases
    from amfam_tf.errors import RunError
    from amfam_tf.files import json_file
    from amfam_tf.report.table import Table, TableRow
    from amfam_tf.report.terminal import to_rich

    content = recorder.to_dict()
    json_file.write(run / PROFILE_FILE, content, RunError)
    rows = [TableRow(row) for row in phases.lines(content)]
    terminal.print(to_rich(Table("What took the time", ["phase", "seconds", "times"], rows)))
    terminal.print(f"written: {run / PROFILE_FILE}", soft_wrap=True, markup=False)


def _describe(result: "FitResult", run: Path | None) -> str:
    """Returns how the fit ended; without a run folder if that is another worker's."""
    from amfam_tf.runs.folder import RunFolder

    begin = "run already finished" if result.already_finished else "finished"
    model = "the chief has the model" if run is None else f"model in {RunFolder(run).model_file}"
    return (
        f"{begin}: {result.epochs} epochs, best {result.judged_by} {result.best_accuracy:.4f} in epoch "
        f"{result.best_epoch + 1}; {model}"
    )
