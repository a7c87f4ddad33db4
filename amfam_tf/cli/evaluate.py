"""`amfam-tf evaluate`: predict a split with a finished run, measure, print the tables."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.card.schema import MODALITIES
from amfam_tf.cli.options import card_option, data_option, show_progress
from amfam_tf.cli.output import echo, echo_json
from amfam_tf.cli.paths import UserPath

if TYPE_CHECKING:
    from rich.console import Console

    from amfam_tf.evaluation.run import Evaluation
    from amfam_tf.report.results import RunComparison

FOLDER = UserPath(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("run", type=FOLDER)
@data_option
@card_option
@click.option(
    "--split",
    type=click.Choice(["train", "validate", "test", "all"]),
    help="Part of the data; all of them with --map only.  [default: test, with --map all]",
)
@click.option(
    "--map",
    "map_file",
    type=UserPath(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Data with another card: which classes of both mean the same (docs/evaluation.md).",
)
@click.option("--against", type=FOLDER, metavar="OTHER_RUN", help="Also compare with this run, case by case.")
@click.option(
    "--calibrate/--no-calibrate",
    default=True,
    show_default=True,
    help="Temperature scaling, fitted on the validation split.",
)
@click.option(
    "--modalities",
    "modality",
    type=click.Choice(MODALITIES),
    help="Leave the other picture out; for methods that can do without it.",
)
@click.option("--thresholds", is_flag=True, help="Also measure the classes that the run's thresholds decide for.")
@click.option("--json", "as_json", is_flag=True, help="Print metrics.json instead of the tables.")
def evaluate(
    run: Path,
    data: Path,
    card: Path | None,
    split: str | None,
    map_file: Path | None,
    against: Path | None,
    calibrate: bool,
    modality: str | None,
    thresholds: bool,
    as_json: bool,
) -> None:
    """Predict a split of DATA with the finished RUN and measure it.

    Writes predictions.csv, metrics.json, figures and report.html to RUN/evaluation/SPLIT, or with --modalities
    dermoscopic to RUN/evaluation/SPLIT-dermoscopic, with --map to RUN/evaluation/SPLIT-on-NAME, NAME being that of the
    data's card.
    """
    from amfam_tf.evaluation import html_report
    from amfam_tf.evaluation.run import compare_with, evaluate_run
    from amfam_tf.files import json_file

    if thresholds and modality is not None:
        raise click.UsageError("--thresholds are fitted with both pictures: leave --modalities out.")
    modalities = MODALITIES if modality is None else (modality,)
    if map_file is not None:
        from amfam_tf.evaluation.external import ALL, evaluate_external

        if against is not None or modality is not None or thresholds or not calibrate:
            raise click.UsageError("--map goes with --split and --card only.")
        evaluation = evaluate_external(run, data, map_file, split or ALL, show_progress, card)
    elif split == "all":
        raise click.UsageError("--split all is for --map: a run has seen a part of its own data.")
    else:
        evaluation = evaluate_run(run, data, split or "test", show_progress, calibrate, modalities, card, thresholds)
    comparison = None if against is None else compare_with(evaluation, against, data, show_progress, card)
    written = html_report.write_report(evaluation, comparison)
    if as_json:
        content = evaluation.report if comparison is None else evaluation.report | {"against": comparison}
        echo_json(json_file.dumps(content))
        for note in evaluation.notes:
            echo(f"note: {note}", err=True)
        return
    print_evaluation(evaluation, comparison, written)


def print_evaluation(evaluation: "Evaluation", comparison: "RunComparison | None", written: Iterable[Path]) -> None:
    """Prints the tables of an evaluation, its notes and the files written."""
    from amfam_tf.cli.options import console
    from amfam_tf.evaluation import tables
    from amfam_tf.evaluation.run import against_file
    from amfam_tf.report.notice import RESEARCH_ONLY
    from amfam_tf.report.terminal import to_rich
    from amfam_tf.runs.folder import METRICS_FILE, PREDICTIONS_FILE

    terminal = console()
    for table in tables.terminal_tables(evaluation.report, evaluation.card, comparison):
        terminal.print(to_rich(table))
    files = [PREDICTIONS_FILE, METRICS_FILE]
    files += [] if comparison is None else [against_file(comparison["second"])]
    _print_lines(terminal, [f"note: {note}" for note in evaluation.notes])
    _print_lines(terminal, [f"written: {evaluation.folder / name}" for name in files])
    _print_lines(terminal, [f"written: {path}" for path in written])
    _print_lines(terminal, [RESEARCH_ONLY])


def _print_lines(terminal: "Console", lines: Iterable[str]) -> None:
    for line in lines:
        terminal.print(line, markup=False, soft_wrap=True)
