"""What a model answers to cases, once: pictures as they are, not augmented."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.data import pipeline
from amfam_tf.training.progress import with_bar

if TYPE_CHECKING:
    from rich.console import Console


def one_pass(
    model: keras.Model, rows: pd.DataFrame, config: Config, card: DataCard, title: str, console: "Console"
) -> Any:
    """Returns the outputs of a model for every row, in order: in its structure, float32 [rows, ...].

    Args:
        model: of inputs by name, that are keys of a batch.
        rows: of pairs of pictures, see `several.rows_of_pairs`.
        config: how pictures and metadata are made.
        card: of the data.
        title: of the progress.
        console: for it.

    Raises:
        DataError: a picture cannot be read.
    """

    @tf.function(reduce_retracing=True)  # the last batch may be smaller
    def infer(given: dict[str, tf.Tensor]) -> Any:
        return tf.nest.map_structure(lambda one: tf.cast(one, tf.float32), model(given, training=False))

    batches = pipeline.evaluation_dataset(rows, config, card=card)
    shown = with_bar(batches, title, pipeline.evaluation_steps(len(rows), config), console)
    with pipeline.naming_bad_files(rows, config):
        found = [
            tf.nest.map_structure(np.asarray, infer({name: batch[name] for name in model.input})) for batch in shown
        ]
    return tf.nest.map_structure(lambda *parts: np.concatenate(parts), *found)
