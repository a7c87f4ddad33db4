"""The figure of a comparison: the headline of each method with its interval and its single runs."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amfam_tf.comparison.measures import Measure
from amfam_tf.comparison.outcome import REFERENCE, Outcome, Section
from amfam_tf.comparison.results import GroupResult
from amfam_tf.comparison.tables import section_title
from amfam_tf.evaluation import figure_style as style

ROW, MARGIN = 0.3, 0.75
"""Inches for a method, and for title and axis of a section."""


def draw_forest(outcome: Outcome) -> Figure:
    """Returns the headline of each method: mean, 95 % interval, one small mark per seed, AMFAM as a line.

    Published values are not drawn: they are of other cases, or are in the table.
    """
    headline = outcome.measures.headline
    heights = [ROW * len(section.results) + MARGIN for section in outcome.sections]
    with style.style():
        figure = style.new_figure(6.4, sum(heights))
        grid = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)
        for axes, section in zip(grid.flat, outcome.sections, strict=True):
            _draw(axes, section, headline)
        grid.flat[-1].set_xlabel(f"{headline.short} in percent, {headline.about}")
    return figure


def _draw(axes: Axes, section: Section, headline: Measure) -> None:
    axes.set_title(section_title(section), loc="left", fontweight="bold")
    places = np.arange(len(section.results))
    for place, result in zip(places, section.results, strict=True):
        value = result.values[headline.name]
        colour = style.VERMILLION if result.name == REFERENCE else style.BLUE
        if value.low == value.low:
            axes.plot([100 * value.low, 100 * value.high], [place, place], color=colour, linewidth=2)
        runs = 100 * np.array(value.by_seed)
        axes.plot(runs, np.full(len(runs), place), "|", color=style.INK, markersize=9, markeredgewidth=1)
        axes.plot(100 * value.mean, place, "o", color=colour, markersize=6)
        if result.name == REFERENCE:
            axes.axvline(100 * value.mean, color=style.PALE, linewidth=1, zorder=0)
    axes.set_yticks(places, _names(section.results))
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _names(results: Sequence[GroupResult]) -> list[str]:
    return [result.name for result in results]
