"""Laws of the augmentation: what it may change, what it depends on, and what it draws."""

import numpy as np
import pytest
import tensorflow as tf

from amfam_tf.config import AugmentationConfig
from amfam_tf.data.augment import augment, augmentation_seed, transform
from amfam_tf.data.images import to_unit_range

SIZE = 31
NOTHING = {"pad": 0, "rotation_degrees": 0.0, "vertical_flip": 0.0, "horizontal_flip": 0.0}


def noise(size: int = SIZE) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8))


def white(size: int = SIZE) -> tf.Tensor:
    return tf.fill((size, size, 3), tf.constant(255, tf.uint8))


def change(
    picture, radians=0.0, vertical=False, horizontal=False, shift=(0, 0), interpolation="bilinear"
) -> np.ndarray:
    arguments = (tf.constant(shift), tf.constant(radians, tf.float32), tf.constant(vertical), tf.constant(horizontal))
    return transform(tf.constant(picture), *arguments, interpolation=interpolation).numpy()


def run_eagerly(image: tf.Tensor, seeds: list[tf.Tensor], config: AugmentationConfig) -> list[np.ndarray]:
    return [augment(image, seed, config).numpy() for seed in seeds]


def run_in_dataset(image: tf.Tensor, seeds: list[tf.Tensor], config: AugmentationConfig) -> list[np.ndarray]:
    dataset = tf.data.Dataset.from_tensor_slices(tf.stack(seeds)).map(
        lambda seed: augment(image, seed, config), num_parallel_calls=2
    )
    assert dataset.element_spec == tf.TensorSpec(image.shape, tf.float32)
    return list(dataset.as_numpy_iterator())


def some_seeds(count: int) -> list[tf.Tensor]:
    return [augmentation_seed(0, 0, case_num, "clinical") for case_num in range(count)]


both_ways = pytest.mark.parametrize("run", [run_eagerly, run_in_dataset], ids=["eager", "tf.data"])


@both_ways
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_shape_and_range_stay(run, interpolation):
    config = AugmentationConfig(pad=5, horizontal_flip=0.5, rotation_interpolation=interpolation)
    for image in (noise(), white()):
        for result in run(image, some_seeds(20), config):
            assert result.shape == (SIZE, SIZE, 3)
            assert result.dtype == np.float32
            assert 0.0 <= result.min() <= result.max() <= 1.0


