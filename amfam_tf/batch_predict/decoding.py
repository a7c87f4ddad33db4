"""The pairs of a shard as batches of squares. Each case is read and decoded on its own, so a bad picture fails alone.

Threads prepare the next batch while the model works on this one; TensorFlow lets other threads run meanwhile.
"""

import itertools
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Executor, Future
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
    rows = enumerate(read_records(task.records, version.columns) if task.rows is None else plan.read_rows(task.rows))
    ahead: deque[Future[list[DecodedPair]]] = deque()
    ready: deque[DecodedPair] = deque()
    total = 0
    while True:
        while len(ahead) < READ_AHEAD * batch_size and (found := next(rows, None)) is not None:
            ahead.append(threads.submit(prepare, found[1], version, task.shard, found[0]))
        while ahead and len(ready) < batch_size:
            ready += ahead.popleft().result()
        if not ready:
            break
        batch = [ready.popleft() for _ in range(min(batch_size, len(ready)))]
        total += len(batch)
        yield batch
    yield [End(task.shard, total)]


def prepare(row: PairRow, version: LoadedVersion, shard: int, position: int) -> list[DecodedPair]:
    """Reads and decodes the pairs of a case; what is wrong with a picture or value becomes its error, once."""
    error, told = row.error, row.metadata or {}
    if error is None:
        try:
            metadata = {
                name: metadata_values.given(name, column, told.get(name)) for name, column in version.columns.items()
            }
            squares = _squares(row, version)
            return [
                DecodedPair(shard, position, row.case_num, pair, metadata=metadata, number=number)
                for number, pair in enumerate(squares)
            ]
        except DataError as problem:
            error = str(problem)
    return [DecodedPair(shard, position, row.case_num, None, error)]


def _squares(row: PairRow, version: LoadedVersion) -> list[dict[str, np.ndarray]]:
    """Returns the squares of each pair, in the order of `several.all_pairs`.

    Pictures are decoded two by two, as often as the view with the most of them needs.
    """
    most = None if version.averages else 1
    places = {name: [getattr(row, name), *row.more.get(name, ())][:most] for name in MODALITIES}
    if row.contents is None:
        contents = {name: [_read(name, place) if place else b"" for place in found] for name, found in places.items()}
    else:
        contents = {name: [*row.contents[name]][:most] for name in MODALITIES}
        places = {name: [getattr(row, name)] * len(found) for name, found in contents.items()}
    _refuse_empty(contents, places)
    decoded = []
    for number in range(max(map(len, contents.values()))):
        chosen = {name: number % len(found) for name, found in contents.items()}
        try:
            decoded.append(version.prepare({name: contents[name][place] for name, place in chosen.items()}))
        except PictureError as error:
            place = places[error.modality][chosen[error.modality]]
            raise DataError(f"{error.modality} picture {place} cannot be used: {error}") from error
    pairs = itertools.product(*(range(len(contents[name])) for name in MODALITIES))
    return [{name: decoded[place][name] for name, place in zip(MODALITIES, pair, strict=True)} for pair in pairs]


def _refuse_empty(contents: Mapping[str, list[bytes]], places: Mapping[str, list[str]]) -> None:
    """Refuses a file without a byte: to a version that takes one picture it would be a missing one."""
    for name, found in contents.items():
        for content, place in zip(found, places[name], strict=True):
            if place and not content:
                raise DataError(f"{name} picture {place} cannot be used: the picture is empty: copy it anew")


def _read(modality: str, path: str) -> bytes:
    try:
        return urls.read_bytes(path)
    except DataError as error:
        raise DataError(f"{modality} picture {path} {error}") from error


def read_records(paths: tuple[str, ...], columns: Collection[str] = ()) -> Iterator[PairRow]:
    """Gives the cases of files of records, in order, with all their pictures; labels are not looked at.

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
    contents = None if missing else pictures
    metadata = {name: example[name].numpy().decode() for name in columns} if columns else None
    return PairRow(int(example["case_num"]), places["clinical"], places["dermoscopic"], error, contents, metadata)
