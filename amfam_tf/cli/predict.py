"""`amfam-tf predict`: predict the blind part of a data set and write the file that a challenge asks for."""

from pathlib import Path
from typing import Literal

import click

from amfam_tf.cli.options import card_option, show_progress
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath

FOLDER = UserPath(exists=True, file_okay=False, path_type=Path)
FILE = UserPath(dir_okay=False, path_type=Path)


@click.command(short_help="Write a challenge's file for the blind pictures of DATA.")
@click.argument("data", type=FOLDER)
@click.option("--run", type=FOLDER, required=True, help="Run folder that `fit` has finished.")
@click.option("--submission", "out", type=FILE, required=True, help="CSV file to write.")
@card_option
@click.option(
    "--values",
    type=click.Choice(["probabilities", "largest"]),
    default="probabilities",
    show_default=True,
    help="Probabilities, or 1 for the most probable class and 0 for the others.",
)
@click.option(
    "--tuned-on",
    type=FOLDER,
    multiple=True,
    metavar="RUN",
    help="Move the threshold of each class to 0.5: the best one on the test predictions of these runs, each of another "
    "fold. May be repeated.",
)
def predict(
    data: Path,
    run: Path,
    out: Path,
    card: Path | None,
    values: Literal["probabilities", "largest"],
    tuned_on: tuple[Path, ...],
) -> None:
    """Predict the blind part of DATA with a finished run and write the file that a challenge asks for.

    What the blind part is, and which task and ids the file holds, says the section `submission` of the card; MILK10k's
    comes with the package. Each blind case is in the file once, or nothing is written.
    """
    from amfam_tf.evaluation import blind, submission
    from amfam_tf.report.notice import RESEARCH_ONLY

    if tuned_on and values != "probabilities":
        raise click.UsageError("--tuned-on moves probabilities: leave --values out.")
    found = blind.predict_blind(run, data, card, show_progress)
    task = found.card.task(found.rule.task)
    thresholds = blind.tuned_thresholds(tuned_on, found) if tuned_on else None
    numbers = submission.numbers_of(found.table, task, values, thresholds)
    submission.write(out, found.rule, found.card, [*found.cases["case_id"]], numbers)
    for note in found.notes:
        echo(f"note: {note}")
    if thresholds is not None:
        told = ", ".join(f"{name} {value:.3f}" for name, value in thresholds.items())
        echo(f"thresholds that were moved to 0.5: {told}")
    echo(f"written: {out}, {len(numbers)} cases of {found.card.name}")
    echo(RESEARCH_ONLY)
