"""The GPU benchmark: its variants, its ratios, and its one line where there is no GPU."""

import pytest
from click.testing import CliRunner

from amfam_tf import config as configuration
from benchmarks import gpu
from benchmarks.gpu import Variant


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_variants_are_all_combinations_and_their_configurations_load(precision):
    found = gpu.variants(precision)
    ours = [variant for variant in found if not variant.peer]
    assert len({variant.name for variant in found}) == len(found) == 6
    for variant in ours:
        training = configuration.load("paper", variant.overrides()).training
        assert training.precision == {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
        assert training.jit_compile == ("on" if variant.compiled else "off")
        assert training.steps_per_execution == variant.steps
    assert {(variant.compiled, variant.steps) for variant in ours} == {
        (xla, n) for xla in (True, False) for n in (1, 8)
    }


def test_ratios_are_to_the_fastest_and_to_eager():
    seconds = {
        Variant(True, "float32", False): 0.4,
        Variant(True, "float32", True): 0.2,
        Variant(False, "float32", True, 8): 0.1,
    }
    assert gpu.rows_of(seconds, images=16) == [
        ["PyTorch eager", "400.0", "40.0", "0.50", "1.00"],
        ["PyTorch compiled", "200.0", "80.0", "1.00", "2.00"],
        ["TensorFlow, XLA on, 8 in a call", "100.0", "160.0", "2.00", "4.00"],
    ]


def test_without_a_gpu_one_line_and_a_status(monkeypatch):
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    monkeypatch.setattr(gpu, "create_peer", lambda: pytest.fail("nothing may be installed"))
    result = CliRunner().invoke(gpu.main, [])
    assert result.exit_code == 1
    assert result.output.splitlines() == [gpu.NO_GPU]
