"""Schema and statistics are protos of tensorflow-metadata, and say what the records are."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from amfam_tf.data import records
from amfam_tf.errors import DataError
from amfam_tf.ingest.schema import build_schema, read_schema, to_text
from amfam_tf.ingest.statistics import statistics
from amfam_tf.ingest.statistics_proto import statistics_proto
from amfam_tf.tasks import DERM7PT, METADATA, MODALITIES, SPLITS, TASKS, task_names


@pytest.fixture(scope="module")
def table():
    """Findings of four cases, two of train and two of test."""
    frame = pd.DataFrame({"row": range(4), "case_num": [1, 2, 3, 4], "split": ["train", "test", "train", "test"]})
    for name in MODALITIES:
        frame[name] = [f"{name}{row}" for row in range(4)]
        frame[f"{name}_digest"] = [f"{name}{row}" for row in (0, 1, 2, 2)]
        for place, measure in enumerate(("size", "width", "height", "brightness", "contrast")):
            frame[f"{name}_{measure}"] = np.arange(4) + 100.0 * place + 1
        frame[f"{name}_mode"] = ["RGB", "CMYK", "RGB", "RGB"]
        frame[f"{name}_profile"] = ["", "Display P3", "", "Display P3"]
        frame[f"{name}_treatment"] = ["", "converted to sRGB", "", "converted to sRGB"]
    frame["clinical_width"] = frame["dermoscopic_width"] = [8, 8, 6, 8]
    frame["clinical_height"] = frame["dermoscopic_height"] = [6, 6, 8, 6]
    for task in TASKS:
        frame[task.name] = [0, 1, 1, 1]
    for column, values in METADATA.items():
        frame[column] = [values[0], "", values[1], values[1]]
    return frame.assign(shared_file=[False, True, False, False])


def test_the_schema_comes_back_from_its_text(tmp_path):
    schema = build_schema(DERM7PT)
    (tmp_path / "schema.pbtxt").write_text(to_text(schema))
    again = read_schema(tmp_path / "schema.pbtxt")
    assert isinstance(again, schema_pb2.Schema)
    assert again == schema


def test_the_schema_has_the_features_of_a_record_with_their_types():
    schema = build_schema(DERM7PT)
    types = {schema_pb2.BYTES: tf.string, schema_pb2.INT: tf.int64}
    spec = records.feature_spec(DERM7PT)
    assert {feature.name: types[feature.type] for feature in schema.feature} == {
        name: one.dtype for name, one in spec.items()
    }
    for feature in schema.feature:
        assert feature.HasField("shape")
        assert tuple(dim.size for dim in feature.shape.dim) == spec[feature.name].shape
        assert feature.presence.min_fraction == (0.0 if spec[feature.name].default_value == "" else 1.0)


def test_the_schema_has_the_classes_and_values_of_the_tasks():
    schema = build_schema(DERM7PT)
    features = {feature.name: feature for feature in schema.feature}
    domains = {domain.name: tuple(domain.value) for domain in schema.string_domain}
    for task in TASKS:
        assert (features[task.name].int_domain.min, features[task.name].int_domain.max) == (0, len(task.classes) - 1)
    assert domains == {"split": SPLITS, **{name: (*values, "") for name, values in METADATA.items()}}
    assert all(features[name].domain == name for name in domains)


def test_a_damaged_schema_is_named_in_one_line(tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text("feature {\n nonsense: 1 }")
    with pytest.raises(DataError, match=r"schema\.pbtxt: is no schema in text format: ") as caught:
        read_schema(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="No such file"):
        read_schema(tmp_path / "absent")


def test_the_statistics_count_classes_sizes_and_values(table):
    found = statistics(table, [], DERM7PT)
    assert (found["cases"], found["shared_files"]) == (4, 1)
    assert found["splits"] == {"train": 2, "validate": 0, "test": 2}
    row = next(row for row in found["classes"] if (row["task"], row["class"]) == ("DIAG", "NEV"))
    assert row == {"task": "DIAG", "class": "NEV", "train": 1, "validate": 0, "test": 2, "total": 3}
    assert found["metadata"]["sex"] == {
        "female": {"train": 1, "validate": 0, "test": 0},
        "male": {"train": 1, "validate": 0, "test": 1},
        "": {"train": 0, "validate": 0, "test": 1},
    }
    assert found["sizes"]["clinical"] == {"8 x 6": 3, "6 x 8": 1}
    assert found["modes"]["dermoscopic"] == {"RGB": 3, "CMYK": 1}
    assert found["profiles"] == {name: {"Display P3: converted to sRGB": 2} for name in MODALITIES}
    assert set(found["pictures"]["clinical"]) == {"train", "test"}
    assert found["pictures"]["clinical"]["test"]["brightness"] == {
        "mean": 303.0,
        "std": 1.0,
        "min": 302.0,
        "median": 303.0,
        "max": 304.0,
    }


def test_the_statistics_proto_says_the_same_per_split(table):
    text = to_text(statistics_proto(table, DERM7PT))
    found = text_format.Parse(text, statistics_pb2.DatasetFeatureStatisticsList())
    assert [(data.name, data.num_examples) for data in found.datasets] == [("train", 2), ("test", 2)]
    features = {feature.path.step[0]: feature for feature in found.datasets[1].features}
    assert set(features) == {*MODALITIES, "case_num", "split", *task_names(), *METADATA}
    buckets = features["DIAG"].string_stats.rank_histogram.buckets
    assert [(bucket.label, bucket.sample_count) for bucket in buckets] == [("1", 2.0)]
    assert features["clinical"].bytes_stats.unique == 2
    assert {one.name: one.num for one in features["clinical"].custom_stats}["mean_brightness"] == 303.0
    assert (features["case_num"].num_stats.min, features["case_num"].num_stats.max) == (2.0, 4.0)
