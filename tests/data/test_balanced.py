"""Balanced batches: every label in each, all cases of a label in turn, and what the draws depend on."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from releases import TinyRelease
from written_records import write_records

from amfam_tf import config as configuration
from amfam_tf.card import cards
from amfam_tf.card.inputs import inputs_of, width
from amfam_tf.config import Config
from amfam_tf.data import balanced, images, pipeline, records
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import DataError
from amfam_tf.tasks import DERM7PT, METADATA, MODALITIES, TASKS, task_names

CASES, EPOCHS, SIZE = 30, 3, 32
LABELS = sum(len(task.classes) for task in TASKS)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_release(TinyRelease(CASES, pixels=(40, 32)).write(tmp_path_factory.mktemp("release")))


def make_config(metadata: tuple[str, ...] = (), **data: object) -> Config:
    changes = {
        "data": {"image_size": SIZE, "cache": "none", "sampling": "balanced"} | data,
        "augmentation": {"pad": 4},
        "model": {"metadata": list(metadata)},
        "training": {"batch_size": 5, "epochs": EPOCHS},
        "seed": 5,
    }
    return configuration.from_dict(changes)


def read(dataset: tf.data.Dataset) -> list[dict[str, np.ndarray]]:
    return list(dataset.as_numpy_iterator())


def assert_same_batches(first: list[dict[str, np.ndarray]], second: list[dict[str, np.ndarray]]) -> None:
    assert len(first) == len(second) > 0
    for left, right in zip(first, second, strict=True):
        assert left.keys() == right.keys()
        for key in left:
            np.testing.assert_array_equal(left[key], right[key], err_msg=key)


@pytest.fixture(scope="module")
def batches(cases: pd.DataFrame) -> list[dict[str, np.ndarray]]:
    return read(pipeline.training_dataset(cases, make_config(), DERM7PT))


def random_rows(seed: int = 0) -> list[np.ndarray]:
    """Returns rows of 24 labels, from one case to many."""
    random = np.random.default_rng(seed)
    return [np.sort(random.choice(100, size, replace=False)) for size in random.integers(1, 60, LABELS)]


def test_there_are_24_labels():
    assert balanced.label_count(TASKS) == LABELS == 24
    assert balanced.label_count(cards.packaged("milk10k").tasks) == 11


@pytest.mark.parametrize("cases_per_label", [1, 3])
def test_each_batch_has_so_many_places_for_each_label(cases_per_label):
    rows = random_rows()
    order = balanced.epoch_order(rows, seed=1, epoch=2, steps=7, cases_per_label=cases_per_label)
    for batch in order.reshape(7, LABELS, cases_per_label):
        for label, found in enumerate(batch):
            assert set(found) <= set(rows[label])


def test_no_case_of_a_label_comes_twice_before_all_came_once():
    rows = random_rows()
    order = balanced.epoch_order(rows, seed=1, epoch=2, steps=70, cases_per_label=2)
    places = order.reshape(70, LABELS, 2)
    for label, found in enumerate(rows):
        drawn = places[:, label].ravel()
        for start in range(0, len(drawn), len(found)):
            round_ = drawn[start : start + len(found)]
            assert len(set(round_)) == len(round_)
        again = [tuple(drawn[start : start + len(found)]) for start in range(0, len(drawn) - len(found), len(found))]
        assert len(found) < 8 or len(set(again)) == len(again)


def test_the_order_is_a_function_of_seed_and_epoch():
    rows = random_rows()
    orders = {
        (seed, epoch): balanced.epoch_order(rows, seed, epoch, 9, 1).tobytes() for seed in (0, 1) for epoch in (0, 1)
    }
    assert len(set(orders.values())) == 4
    assert balanced.epoch_order(rows, 1, 0, 9, 1).tobytes() == orders[1, 0]
    # Exact numbers: another NumPy must not turn a resumed run into another one.
    assert balanced.epoch_order([np.arange(6)] * 2, 3, 4, 4, 1).tolist() == [3, 5, 2, 3, 1, 4, 4, 0]


def test_occurrences_count_the_draws_before():
    assert balanced.occurrences(np.array([7, 3, 7, 7, 3])).tolist() == [0, 0, 1, 2, 1]


def test_every_batch_holds_every_label_and_an_epoch_about_as_many_places_as_cases(cases, batches):
    assert pipeline.training_batch_size(make_config(), TASKS) == LABELS
    assert pipeline.steps_per_epoch(CASES, make_config(), TASKS) == 2
    assert pipeline.evaluation_steps(CASES, make_config()) == 6
    assert [len(batch["case_num"]) for batch in batches] == [LABELS] * 2 * EPOCHS
    for batch in batches:
        labels = [(task.name, number) for task in TASKS for number in range(len(task.classes))]
        for place, (task, number) in enumerate(labels):
            assert batch[task][place] == number
    both = make_config(cases_per_label=2)
    assert pipeline.steps_per_epoch(CASES, both, TASKS) == 1
    first = next(iter(pipeline.training_dataset(cases, both, DERM7PT).as_numpy_iterator()))
    for task in TASKS:
        assert np.bincount(first[task.name], minlength=len(task.classes)).min() >= 2


def test_labels_and_pictures_stay_with_their_case(cases):
    config = make_config()
    still = dataclasses.replace(config, augmentation=dataclasses.replace(config.augmentation, enabled=False))
    batch = read(pipeline.training_dataset(cases, still, DERM7PT))[0]
    rows = cases.set_index("case_num").loc[batch["case_num"]]
    for name in task_names():
        np.testing.assert_array_equal(batch[name], rows[name])
    for name in MODALITIES:
        for file, picture in zip(rows[name], batch[name], strict=True):
            expected = images.to_unit_range(images.prepare_image(tf.io.read_file(file), SIZE, 0, 10**6))
            np.testing.assert_array_equal(picture, expected)


def test_a_case_that_is_drawn_again_in_an_epoch_is_augmented_anew(batches):
    epoch = {key: np.concatenate([batch[key] for batch in batches[:2]]) for key in ("case_num", "clinical")}
    for case_num in np.unique(epoch["case_num"]):
        pictures = [picture.tobytes() for picture in epoch["clinical"][epoch["case_num"] == case_num]]
        assert len(set(pictures)) == len(pictures)
    assert len(np.unique(epoch["case_num"])) < len(epoch["case_num"])


@pytest.mark.parametrize("cache", ["memory", "file"])
def test_cached_batches_equal_uncached_ones(cases, batches, cache, tmp_path):
    config = make_config(cache=cache, cache_directory=str(tmp_path / "cache"))
    assert_same_batches(read(pipeline.training_dataset(cases, config, DERM7PT)), batches)
    if cache == "file":
        files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"]
        assert len(files) == CASES
        before = [path.stat().st_mtime_ns for path in files]
        assert_same_batches(read(pipeline.training_dataset(cases, config, DERM7PT, EPOCHS - 1)), batches[-2:])
        assert [path.stat().st_mtime_ns for path in files] == before


def test_pictures_in_memory_are_decoded_and_kept_once(cases, decodes):
    dataset = pipeline.training_dataset(cases, make_config(cache="memory"), DERM7PT)
    assert len(decodes) == 2 * CASES
    read(dataset)
    assert len(decodes) == 2 * CASES


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_records_give_the_same_batches(cases, batches, cache, tmp_path):
    write_records(cases, tmp_path / "records", shards=3)
    read_back = records.read_records(tmp_path / "records")
    config = make_config(cache=cache, cache_directory=str(tmp_path / "cache"))
    assert_same_batches(read(pipeline.training_dataset(read_back, config, DERM7PT)), batches)


def test_starting_at_an_epoch_gives_that_epoch_of_a_whole_run(cases, batches):
    tf.random.set_seed(77)
    resumed = read(pipeline.training_dataset(cases, make_config(cache="memory"), first_epoch=1, card=DERM7PT))
    assert_same_batches(resumed, batches[2:])


def test_a_label_without_a_case_is_named(cases):
    without = cases.assign(DIAG=cases["DIAG"].replace(0, 1), VS=cases["VS"].replace(2, 0))
    with pytest.raises(DataError, match="none with DIAG BCC, VS IR: set data.sampling=shuffled") as caught:
        pipeline.training_dataset(without, make_config(), DERM7PT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_a_bad_file_is_named(cache, tmp_path):
    cases = read_release(TinyRelease(12, pixels=(40, 32)).write(tmp_path / "release"))
    file = cases["dermoscopic"][3]
    Path(file).write_bytes(b"no picture")
    config = make_config(cache=cache, cache_directory=str(tmp_path / "cache"))
    with pytest.raises(DataError) as caught, pipeline.naming_bad_files(cases, config):
        read(pipeline.training_dataset(cases, config, DERM7PT))
    assert str(caught.value).startswith(f"case 4: cannot use dermoscopic picture {file}: ")


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_metadata_is_what_the_configuration_names_in_that_order(cases, sampling):
    columns = ("sex", "management", "elevation")
    some = cases.assign(sex=["", *cases["sex"][1:]])
    config = make_config(columns, sampling=sampling)
    by_case = some.set_index("case_num")
    for dataset in (
        pipeline.training_dataset(some, config, DERM7PT),
        pipeline.evaluation_dataset(some, config, DERM7PT),
    ):
        assert dataset.element_spec["metadata"] == tf.TensorSpec((None, 2 + 3 + 3), tf.float32)
        batch = next(iter(dataset.as_numpy_iterator()))
        rows = by_case.loc[batch["case_num"]]
        for row, encoded in zip(rows.itertuples(), batch["metadata"], strict=True):
            expected = [getattr(row, column) == value for column in columns for value in METADATA[column]]
            assert encoded.tolist() == expected
    assert width(inputs_of(DERM7PT, columns)) == 8
    assert batch["case_num"][0] == some["case_num"][0]
    np.testing.assert_array_equal(batch["metadata"][0, :2], [0, 0])


def test_a_column_that_is_asked_for_and_absent_is_named(cases):
    with pytest.raises(DataError, match=r"^the table of cases has no column management$"):
        pipeline.evaluation_dataset(cases.drop(columns="management"), make_config(("management",)), DERM7PT)
