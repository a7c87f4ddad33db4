"""The rich console of every verb: strings are text and nothing else, neither markup nor commands to a terminal."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from amfam_tf.text import visible


class Terminal(Console):
    """A console that prints what it is given as it is: a string is one line, shown by `visible`.

    Markup such as [bold] counts only where `print` is called with markup=True.
    """

    def __init__(self, **options: Any):
        super().__init__(**({"markup": False, "emoji": False, "highlight": False} | options))

    def print(self, *objects: Any, **options: Any) -> None:
        """Prints; a line end within a string does not end the line."""
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns what a string, e.g. of a table's cell, looks like."""
        return super().render_str(visible(text, keep="\n"), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Gives the pieces to write; those with commands for the terminal are rich's own."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)
