"""The pairs of a shard as batches of squares. Each pair is read and decoded on its own, so a bad picture fails alone.

Threads prepare the next batch while the model works on this one; TensorFlow lets other threads run meanwhile.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Executor, Future
from itertools import count
from pathlib import Path

import numpy as np
import tensorflow as tf

from amfam_tf.batch_predict import plan
from amfam_tf.batch_predict.model import LoadedVersion, PictureError
from amfam_tf.batch_predict.pair import DecodedPair, End, PairRow
from amfam_tf.beam import urls
from amfam_tf.card import metadata_values
from amfam_tf.card.schema import MODALITIES
from amfam_tf.data import images, records, shards
from amfam_tf.errors import DataError

READ_AHEAD = 2
"""Batches in memory: the one that the model works on and the next one."""


def batches(
    task: plan.PredictTask, version: LoadedVersion, batch_size: int, threads: Executor
) -> Iterator[list[DecodedPair] | list[End]]:
    """Gives the pairs of a shard in order, `batch_size` at a time, and at last its end, alone.

    Raises:
        DataError: a file of records is damaged; names it.
    """
    rows = read_records(task.records, version.columns) if task.rows is None else plan.read_rows(task.rows)
    ahead: deque[Future[DecodedPair]] = deque()
    numbers = count()
    total = 0
    while True:
        while len(ahead) < READ_AHEAD * batch_size and (row := next(rows, None)) is not None:
            ahead.append(threads.submit(prepare, row, version, task.shard, next(numbers)))
        if not ahead:
            break
        batch = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
        total += len(batch)
        yield batch
    yield [End(task.shard, total)]


def prepare(row: PairRow, version: LoadedVersion, shard: int, position: int) -> DecodedPair:
    """Reads and decodes a pair; what is wrong with a picture or value becomes the pair's error."""
    squares, error, told = None, row.error, row.metadata or {}
    metadata: dict[str, str] = {}
    if error is None:
        try:
            metadata = {
                name: metadata_values.given(name, column, told.get(name)) for name, column in version.columns.items()
            }
            squares = _squares(row, version)
        except DataError as problem:
            error = str(problem)
    return DecodedPair(shard, position, row.case_num, squares, error, metadata)


def _squares(row: PairRow, version: LoadedVersion) -> dict[str, np.ndarray]:
    contents = row.contents
    if contents is None:
        contents = {name: _read(name, getattr(row, name)) for name in MODALITIES}
    try:
        return version.prepare(contents)
    except PictureError as error:
        place = getattr(row, error.modality)
        raise DataError(f"{error.modality} picture {place} cannot be used: {error}") from error


def _read(modality: str, path: str) -> bytes:
    try:
        return urls.read_bytes(path)
    except DataError as error:
        raise DataError(f"{modality} picture {path} {error}") from error


def read_records(paths: tuple[str, ...], columns: Collection[str] = ()) -> Iterator[PairRow]:
    """Gives the pairs of files of records, in order, with the first picture of each view; labels are not looked at.

    Args:
        columns: metadata to give with them, see `source.open_source`.

    Raises:
        DataError: a file is damaged; names it.
    """
    for path in paths:
        known = records.feature_spec(shards.read_card(Path(path).parent))
        spec = {name: known[name] for name in ("case_num", *MODALITIES, *columns)}
        dataset = tf.data.TFRecordDataset(path, compression_type=records.COMPRESSION)
        try:
            for number, serialised in enumerate(dataset):
                example = tf.io.parse_single_example(serialised, spec)
                yield _row_of_record(example, f"{path}, record {number}", columns)
        except tf.errors.OpError as error:
            raise DataError(f"damaged records in {path}: {images.reason(error)}") from error


def _row_of_record(example: Mapping[str, tf.Tensor], place: str, columns: Collection[str]) -> PairRow:
    places = {name: f"{place}, {name}" for name in MODALITIES}
    pictures = {name: tf.reshape(example[name], [-1]).numpy().tolist() for name in MODALITIES}
    missing = [name for name in MODALITIES if not pictures[name]]
    error = f"{place} has no {missing[0]} picture" if missing else None
    contents = None if missing else {name: found[0] for name, found in pictures.items()}
    metadata = {name: example[name].numpy().decode() for name in columns} if columns else None
    return PairRow(int(example["case_num"]), **places, error=error, contents=contents, metadata=metadata)
