"""`amfam-tf paper`: the published tables as printed and as corrected, and what is left of the claims."""

import click

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
        from amfam_tf.report.csv_text import to_csv

        click.echo(to_csv(getattr(tables, CSV_TABLES[csv_table])().round(2)), nl=False)
    elif markdown:
        from amfam_tf.evaluation.paper_tables import document

        click.echo(document(), nl=False)
    else:
        _print_tables()


def _print_tables() -> None:
    from amfam_tf.cli.options import console
    from amfam_tf.evaluation import paper_tables as shown
    from amfam_tf.report.terminal import to_rich

    terminal = console()
    for table in (shown.reading_table(), shown.error_table(), shown.average_table(), shown.claim_table()):
        terminal.print(to_rich(table.without("reason")))
    terminal.print("Every class of every row: amfam-tf paper --csv classes", markup=False, soft_wrap=True)
