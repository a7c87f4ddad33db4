"""Draws explanations like Fig. 6 and 7 of Wang et al. 2022: pictures, maps beside them, probabilities as bars."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from amfam_tf.card.schema import MODALITIES
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.evaluation import figure_style as style
from amfam_tf.explain.run import CaseExplanation

STRONGEST = 0.65
"""Share of the colour where a map is 1; where it is 0 the picture is untouched."""
CELL = 2.1


def overlay(picture: np.ndarray, activation: np.ndarray) -> np.ndarray:
    """Returns a picture with a map laid over it, RGB [S, S, 3] in [0, 1].

    Args:
        picture: RGB [S, S, 3] in [0, 1].
        activation: [S, S] in [0, 1]; the larger, the more colour hides of the picture.
    """
    colours = matplotlib.colormaps[style.MAPS](activation)[..., :3]
    share = STRONGEST * activation[..., None]
    return picture * (1 - share) + colours * share


def draw_panel(explanations: Sequence[CaseExplanation]) -> Figure:
    """Returns the figure of one case: a row per modality (picture, then a map per run) and bars of each run.

    Args:
        explanations: of the same case and task, one per run.
    """
    first, runs = explanations[0], len(explanations)
    with style.style():
        figure = style.new_figure(CELL * (1 + runs) + 3.2, 2 * CELL + 0.9)
        grid = figure.add_gridspec(2, 2 + runs, width_ratios=[*[1.0] * (1 + runs), 0.8])
        for row, modality in enumerate(MODALITIES):
            _show(figure.add_subplot(grid[row, 0]), first.pictures[modality], modality if row else f"\n{modality}")
            for column, one in enumerate(explanations, start=1):
                _show_map(figure.add_subplot(grid[row, column]), one, modality, f"{one.run}\n" if row == 0 else "")
        bars = grid[:, -1].subgridspec(runs, 1)
        for row, one in enumerate(explanations):
            _draw_bars(figure.add_subplot(bars[row, 0]), one, with_name=runs > 1)
        label = "unknown" if first.truth == UNKNOWN else first.task.class_titles[first.truth]
        figure.suptitle(f"case {first.case_num}, {first.task.title}; label: {label}", fontsize=10)
        scale = ScalarMappable(cmap=style.MAPS)
        scale.set_clim(0, 1)
        maps = [axes for axes in figure.axes if axes.images]
        bar = figure.colorbar(scale, ax=maps, orientation="horizontal", shrink=0.5, aspect=40, pad=0.01)
        bar.set_label("speaks for the class, of each map's own largest value")
    return figure


def _show(axes: Axes, picture: np.ndarray, title: str) -> None:
    axes.imshow(np.clip(picture, 0.0, 1.0), interpolation="nearest")
    axes.set_title(title)
    axes.set_axis_off()


def _show_map(axes: Axes, one: CaseExplanation, modality: str, name: str) -> None:
    if modality not in one.maps:
        _show(axes, np.ones_like(one.pictures[modality]), name)
        style.say(axes, f"does not use\nthe {modality} picture")
        return
    _show(axes, overlay(one.pictures[modality], one.maps[modality]), f"{name}for {one.task.classes[one.shown]}")
    if not one.maps[modality].any():
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
        axes.text(0.5, 0.04, "nothing speaks for it", transform=axes.transAxes, ha="center", fontsize=7.5, bbox=box)


def _draw_bars(axes: Axes, one: CaseExplanation, with_name: bool) -> None:
    """Draws the probability of each class, label and prediction marked by words, not by colour alone."""
    numbers = np.arange(len(one.task.classes))
    colours = [style.BLUE if number == one.predicted else style.PALE for number in numbers]
    axes.barh(numbers, one.probabilities, color=colours, height=0.6)
    for number, value in enumerate(one.probabilities):
        axes.text(value + 0.03, number, f"{value:.2f}", va="center", fontsize=7.5)
    axes.set_yticks(numbers, [_tick(one, number) for number in range(len(numbers))])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25)
    axes.set_xticks([0, 0.5, 1])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    verdict = "" if one.truth == UNKNOWN else ", right" if one.predicted == one.truth else ", wrong"
    name = f"{one.run}: " if with_name else ""
    axes.set_title(f"{name}{one.task.classes[one.predicted]}{verdict}", loc="right")
    axes.set_xlabel("probability")


def _tick(one: CaseExplanation, number: int) -> str:
    """Returns the name of a class, with what it is in this case below it."""
    marks = [word for word, place in (("predicted", one.predicted), ("label", one.truth)) if place == number]
    return "\n".join([one.task.class_titles[number], *([f"({', '.join(marks)})"] if marks else [])])
