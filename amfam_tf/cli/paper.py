"""`amfam-tf paper`: the published tables as printed and as corrected, and what is left of the claims."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table


CSV_TABLES = {
    "classes": "corrected_classes",
    "readings": "readings",
    "errors": "typing_errors",
    "averages": "averages",
}
"""Name on the command line -> function of `amfam_tf.evaluation.paper`."""


@click.command(short_help="Show the published tables as printed and as corrected by arithmetic.")
@click.option("--csv", "csv_table", type=click.Choice(list(CSV_TABLES)), help="Print one table as CSV, in percent.")
@click.option("--markdown", is_flag=True, help="Print the text of docs/published_tables.md.")
def paper(csv_table: str | None, markdown: bool) -> None:
    """Correct the published tables (Wang et al. 2022) by arithmetic.

    For the authors' own models sensitivity and precision are exchanged in print. Shows the proof for each row, the
    mistyped cells, the corrected averages, and what is left of the claims.
    """
    if csv_table and markdown:
        raise click.UsageError("--csv and --markdown exclude each other")
    if csv_table:
        from amfam_tf.evaluation import paper as tables

        frame = getattr(tables, CSV_TABLES[csv_table])()
        click.echo(frame.round(2).to_csv(index=False, lineterminator="\n"), nl=False)
    elif markdown:
        from amfam_tf.evaluation.paper_markdown import document

        click.echo(document(), nl=False)
    else:
        _print_tables()


def _print_tables() -> None:
    from amfam_tf.cli.options import console

    terminal = console()
    for table in (_readings(), _errors(), _averages(), _claims()):
        terminal.print(table)
    terminal.print("Every class of every row: amfam-tf paper --csv classes", markup=False, soft_wrap=True)


def _table(title: str, headings: "Sequence[str]", rows: "Sequence[Sequence[str]]", caption: str = "") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, title=title, caption=caption or None)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _readings() -> "Table":
    from amfam_tf.evaluation.paper_markdown import reading_lines

    headings = ("table", "method", "Sen., Prec.", "error*", "error**", "Spec. agrees with", "rows that differ")
    caption = "largest error of a task's accuracy in points, * if Prec. is the recall, ** if Sen. is"
    return _table("How the printed rows have to be read", headings, reading_lines(), caption)


def _errors() -> "Table":
    from amfam_tf.evaluation.paper import typing_errors
    from amfam_tf.evaluation.paper_markdown import number

    rows = [
        [str(row["table"]), row["method"], row["column"], f"{row['task']} {row['class']}"]
        + [number(row["printed"]), number(row["corrected"]), row["kind"]]
        for row in typing_errors().to_dict("records")
    ]
    return _table("Cells that cannot be right", _ERROR_HEADINGS, rows)


_ERROR_HEADINGS = ("table", "method", "column", "class", "printed", "corrected", "mistake")


def _averages() -> "Table":
    from amfam_tf.evaluation.paper import METRICS, averages
    from amfam_tf.evaluation.paper_markdown import number

    rows = [
        [str(row["table"]), row["method"]]
        + [f"{number(row[metric])} ({number(row[f'{metric}_as_printed'])})" for metric in METRICS]
        for row in averages().to_dict("records")
    ]
    title = "Averages over classes in %: corrected (as printed)"
    return _table(title, ("table", "method", "sensitivity", "specificity", "precision", "AUC"), rows)


def _claims() -> "Table":
    from amfam_tf.evaluation.paper import claims

    rows = [[claim.claim, claim.printed, claim.corrected, claim.verdict] for claim in claims()]
    return _table("What is left of the claims", ("claim", "as printed", "corrected", "verdict"), rows)
