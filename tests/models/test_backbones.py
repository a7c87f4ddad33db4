import numpy as np
import pytest

from amfam_tf.errors import WeightsError
from amfam_tf.models.backbones import create_backbone


@pytest.fixture(scope="module")
def weight_file(tmp_path_factory):
    """A weight file of the narrow backbone, its values all different."""
    backbone = create_backbone("resnet14_narrow", 64)
    random = np.random.default_rng(0)
    backbone.set_weights([random.normal(size=weight.shape) for weight in backbone.get_weights()])
    path = tmp_path_factory.mktemp("weights") / "narrow.weights.h5"
    backbone.save_weights(path)
    return path, backbone.get_weights()


def test_local_file_is_loaded_whatever_the_image_size(weight_file):
    path, values = weight_file
    loaded = create_backbone("resnet14_narrow", 96, str(path)).get_weights()
    assert len(loaded) == len(values)
    for ours, theirs in zip(loaded, values, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(np.float32))


def test_file_of_another_backbone_names_the_first_layer_that_differs(weight_file):
    # conv1_conv and conv1_bn are the same in both.
    with pytest.raises(WeightsError, match="does not fit backbone: layer v2_stack_0_block1_1_conv expects"):
        create_backbone("resnet18", 64, str(weight_file[0]))


def test_file_of_a_deeper_backbone_does_not_fit_a_shallower_one(tmp_path):
    path = tmp_path / "deep.weights.h5"
    create_backbone("resnet34", 64).save_weights(path)
    with pytest.raises(WeightsError, match="does not fit backbone: layer v2_stack_"):
        create_backbone("resnet18", 64, str(path))


def test_missing_damaged_and_misnamed_files_are_errors(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.weights\.h5 does not exist"):
        create_backbone("resnet14_narrow", 64, str(tmp_path / "none.weights.h5"))
    damaged = tmp_path / "damaged.weights.h5"
    damaged.write_bytes(b"not HDF5")
    with pytest.raises(WeightsError, match=r"damaged\.weights\.h5 is damaged or no HDF5 file"):
        create_backbone("resnet14_narrow", 64, str(damaged))
    misnamed = tmp_path / "weights.bin"
    misnamed.write_bytes(b"")
    with pytest.raises(WeightsError, match=r"name ends in \.weights\.h5"):
        create_backbone("resnet14_narrow", 64, str(misnamed))


def test_imagenet_where_there_is_none_says_where_there_is():
    with pytest.raises(WeightsError, match="no ImageNet weights for resnet18, only for resnet50"):
        create_backbone("resnet18", 64, "imagenet")


def test_imagenet_offline_says_how_to_get_the_file(monkeypatch):
    from keras_cv.models import ResNetBackbone

    def offline(name):
        raise ConnectionError(f"no route to {name}")

    monkeypatch.setattr(ResNetBackbone, "from_preset", offline)
    with pytest.raises(
        WeightsError, match=r"cannot download .* \(ConnectionError\): .*model\.weights=resnet50\.weights\.h5"
    ):
        create_backbone("resnet50", 64, "imagenet")


def test_imagenet_weights_are_those_of_the_preset(monkeypatch):
    from keras_cv.models import ResNetBackbone

    preset = create_backbone("resnet50", 64)
    monkeypatch.setattr(ResNetBackbone, "from_preset", lambda name: {"resnet50_imagenet": preset}[name])
    loaded = create_backbone("resnet50", 64, "imagenet")
    np.testing.assert_array_equal(loaded.get_weights()[0], preset.get_weights()[0])
    np.testing.assert_array_equal(loaded.get_weights()[-1], preset.get_weights()[-1])


def test_batch_norm_momentum_reaches_every_layer():
    backbone = create_backbone("resnet14_narrow", 64, batch_norm_momentum=0.5)
    momenta = {layer.momentum for layer in backbone.layers if hasattr(layer, "momentum")}
    assert momenta == {0.5}
