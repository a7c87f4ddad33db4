"""`amfam-tf synth`: draw a labelled data set in the layout of Derm7pt."""

from pathlib import Path
from typing import Any

import click

from amfam_tf.cli.options import one_out, out_option, workers_option
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath
from amfam_tf.config import LARGEST_SEED


class PictureSize(click.ParamType):  # type: ignore[type-arg]
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"
    low, high = 32, 8192

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Returns (width, height)."""
        if isinstance(value, tuple):
            return value
        width, _, height = value.lower().partition("x")
        if not (width.isascii() and width.isdigit() and height.isascii() and height.isdigit()):
            self.fail(f"must be WIDTHxHEIGHT, for example 512x384; received {value!r}", param, ctx)
        # Longer numbers are no size of a picture, and Python refuses to read the longest.
        if not all(len(side) <= 5 and self.low <= int(side) <= self.high for side in (width, height)):
            self.fail(
                f"each side must be between {self.low} and {self.high} pixels; received {value[:40]!r}", param, ctx
            )
        return int(width), int(height)


@click.command()
@out_option("Folder of the data set, new or empty.  [required]", UserPath(), required=False)
@click.argument("former", required=False, metavar="", type=UserPath())
@click.option(
    "--layout",
    type=click.Choice(["derm7pt", "milk10k"]),
    default="derm7pt",
    show_default=True,
    help="Of which data set.",
)
@click.option(
    "--cases",
    type=click.IntRange(10, 1_000_000),
    default=1011,
    show_default=True,
    help="Number of cases; splits and classes keep their shares.",
)
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="Equal seeds give equal files."
)
@click.option("--size", type=PictureSize(), default="512x384", show_default=True, help="Size of each picture.")
@click.option(
    "--traps/--no-traps", default=False, show_default=True, help="Include the real data set's irregularities."
)
@workers_option
@click.option(
    "--contact-sheet", type=UserPath(), metavar="FILE", help="Also write a picture of some cases, with labels."
)
def synth(
    out: Path | None,
    former: Path | None,
    layout: str,
    cases: int,
    seed: int,
    size: tuple[int, int],
    traps: bool,
    workers: int | None,
    contact_sheet: Path | None,
) -> None:
    """Draw a labelled data set in the layout of Derm7pt or MILK10k into a new folder.

    Each case is a clinical and a dermoscopic picture of one lesion, with its diagnosis and, for Derm7pt, the seven
    criteria of the checklist. Nothing of a real picture is used: good for trying things, never for medical conclusions.
    """
    out = one_out(out, former)
    if layout == "milk10k" and (contact_sheet or traps):
        raise click.UsageError("--contact-sheet and --traps are for --layout derm7pt: milk10k always has its traps")
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from amfam_tf.data import synthetic
    from amfam_tf.terminal import Terminal

    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TextColumn("cases"), TimeRemainingColumn())
    bar = Progress(*columns, console=Terminal(stderr=True))
    task = bar.add_task("drawing", total=cases)

    def show(done: int) -> None:
        if done == 1:  # not before: an error in the arguments is one line, without a bar
            bar.start()
        bar.update(task, completed=done)

    try:
        if layout == "milk10k":
            synthetic.write_milk10k(out, cases, seed, size, workers, progress=show)
        else:
            synthetic.write_data_set(out, cases, seed, size, traps, workers, progress=show)
    finally:
        if bar.live.is_started:
            bar.stop()
    if contact_sheet:
        synthetic.contact_sheet(out, contact_sheet)
    echo(f"{cases} cases drawn into {out}")
