"""Sharded, compressed TFRecords of tf.Example: a whole data set in a few files, the encoded pictures as they were.

| feature | type | content |
| --- | --- | --- |
| clinical, dermoscopic | bytes | the image file, byte for byte; none or several where the card of the data allows it |
| case_num | int64 | |
| split | bytes | train, validate or test |
| DIAG, PN, ... (all tasks) | int64 | class number; -1 for a label that nobody knows |
| level_of_diagnostic_difficulty, ... (all metadata) | bytes | value, empty if missing |
| case_id | bytes | of the source, empty if it has none; may be absent |
| group | bytes | of the case; absent from records of Derm7pt |
| fold | int64 | from 0; only if the card deals out folds |

Beside the shards is dataset.yaml, the card of the data, if it is not Derm7pt's.

`read_records` gives a frame with the columns of `derm7pt.read_release` or `pairs.scan_pairs` that matter here, so
whatever takes cases takes both. Beside them it has `shard` (path) and `record` (position in the shard), by which
`encoded_pairs` finds the bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data import images
from amfam_tf.data.pair_labels import score_of
from amfam_tf.data.pair_pictures import ALL_PICTURES
from amfam_tf.data.shards import CASE_ID, RECORD_COLUMN, SHARD_COLUMN, find_shards, read_card
from amfam_tf.errors import DataError

COMPRESSION = "GZIP"
GROUP, FOLD = "group", "fold"
NUMBERS = {name: f"{name}_number" for name in MODALITIES}
"""Columns of a frame that say which of the pictures of a view is meant, from 0; without them it is the first."""


def picture_spec(one_picture: bool = False) -> dict[str, Any]:
    """Returns how to parse the two pictures of one example, which is all that a prediction needs.

    Args:
        one_picture: either may be absent, and is "" then.
    """
    absent = {"default_value": ""} if one_picture else {}
    return {name: tf.io.FixedLenFeature((), tf.string, **absent) for name in MODALITIES}


def feature_spec(card: DataCard) -> dict[str, Any]:
    """Returns how to parse one example, with case number, split, class numbers and metadata.

    Pictures are ragged if the card allows that one is missing or one of several.
    """
    spec = picture_spec() if has_plain_pairs(card) else _ragged_pictures()
    spec |= {name: tf.io.FixedLenFeature((), tf.int64) for name in integer_features(card)}
    spec |= {name: tf.io.FixedLenFeature((), tf.string) for name in text_features(card)}
    return spec | {CASE_ID: tf.io.FixedLenFeature((), tf.string, default_value="")}


def integer_features(card: DataCard) -> tuple[str, ...]:
    """Returns the names of the features that are whole numbers."""
    dealt = card.split.assign is not None and card.split.assign.folds is not None
    return ("case_num", *(task.name for task in card.tasks), *([FOLD] if dealt else []))


def text_features(card: DataCard) -> tuple[str, ...]:
    """Returns the names of the features that are text, case_id aside."""
    return ("split", *card.metadata, *([] if cards.is_derm7pt(card) else [GROUP]))


def has_plain_pairs(card: DataCard) -> bool:
    """Returns whether each case has one picture of each view."""
    views = [card.pictures.view(name) for name in MODALITIES]
    return all(view.missing == view.several == "refused" for view in views)


def _ragged_pictures() -> dict[str, Any]:
    return {name: tf.io.RaggedFeature(tf.string) for name in MODALITIES}


def read_records(folder: str | Path) -> pd.DataFrame:
    """Reads everything but the pictures from a folder of shards, in the order in which it was written.

    Each record is read once, so damage anywhere is found here and not in the middle of a training run.

    Returns:
        One row per case: case_num, clinical and dermoscopic (where the bytes are, for messages), split, the metadata
        columns, case_id, one column per task, the scores of the card, shared_file (both pictures are the same bytes),
        shard, record; of other data than Derm7pt also group, clinical_all and dermoscopic_all (tuples), perhaps fold.

    Raises:
        DataError: no shards, an incomplete set of them, or a damaged one; names it.
        ConfigError: its card cannot be used.
    """
    card = read_card(folder)
    rows = [row for shard in find_shards(folder) for row in _read_shard(shard, card)]
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
        cases: any selection of rows, in the order in which they are stored; with the columns NUMBERS a case may have
            several rows, one after the other. A picture that is missing is "".

    Raises:
        DataError: rows in another order (records are read from the start to the end), or twice.
    """
    if not set(NUMBERS.values()) <= set(cases):
        return encoded_pictures(cases).map(_chosen)
    chosen = [rows[[*NUMBERS.values()]].to_numpy(np.int64) for _, rows in cases.groupby("case_num", sort=False)]
    counts = tf.data.Dataset.from_tensor_slices(tf.ragged.stack([tf.constant(one) for one in chosen]))
    own = encoded_pictures(cases.drop_duplicates("case_num"))
    pairs = tf.data.Dataset.zip(own, counts).flat_map(
        lambda pictures, numbers: tf.data.Dataset.from_tensor_slices(_dense(numbers)).map(
            lambda pair: _chosen(pictures, tf.unstack(pair, num=2))
        )
    )
    return pairs.apply(tf.data.experimental.assert_cardinality(len(cases)))


