"""The figure of a sweep: a line for one axis, a heat map for two, several small ones for three."""

import itertools
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from amfam_tf.card import cards
from amfam_tf.comparison.sweep import SweepOutcome
from amfam_tf.config import as_text
from amfam_tf.evaluation import figure_style as style
from amfam_tf.report.numbers import UNDEFINED, defined

CELL_WIDTH, CELL_HEIGHT = 0.72, 0.5
PANELS_IN_A_ROW = 3
SMALLEST_GAP = 0.08
"""Of the axis, between the labels of two values on a line."""


def draw_sweep(outcome: SweepOutcome) -> Figure:
    """Returns the headline of every point on the validation split; what has no finished run is said to have none."""
    if len(outcome.axes) == 1:
        return _draw_line(outcome)
    return _draw_maps(outcome)


def _label(outcome: SweepOutcome) -> str:
    if cards.is_derm7pt(outcome.card):
        return "mean validation accuracy\nin percent"
    return f"validation {outcome.headline.short}\nin percent, {outcome.headline.about}"


def _draw_line(outcome: SweepOutcome) -> Figure:
    values = [point.values[0] for point in outcome.points]
    places = _places(values)
    with style.style():
        figure = style.new_figure(max(4.2, 0.8 * len(values)), 3.0)
        axes = figure.subplots()
        axes.set_xticks(places, [as_text(value) for value in values])
        axes.set_xlabel(outcome.axes[0])
        axes.set_ylabel(_label(outcome))
        _draw_points(axes, outcome, places)
    return figure


def _places(values: Sequence[Any]) -> list[float]:
    """Returns where the values are on the line: where they are as numbers if their labels then have room."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        gaps = np.diff(sorted(values))
        if gaps.size and gaps.min() >= SMALLEST_GAP * gaps.sum():
            return list(values)
    return list(range(len(values)))


def _draw_points(axes: Axes, outcome: SweepOutcome, places: Sequence[float]) -> None:
    means = []
    for place, point in zip(places, outcome.points, strict=True):
        result = outcome.results.get(point.name)
        if result is None:
            axes.axvline(place, color=style.PALE, linestyle=":")
            axes.annotate("failed", (place, 0.02), xycoords=("data", "axes fraction"), color=style.GREY, rotation=90)
            continue
        value = result.values[outcome.headline.name]
        if not defined(value.mean):
            continue
        means.append((place, 100 * value.mean))
        axes.plot([place, place], [100 * value.low, 100 * value.high], color=style.BLUE, linewidth=1)
        axes.plot(np.full(len(value.by_seed), place), 100 * np.array(value.by_seed), "_", color=style.INK)
        best = point == outcome.best
        axes.plot(place, means[-1][1], "o", color=style.VERMILLION if best else style.BLUE, zorder=3)
        axes.annotate(
            f"{means[-1][1]:.1f}",
            (place, 100 * max(value.high, *value.by_seed, value.mean)),
            textcoords="offset points",
            xytext=(0, 4),
            ha="center",
            weight="bold" if best else None,
        )
    axes.plot(*zip(*sorted(means), strict=True), color=style.BLUE)


def _draw_maps(outcome: SweepOutcome) -> Figure:
    columns, rows = (_values_of(outcome, place) for place in (0, 1))
    layers = _values_of(outcome, 2) if len(outcome.axes) == 3 else [None]
    across = min(PANELS_IN_A_ROW, len(layers))
    down = -(-len(layers) // across)
    width, height = CELL_WIDTH * len(columns) + 1.1, CELL_HEIGHT * len(rows) + 0.9
    with style.style():
        figure = style.new_figure(max(3.4, across * width + 0.8), max(2.2, down * height))
        grid = figure.subplots(down, across, squeeze=False)
        norm = _norm(outcome)
        for axes, layer in itertools.zip_longest(grid.flat, layers, fillvalue=_NOTHING):
            if layer is _NOTHING:
                axes.set_axis_off()
                continue
            image = _draw_map(axes, outcome, columns, rows, layer, norm)
        figure.colorbar(image, ax=grid, label=_label(outcome), shrink=0.9)
    return figure


_NOTHING: Any = object()


def _values_of(outcome: SweepOutcome, place: int) -> list[Any]:
    """Returns the distinct values of an axis, in order; lists among them."""
    found: list[Any] = []
    for point in outcome.points:
        if point.values[place] not in found:
            found.append(point.values[place])
    return found


def _norm(outcome: SweepOutcome) -> matplotlib.colors.Normalize:
    """Returns the colour scale that all panels share, a little wider than the values so that none is at its end."""
    found = [result.values[outcome.headline.name].mean for result in outcome.results.values()]
    means = [100 * mean for mean in filter(defined, found)]
    margin = 0.05 * (max(means) - min(means)) or 0.5
    return matplotlib.colors.Normalize(min(means) - margin, max(means) + margin)


def _draw_map(
    axes: Axes,
    outcome: SweepOutcome,
    columns: Sequence[Any],
    rows: Sequence[Any],
    layer: Any,
    norm: matplotlib.colors.Normalize,
) -> AxesImage:
    means = np.full((len(rows), len(columns)), np.nan)
    for point in outcome.points:
        if layer is None or point.values[2] == layer:
            place = rows.index(point.values[1]), columns.index(point.values[0])
            result = outcome.results.get(point.name)
            means[place] = np.nan if result is None else 100 * result.values[outcome.headline.name].mean
            _write(axes, place, means[place], norm, point == outcome.best, "failed" if result is None else UNDEFINED)
    image = axes.imshow(means, cmap=style.SEQUENTIAL, norm=norm, aspect="auto", origin="lower")
    axes.set_xticks(range(len(columns)), [as_text(value) for value in columns])
    axes.set_yticks(range(len(rows)), [as_text(value) for value in rows])
    axes.set_xlabel(outcome.axes[0])
    axes.set_ylabel(outcome.axes[1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if layer is not None:
        axes.set_title(f"{outcome.axes[2]}={as_text(layer)}", loc="left", fontweight="bold")
    return image


def _write(
    axes: Axes, place: tuple[int, int], mean: float, norm: matplotlib.colors.Normalize, best: bool, without: str
) -> None:
    """Writes a value into its cell, or what to say without one; the best one is bold and framed."""
    if mean != mean:
        axes.text(place[1], place[0], without, ha="center", va="center", color=style.GREY, fontsize=7.5)
        return
    colour = _readable_on(matplotlib.colormaps[style.SEQUENTIAL](norm(mean)))
    weight = "bold" if best else "normal"
    axes.text(place[1], place[0], f"{mean:.1f}", ha="center", va="center", color=colour, weight=weight)
    if best:
        corner = (place[1] - 0.47, place[0] - 0.47)
        frame = matplotlib.patches.Rectangle(
            corner, 0.94, 0.94, fill=False, edgecolor=style.VERMILLION, linewidth=2, zorder=4
        )
        axes.add_patch(frame)


def _readable_on(colour: tuple[float, ...]) -> str:
    """Returns white or ink, whichever has the higher contrast (WCAG 2) on a colour in [0, 1]."""
    paper, ink = (_luminance(one) + 0.05 for one in (colour, matplotlib.colors.to_rgb(style.INK)))
    return "white" if 1.05 / paper > paper / ink else style.INK


def _luminance(colour: tuple[float, ...]) -> float:
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
