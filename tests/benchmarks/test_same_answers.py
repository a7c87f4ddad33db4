import numpy as np
import pytest
from click import ClickException

from benchmarks import inference, upsample_conv
from benchmarks import input as training_input

REFERENCE = {"DIAG": np.array([[0.2, 0.8], [0.6, 0.4]]), "PN": np.array([[0.1, 0.9], [0.3, 0.7]])}


def answers_of_all(**changed):
    names = ("SavedModel float32", "PyTorch float32", "ONNX Runtime float32", "SavedModel bfloat16", "PyTorch bfloat16")
    return dict.fromkeys(names, REFERENCE) | changed


def test_share_of_same_classes_counts_cases_and_tasks():
    other = REFERENCE | {"PN": np.array([[0.9, 0.1], [0.4, 0.6]])}
    assert inference.same_class(other, REFERENCE) == 0.75


def test_other_answers_are_refused(capsys):
    inference.report_answers(answers_of_all())
    assert "PyTorch bfloat16: predicted class that of float32 in 100.0 %" in capsys.readouterr().out
    other = {name: values + 2e-4 for name, values in REFERENCE.items()}
    with pytest.raises(ClickException, match="ONNX Runtime float32 gives other answers: 2.0e-04"):
        inference.report_answers(answers_of_all(**{"ONNX Runtime float32": other}))


def test_ratio_is_to_the_fastest_other_side_of_the_same_precision(capsys):
    seconds = {
        "SavedModel float32": 0.2,
        "PyTorch float32": 0.5,
        "ONNX Runtime float32": 0.3,
        "SavedModel bfloat16": 0.1,
        "PyTorch bfloat16": 0.08,
    }
    inference.report(8, seconds)
    printed = capsys.readouterr().out
    assert "| SavedModel float32 | 200 | 1.50 |" in printed
    assert "| SavedModel bfloat16 | 100 | 0.80 |" in printed
    assert "bfloat16 is 2.00 times as fast" in printed


class Written:
    """A side whose sample is given."""

    def __init__(self, name, sample):
        self.name, self._sample = name, sample

    def ask(self, request, to):
        assert request == "sample"
        np.save(to, self._sample)


def test_other_pictures_are_refused(tmp_path):
    ours = Written(training_input.OURS, np.full((2, 4, 4, 3), 0.5))
    near, far = (Written(training_input.PEER, np.full((2, 4, 4, 3), 0.5 + shift / 255)) for shift in (1, 2))
    assert training_input.compare_samples(ours, near, tmp_path) == pytest.approx(1 / 255)
    with pytest.raises(ClickException, match="do not prepare the same pictures"):
        training_input.compare_samples(ours, far, tmp_path)


@pytest.mark.parametrize("way", ["parts", "transposed", "products"])
@pytest.mark.parametrize("scale", [2, 4])
def test_every_way_to_upsample_and_convolve_is_the_same(way, scale):
    block = upsample_conv.Block(side=3, channels=5, scale=scale, filters=4)
    tensors = upsample_conv.random_tensors(block, "float32", batch=2)
    results, expected = (
        upsample_conv.forward_and_backward(upsample_conv.WAYS[name], tensors, scale)() for name in (way, "plain")
    )
    assert max(upsample_conv.relative_error(*pair) for pair in zip(results, expected, strict=True)) < 1e-5
