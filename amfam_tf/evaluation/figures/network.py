"""What the network makes of the first cases: attention maps and reconstructions, if it has them."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.config import Config
from amfam_tf.evaluation import figure_style as style
from amfam_tf.evaluation.predict import input_names

CASES = 4


def draw_network(network: Any, cases: pd.DataFrame, config: Config, card: DataCard) -> Figure | None:
    """Returns inputs, attention maps and reconstructions of the first cases; None if the network has neither.

    Args:
        network: with all its outputs.
        cases: rows of a data set.
        config: of the run.
        card: of the data.
    """
    from amfam_tf.data import pipeline
    from amfam_tf.training.panel import HEADER, draw_panel

    outputs = getattr(network, "output", {})
    wanted = [name for name in outputs if name.startswith(("attention_", "reconstruction_"))]
    if not wanted:
        return None
    first = cases.head(CASES)
    batch = next(iter(pipeline.evaluation_dataset(first, config, card=card).unbatch().batch(len(first))))
    pictures = {name: np.asarray(batch[name]) for name in MODALITIES}
    # A graph of its own is not worth it for one batch.
    answers = network({name: batch[name] for name in input_names(network)}, training=False)
    panel = draw_panel(pictures, {name: np.asarray(answers[name]) for name in wanted})
    # The titles here are those of the figure, in its type.
    return _with_titles(panel[HEADER:], first["case_num"].tolist(), column_titles(wanted))


def column_titles(outputs: list[str]) -> list[str]:
    """Returns the titles of the columns that `draw_panel` makes of these outputs."""
    titles = []
    for modality in MODALITIES:
        titles.append(modality)
        titles += [kind for kind in ("attention", "reconstruction") if f"{kind}_{modality}" in outputs]
    return titles


def _with_titles(panel: np.ndarray, case_numbers: list[int], titles: list[str]) -> Figure:
    height, width = panel.shape[:2]
    with style.style():
        figure = style.new_figure(6.4, 6.4 * height / width + 0.4)
        axes = figure.subplots()
        axes.imshow(panel, interpolation="nearest")
        axes.set_xticks((np.arange(len(titles)) + 0.5) * width / len(titles), titles)
        axes.set_yticks((np.arange(len(case_numbers)) + 0.5) * height / len(case_numbers), list(map(str, case_numbers)))
        axes.set_ylabel("case")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return figure
