import numpy as np
import pytest
from click import ClickException

from benchmarks import train_step
from benchmarks.peers.environment import find_peer

needs_peer = pytest.mark.skipif(find_peer() is None, reason="needs PyTorch: run python -m benchmarks.train_step once")


@needs_peer
def test_pytorch_amfam_has_the_same_losses_and_gradients(tmp_path, capsys):
    setting = train_step.prepare("tiny", ("model.weights=none", *train_step.SMALL), tmp_path, check=True)
    printed = capsys.readouterr().out
    assert "parity: 5 loss values" in printed
    assert "parity: 131 gradient values" in printed
    assert setting.peer_config["decoder_scales"] == [4, 4, 2]


def test_losses_that_differ_are_refused():
    losses = {"loss": 1.0, "adversarial": 2.0}
    errors = train_step.loss_errors(losses, {"loss": 1.0, "adversarial": 2.001})
    assert errors == {"loss": 0.0, "adversarial": pytest.approx(0.0005, rel=1e-2)}
    with pytest.raises(ClickException, match="loss adversarial differs by 5.0e-04"):
        train_step.report_parity(errors, {"kernel": 0.0}, {"kernel": 0.0})
    with pytest.raises(ClickException, match="one side only: .'adversarial'"):
        train_step.loss_errors(losses, {"loss": 1.0})


def test_gradients_that_differ_are_refused():
    ours = {"a/kernel": np.array([3.0, 4.0]), "b/kernel": np.array([1.0])}
    errors = train_step.gradient_errors(ours, {"a/kernel": np.array([3.0, 4.01]), "b/kernel": np.array([1.0])})
    assert errors == {"a/kernel": pytest.approx(0.002, rel=1e-2), "b/kernel": 0.0}
    with pytest.raises(ClickException, match="gradient a/kernel"):
        train_step.report_parity({"loss": 0.0}, errors, dict.fromkeys(errors, 0.0))
    with pytest.raises(ClickException, match="one side only: .'b/kernel'"):
        train_step.gradient_errors(ours, {"a/kernel": ours["a/kernel"]})


def test_gradients_that_are_not_numbers_are_refused():
    errors = train_step.gradient_errors({"a": np.array([np.nan])}, {"a": np.array([1.0])})
    with pytest.raises(ClickException, match="gradient a"):
        train_step.report_parity({"loss": 0.0}, errors, dict.fromkeys(errors, 0.0))


def test_bias_before_a_batch_norm_is_measured_by_its_kernel():
    ours = {"d/upsample_conv_1/bias": np.array([2e-9]), "d/upsample_conv_1/kernel": np.array([1.0])}
    theirs = {"d/upsample_conv_1/bias": np.array([-1e-9]), "d/upsample_conv_1/kernel": np.array([1.0])}
    assert train_step.gradient_errors(ours, theirs)["d/upsample_conv_1/bias"] == pytest.approx(3e-9)


def test_what_float32_does_not_determine_may_differ_by_twice_its_own_error(capsys):
    train_step.report_parity({"loss": 0.0}, {"a": 0.0018, "b": 0.0009}, {"a": 0.001, "b": 0.0001})
    assert "1 gradients are determined to less than 0.001, ours differ by 1.80 times as much" in capsys.readouterr().out
    with pytest.raises(ClickException, match="gradient a differs by 2.1e-03"):
        train_step.report_parity({"loss": 0.0}, {"a": 0.0021}, {"a": 0.001})
