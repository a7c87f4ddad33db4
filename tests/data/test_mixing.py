"""Laws of mixup and cutmix: one share, one box and one other case for both pictures, and what an epoch mixes."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from releases import TinyRelease

from amfam_tf import config as configuration
from amfam_tf.config import AugmentationConfig
from amfam_tf.data import mixing, pipeline
from amfam_tf.data.augment import augmentation_seed
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.share import Share
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

SIZE = 40


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return read_release(TinyRelease(10).write(tmp_path_factory.mktemp("release")))


def configured(sampling="shuffled", metadata=(), cache="none", **augmentation):
    tree = {
        "data": {"image_size": SIZE, "cache": cache, "sampling": sampling},
        "augmentation": {"pad": 4, **augmentation},
        "model": {"metadata": list(metadata)},
        "training": {"batch_size": 4, "epochs": 2},
        "seed": 5,
    }
    return configuration.from_dict(tree)


def read(cases, config, **options):
    return list(pipeline.training_dataset(cases, config, DERM7PT, **options).as_numpy_iterator())


def joined(batches):
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def draws(count, **augmentation):
    config = AugmentationConfig(**augmentation)
    numbers = tf.data.Dataset.range(count)
    drawn = numbers.map(lambda number: mixing.draw(augmentation_seed(0, 0, number, "clinical"), SIZE, config))
    return zip(*drawn.as_numpy_iterator(), strict=True)


@pytest.mark.parametrize(
    ("row", "column", "side", "rows", "columns"),
    [(0.5, 0.5, 0.5, (1, 3), (1, 3)), (0.0, 0.99, 0.5, (0, 1), (2, 4)), (0.3, 0.6, 0.0, (0, 0), (0, 0))],
)
def test_a_box_by_hand(row, column, side, rows, columns):
    expected = np.zeros((4, 4, 1), np.float32)
    expected[slice(*rows), slice(*columns)] = 1
    np.testing.assert_array_equal(mixing.box(*map(tf.constant, (row, column, side)), 4), expected)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_the_shares_of_mixup_are_from_a_beta_distribution(alpha):
    shares, weights = draws(300, mixup=alpha)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.2)
    assert all((pixels == share).all() for share, pixels in zip(shares, weights, strict=True))


def test_the_share_of_cutmix_is_the_area_that_is_left():
    shares, weights = draws(60, cutmix=1.0)
    assert {value for pixels in weights for value in np.unique(pixels)} == {0.0, 1.0}
    np.testing.assert_allclose(shares, [pixels.mean() for pixels in weights], atol=1e-6)
    assert min(shares) < 0.3 and max(shares) > 0.9


def test_with_both_each_is_drawn_in_half_of_the_cases_and_a_tiny_alpha_is_a_number():
    _, weights = draws(200, cutmix=1.0, mixup=1.0)
    cut = np.mean([set(np.unique(pixels)) <= {0.0, 1.0} for pixels in weights])
    assert cut == pytest.approx(0.5, abs=0.1)
    shares, _ = draws(200, mixup=1e-3)
    assert np.isfinite(shares).all()


@pytest.mark.parametrize("augmentation", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_both_pictures_metadata_and_all_tasks_are_mixed_alike(augmentation):
    def case(number, value):
        pictures = {name: tf.fill((SIZE, SIZE, 3), value) for name in MODALITIES}
        labels = {task.name: tf.constant(int(value), tf.int32) for task in TASKS}
        return {"case_num": tf.constant(number, tf.int64), "metadata": tf.fill((2,), value)} | pictures | labels

    config = configured(**augmentation)
    own, other = case(7, 0.0), case(9, 1.0)
    mixed = mixing.mix(own, other, tf.constant(0), config)
    share = float(mixed[mixing.SHARE])
    assert 0 < share < 1
    np.testing.assert_array_equal(mixed["clinical"], mixed["dermoscopic"])
    assert np.mean(mixed["clinical"]) == pytest.approx(1 - share, abs=1e-5)
    np.testing.assert_allclose(mixed["metadata"], 1 - share, atol=1e-6)
    assert [(int(mixed[task.name]), int(mixed[mixing.other_label(task.name)])) for task in TASKS] == [(0, 1)] * 8
    assert int(mixed["case_num"]) == 7
    alone = mixing.mix(other, other | {"case_num": own["case_num"]}, tf.constant(0), config)
    for name in (*MODALITIES, "metadata"):
        np.testing.assert_array_equal(alone[name], other[name])


def test_a_share_of_one_is_the_case_as_it_is(monkeypatch):
    monkeypatch.setattr(mixing, "draw", lambda *_: (tf.constant(1.0), tf.ones((SIZE, SIZE, 1))))
    random = np.random.default_rng(0)
    own, other = (
        {name: tf.constant(random.random((SIZE, SIZE, 3)), tf.float32) for name in MODALITIES}
        | {"case_num": tf.constant(number, tf.int64)}
        for number in (1, 2)
    )
    mixed = mixing.mix(own, other, tf.constant(0), configured(mixup=1.0))
    for name in MODALITIES:
        np.testing.assert_array_equal(mixed[name], own[name])


@pytest.mark.parametrize(("sampling", "cache"), [("shuffled", "none"), ("shuffled", "memory"), ("balanced", "memory")])
def test_an_epoch_mixes_each_case_with_the_one_before_it(cases, sampling, cache):
    labelled = cases.copy()
    if sampling == "balanced":
        for task in TASKS:
            labelled[task.name] = np.arange(len(cases)) % len(task.classes)
    columns = ("sex",)
    plain = joined(read(labelled, configured(sampling, columns, cache)))
    mixed = joined(read(labelled, configured(sampling, columns, cache, mixup=1.0)))
    drawn = len(plain["case_num"]) // 2
    np.testing.assert_array_equal(mixed["case_num"], plain["case_num"])
    for epoch in (slice(0, drawn), slice(drawn, None)):
        before = np.arange(drawn) - 1
        before[0] = 0
        own, other = ({key: values[epoch][rows] for key, values in plain.items()} for rows in (slice(None), before))
        share = mixed[mixing.SHARE][epoch]
        for key in (*MODALITIES, "metadata"):
            weight = share.reshape(-1, *[1] * (own[key].ndim - 1))
            expected = weight * own[key] + (1 - weight) * other[key]
            np.testing.assert_allclose(mixed[key][epoch], expected, atol=1e-5)
        for task in TASKS:
            np.testing.assert_array_equal(mixed[task.name][epoch], own[task.name])
            np.testing.assert_array_equal(mixed[mixing.other_label(task.name)][epoch], other[task.name])
    assert len(set(mixed[mixing.SHARE][1:drawn])) > drawn // 2


@pytest.mark.parametrize("augmentation", [{"cutmix": 1.0}])
def test_a_resumed_run_and_two_replicas_see_the_same_mixtures(cases, augmentation):
    config = configured(**augmentation)
    whole = read(cases, config)
    for again, batch in zip(read(cases, config, first_epoch=1), whole[3:], strict=True):
        assert all(np.array_equal(again[key], batch[key]) for key in batch)
    halves = [read(cases, config, share=Share(2, first, 1)) for first in (0, 1)]
    for number, batch in enumerate(whole):
        for first in (0, 1):
            part = halves[first][number]
            assert all(np.array_equal(part[key], batch[key][first::2]) for key in batch)


def test_nothing_is_mixed_by_default(cases):
    assert not mixing.mixes(dataclasses.replace(AugmentationConfig()))
    assert not any(key.startswith("mixing.") for key in read(cases, configured())[0])
