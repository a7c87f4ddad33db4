"""`amfam-tf card`: draft the card of a data set from its table of cases."""

from pathlib import Path

import click

from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath
from amfam_tf.errors import DataError


@click.command()
@click.argument("table", type=UserPath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    type=UserPath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the card there, new, e.g. to dataset.yaml beside TABLE; by default it is printed.",
)
def card(table: Path, out: Path | None) -> None:
    """Draft a card from TABLE, a CSV file or workbook with a row for each case.

    Columns are guessed by their names and values. What was guessed without a good reason is marked "unsure": settle it,
    then try the card with `amfam-tf check`.
    """
    from amfam_tf.data.card_draft import draft
    from amfam_tf.files.writing import write_text

    text = draft(table)
    if out is None:
        for line in text.splitlines():
            echo(line)
        return
    if out.exists():
        raise DataError(f"{out} exists already: name a new file, or remove it")
    write_text(out, text, DataError)
    unsure = sum("unsure" in line for line in text.splitlines()[1:])
    echo(f"{out}: settle {unsure} lines marked unsure, then: amfam-tf check {out.parent} --card {out}")
