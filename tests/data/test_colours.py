"""Laws of the changes of colour and sharpness: what each leaves as it is, how large it is, and what it draws."""

import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.config import AugmentationConfig
from amfam_tf.data import colours
from amfam_tf.data.augment import augment, augmentation_seed
from amfam_tf.errors import ConfigError

SIZE = 24
STILL = {"pad": 0, "rotation_degrees": 0.0, "vertical_flip": 0.0}
LARGEST = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5, "sharpness": 1.0}


def noise(low: int = 0, high: int = 256) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).integers(low, high, (SIZE, SIZE, 3), dtype=np.uint8))


def grey() -> tf.Tensor:
    return tf.repeat(noise()[..., :1], 3, axis=-1)


def each(picture: tf.Tensor, config: AugmentationConfig, count: int) -> np.ndarray:
    """Returns [count, S, S, 3]: the picture augmented for as many cases."""
    numbers = tf.data.Dataset.range(count)
    found = numbers.map(lambda number: augment(picture, augmentation_seed(0, 0, number, "clinical"), config))
    return np.stack(list(found.as_numpy_iterator()))


def changed(picture: tf.Tensor, count: int = 1, **ranges: float) -> np.ndarray:
    return each(picture, AugmentationConfig(**STILL, **ranges), count)


@pytest.mark.parametrize("name", LARGEST)
def test_a_change_of_nearly_nothing_leaves_every_other_draw_as_it_is(name):
    seed = augmentation_seed(3, 2, 7, "dermoscopic")
    plain = augment(noise(), seed, AugmentationConfig(horizontal_flip=0.5))
    found = augment(noise(), seed, AugmentationConfig(horizontal_flip=0.5, **{name: 1e-7}))
    np.testing.assert_allclose(found, plain, atol=2e-6)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_a_grey_picture_has_no_colour_to_change(name):
    found = changed(grey(), 3, **{name: LARGEST[name]})
    np.testing.assert_allclose(found - np.float32(grey()) / 255, 0.0, atol=1e-6)
    assert np.abs(changed(noise(), 1, **{name: LARGEST[name]}) - np.float32(noise()) / 255).max() > 0.01


def test_brightness_moves_the_mean_and_nothing_else():
    before = np.float32(noise(64, 192)) / 255
    moved = changed(noise(64, 192), 200, brightness=0.2) - before
    shifts = moved.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(moved, shifts[:, None, None, None] * np.ones_like(moved), atol=1e-6)
    assert -0.2 <= shifts.min() < -0.18 and 0.18 < shifts.max() <= 0.2
    assert abs(shifts.mean()) < 0.03


def test_contrast_scales_around_the_mean_colour():
    before = np.float32(noise(100, 156)) / 255
    mean = before.mean(axis=(0, 1))
    for found in changed(noise(100, 156), 5, contrast=0.5):
        factors = (found - mean) / (before - mean)
        assert 0.5 <= np.median(factors) <= 1.5
        np.testing.assert_allclose(found - mean, np.median(factors) * (before - mean), atol=1e-5)


def test_sharpness_by_hand():
    """A white pixel of a black picture: 5 / 13 of it is left where it is smoothed, 1 / 13 is around it."""
    picture = np.zeros((5, 5, 3), np.float32)
    picture[2, 2] = 1.0
    found = colours.sharpen(tf.constant(picture), tf.constant(0.5)).numpy()
    expected = np.zeros((5, 5, 3), np.float32)
    expected[1:4, 1:4] = -0.5 / 13
    expected[2, 2] = 1 + 0.5 * 8 / 13
    np.testing.assert_allclose(found, expected, atol=1e-6)
    even = tf.fill((5, 5, 3), 0.25)
    np.testing.assert_allclose(colours.sharpen(even, tf.constant(1.0)), even, atol=1e-6)


def test_all_at_their_largest_stay_in_range_and_emptied_corners_stay_black():
    config = AugmentationConfig(pad=0, rotation_degrees=45.0, **LARGEST)
    white = tf.fill((SIZE, SIZE, 3), tf.constant(255, tf.uint8))
    found = each(noise(), config, 10)
    assert found.dtype == np.float32 and 0.0 <= found.min() <= found.max() <= 1.0
    bright = each(white, AugmentationConfig(pad=0, brightness=0.01), 20)
    assert (bright == 0.0).any(axis=(1, 2, 3)).mean() > 0.8


def test_the_pictures_of_a_case_are_changed_apart_and_the_same_again_within_tf_data():
    config = AugmentationConfig(**STILL, **LARGEST)
    keys = tf.stack([augmentation_seed(0, 0, 5, name) for name in ("clinical", "dermoscopic", "clinical")])
    dataset = tf.data.Dataset.from_tensor_slices(keys).map(lambda key: augment(noise(), key, config))
    first, second, again = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, augment(noise(), keys[0], config), atol=1e-6)
    assert np.abs(first - second).max() > 0.05


@pytest.mark.parametrize("name", [*LARGEST, "mixup", "cutmix"])
def test_a_change_beside_no_augmentation_is_refused(name):
    with pytest.raises(ConfigError, match=f"augmentation.{name} does nothing with augmentation.enabled=false: leave"):
        AugmentationConfig(enabled=False, **{name: 0.5})
