"""`amfam-tf sweep`: fit a method over a grid of configuration values, measured on the validation split."""

from pathlib import Path

import click

from amfam_tf.cli.options import (
    MOST_PROCESSES,
    Seeds,
    card_option,
    configuration_options,
    console,
    data_option,
    out_option,
)
from amfam_tf.cli.output import echo


@click.command(short_help="Fit a method over a grid of configuration values; measure validation accuracy.")
@data_option
@card_option
@out_option("Folder of the sweep, new or to go on.")
@click.option(
    "--grid",
    "grids",
    required=True,
    multiple=True,
    metavar="KEY=A,B,...",
    help="Values of a key, e.g. loss.adversarial=0,0.4,0.8. Up to three keys.",
)
@click.option("--method", default="amfam", show_default=True, metavar="NAME", help="Method of the comparison.")
@click.option("--seeds", type=Seeds(), default="0", show_default=True, metavar="0,1,...", help="Seeds of each point.")
@configuration_options
@click.option(
    "--jobs", type=click.IntRange(1, MOST_PROCESSES), default=1, show_default=True, help="Runs at the same time."
)
def sweep(
    data: Path,
    card: Path | None,
    out: Path,
    grids: tuple[str, ...],
    method: str,
    seeds: tuple[int, ...],
    preset: str,
    overrides: tuple[str, ...],
    jobs: int,
) -> None:
    """Fit a method over a grid of configuration values.

    Every combination of values is measured on the validation split; no case of the test split is predicted. Each is a
    run in OUT/runs. The same command again does what is missing, goes on with what was interrupted, and tries again
    what failed.
    """
    from amfam_tf.comparison import grid, sweep_files
    from amfam_tf.comparison import sweep as sweeping
    from amfam_tf.report.terminal import to_rich

    grid.refuse_overrides(overrides, {"method": "--method", "seed": "--seeds"})
    axes = [sweeping.parse_axis(text) for text in grids]
    outcome = sweeping.sweep(
        data,
        out,
        preset,
        overrides,
        axes,
        method=method,
        seeds=seeds,
        console=console(stderr=True),
        at_once=jobs,
        card=card,
    )
    written = sweep_files.write(outcome, out)
    output = console()
    output.print(to_rich(sweep_files.sweep_table(outcome), framed=False))
    for line in (f"best: {outcome.best.name}", *(f"written: {path}" for path in written)):
        output.print(line, markup=False, soft_wrap=True)
    for name, error in outcome.failed.items():
        echo(f"failed: {name}: {error}", err=True)
    if outcome.failed:
        raise click.exceptions.Exit(1)
