"""amfam-tf check: counts per task, class and split, and every problem of a data set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.options import card_option
from amfam_tf.cli.output import echo_json
from amfam_tf.cli.paths import UserPath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from amfam_tf.card.schema import DataCard
    from amfam_tf.data.check import CheckReport


@click.command()
@click.argument("data", type=UserPath(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--min-side", type=click.IntRange(1, 65_536), default=64, show_default=True, help="Fewest pixels per side."
)
@card_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check(data: Path, min_side: int, card: Path | None, as_json: bool) -> None:
    """Check a data set in DATA: count its cases and list every problem.

    DATA is a data set in the layout of Derm7pt (images/ and meta/) or of MILK10k, or any folder of pairs with a card: a
    file dataset.yaml in it, or --card. Exit status 1 if there is any problem.
    """
    from amfam_tf.cli.options import console, working
    from amfam_tf.data.check import check_data_set

    found, folder = _find_card(data, card)
    with working(f"Reading every picture of {data}"):
        report = check_data_set(folder, min_side, found)
    if as_json:
        echo_json(json.dumps(report.to_dict(), indent=2))
    else:
        _print_report(report, console(), found)
    if not report.ok:
        raise click.exceptions.Exit(1)


def _find_card(data: Path, given: Path | None) -> "tuple[DataCard | None, Path]":
    """Returns the card of the data, None for the layout of Derm7pt, and the folder that its paths begin in.

    Every fault of a card is a line of its own.
    """
    from amfam_tf.card import cards

    if given is None and cards.beside(data) is None:
        # Without any card, the reader of Derm7pt says what its layout lacks.
        found = next((one for one in cards.with_layout(data) if not cards.is_derm7pt(one[0])), None)
        return found or (None, data)
    try:
        return cards.find(data, given)
    except cards.CardError as error:
        for problem in error.problems[1:]:
            click.echo(f"error: {error.source}: {problem}", err=True)
        raise cards.CardError(error.source, error.problems[:1]) from error


def _counts(numbers: "Mapping[str, int]") -> str:
    return ", ".join(f"{name} {count}" for name, count in numbers.items())


def _print_report(report: "CheckReport", console: "Console", card: "DataCard | None") -> None:
    """Prints counts, pictures, notes and problems, one line for each."""
    from amfam_tf.card import cards
    from amfam_tf.report.count_table import count_table
    from amfam_tf.report.terminal import to_rich

    def line(text: object, style: str = "") -> None:
        console.print(str(text), style=style, markup=False, highlight=False, soft_wrap=True)

    title = f"{report.cases} cases of {report.data_set}"
    tasks = (card or cards.legacy()).tasks
    console.print(to_rich(count_table(title, report.cases, report.splits, report.counts.to_dict("records"), tasks)))
    line(f"cases whose clinical picture is the dermoscopic file: {report.shared_files}")
    for modality, share in report.black_corners.items():
        line(f"{modality} pictures with black corners: {share:.1%}")
    sizes = ", ".join(f"{count} of {size}" for size, count in report.sizes.items())
    line(f"sizes in pixels: {sizes or 'no picture'}")
    if report.modes:
        line(f"pictures that are not RGB (all are taken): {_counts(report.modes)}")
    if report.profiles:
        line(f"pictures with a colour profile: {_counts(report.profiles)}")
    for kind, findings in (("note", report.notes), ("problem", report.problems)):
        line(f"{len(findings)} {kind}{'' if len(findings) == 1 else 's'}", style="bold")
        for finding in findings:
            line(f"  {finding}", style="red" if kind == "problem" else "")
    if report.notes or report.problems:
        line("Rows are counted from 0, as in the index files: row 0 is the first case.")
