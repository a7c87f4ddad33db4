"""The ONNX file: the SavedModel's answers under onnxruntime; one line where the extra is missing."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from small import IMAGE_SIZE

from amfam_tf.cli import main as command_line
from amfam_tf.export.export import folded_network
from amfam_tf.export.onnx_file import write_onnx
from amfam_tf.export.source import read_source
from amfam_tf.tasks import MODALITIES


def test_same_answers_as_the_saved_model(version, loaded, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install amfam-tf[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install amfam-tf[onnx]")
    source = read_source(version.run)
    write_onnx(folded_network(source.network), source, tmp_path / "sub" / "model.onnx")
    assert [item.name for item in (tmp_path / "sub").iterdir()] == ["model.onnx"]
    session = runtime.InferenceSession(str(tmp_path / "sub" / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert {item.name for item in session.get_inputs()} == set(MODALITIES)
    for cases in (1, 5):
        squares = {
            name: np.random.default_rng(cases).integers(0, 256, (cases, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
            for name in MODALITIES
        }
        found = dict(zip(names, session.run(None, squares), strict=True))
        direct = loaded.signatures["predict_images"](**{name: tf.constant(value) for name, value in squares.items()})
        assert found.keys() == direct.keys()
        for name, value in direct.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4, err_msg=name)


def test_without_the_extra_it_is_one_line_and_nothing_is_exported(version, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    words = ["export", str(version.run), "--to", str(tmp_path / "models"), "--onnx", str(tmp_path / "model.onnx")]
    assert command_line.main(words) == 1
    assert capsys.readouterr().err == "error: --onnx needs tf2onnx: pip install amfam-tf[onnx]\n"
    assert not list(tmp_path.iterdir())
