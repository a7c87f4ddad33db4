"""Random draws say nothing of each other: of the same picture, of both pictures of a case, of epochs, cases, seeds."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from amfam_tf import config as configuration
from amfam_tf.config import AugmentationConfig
from amfam_tf.data import augment, balanced, pipeline
from amfam_tf.data.synthetic import clinical, data_set, dermoscopic, metadata, tissue
from amfam_tf.data.synthetic.streams import stream
from amfam_tf.tasks import MODALITIES

CASES = 4000
FURTHEST = 5 / CASES**0.5
"""Five standard deviations of the correlation of so many independent pairs."""
NAMES = ("row", "column", "radians", "vertical", "horizontal")
CONFIG = AugmentationConfig(pad=20, rotation_degrees=45.0, vertical_flip=0.25, horizontal_flip=0.4)


def draw(
    monkeypatch,
    config: AugmentationConfig = CONFIG,
    *,
    seed: int = 0,
    epoch: int = 0,
    modality: str = "clinical",
    occurrence: int = 0,
    first: int = 1,
) -> np.ndarray:
    """Returns what `augment` asks `transform` for in CASES cases, [CASES, 5] in the order of NAMES."""

    def parts(_, shift, radians, vertical, horizontal, interpolation):
        assert interpolation == config.rotation_interpolation
        row, column = tf.unstack(tf.cast(shift, tf.float32))
        return tf.stack([row, column, radians, *(tf.cast(flip, tf.float32) for flip in (vertical, horizontal))])

    def ask(number: tf.Tensor) -> tf.Tensor:
        return augment.augment(picture, augment.augmentation_seed(seed, epoch, number, modality, occurrence), config)

    monkeypatch.setattr(augment, "transform", parts)
    picture = tf.zeros((8, 8, 3), tf.uint8)
    (drawn,) = tf.data.Dataset.range(first, first + CASES).map(ask).batch(CASES).as_numpy_iterator()
    return drawn


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the correlation of each column of one with each of the other, [5, 5]."""
    return np.corrcoef(one.T, other.T)[: one.shape[1], one.shape[1] :]


def test_the_five_draws_of_a_picture_are_independent(monkeypatch):
    drawn = draw(monkeypatch)
    found = correlations(drawn, drawn) - np.eye(5)
    for one, other in itertools.combinations(range(5), 2):
        assert abs(found[one, other]) < FURTHEST, (NAMES[one], NAMES[other])
    # The whole table of both flips, not only their shares.
    for vertical, horizontal in itertools.product((0, 1), (0, 1)):
        share = ((drawn[:, 3] == vertical) & (drawn[:, 4] == horizontal)).mean()
        expected = (0.25 if vertical else 0.75) * (0.4 if horizontal else 0.6)
        assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / CASES) ** 0.5)
    # Neither does the size of one draw say anything of another.
    sizes = np.abs(drawn[:, :3])
    assert np.abs(np.corrcoef(sizes.T) - np.eye(3)).max() < FURTHEST


def test_each_draw_has_its_own_range_and_share(monkeypatch):
    drawn = draw(monkeypatch)
    for place in (0, 1):
        assert set(drawn[:, place]) == set(range(-20, 21))
    assert np.abs(drawn[:, 2]).max() == pytest.approx(np.pi / 4, abs=2e-3)
    assert drawn[:, 2].mean() == pytest.approx(0, abs=5 * np.pi / 4 / 3**0.5 / CASES**0.5)
    assert drawn[:, 3].mean() == pytest.approx(0.25, abs=0.035)
    assert drawn[:, 4].mean() == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("switched", ["vertical_flip", "horizontal_flip"])
def test_a_share_belongs_to_its_own_flip(monkeypatch, switched):
    shares = {"vertical_flip": 0.0, "horizontal_flip": 0.0, switched: 1.0}
    drawn = draw(monkeypatch, AugmentationConfig(**shares))
    assert drawn[:, 3].mean() == shares["vertical_flip"]
    assert drawn[:, 4].mean() == shares["horizontal_flip"]


