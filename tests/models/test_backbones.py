import dataclasses

import keras
import numpy as np
import pytest
from small import make_weights_all_different

from amfam_tf.errors import ConfigError, WeightsError
from amfam_tf.models import backbones
from amfam_tf.models.backbones import create_backbone, last_stage, stage_features


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


# Inception.


def test_narrow_inception_is_about_as_large_as_the_narrow_resnet():
    inception, resnet = create_backbone("inception_narrow", 96), create_backbone("resnet14_narrow", 96)
    assert inception.output_shape == (None, 6, 6, 512)
    assert 0.8 < inception.count_params() / resnet.count_params() < 1.25


def test_inception_v3_has_the_published_size_and_names_of_its_own():
    first, second = (create_backbone("inception_v3", 299) for _ in range(2))
    assert first.output_shape == (None, 8, 8, 2048)
    assert first.count_params() == 21_802_784
    assert [weight.path for weight in first.weights] == [weight.path for weight in second.weights]
    assert first.weights[0].path == "conv2d_0/kernel"


def test_inception_v3_scales_to_the_range_of_its_weights(monkeypatch):
    """The loaded weights answer as keras.applications' own model does behind its own preprocessing."""
    original = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    make_weights_all_different(original)
    spec = backbones.BACKBONES["inception_v3"]
    stored = dataclasses.replace(spec.pretrained, fetch=lambda: original)
    monkeypatch.setitem(backbones.BACKBONES, "inception_v3", dataclasses.replace(spec, pretrained=stored))
    images = np.random.default_rng(0).random((2, 75, 75, 3), np.float32)
    expected = original(keras.applications.inception_v3.preprocess_input(images * 255.0))
    found = create_backbone("inception_v3", 75, "imagenet")(images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * float(np.abs(expected).max()))


def test_inception_v3_takes_the_file_that_its_error_message_makes(monkeypatch, tmp_path):
    def offline(**_):
        raise ConnectionError("no route")

    original = keras.applications.InceptionV3(include_top=False, weights=None)
    original.save_weights(tmp_path / "inception_v3.weights.h5")
    monkeypatch.setattr(keras.applications, "InceptionV3", offline)
    monkeypatch.setitem(
        backbones.BACKBONES,
        "inception_v3",
        dataclasses.replace(backbones.BACKBONES["inception_v3"], build=lambda *_: keras.Sequential()),
    )
    with pytest.raises(
        WeightsError, match=r"cannot download .*InceptionV3.* \(ConnectionError\): .*weights=inception_v3\.weights\.h5"
    ):
        create_backbone("inception_v3", 75, "imagenet")
    monkeypatch.undo()
    loaded = create_backbone("inception_v3", 75, str(tmp_path / "inception_v3.weights.h5"))
    for ours, theirs in zip(loaded.get_weights(), original.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_inception_v3_is_not_for_small_images():
    with pytest.raises(ConfigError, match=r"data\.image_size must be at least 75 for inception_v3\. Received: 64"):
        create_backbone("inception_v3", 64)


# Stages.


def test_stages_of_resnet50_have_the_published_channels():
    features = stage_features(create_backbone("resnet50", 299), range(backbones.STAGES))
    shapes = [(75, 75, 64), (75, 75, 256), (38, 38, 512), (19, 19, 1024), (10, 10, 2048)]
    assert [tensor.shape[1:] for tensor in features.outputs] == shapes


@pytest.mark.parametrize("name", ["resnet14_narrow", "resnet18", "efficientnet_lite0"])
def test_stages_share_the_weights_and_the_last_stage_is_a_copy(name):
    backbone = create_backbone(name, 64)
    make_weights_all_different(backbone)
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    features, stage = stage_features(backbone, (3, 4)), last_stage(backbone, "copy")
    third, last = features(images)
    scale = float(np.abs(last).max())
    np.testing.assert_allclose(last, backbone(images), rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(stage(third), last, rtol=0, atol=1e-5 * scale)
    shared = {id(weight) for weight in backbone.weights}
    assert {id(weight) for weight in features.weights} == shared
    assert not {id(weight) for weight in stage.weights} & shared
