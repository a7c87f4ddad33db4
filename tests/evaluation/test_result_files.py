"""Result files: strict JSON, all of a file or nothing of it."""

import json

import numpy as np
import pytest

from amfam_tf.evaluation import files, report_json


def _refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_undefined_becomes_null_at_every_depth(tmp_path):
    value = {"a": np.float64("nan"), "b": [np.array([1.5, np.inf])], "c": {"d": (np.int64(3), True, None, "é")}}
    path = tmp_path / "deep" / "metrics.json"
    report_json.write(path, value)
    back = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    assert back == {"a": None, "b": [[1.5, None]], "c": {"d": [3, True, None, "é"]}}


def test_floats_keep_all_digits():
    assert json.loads(report_json.dumps([0.1 + 0.2, np.float64(1) / 3])) == [0.1 + 0.2, 1 / 3]


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="object"):
        report_json.dumps({"a": object()})


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    files.write_text(path, "old")

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["metrics.json"]