@pytest.mark.parametrize(
    "changed",
    [{"modality": "dermoscopic"}, {"epoch": 1}, {"seed": 1}, {"occurrence": 1}, {"first": 2}],
    ids=["modality", "epoch", "seed", "occurrence", "next case"],
)
def test_draws_of_two_pictures_are_independent(monkeypatch, changed):
    one, other = draw(monkeypatch), draw(monkeypatch, **changed)
    assert np.abs(correlations(one, other)).max() < FURTHEST
    assert (one != other).any(axis=1).all()


def test_both_pictures_of_a_case_are_augmented_apart_each_time(monkeypatch):
    """The same picture as both modalities: every combination of modality, epoch and occurrence is another key."""
    config = configuration.load("tiny", ["data.image_size=32", "seed=5"])
    keys = {}
    monkeypatch.setattr(augment, "augment", lambda picture, key, _: (picture, tuple(key.numpy())))
    pictures = {name: tf.constant(number) for number, name in enumerate(MODALITIES)}
    for epoch, occurrence in itertools.product((0, 1, 2), (0, 1)):
        found = pipeline._augment_pair(pictures, tf.constant(7, tf.int64), epoch, config, occurrence)
        for name in MODALITIES:
            assert found[name][0] is pictures[name]
            keys[name, epoch, occurrence] = found[name][1]
            expected = augment.augmentation_seed(5, epoch, 7, name, occurrence)
            assert found[name][1] == tuple(expected.numpy())
    assert len(set(keys.values())) == len(keys)


def test_balanced_orders_of_labels_and_epochs_are_independent():
    rows = [np.arange(400)] * 24
    places = {}
    for epoch in (0, 1):
        order = balanced.epoch_order(rows, 3, epoch, 400, 1).reshape(400, 24)
        for label in (0, 1, 23):
            places[epoch, label] = np.argsort(order[:, label])
    for one, other in itertools.combinations(places, 2):
        assert abs(np.corrcoef(places[one], places[other])[0, 1]) < 5 / 400**0.5, (one, other)
    again = balanced.epoch_order(rows, 4, 0, 400, 1).reshape(400, 24)[:, 0]
    assert abs(np.corrcoef(places[0, 0], np.argsort(again))[0, 1]) < 5 / 400**0.5


def test_a_label_that_starts_anew_is_in_another_order():
    rows = [np.arange(200)] + [np.arange(800)] * 23
    order = balanced.epoch_order(rows, 0, 0, 800, 1).reshape(800, 24)[:, 0].reshape(4, 200)
    assert all(sorted(part) == list(range(200)) for part in order)
    found = np.corrcoef([np.argsort(part) for part in order]) - np.eye(4)
    assert np.abs(found).max() < 5 / 200**0.5


def test_streams_of_drawn_cases_are_independent():
    names = ("skin", "lesion", "colour", "hints", "clinical", "dermoscopic", "metadata")
    drawn = [stream(seed, row, name).normal(size=CASES) for seed in (0, 1) for row in (0, 1, 2) for name in names]
    found = np.corrcoef(drawn) - np.eye(len(drawn))
    assert np.abs(found).max() < FURTHEST
    np.testing.assert_array_equal(stream(3, 4, "skin").normal(size=5), stream(3, 4, "skin").normal(size=5))


def test_no_two_parts_of_a_drawn_case_share_a_stream(monkeypatch, tmp_path):
    asked = []

    def watching(seed, row, name):
        asked.append((seed, row, name))
        return stream(seed, row, name)

    for module in (clinical, data_set, dermoscopic, metadata, tissue):
        monkeypatch.setattr(module, "stream", watching)
    data_set.write_data_set(tmp_path / "drawn", cases=24, seed=2, size=(96, 72), workers=1)
    counts = {}
    for key in asked:
        counts[key] = counts.get(key, 0) + 1
    # What both pictures are of, the lesion itself, is made once for each of them from the same stream.
    shared = {name for (_, _, name), count in counts.items() if count > 1}
    assert {seed for seed, *_ in asked} == {2}
    assert {row for _, row, _ in asked} == set(range(24))
    apart = {"clinical", "dermoscopic", "place", "surroundings", "surface", "metadata", "names"}
    assert not shared & apart
    assert apart <= {name for _, _, name in asked}
