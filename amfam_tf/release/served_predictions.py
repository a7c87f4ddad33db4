"""What an exported version says about cases, by its own signature and its own preparation of the pictures."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amfam_tf.batch_predict.model import LoadedVersion
from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data import records, several
from amfam_tf.errors import DataError, ExportError
from amfam_tf.evaluation import predictions
from amfam_tf.export import version_files

BATCH = 16


def predict_served(folder: Path, cases: pd.DataFrame, card: DataCard) -> pd.DataFrame:
    """Returns the predictions table of cases, in their order; of several pictures of a view as the version is used.

    That is the mean over all pairs, or the first one: `LoadedVersion.averages`.

    Args:
        folder: of the version.
        cases: rows of `records.read_records`, in the order in which they are stored.
        card: of their data.

    Raises:
        ExportError: the version cannot be loaded, or has other tasks.
        DataError: it refuses a picture; names the case.
    """
    own = version_files.read_card(folder)
    if not cards.same_questions(own, card):
        raise ExportError(
            f"{folder} is of {own.name}, whose tasks or classes are not those of {card.name}: they cannot be compared; "
            "release under another model's name"
        )
    version = LoadedVersion(str(folder))
    pairs = several.all_pairs(cases) if version.averages else cases
    metadata = _metadata(version, folder, pairs)
    squares = _squares(version, pairs)
    answers = []
    while batch := list(islice(squares, BATCH)):
        stacked: dict[str, np.ndarray] = {name: np.stack([square[name] for square in batch]) for name in MODALITIES}
        answers.append(version.predict(stacked, list(islice(metadata, len(batch)))))
    probabilities = {}
    for task in card.tasks:
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
    labels = {task.name: pairs[task.name].to_numpy() for task in card.tasks}
    table = predictions.to_frame(pairs["case_num"].to_numpy(), labels, probabilities, card)
    return table if pairs is cases else predictions.averaged(table, card)


def _metadata(version: LoadedVersion, folder: Path, cases: pd.DataFrame) -> Iterator[dict[Any, str]]:
    """Returns what the version is told of each case beside the pictures."""
    missing = [name for name in version.columns if name not in cases]
    if missing:
        raise ExportError(
            f"{folder} takes metadata {missing[0]!r}, which these data do not have: they cannot be compared; release "
            "under another model's name"
        )
    return iter(cases[[*version.columns]].to_dict("records"))


def _squares(version: LoadedVersion, cases: pd.DataFrame) -> Iterator[dict[str, np.ndarray]]:
    """Yields the pictures of each case as the version prepares them."""
    pairs = records.encoded_pairs(cases).as_numpy_iterator()
    for number, pair in zip(cases["case_num"], pairs, strict=True):
        try:
            yield version.prepare(pair)
        except DataError as error:
            raise DataError(f"case {number}: {error}") from error
