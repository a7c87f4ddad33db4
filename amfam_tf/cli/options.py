"""Click options and the terminal that several verbs share."""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.status import Status
from rich.text import Text

from amfam_tf.cli.paths import UserPath
from amfam_tf.config import LARGEST_SEED
from amfam_tf.terminal import Terminal
from amfam_tf.text import visible

Function = TypeVar("Function", bound=Callable[..., Any])

FOLDER = UserPath(path_type=Path, file_okay=False)
WIDTH_WITHOUT_TERMINAL = 120
MOST_PROCESSES = 1024
MOST_FILES = 10_000
MOST_IN_BATCH = 65_536


class Words(click.ParamType):  # type: ignore[type-arg]
    """Words with commas between them, e.g. "concat,amfam"; gives a tuple of str."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Returns the words; an empty one is wrong usage."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in value.split(","))
        if not all(words):
            self.fail(f"{value!r}: a word is missing between commas", param, ctx)
        return words


class Seeds(click.ParamType):  # type: ignore[type-arg]
    """Seeds with commas between them, e.g. "0,1,2"; gives a tuple of int from 0 to LARGEST_SEED."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Returns the seeds; what is no such number in decimal digits is wrong usage."""
        words = Words().convert(value, param, ctx)
        for word in words:
            digits = word.isascii() and word.isdecimal() and len(word) <= len(str(LARGEST_SEED))
            # 010 is 8 to some and 10 to others.
            if not digits or (word[0] == "0" and word != "0") or int(word) > LARGEST_SEED:
                self.fail(f"{word[:40]!r} is no whole number from 0 to {LARGEST_SEED}", param, ctx)
        return tuple(map(int, words))


class Number(click.FloatRange):
    """A finite number within a range: click itself lets NaN pass any."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Returns the number; what is none is wrong usage."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return number


def one_out(out: Any, former: Any) -> Any:
    """Returns the folder that `--out` names, or the word where it stood before; both or neither is wrong usage."""
    if (out is None) == (former is None):
        raise click.UsageError("Missing option '--out'." if out is None else f"--out is given: what is {former}?")
    return former if out is None else out


def out_option(text: str, kind: Any = FOLDER, required: bool = True) -> Callable[[Function], Function]:
    """Adds `--out`, passed to the function as `out`."""
    return click.option("--out", type=kind, required=required, metavar="DIR", help=text)


def data_option(function: Function, required: bool = True) -> Function:
    """Adds `--data`, passed to the function as `data` (Path, or None if it is not required)."""
    text = "Data set: with a card, or in the layout of Derm7pt (images/ and meta/) or MILK10k; or a folder of records."
    return click.option("--data", type=FOLDER, required=required, metavar="DIR", help=text)(function)


def card_option(function: Function) -> Function:
    """Adds `--card`, passed to the function as `card` (Path, or None for the card beside the data)."""
    text = "Card of the data set, if it is not dataset.yaml beside the data; see docs/cards.md."
    kind = UserPath(exists=True, dir_okay=False, path_type=Path)
    return click.option("--card", type=kind, metavar="FILE", help=text)(function)


def workers_option(function: Function) -> Function:
    """Adds `--workers`, passed to the function as `workers` (int, or None for one per core)."""
    text = "Processes of this machine.  [default: one per core]"
    return click.option("--workers", type=click.IntRange(1, MOST_PROCESSES), help=text)(function)


def configuration_options(function: Function) -> Function:
    """Adds `--preset` and `--set`, passed to the function as `preset` (str) and `overrides` (tuple of str)."""
    overrides = click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change one value, e.g. training.epochs=3. May be repeated.",
    )
    preset = click.option(
        "--preset",
        default="paper",
        show_default=True,
        metavar="NAME",
        help="A preset of the package (paper, tiny, ...) or a YAML file.",
    )
    return preset(overrides(function))


def console(stderr: bool = False) -> Terminal:
    """Returns the rich console to print to; without a terminal, lines are not wrapped at 80 columns."""
    terminal = Terminal(stderr=stderr)
    if not terminal.is_terminal:
        terminal = Terminal(stderr=stderr, width=max(terminal.width, WIDTH_WITHOUT_TERMINAL))
    return terminal


def working(text: str) -> Status:
    """Returns a line on standard error that says what is being done, with something that moves beside it."""
    terminal = console(stderr=True)
    spinner = "dots" if terminal.encoding.startswith("utf") else "line"
    return terminal.status(Text(visible(text)), spinner=spinner)


def show_progress(batches: Iterable[Mapping[str, Any]], count: int) -> Iterable[Mapping[str, Any]]:
    """Passes batches through and shows a progress bar on standard error."""
    from rich.progress import track

    yield from track(batches, "predicting", total=count, console=console(stderr=True), transient=True)
