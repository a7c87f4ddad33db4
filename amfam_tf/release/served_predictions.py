"""What an exported version says about cases, by its own signature and its own preparation of the pictures."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf.batch_predict.model import LoadedVersion
from amfam_tf.data import records
from amfam_tf.errors import DataError, ExportError
from amfam_tf.evaluation import predictions
from amfam_tf.tasks import MODALITIES, TASKS

BATCH = 16


def predict_served(folder: Path, cases: pd.DataFrame) -> pd.DataFrame:
    """Returns the predictions table of cases, in their order.

    Args:
        folder: of the version.
        cases: rows of `records.read_records`, in the order in which they are stored.

    Raises:
        ExportError: the version cannot be loaded, or has other tasks.
        DataError: it refuses a picture; names the case.
    """
    version = LoadedVersion(str(folder))
    squares = _squares(version, cases)
    answers = []
    while batch := list(islice(squares, BATCH)):
        stacked = {name: np.stack([square[name] for square in batch]) for name in MODALITIES}
        answers.append(version.predict(stacked))
    probabilities = {}
    for task in TASKS:
        found = [answer[task.name] for answer in answers if task.name in answer]
        if len(found) < len(answers) or any(one.shape[1:] != (len(task.classes),) for one in found):
            raise ExportError(f"{folder} has no {task.name} of {len(task.classes)} classes: it is no lesion model")
        # float32 rows sum to 1 within its rounding only.
        values = np.concatenate(found).astype(np.float64)
        broken = int((~np.isfinite(values).all(axis=1)).sum())
        if broken:
            raise ExportError(
                f"{folder}: the answers of {task.name} for {broken} of {len(values)} cases are not finite"
            )
        probabilities[task.name] = values / values.sum(axis=1, keepdims=True)
    labels = {task.name: cases[task.name].to_numpy() for task in TASKS}
    return predictions.to_frame(cases["case_num"].to_numpy(), labels, probabilities)


def _squares(version: LoadedVersion, cases: pd.DataFrame) -> Iterator[dict[str, np.ndarray]]:
    """Yields the pictures of each case as the version prepares them."""
    pairs = records.encoded_pairs(cases).as_numpy_iterator()
    for number, pair in zip(cases["case_num"], pairs, strict=True):
        try:
            yield version.prepare(pair)
        except DataError as error:
            raise DataError(f"case {number}: {error}") from error
