"""Strict JSON: what a number cannot be is null, and every number keeps its digits."""

import json

import numpy as np
import pytest

from amfam_tf.files import json_file


def _refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def test_undefined_becomes_null_at_every_depth(tmp_path):
    value = {"a": np.float64("nan"), "b": [np.array([1.5, np.inf])], "c": {"d": (np.int64(3), True, None, "é")}}
    path = tmp_path / "deep" / "metrics.json"
    json_file.write(path, value)
    back = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    assert back == json_file.read(path) == {"a": None, "b": [[1.5, None]], "c": {"d": [3, True, None, "é"]}}


def test_floats_keep_all_digits():
    assert json.loads(json_file.dumps([0.1 + 0.2, np.float64(1) / 3])) == [0.1 + 0.2, 1 / 3]


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="object"):
        json_file.dumps({"a": object()})
