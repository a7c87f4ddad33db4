"""Click options and the terminal that several verbs share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

Function = TypeVar("Function", bound=Callable[..., Any])

WIDTH_WITHOUT_TERMINAL = 120


class Words(click.ParamType):
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


class Seeds(Words):
    """Seeds with commas between them, e.g. "0,1,2"; gives a tuple of int, none negative."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Returns the seeds; what is no whole number from 0 on is wrong usage."""
        words = super().convert(value, param, ctx)
        for word in words:
            if not (word.isascii() and word.isdecimal()):
                self.fail(f"{word!r} is no whole number from 0 on", param, ctx)
        return tuple(map(int, words))


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


def console(stderr: bool = False) -> Console:
    """Returns the rich console to print to; without a terminal, lines are not wrapped at 80 columns."""
    terminal = Console(stderr=stderr, highlight=False)
    if not terminal.is_terminal:
        terminal = Console(stderr=stderr, highlight=False, width=max(terminal.width, WIDTH_WITHOUT_TERMINAL))
    return terminal