def _dense(numbers: Any) -> tf.Tensor:
    """Returns the numbers of the pictures of one case, int64 [n, 2]."""
    return numbers.to_tensor() if isinstance(numbers, tf.RaggedTensor) else numbers


def _chosen(pictures: Mapping[str, tf.Tensor], numbers: Sequence[Any] = (0, 0)) -> dict[str, tf.Tensor]:
    """Returns one picture of each view, "" where there is none."""
    return {
        name: tf.concat([pictures[name], [""]], axis=0)[number]
        for name, number in zip(MODALITIES, numbers, strict=True)
    }


def encoded_pictures(cases: pd.DataFrame) -> tf.data.Dataset:
    """Returns all encoded pictures of cases from `read_records`, in order: dict of string [n] by modality.

    Raises:
        DataError: as `encoded_pairs`.
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
    pairs = pieces.flat_map(_selected_pictures)
    # A filter has no length of its own, and Keras takes a data set without one for one that ran out too early.
    return pairs.apply(tf.data.experimental.assert_cardinality(len(cases)))


def _selected_pictures(shard: tf.Tensor, wanted: tf.Tensor) -> tf.data.Dataset:
    """Returns the pictures at the positions `wanted`, int64 [n], of one shard."""
    numbered = tf.data.TFRecordDataset(shard, compression_type=COMPRESSION).enumerate()
    # Stop after the last one that is wanted: the rest of the shard need not be unpacked.
    numbered = numbered.take(wanted[-1] + 1)
    chosen = numbered.filter(lambda number, _: tf.reduce_any(wanted == number))
    return chosen.map(lambda _, example: tf.io.parse_single_example(example, _ragged_pictures()))


def shard_writer(path: str | Path) -> tf.io.TFRecordWriter:
    """Returns a writer of one compressed shard, to be used with `with`; it takes what `serialise` returns."""
    return tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=COMPRESSION))


def serialise(case: Mapping[str, Any], pictures: Mapping[str, bytes | Sequence[bytes]], card: DataCard) -> bytes:
    """Returns the record of one case, a serialised tf.Example; same case, same bytes.

    Args:
        case: case_num, split, class number of each task, metadata (None or NaN if missing), perhaps case_id; more is
            ignored.
        pictures: the image file of each modality, byte for byte, or all of them.
        card: of the data.
    """
    texts = {name: case[name] for name in text_features(card)} | {CASE_ID: case.get(CASE_ID)}
    content = {name: "" if pd.isna(value) else str(value) for name, value in texts.items()}
    features = {name: _bytes_feature([value.encode()]) for name, value in content.items()}
    for name in MODALITIES:
        stored = pictures[name]
        features[name] = _bytes_feature([stored] if isinstance(stored, bytes) else stored)
    features |= {name: _integer_feature(int(case[name])) for name in integer_features(card)}
    # Deterministic: a protobuf map has no order of its own.
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _bytes_feature(values: Sequence[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _integer_feature(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _read_shard(shard: Path, card: DataCard) -> Iterator[dict[str, Any]]:
    dataset = tf.data.TFRecordDataset(str(shard), compression_type=COMPRESSION)
    spec = feature_spec(card)
    try:
        for record, serialised in enumerate(dataset):
            yield _row(tf.io.parse_single_example(serialised, spec), shard, record, card)
    except tf.errors.OpError as error:
        raise DataError(f"damaged records in {shard}: {images.reason(error)}") from error


def _row(example: Mapping[str, tf.Tensor], shard: Path, record: int, card: DataCard) -> dict[str, Any]:
    numbers = {name: int(example[name]) for name in integer_features(card)}
    # A ragged feature of none or one, or the only one.
    files = {name: np.atleast_1d(example[name].numpy()).tolist() for name in MODALITIES}
    places = {name: tuple(_place(shard, record, name, number) for number in range(len(files[name]))) for name in files}
    return {
        **numbers,
        **{name: found[0] if found else "" for name, found in places.items()},
        **({} if cards.is_derm7pt(card) else {ALL_PICTURES[name]: found for name, found in places.items()}),
        **{name: example[name].numpy().decode() for name in (*text_features(card), CASE_ID)},
        **{name: score_of(score, card, numbers) for name, score in card.scores.items()},
        "shared_file": bool(files["clinical"]) and files["clinical"][:1] == files["dermoscopic"][:1],
        SHARD_COLUMN: str(shard),
        RECORD_COLUMN: record,
    }


def _place(shard: Path, record: int, modality: str, number: int) -> str:
    """Returns where the bytes of a picture are, in words."""
    return f"{shard}, record {record}, {modality}{f' {number}' if number else ''}"
