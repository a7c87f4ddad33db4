"""Gradients of EfficientNet-Lite on both sides of its benchmark."""

import numpy as np
import pytest
from click import ClickException

from benchmarks import lite_step
from benchmarks.peers.environment import find_peer


@pytest.mark.skipif(find_peer() is None, reason="needs PyTorch: run python -m benchmarks.lite_step once")
def test_pytorch_has_the_same_gradients(tmp_path, capsys):
    lite_step.write_arrays(tmp_path / "arrays.npz", size=64, pictures=4)
    lite_step.check_parity(tmp_path / "arrays.npz", find_peer(), tmp_path)
    assert "parity: 147 gradient values" in capsys.readouterr().out


def test_a_bias_is_measured_by_the_factor_beside_it():
    theirs = {"bn.weight": np.array([3.0, 4.0]), "bn.bias": np.array([0.0, 1e-9])}
    ours = {"bn.weight": np.array([3.0, 4.5]), "bn.bias": np.array([0.05, 1e-9])}
    assert lite_step.gradient_errors(ours, theirs) == {"bn.weight": pytest.approx(0.1), "bn.bias": pytest.approx(0.01)}
    with pytest.raises(ClickException, match="one side only: .'bn.bias'"):
        lite_step.gradient_errors({"bn.weight": ours["bn.weight"]}, theirs)


def test_pictures_are_in_range_and_the_same_each_time(tmp_path):
    for name in ("a", "b"):
        lite_step.write_arrays(tmp_path / f"{name}.npz", size=64, pictures=2)
    with np.load(tmp_path / "a.npz") as first, np.load(tmp_path / "b.npz") as second:
        assert (first["pictures"].shape, first["direction"].shape) == ((2, 64, 64, 3), (2, 2, 2, 1280))
        assert first["pictures"].min() >= 0
        assert first["pictures"].max() <= 1
        np.testing.assert_array_equal(first["pictures"], second["pictures"])
