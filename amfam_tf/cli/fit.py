"""`amfam-tf fit`: fit a method into a run folder, or go on with an interrupted one."""

from pathlib import Path

import click

from amfam_tf.cli.options import configuration_options, console


@click.command(short_help="Fit a method; the same run folder again resumes.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), required=True, help="Release in the Derm7pt layout."
)
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="Run folder, new or to be resumed.")
@configuration_options
@click.option("--method", metavar="NAME", help="Method of the comparison; by default the preset's.")
@click.option(
    "--dry-run", is_flag=True, help="Build everything, run one batch, print shapes and memory; train nothing."
)
def fit(
    data: Path, run: Path | None, preset: str, overrides: tuple[str, ...], method: str | None, dry_run: bool
) -> None:
    """Fit a method on a data set.

    Everything goes into the run folder. If the process is interrupted, the same command goes on after the last complete
    epoch and ends with the result of an unbroken run. At the end, temperatures are fitted on the validation split.
    """
    from amfam_tf import config as configuration

    if run is None and not dry_run:
        raise click.UsageError("Missing option '--run' (only --dry-run does without).")
    chosen = configuration.load(preset, overrides, {"method": method} if method else None)

    from amfam_tf.training import run as training

    terminal = console()
    if dry_run:
        training.dry_run(data, chosen, terminal)
        return
    result = training.fit(data, run, chosen, terminal)
    terminal.print(_describe(result, run), soft_wrap=True, markup=False)
    for line in _calibrate(run, data):
        terminal.print(line, soft_wrap=True, markup=False)


def _calibrate(run: Path, data: Path) -> list[str]:
    """Fits the temperatures on the validation split, unless the run has them; returns what to tell."""
    from amfam_tf.evaluation.calibration import CALIBRATION_FILE
    from amfam_tf.evaluation.run import calibrate_run

    if (run / CALIBRATION_FILE).is_file():
        return []
    fitted, notes = calibrate_run(run, data)
    done = (
        [] if fitted is None else [f"temperatures fitted on {fitted.cases} validation cases: {run / CALIBRATION_FILE}"]
    )
    return [*done, *(f"note: {note}" for note in notes)]


def _describe(result, run: Path) -> str:
    begin = "run already finished" if result.already_finished else "finished"
    return (
        f"{begin}: {result.epochs} epochs, best mean validation accuracy {result.best_accuracy:.4f} in epoch "
        f"{result.best_epoch + 1}; model in {run / 'model.keras'}"
    )
