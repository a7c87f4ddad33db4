"""What a configuration cannot be together is an error before any data is read: here the data do not exist."""

from pathlib import Path

import pytest
from rich.console import Console
from small import small_config
from tiny_method import TINY

from amfam_tf.errors import ConfigError, WeightsError
from amfam_tf.models import METHODS
from amfam_tf.training.dry_run import dry_run
from amfam_tf.training.run import fit

IMPOSSIBLE = {
    "backbone": (("model.backbone=inception_v3", "data.image_size=74"), "amfam", "data.image_size must be at least 75"),
    "stages": (
        ("training.epochs=1",),
        "embeddingnet",
        "method embeddingnet trains in 2 stages: training.epochs must be",
    ),
    "recompute": (
        ("training.recompute=true",),
        "inception-balanced",
        "training.recompute=true: method inception-balanced",
    ),
    "method": ((), "nonsense", "unknown method 'nonsense'; known: "),
    "metadata": (("model.metadata=[sex]",), "tiny", "method tiny takes no metadata"),
    "file": (("model.weights=none.weights.h5",), "amfam", "weight file none.weights.h5 does not exist"),
    "name": ((f"model.weights={__file__}",), "amfam", "must be a Keras weight file whose name ends in .weights.h5"),
    "pretrained": (("model.weights=imagenet",), "amfam", "there are no ImageNet weights for resnet14_narrow"),
    "cache": (
        ("data.cache=file", f"data.cache_directory={__file__}/cache"),
        "amfam",
        f"cannot be used: {__file__} is no folder",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_the_configuration_is_refused_before_the_data(case, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "tiny", TINY)
    overrides, method, message = IMPOSSIBLE[case]
    config = small_config(*overrides, method=method)
    for work in (
        lambda: fit(Path("no-such-data"), tmp_path / "run", config, Console(quiet=True)),
        lambda: dry_run(Path("no-such-data"), config, Console(quiet=True)),
    ):
        with pytest.raises((ConfigError, WeightsError)) as caught:
            work()
        assert message in str(caught.value)
    assert not (tmp_path / "run").exists()