@both_ways
def test_corners_that_rotation_empties_are_black_and_the_centre_is_not(run):
    config = AugmentationConfig(pad=0, rotation_degrees=45.0)
    results = np.stack(run(white(), some_seeds(30), config))
    assert (results == 0.0).any(axis=(1, 2, 3)).mean() > 0.8
    assert (results[:, SIZE // 2, SIZE // 2] > 0.999).all()


@both_ways
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_without_any_change_a_picture_stays_exactly(run, interpolation):
    config = AugmentationConfig(**NOTHING, rotation_interpolation=interpolation)
    for size in (SIZE, 32):
        for result in run(noise(size), some_seeds(5), config):
            np.testing.assert_array_equal(result, to_unit_range(noise(size)))


def test_disabled_changes_nothing():
    config = AugmentationConfig(enabled=False)
    np.testing.assert_array_equal(run_eagerly(noise(), some_seeds(1), config)[0], to_unit_range(noise()))


@both_ways
@pytest.mark.parametrize(("flip", "axis"), [("vertical_flip", 0), ("horizontal_flip", 1)])
def test_a_flip_that_is_certain_is_exact(run, flip, axis):
    for result in run(noise(), some_seeds(5), AugmentationConfig(**NOTHING | {flip: 1.0})):
        np.testing.assert_array_equal(result, np.flip(to_unit_range(noise()), axis))


@pytest.mark.parametrize("size", [SIZE, 32])
@pytest.mark.parametrize("quarters", [-2, -1, 1, 2])
def test_quarter_turns_are_counter_clockwise(size, quarters):
    turned = change(noise(size), quarters * np.pi / 2)
    # The outermost rows may lie 1e-6 outside after rounding, which costs them as much of their value.
    np.testing.assert_allclose(turned, np.rot90(to_unit_range(noise(size)), quarters), atol=2e-5)


def test_mirroring_comes_after_rotating():
    turned = change(noise(), np.pi / 2, vertical=True)
    np.testing.assert_allclose(turned, np.flip(np.rot90(to_unit_range(noise())), 0), atol=2e-5)
    turned = change(noise(), np.pi / 2, horizontal=True)
    np.testing.assert_allclose(turned, np.flip(np.rot90(to_unit_range(noise())), 1), atol=2e-5)


def test_a_spot_moves_by_the_angle():
    spot = np.zeros((61, 61, 3), np.uint8)
    spot[29:32, 49:52] = 255  # 20 pixels to the right of the centre
    turned = change(spot, np.deg2rad(30.0))[..., 0]
    row, column = (np.average(index, weights=turned) for index in np.indices(turned.shape))
    # Counter-clockwise: up, where row numbers are smaller.
    np.testing.assert_allclose([row, column], [30 - 20 * 0.5, 30 + 20 * np.sqrt(0.75)], atol=0.05)


def test_bilinear_rotation_reads_between_pixels_and_nearest_does_not():
    stripes = np.tile((255 * (np.arange(SIZE) % 2)).astype(np.uint8)[:, None, None], (1, SIZE, 3))
    turned = {kind: change(stripes, 0.3, interpolation=kind) for kind in ("bilinear", "nearest")}
    assert set(np.unique(turned["nearest"])) == {0.0, 1.0}
    assert ((turned["bilinear"] > 0.1) & (turned["bilinear"] < 0.9)).mean() > 0.3


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_shift_by_hand(interpolation):
    picture = noise(4)
    moved = change(picture, shift=(-2, 1), interpolation=interpolation)
    expected = np.zeros((4, 4, 3), np.float32)
    expected[2:, :3] = to_unit_range(picture)[:2, 1:]
    np.testing.assert_array_equal(moved, expected)


def test_what_the_shift_cut_off_does_not_come_back_by_turning():
    # Moved to the right by 10 of 31 columns, then turned upside down: the place of the cut columns stays empty.
    turned = change(white(), np.pi, shift=(0, -10))
    assert turned[:, : SIZE - 10].min() > 0.999
    assert turned[:, SIZE - 10 :].max() < 1e-4


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_all_at_once_is_one_after_the_other(interpolation):
    """TensorFlow's own ops, in the order that the module promises."""
    shift, radians, size = (3, -5), 0.6, 32
    padded = np.pad(to_unit_range(noise(size)), ((5, 5), (5, 5), (0, 0)))
    crop = padded[5 + shift[0] :, 5 + shift[1] :][:size, :size]
    cos, sin, centre = np.cos(radians), np.sin(radians), (size - 1) / 2
    matrix = [cos, -sin, centre * (1 - cos + sin), sin, cos, centre * (1 - sin - cos), 0, 0]
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=crop[np.newaxis],
        transforms=tf.constant([matrix], tf.float32),
        output_shape=(size, size),
        fill_value=0.0,
        interpolation=interpolation.upper(),
        fill_mode="CONSTANT",
    )
    expected = np.flip(turned[0], (0, 1))
    result = change(noise(size), radians, True, True, shift, interpolation)
    np.testing.assert_allclose(result, expected, atol=2e-5)


def test_crops_cover_the_whole_range_evenly():
    config = AugmentationConfig(**NOTHING | {"pad": 2})
    image = np.zeros((9, 9, 3), np.uint8)
    image[4, 4] = 255
    results = np.stack(run_in_dataset(tf.constant(image), some_seeds(1000), config))[..., 0]
    counts = results.sum(axis=0)
    assert counts.sum() == 1000
    # 25 places, 40 expected in each; 12 and 80 are more than 4 standard deviations away.
    assert counts[2:7, 2:7].min() > 12
    assert counts[2:7, 2:7].max() < 80


def test_angles_and_flips_cover_their_range():
    config = AugmentationConfig(pad=0, rotation_degrees=45.0, vertical_flip=0.25, horizontal_flip=0.5)
    # Two spots of different brightness on the axes show the angle and both mirrorings.
    image = np.zeros((61, 61, 3), np.uint8)
    image[29:32, 49:52, 0] = image[9:12, 29:32, 1] = 255
    results = np.stack(run_in_dataset(tf.constant(image), some_seeds(600), config))
    rows, columns = np.indices((61, 61)) - 30
    right = np.einsum("nij,ij->n", results[..., 0], columns) / 9
    up = -np.einsum("nij,ij->n", results[..., 1], rows) / 9
    tilt = -np.einsum("nij,ij->n", results[..., 0], rows) / 9
    # |angle| <= 45 degrees: the signs of the spots tell the mirroring.
    assert 0.42 < (right < 0).mean() < 0.58
    assert 0.18 < (up < 0).mean() < 0.32
    angles = np.rad2deg(np.arctan2(tilt, np.abs(right)))
    assert -45.5 < angles.min() < -43
    assert 43 < angles.max() < 45.5
    assert np.histogram(angles, bins=6, range=(-46, 46))[0].min() > 65  # 100 expected


def test_the_same_key_gives_the_same_picture_eagerly_and_inside_tf_data():
    config = AugmentationConfig(pad=5)
    tf.random.set_seed(1)
    first = run_eagerly(noise(), some_seeds(6), config)
    tf.random.set_seed(2)
    for result, again in zip(first, run_in_dataset(noise(), some_seeds(6), config), strict=True):
        np.testing.assert_allclose(result, again, atol=1e-6)
    np.testing.assert_array_equal(first, run_eagerly(noise(), some_seeds(6), config))


def test_every_part_of_the_key_matters():
    variants = [
        augmentation_seed(seed, epoch, case_num, modality)
        for seed in (0, 1, 2**31 - 1)
        for epoch in (0, 1, 149)
        for case_num in (0, 1, 2, 1011)
        for modality in ("clinical", "dermoscopic")
    ]
    assert len({tuple(key.numpy()) for key in variants}) == len(variants)
    pictures = run_in_dataset(noise(), variants, AugmentationConfig(pad=5))
    assert len({picture.tobytes() for picture in pictures}) == len(variants)
