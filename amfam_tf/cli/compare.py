"""`amfam-tf compare`: fit and evaluate several methods with several seeds, and write one table."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from amfam_tf.cli.options import (
    MOST_PROCESSES,
    Seeds,
    Words,
    card_option,
    configuration_options,
    console,
    data_option,
    out_option,
)
from amfam_tf.cli.output import echo


@click.command(short_help="Fit and evaluate several methods with several seeds; one table, published values beside.")
@data_option
@card_option
@out_option("Folder of the comparison, new or to go on.")
@click.option(
    "--methods", type=Words(), default="all", show_default=True, metavar="A,B,...", help="Methods, or all of them."
)
@click.option("--seeds", type=Seeds(), default="0,1,2", show_default=True, metavar="0,1,...", help="Seeds of each.")
@click.option(
    "--metadata",
    type=Words(),
    default=(),
    metavar="A,B,...",
    help="Fit the methods with these columns of the card too.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="KEY=VALUE",
    help="Fit each method that reads it once more with this value (or several), in a row of its own. May be repeated.",
)
@configuration_options
@click.option("--split", type=click.Choice(["train", "validate", "test"]), default="test", show_default=True)
@click.option(
    "--folds", is_flag=True, help="Fit for each fold of the card; compare the predictions of all folds together."
)
@click.option(
    "--jobs", type=click.IntRange(1, MOST_PROCESSES), default=1, show_default=True, help="Runs at the same time."
)
def compare(
    data: Path,
    card: Path | None,
    out: Path,
    methods: tuple[str, ...],
    seeds: tuple[int, ...],
    metadata: tuple[str, ...],
    also: tuple[str, ...],
    preset: str,
    overrides: tuple[str, ...],
    split: str,
    folds: bool,
    jobs: int,
) -> None:
    """Fit and evaluate several methods with several seeds, and write one table.

    Each method and seed is a run in OUT/runs, fitted and evaluated in a process of its own. The same command again does
    what is missing, goes on with what was interrupted, and tries again what failed.
    """
    from amfam_tf import config as configuration
    from amfam_tf import models
    from amfam_tf.comparison import grid
    from amfam_tf.comparison import tables as shown
    from amfam_tf.comparison.compare import compare as run_comparison
    from amfam_tf.report.notice import RESEARCH_ONLY
    from amfam_tf.report.terminal import to_rich

    if folds and split != "test":
        raise click.UsageError("--folds measures each case by the run that has not seen it: leave --split out.")
    options = {"method": "--methods", "seed": "--seeds", "model.metadata": "--metadata"}
    options |= {"data.fold": "--folds"} if folds else {}
    grid.refuse_overrides(overrides, options)
    config = configuration.load(preset, overrides)
    names = grid.method_names(methods)
    asked = configuration.overridden_keys(overrides)
    compared = [dataclasses.replace(config, method=name) for name in names]
    informed = dataclasses.replace(config.model, metadata=tuple(metadata))
    takers = [one for one in compared if metadata and models.METHODS[one.method].takes_metadata]
    models.refuse_unread([*compared, *(dataclasses.replace(one, model=informed) for one in takers)], asked)
    terminal = console(stderr=True)
    chosen: dict[str, Any] = {"at_once": jobs, "metadata": metadata, "card": card, "by_fold": folds, "also": also}
    outcome, written = run_comparison(data, out, config, names, seeds, split=split, console=terminal, **chosen)
    output = console()
    for section in outcome.sections:
        output.print()
        output.print(shown.section_title(section), style="bold")
        for table in shown.terminal_tables(outcome, section):
            output.print(to_rich(table, framed=False))
    notes = (*shown.terminal_notes(outcome), *(f"written: {path}" for path in written), RESEARCH_ONLY)
    for line in notes:
        output.print(line, markup=False, soft_wrap=True)
    for name, error in outcome.failed.items():
        echo(f"failed: {name}: {error}", err=True)
    if outcome.failed:
        raise click.exceptions.Exit(1)
