"""Batches: what is in them, in which order, and what the order and the augmentation depend on."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image
from releases import TinyRelease

from amfam_tf import config as configuration
from amfam_tf.card.inputs import inputs_of, width
from amfam_tf.config import Config
from amfam_tf.data import images, pictures, pipeline
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import DataError
from amfam_tf.files.writing import PARTIAL
from amfam_tf.tasks import DERM7PT, METADATA, MODALITIES, TASKS, task_names

CASES, BATCH, EPOCHS, SIZE = 10, 4, 3, 40
STEPS = 3
INPUTS = ("elevation", "location", "sex")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_release(TinyRelease(CASES).write(tmp_path_factory.mktemp("release")))


def make_config(**data: object) -> Config:
    changes = {
        "data": {"image_size": SIZE, "cache": "none"} | data,
        "augmentation": {"pad": 4},
        "training": {"batch_size": BATCH, "epochs": EPOCHS},
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
def uncached(cases: pd.DataFrame) -> list[dict[str, np.ndarray]]:
    return read(pipeline.training_dataset(cases, make_config(), DERM7PT))


def case_numbers(batches: list[dict[str, np.ndarray]]) -> list[int]:
    return np.concatenate([batch["case_num"] for batch in batches]).tolist()


def epochs_of(batches: list[dict[str, np.ndarray]]) -> list[list[dict[str, np.ndarray]]]:
    return [batches[start : start + STEPS] for start in range(0, len(batches), STEPS)]


def test_a_batch_has_exactly_what_the_table_says(cases, uncached):
    dataset = pipeline.training_dataset(cases, make_config(), DERM7PT)
    expected = {name: tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32) for name in MODALITIES}
    expected |= {name: tf.TensorSpec((None,), tf.int32) for name in task_names()}
    expected |= {"case_num": tf.TensorSpec((None,), tf.int64)}
    assert dataset.element_spec == expected
    assert pipeline.evaluation_dataset(cases, make_config(), DERM7PT).element_spec == expected
    for batch in uncached:
        for name in MODALITIES:
            assert 0.0 <= batch[name].min() < 0.1
            assert 0.5 < batch[name].max() <= 1.0


def test_each_epoch_has_every_case_once_in_an_order_of_its_own(uncached):
    assert [len(batch["case_num"]) for batch in uncached] == [4, 4, 2] * EPOCHS
    assert pipeline.steps_per_epoch(CASES, make_config(), TASKS) == STEPS
    assert pipeline.steps_per_epoch(8, make_config(), TASKS) == 2
    orders = [case_numbers(epoch) for epoch in epochs_of(uncached)]
    for order in orders:
        assert sorted(order) == list(range(1, CASES + 1))
    assert len({tuple(order) for order in orders} | {tuple(range(1, CASES + 1))}) == EPOCHS + 1


def test_labels_and_pictures_stay_with_their_case(cases, uncached):
    config = make_config()
    still = dataclasses.replace(config, augmentation=dataclasses.replace(config.augmentation, enabled=False))
    by_case = cases.set_index("case_num")
    for batch in uncached + read(pipeline.training_dataset(cases, still, DERM7PT)):
        rows = by_case.loc[batch["case_num"]]
        for name in task_names():
            np.testing.assert_array_equal(batch[name], rows[name])
    batch = read(pipeline.training_dataset(cases, still, DERM7PT))[0]
    for name in MODALITIES:
        for case_num, picture in zip(batch["case_num"], batch[name], strict=True):
            data = tf.io.read_file(by_case.loc[case_num, name])
            expected = images.to_unit_range(images.prepare_image(data, SIZE, 0, 10**6))
            np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_starting_at_an_epoch_gives_that_epoch_of_a_whole_run(cases, uncached, cache):
    resumed = read(pipeline.training_dataset(cases, make_config(cache=cache), first_epoch=1, card=DERM7PT))
    assert_same_batches(resumed, uncached[STEPS:])


def test_batches_do_not_depend_on_the_global_seed_but_on_the_configured_one(cases, uncached):
    tf.random.set_seed(1234)
    assert_same_batches(read(pipeline.training_dataset(cases, make_config(), DERM7PT)), uncached)
    other = read(pipeline.training_dataset(cases, dataclasses.replace(make_config(), seed=6), DERM7PT))
    assert case_numbers(other) != case_numbers(uncached)


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_any_seed_that_a_configuration_allows_works(cases, seed):
    batches = read(pipeline.training_dataset(cases, dataclasses.replace(make_config(), seed=seed), DERM7PT, EPOCHS - 1))
    assert sorted(case_numbers(batches)) == list(range(1, CASES + 1))


def test_augmentation_of_a_case_does_not_depend_on_the_other_cases(cases, uncached):
    alone = read(pipeline.training_dataset(cases[cases["case_num"] == 7], make_config(), DERM7PT))
    assert len(alone) == EPOCHS
    for epoch, batch in zip(epochs_of(uncached), alone, strict=True):
        for name in MODALITIES:
            together = np.concatenate([other[name] for other in epoch])
            np.testing.assert_array_equal(together[case_numbers(epoch).index(7)], batch[name][0])


def test_augmentation_differs_between_epochs_and_modalities(cases):
    same_file = cases.assign(dermoscopic=cases["clinical"])[:1]
    found = [
        batch[name][0].tobytes()
        for batch in read(pipeline.training_dataset(same_file, make_config(), DERM7PT))
        for name in MODALITIES
    ]
    assert len(set(found)) == 2 * EPOCHS


@pytest.mark.parametrize("cache", ["memory", "file"])
def test_cached_batches_equal_uncached_ones_and_decode_once(cases, uncached, cache, tmp_path, decodes):
    dataset = pipeline.training_dataset(
        cases, make_config(cache=cache, cache_directory=str(tmp_path / "cache")), DERM7PT
    )
    assert_same_batches(read(dataset), uncached)
    assert_same_batches(read(dataset), uncached)
    assert len(decodes) == 2 * CASES


def test_without_a_cache_each_epoch_decodes(cases, decodes):
    read(pipeline.training_dataset(cases, make_config(), DERM7PT))
    assert len(decodes) == 2 * CASES * EPOCHS


def test_a_small_shuffle_buffer_is_honoured(cases):
    orders = [
        case_numbers(read(pipeline.training_dataset(cases, make_config(shuffle_buffer=size), DERM7PT)))
        for size in (1, 3)
    ]
    assert orders[0] == list(range(1, CASES + 1)) * EPOCHS
    # With a buffer of 3 the first case out of it is one of the first three.
    assert {orders[1][start] for start in (0, CASES, 2 * CASES)} <= {1, 2, 3}
    assert orders[1] != orders[0]


def test_a_file_cache_is_used_by_the_next_process_and_refilled_for_other_pictures(cases, tmp_path, decodes):
    config = make_config(cache="file", cache_directory=str(tmp_path / "cache"))
    first = read(pipeline.evaluation_dataset(cases, config, use_cache=True, card=DERM7PT))
    assert len(decodes) == 2 * CASES
    assert_same_batches(read(pipeline.evaluation_dataset(cases, config, use_cache=True, card=DERM7PT)), first)
    assert len(decodes) == 2 * CASES
    cropped = make_config(cache="file", cache_directory=str(tmp_path / "cache"), border_crop=5)
    assert not np.array_equal(
        read(pipeline.evaluation_dataset(cases, cropped, use_cache=True, card=DERM7PT))[0]["clinical"],
        first[0]["clinical"],
    )
    assert len(decodes) == 4 * CASES
    half = pipeline.evaluation_dataset(cases[5:], config, use_cache=True, card=DERM7PT)
    assert case_numbers(read(half)) == [6, 7, 8, 9, 10]
    assert len(decodes) == 5 * CASES


def test_a_changed_file_is_not_taken_from_the_file_cache(tmp_path):
    cases = read_release(TinyRelease(4).write(tmp_path / "release"))
    config = make_config(cache="file", cache_directory=str(tmp_path / "cache"))
    pipeline.evaluation_dataset(cases, config, use_cache=True, card=DERM7PT)
    Image.new("RGB", (60, 60), (255, 0, 0)).save(cases["clinical"][2], "JPEG")
    batch = read(pipeline.evaluation_dataset(cases, config, use_cache=True, card=DERM7PT))[0]
    np.testing.assert_allclose(batch["clinical"][2], np.broadcast_to([1.0, 0.0, 0.0], (SIZE, SIZE, 3)), atol=0.02)


def test_labels_are_not_taken_from_the_file_cache(cases, tmp_path):
    config = make_config(cache="file", cache_directory=str(tmp_path / "cache"))
    pipeline.evaluation_dataset(cases, config, use_cache=True, card=DERM7PT)
    corrected = cases.assign(DIAG=4)
    assert set(read(pipeline.evaluation_dataset(corrected, config, use_cache=True, card=DERM7PT))[0]["DIAG"]) == {4}


def test_what_a_killed_filling_of_the_file_cache_left_does_no_harm(cases, tmp_path, uncached):
    config = make_config(cache="file", cache_directory=str(tmp_path / "cache"))
    fingerprint = pictures.cache_fingerprint(cases, config)
    partial = tmp_path / "cache" / f"{PARTIAL}pictures-{fingerprint}"
    partial.mkdir(parents=True)
    (partial / "pictures_0.lockfile").write_text("left behind")
    (partial / "pictures_0.data-00000-of-00001").write_bytes(b"half")
    assert_same_batches(read(pipeline.training_dataset(cases, config, DERM7PT)), uncached)
    assert not partial.exists()


def test_evaluation_gives_each_case_once_in_the_given_order_unaugmented(cases):
    shuffled = cases.iloc[[3, 9, 0, 7, 1, 2, 8, 5, 6, 4]]
    batches = read(pipeline.evaluation_dataset(shuffled, make_config(), DERM7PT))
    assert case_numbers(batches) == shuffled["case_num"].tolist()
    assert [len(batch["case_num"]) for batch in batches] == [4, 4, 2]
    data = tf.io.read_file(shuffled["dermoscopic"].iloc[5])
    expected = images.to_unit_range(images.prepare_image(data, SIZE, 0, 10**6))
    np.testing.assert_array_equal(batches[1]["dermoscopic"][1], expected)


def test_evaluation_with_a_memory_cache_decodes_once(cases, decodes):
    dataset = pipeline.evaluation_dataset(cases, make_config(cache="memory"), use_cache=True, card=DERM7PT)
    assert_same_batches(read(dataset), read(dataset))
    assert len(decodes) == 2 * CASES


def test_metadata_is_elevation_location_sex_and_nothing_else(cases):
    one = cases[:1].assign(elevation="nodular", location="abdomen", sex="male")
    expected = [0, 0, 1] + [0, 0, 1, 0, 0, 0, 0, 0, 0] + [0, 1]
    np.testing.assert_array_equal(pipeline.encode_metadata(one, INPUTS, DERM7PT), [expected])
    for column in ("management", "level_of_diagnostic_difficulty"):
        for value in METADATA[column]:
            np.testing.assert_array_equal(
                pipeline.encode_metadata(one.assign(**{column: value}), INPUTS, DERM7PT), [expected]
            )
    assert width(inputs_of(DERM7PT, INPUTS)) == 14


@pytest.mark.parametrize("missing", ["", None, np.nan])
def test_missing_metadata_is_all_zeros(cases, missing):
    encoded = pipeline.encode_metadata(cases[:2].assign(location=missing), INPUTS, DERM7PT)
    np.testing.assert_array_equal(encoded[:, 3:12], np.zeros((2, 9)))
    np.testing.assert_array_equal(encoded.sum(axis=1), [2, 2])


def test_unknown_metadata_names_case_column_and_value(cases):
    wrong = cases.assign(sex=["male"] * 6 + ["man"] + ["female"] * 3)
    with pytest.raises(DataError, match=r"^case 7: sex 'man' is none of \['female', 'male'\]$"):
        pipeline.encode_metadata(wrong, INPUTS, DERM7PT)


def test_a_table_that_cannot_be_used_says_why(cases):
    with pytest.raises(DataError, match=r"no column PN$"):
        pipeline.evaluation_dataset(cases.drop(columns=["PN", "sex"]), make_config(), DERM7PT)
    with pytest.raises(DataError, match="no cases"):
        pipeline.training_dataset(cases[:0], make_config(), DERM7PT)


def damaged(kind: str, tmp_path: Path) -> tuple[pd.DataFrame, str]:
    cases = read_release(TinyRelease(4).write(tmp_path / "release"))
    file = Path(cases["dermoscopic"][2])
    if kind == "missing":
        file.unlink()
    elif kind == "text":
        file.write_text("no picture")
    elif kind == "truncated":
        file.write_bytes(file.read_bytes()[:900])
    return cases, str(file)


@pytest.mark.parametrize("kind", ["missing", "text", "truncated"])
@pytest.mark.parametrize("cache", ["memory", "file"])
def test_a_bad_file_is_named_in_one_line(kind, cache, tmp_path):
    cases, file = damaged(kind, tmp_path)
    config = make_config(cache=cache, cache_directory=str(tmp_path / "cache"))
    with pytest.raises(DataError) as caught, pipeline.naming_bad_files(cases, config):
        read(pipeline.training_dataset(cases, config, DERM7PT))
    message = str(caught.value)
    start = (
        f"cannot read {file}: " if (kind, cache) == ("missing", "file") else "case 3: cannot use dermoscopic picture "
    )
    assert re.match(re.escape(start), message)
    assert file in message
    assert "\n" not in message
    assert "{{" not in message


def test_too_many_pixels_and_too_large_a_crop_name_the_file(cases):
    for change, words in (({"max_pixels": 5119}, "more than 5119 pixels"), ({"border_crop": 32}, "border_crop=32")):
        config = make_config(**change)
        with pytest.raises(DataError, match=words) as caught, pipeline.naming_bad_files(cases, config):
            read(pipeline.evaluation_dataset(cases, config, DERM7PT))
        assert cases["clinical"][0] in str(caught.value)


def test_an_error_that_no_file_explains_stays_what_it_is(cases):
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="something else"),
        pipeline.naming_bad_files(cases, make_config()),
    ):
        raise tf.errors.InvalidArgumentError(None, None, "something else")
