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
    epoch and ends with the result of an unbroken run.
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


def _describe(result, run: Path) -> str:
    begin = "run already finished" if result.already_finished else "finished"
    return (
        f"{begin}: {result.epochs} epochs, best mean validation accuracy {result.best_accuracy:.4f} in epoch "
        f"{result.best_epoch + 1}; model in {run / 'model.keras'}"
    )
