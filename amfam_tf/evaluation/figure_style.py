"""How every figure looks: colours that colour-blind readers can tell apart, sizes for print, one way to a PNG.

Figures are objects (`matplotlib.figure.Figure`): no global state, no window, safe in any thread.
"""

import io
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from amfam_tf.errors import UserError
from amfam_tf.files.writing import write_bytes

BLUE, VERMILLION, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
INK, GREY, PALE = "#222222", "#767676", "#D9D9D9"
CLASS_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE)
"""Okabe and Ito's palette, without its yellow, which paper swallows."""
CLASS_LINES = ("-", "--", "-.", ":", (0, (3, 1, 1, 1, 1, 1)))
"""One per colour, for print in black and white."""
SEQUENTIAL = "Blues"
MAPS = "viridis"
DOTS_PER_INCH = 150

SETTINGS: Mapping[Any, Any] = MappingProxyType(
    {
        "font.size": 9.0,
        "axes.titlesize": 9.0,
        "axes.labelsize": 8.5,
        "xtick.labelsize": 8.0,
        "ytick.labelsize": 8.0,
        "legend.fontsize": 7.5,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "lines.linewidth": 1.5,
    }
)


def class_line(number: int) -> tuple[str, Any]:
    """Returns colour and style of the line of a class; the first 25 are all different."""
    rounds, place = divmod(number, len(CLASS_COLOURS))
    return CLASS_COLOURS[place], CLASS_LINES[(place + rounds) % len(CLASS_LINES)]


def style() -> AbstractContextManager[None]:
    """Returns the context in which a figure of this package is made and drawn."""
    return matplotlib.rc_context(dict(SETTINGS))


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in inches, with room made for its labels."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def to_png(figure: Figure, texts: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Returns the figure as a PNG file with these texts by keyword; equal figures give equal bytes."""
    stream = io.BytesIO()
    with style():
        figure.savefig(stream, format="png", metadata={"Software": None, **texts})
    return stream.getvalue()


def write_png(
    figure: Figure,
    path: Path,
    texts: Mapping[str, str] = MappingProxyType({}),
    refusal: type[UserError] | None = None,
) -> None:
    """Writes the figure as `to_png` gives it, see `files.writing.writing`."""
    write_bytes(path, to_png(figure, texts), refusal)


def say(axes: Axes, text: str) -> None:
    """Writes a sentence into the middle of axes that have nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=8)
