"""Sharded, compressed TFRecords of tf.Example: a whole data set in a few files, the encoded pictures as they were.

| feature | type | content |
| --- | --- | --- |
| clinical, dermoscopic | bytes | the image file, byte for byte |
| case_num | int64 | |
| split | bytes | train, validate or test |
| DIAG, PN, ... (all tasks) | int64 | class number |
| level_of_diagnostic_difficulty, elevation, location, sex, management | bytes | raw string, empty if missing |
| case_id | bytes | of the source, empty if it has none; may be absent |

`read_records` gives a frame with the columns of `derm7pt.read_release` that matter here, so whatever takes cases takes
both. Beside them it has `shard` (path) and `record` (position in the shard), by which `encoded_pairs` finds the bytes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.data import images
from amfam_tf.data.shards import CASE_ID, RECORD_COLUMN, SHARD_COLUMN, find_shards
from amfam_tf.errors import DataError
from amfam_tf.tasks import METADATA, MODALITIES, seven_point_score, task_names

COMPRESSION = "GZIP"
TEXT_FEATURES = ("split", *METADATA)


def feature_spec(labels: bool = True) -> dict[str, tf.io.FixedLenFeature]:
    """Returns how to parse one example.

    Args:
        labels: with case number, split, class numbers and metadata; without, the two pictures only, which is all that a
            prediction needs.
    """
    spec = {name: tf.io.FixedLenFeature((), tf.string) for name in MODALITIES}
    if not labels:
        return spec
    spec |= {name: tf.io.FixedLenFeature((), tf.int64) for name in ("case_num", *task_names())}
    spec |= {name: tf.io.FixedLenFeature((), tf.string) for name in TEXT_FEATURES}
    return spec | {CASE_ID: tf.io.FixedLenFeature((), tf.string, default_value="")}


def read_records(folder: str | Path) -> pd.DataFrame:
    """Reads everything but the pictures from a folder of shards, in the order in which it was written.

    Each record is read once, so damage anywhere is found here and not in the middle of a training run.

    Returns:
        One row per case: case_num, clinical and dermoscopic (where the bytes are, for messages), split, the metadata
        columns, case_id, one column per task, seven_point_score, shared_file (both pictures are the same bytes), shard,
        record.

    Raises:
        DataError: no shards, an incomplete set of them, or a damaged one; names it.
    """
    rows = [row for shard in find_shards(folder) for row in _read_shard(shard)]
    return pd.DataFrame(rows)


def is_from_records(cases: pd.DataFrame) -> bool:
    """Returns whether the frame comes from `read_records`."""
    return RECORD_COLUMN in cases


def source_files(cases: pd.DataFrame) -> set[str]:
    """Returns the paths of all files that the pictures of these cases are read from."""
    columns = (SHARD_COLUMN,) if is_from_records(cases) else MODALITIES
    return {str(path) for column in columns for path in cases[column]}


def encoded_pairs(cases: pd.DataFrame) -> tf.data.Dataset:
    """Returns the encoded pictures of cases from `read_records`, in order: dict of string [] by modality.

    Args:
        cases: any selection of rows, in the order in which they are stored.

    Raises:
        DataError: rows in another order (records are read from the start to the end), or twice.
    """
    shards = list(dict.fromkeys(cases[SHARD_COLUMN]))
    numbers = cases[SHARD_COLUMN].map({shard: number for number, shard in enumerate(sorted(shards))})
    places = list(zip(numbers, cases[RECORD_COLUMN], strict=True))
    if any(later <= earlier for earlier, later in zip(places, places[1:], strict=False)):
        raise DataError(
            "cases from records must be in the order in which they are stored, each once: sort them by case"
        )
    wanted = [np.sort(cases.loc[cases[SHARD_COLUMN] == shard, RECORD_COLUMN].to_numpy(np.int64)) for shard in shards]
    pieces = tf.data.Dataset.from_tensor_slices((shards, tf.ragged.constant(wanted, dtype=tf.int64)))
    # Shards one after the other: the order of the cases is part of a run's identity.
    pairs = pieces.flat_map(_selected_pairs)
    # A filter has no length of its own, and Keras takes a data set without one for one that ran out too early.
    return pairs.apply(tf.data.experimental.assert_cardinality(len(cases)))


def _selected_pairs(shard: tf.Tensor, wanted: tf.Tensor) -> tf.data.Dataset:
    """Returns the pairs at the positions `wanted`, int64 [n], of one shard."""
    numbered = tf.data.TFRecordDataset(shard, compression_type=COMPRESSION).enumerate()
    # Stop after the last one that is wanted: the rest of the shard need not be unpacked.
    numbered = numbered.take(wanted[-1] + 1)
    chosen = numbered.filter(lambda number, _: tf.reduce_any(wanted == number))
    return chosen.map(lambda _, example: tf.io.parse_single_example(example, feature_spec(labels=False)))


def shard_writer(path: str | Path) -> tf.io.TFRecordWriter:
    """Returns a writer of one compressed shard, to be used with `with`; it takes what `serialise` returns."""
    return tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=COMPRESSION))


def serialise(case: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """Returns the record of one case, a serialised tf.Example; same case, same bytes.

    Args:
        case: case_num, split, class number of each task, metadata (None or NaN if missing), perhaps case_id; more is
            ignored.
        pictures: the image file of each modality, byte for byte.
    """
    content = {name: pictures[name] for name in MODALITIES}
    texts = {name: case[name] for name in TEXT_FEATURES} | {CASE_ID: case.get(CASE_ID)}
    content |= {name: "" if pd.isna(value) else str(value) for name, value in texts.items()}
    features = {name: _bytes_feature(value) for name, value in content.items()}
    features |= {name: _integer_feature(int(case[name])) for name in ("case_num", *task_names())}
    # Deterministic: a protobuf map has no order of its own.
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _bytes_feature(value: bytes | str) -> tf.train.Feature:
    data = value.encode() if isinstance(value, str) else value
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))


def _integer_feature(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _read_shard(shard: Path) -> Iterator[dict[str, Any]]:
    dataset = tf.data.TFRecordDataset(str(shard), compression_type=COMPRESSION)
    try:
        for record, serialised in enumerate(dataset):
            yield _row(tf.io.parse_single_example(serialised, feature_spec()), shard, record)
    except tf.errors.OpError as error:
        raise DataError(f"damaged records in {shard}: {images.reason(error)}") from error


def _row(example: Mapping[str, tf.Tensor], shard: Path, record: int) -> dict[str, Any]:
    labels = {name: int(example[name]) for name in task_names()}
    return {
        "case_num": int(example["case_num"]),
        **{name: f"{shard}, record {record}, {name}" for name in MODALITIES},
        **{name: example[name].numpy().decode() for name in (*TEXT_FEATURES, CASE_ID)},
        **labels,
        "seven_point_score": seven_point_score(labels),
        "shared_file": bool(example["clinical"] == example["dermoscopic"]),
        SHARD_COLUMN: str(shard),
        RECORD_COLUMN: record,
    }
