"""`amfam-tf synth`: draw a labelled data set in the layout of Derm7pt, of MILK10k or of any card."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from amfam_tf.cli.options import Function, Number, one_out, out_option, workers_option
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import UserPath
from amfam_tf.config import LARGEST_SEED

if TYPE_CHECKING:
    from amfam_tf.card.schema import DataCard

LAYOUTS = ("derm7pt", "milk10k", "milk10k-archive")
SHARE = 0.05
"""Of unknown labels and of missing and second pictures, by default."""


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


def share_option(name: str, text: str, most: float) -> Callable[[Function], Function]:
    """Adds the share of something that a card may allow, passed to the function as `name` (float)."""
    text = f"With --card: share of {text}."
    return click.option(f"--{name}", type=Number(0, most), default=SHARE, show_default=True, metavar="SHARE", help=text)


@click.command()
@out_option("Folder of the data set, new or empty.  [required]", UserPath(), required=False)
@click.argument("former", required=False, metavar="", type=UserPath())
@click.option(
    "--layout",
    type=click.Choice(LAYOUTS),
    default="derm7pt",
    show_default=True,
    help="Of which data set.",
)
@click.option(
    "--card",
    type=UserPath(path_type=Path),
    metavar="FILE",
    help="Draw what this card says instead (docs/cards.md); or the name of a card of the package.",
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
@share_option("unknown", "labels that nobody knows, in tasks that allow it", 0.9)
@share_option("missing", "cases without a picture, for each view that may be missing", 0.5)
@share_option("several", "cases with a second picture, for each view that may have several", 0.5)
@workers_option
@click.option(
    "--contact-sheet", type=UserPath(), metavar="FILE", help="Also write a picture of some cases, with labels."
)
@click.pass_context
def synth(
    ctx: click.Context,
    /,
    out: Path | None,
    former: Path | None,
    layout: str,
    card: Path | None,
    cases: int,
    seed: int,
    size: tuple[int, int],
    traps: bool,
    workers: int | None,
    contact_sheet: Path | None,
    **shares: float,
) -> None:
    """Draw a labelled data set in the layout of Derm7pt or MILK10k, or of any card, into a new folder.

    Each case is a clinical and a dermoscopic picture of one lesion, with its diagnosis and, for Derm7pt, the seven
    criteria of the checklist. With --card the tables, pictures and splits are those that the card names, and a label
    that Derm7pt does not have is a coloured shape in both pictures. Nothing of a real picture is used: good for trying
    things, never for medical conclusions.
    """
    out = one_out(out, former)
    if layout != "derm7pt" and (contact_sheet or traps):
        raise click.UsageError(f"--contact-sheet and --traps are for --layout derm7pt: {layout} always has its traps")
    if card is None:
        _refuse_given(ctx, tuple(shares), "needs --card")
    else:
        _refuse_given(ctx, ("layout", "traps", "contact_sheet"), "does not go with --card")
    from amfam_tf.data import synthetic

    with _progress(cases) as show:
        if card is not None:
            synthetic.write_card_set(_card(card), out, cases, seed, size, workers, show, synthetic.Gaps(**shares))
        elif layout != "derm7pt":
            synthetic.write_milk10k(out, cases, seed, size, workers, show, layout)
        else:
            synthetic.write_data_set(out, cases, seed, size, traps, workers, progress=show)
    if contact_sheet:
        synthetic.contact_sheet(out, contact_sheet)
    echo(f"{cases} cases drawn into {out}")


def _refuse_given(ctx: click.Context, names: tuple[str, ...], why: str) -> None:
    """Raises for options that stand on the command line and mean nothing there."""
    for name in names:
        if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")


def _card(named: Path) -> "DataCard":
    """Returns the card of a file, or of the package."""
    from amfam_tf.card import cards

    if str(named) in cards.packaged_names() and not named.exists():
        return cards.packaged(str(named))
    return cards.read(named)


@contextmanager
def _progress(cases: int) -> Iterator[Callable[[int], None]]:
    """Gives what shows how many cases are drawn."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from amfam_tf.terminal import Terminal

    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TextColumn("cases"), TimeRemainingColumn())
    bar = Progress(*columns, console=Terminal(stderr=True))
    task = bar.add_task("drawing", total=cases)

    def show(done: int) -> None:
        if done == 1:  # not before: an error in the arguments is one line, without a bar
            bar.start()
        bar.update(task, completed=done)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
