"""Click options and the terminal that several verbs share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console

Function = TypeVar("Function", bound=Callable[..., Any])

WIDTH_WITHOUT_TERMINAL = 120


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
