"""Records: what goes in comes out, bytes are reproducible, damage is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from releases import TinyRelease
from written_records import write_records

from amfam_tf import config as configuration
from amfam_tf.data import pipeline, records
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import DataError
from amfam_tf.tasks import DERM7PT, METADATA, MODALITIES, task_names

CASES = 10
CONFIG = {"data": {"image_size": 40}, "augmentation": {"pad": 4}, "training": {"batch_size": 4, "epochs": 2}}
SHARED = 3


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    release = TinyRelease(CASES)
    release.meta.loc[SHARED, "clinic"] = release.meta.loc[SHARED, "derm"]
    return read_release(release.write(tmp_path_factory.mktemp("release")))


@pytest.fixture(scope="module")
def folder(cases: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("records") / "out"
    write_records(cases, out, shards=3)
    return out


def copy_of(folder: Path, target: Path) -> list[Path]:
    target.mkdir()
    for shard in sorted(folder.iterdir()):
        (target / shard.name).write_bytes(shard.read_bytes())
    return sorted(target.iterdir())


def assert_same_batches(first: tf.data.Dataset, second: tf.data.Dataset) -> None:
    assert first.element_spec == second.element_spec
    pairs = list(zip(first.as_numpy_iterator(), second.as_numpy_iterator(), strict=True))
    assert pairs
    for left, right in pairs:
        for key in left:
            np.testing.assert_array_equal(left[key], right[key], err_msg=key)


def test_the_table_comes_back(cases, folder):
    columns = ["case_num", "split", *METADATA, *task_names(), "seven_point_score", "shared_file"]
    table = records.read_records(folder)
    pd.testing.assert_frame_equal(table[columns], cases[columns], check_dtype=False)
    assert table["shared_file"].tolist() == [row == SHARED for row in range(CASES)]
    assert [Path(shard).name for shard in table["shard"].unique()] == [
        f"cases-0000{number}-of-00003.tfrecord.gz" for number in range(3)
    ]
    assert table["record"].tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2]


def test_the_image_files_come_back_byte_for_byte(cases, folder):
    pairs = records.encoded_pairs(records.read_records(folder)).as_numpy_iterator()
    for pair, row in zip(pairs, cases.to_dict("records"), strict=True):
        assert pair == {name: Path(row[name]).read_bytes() for name in MODALITIES}


@pytest.mark.parametrize("cache", ["none", "memory", "file"])
def test_batches_equal_those_from_files(cases, folder, cache, tmp_path):
    changes = CONFIG | {"data": CONFIG["data"] | {"cache": cache, "cache_directory": str(tmp_path)}}
    config = configuration.from_dict(changes)
    table = records.read_records(folder)
    assert_same_batches(
        pipeline.training_dataset(table, config, DERM7PT), pipeline.training_dataset(cases, config, DERM7PT)
    )


@pytest.mark.parametrize("split", ["train", "validate", "test"])
def test_a_split_equals_that_from_files(cases, folder, split):
    config = configuration.from_dict(CONFIG)
    table = records.read_records(folder)
    chosen, expected = table[table["split"] == split], cases[cases["split"] == split]
    assert_same_batches(
        pipeline.evaluation_dataset(chosen, config, DERM7PT), pipeline.evaluation_dataset(expected, config, DERM7PT)
    )


def test_same_cases_same_bytes(cases, folder, tmp_path):
    shards = write_records(cases, tmp_path / "again", shards=3)
    assert [shard.read_bytes() for shard in shards] == [shard.read_bytes() for shard in sorted(folder.iterdir())]
    assert shards == sorted((tmp_path / "again").iterdir())


def test_missing_metadata_comes_back_as_missing(cases, tmp_path):
    write_records(cases[:2].assign(sex=[np.nan, "male"]), tmp_path / "out", shards=1)
    encoded = pipeline.encode_metadata(
        records.read_records(tmp_path / "out"), ["elevation", "location", "sex"], DERM7PT
    )
    np.testing.assert_array_equal(encoded[:, -2:], [[0, 0], [0, 1]])


def test_predictions_need_the_two_pictures_only():
    pictures = {name: name.encode() for name in MODALITIES}
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[data])) for name, data in pictures.items()}
    example = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    parsed = tf.io.parse_example([example], records.picture_spec())
    assert {name: value.numpy().tolist() for name, value in parsed.items()} == {
        name: [data] for name, data in pictures.items()
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match="required but could not be found"):
        tf.io.parse_single_example(example, records.feature_spec(DERM7PT))


def flip_a_byte(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(data)


def cut_the_end(shard: Path) -> None:
    shard.write_bytes(shard.read_bytes()[:-200])


def replace_by_text(shard: Path) -> None:
    shard.write_text("no records")


def replace_by_other_examples(shard: Path) -> None:
    with tf.io.TFRecordWriter(str(shard), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        writer.write(tf.train.Example().SerializeToString())


@pytest.mark.parametrize("damage", [flip_a_byte, cut_the_end, replace_by_text, replace_by_other_examples])
def test_a_damaged_shard_is_named_in_one_line(folder, tmp_path, damage):
    shards = copy_of(folder, tmp_path / "copy")
    damage(shards[1])
    with pytest.raises(DataError) as caught:
        records.read_records(tmp_path / "copy")
    message = str(caught.value)
    assert message.startswith(f"damaged records in {shards[1]}: ")
    assert "\n" not in message
    assert "{{" not in message


def test_damage_after_reading_the_table_names_the_shard(folder, tmp_path):
    shards = copy_of(folder, tmp_path / "copy")
    table = records.read_records(tmp_path / "copy")
    flip_a_byte(shards[1])
    config = configuration.from_dict(CONFIG)
    with pytest.raises(DataError) as caught, pipeline.naming_bad_files(table, config):
        list(pipeline.evaluation_dataset(table, config, DERM7PT))
    assert str(shards[1]) in str(caught.value)


def test_a_missing_or_foreign_shard_is_named(folder, tmp_path):
    shards = copy_of(folder, tmp_path / "copy")
    shards[1].unlink()
    with pytest.raises(DataError, match=r"not one complete set of 3 shards: see cases-00001-of-00003"):
        records.read_records(tmp_path / "copy")
    shards[1].with_name("cases-00001-of-00002.tfrecord.gz").touch()
    with pytest.raises(DataError, match="not one complete set"):
        records.read_records(tmp_path / "copy")
    with pytest.raises(DataError, match="has no records"):
        records.read_records(tmp_path)


def test_rows_in_another_order_are_refused(folder):
    table = records.read_records(folder)
    for rows in ([1, 0], [0, 0], [5, 1]):
        with pytest.raises(DataError, match="in the order in which they are stored"):
            records.encoded_pairs(table.iloc[rows])
