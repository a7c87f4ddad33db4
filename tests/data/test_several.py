"""Cases with several pictures of a view: which pair an epoch draws, from files and from records alike."""

import dataclasses

import numpy as np
import pytest
from small_pairs import HOSPITAL, hospital_rows, write_hospital

from amfam_tf import config as configuration
from amfam_tf.data import pipeline, several
from amfam_tf.data.cases import read
from amfam_tf.errors import DataError

EPOCHS = 24
CARD = HOSPITAL.replace("missing: allowed}\n  dermo", "several: allowed}\n  dermo")


def make_config(**data):
    changes = {
        "data": {"image_size": 32, "cache": "none"} | data,
        "augmentation": {"enabled": False},
        "training": {"batch_size": 5, "epochs": EPOCHS},
        "seed": 3,
    }
    return configuration.from_dict(changes)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Twelve cases, of which the first has three dermoscopic pictures, and the second has no clinical one."""
    return read(write_hospital(tmp_path_factory.mktemp("data") / "hospital"))


@pytest.fixture(scope="module")
def cases(hospital):
    return hospital.cases[hospital.cases["clinical"] != ""].reset_index(drop=True)


def drawn(dataset):
    """Returns {case number: [mean of its dermoscopic picture in each batch that it is in]}."""
    found = {}
    for batch in dataset.as_numpy_iterator():
        for number, picture in zip(batch["case_num"], batch["dermoscopic"], strict=True):
            found.setdefault(int(number), []).append(float(picture.mean()))
    return found


def test_a_case_has_a_row_for_each_pair(cases):
    rows = several.rows_of_pairs(cases, make_config())
    assert len(rows) == len(cases) + 2
    assert [*rows["pair"][:4]] == [0, 1, 2, 0] and [*rows["pairs"][:4]] == [3, 3, 3, 1]
    assert [*rows["dermoscopic"][:3]] == [*cases["dermoscopic_all"][0]]
    assert len({*rows["clinical"][:3]}) == 1
    assert several.rows_of_pairs(cases, make_config(several_pictures="first")) is cases
    one_each = cases[cases["dermoscopic_all"].map(len) == 1]
    assert several.rows_of_pairs(one_each, make_config()) is one_each


@pytest.mark.parametrize("cache", ["none", "memory", "file"])
def test_an_epoch_draws_one_pair_of_each_case_and_in_time_all(hospital, cases, cache, tmp_path):
    directory = str(tmp_path) if cache == "file" else None
    config = make_config(cache=cache, cache_directory=directory)
    found = drawn(pipeline.training_dataset(cases, config, card=hospital.card))
    assert {number: len(means) for number, means in found.items()} == dict.fromkeys(cases["case_num"], EPOCHS)
    first, *others = cases["case_num"]
    assert len({*found[first]}) == 3, "each of its three pictures is seen"
    assert all(len({*found[number]}) == 1 for number in others)
    later = drawn(pipeline.training_dataset(cases, config, first_epoch=9, card=hospital.card))
    assert later[first] == found[first][9:], "what an epoch draws does not depend on those before"
    other = drawn(pipeline.training_dataset(cases, dataclasses.replace(config, seed=4), card=hospital.card))
    assert other[first] != found[first]


def test_the_first_picture_alone_if_the_configuration_says_so(hospital, cases):
    found = drawn(pipeline.training_dataset(cases, make_config(several_pictures="first"), card=hospital.card))
    evaluated = drawn(pipeline.evaluation_dataset(cases, make_config(), card=hospital.card))
    assert {*found[cases["case_num"][0]]} == {*evaluated[cases["case_num"][0]]}
    assert all(len(means) == 1 for means in evaluated.values())


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_balanced_batches_draw_pairs_too(hospital, cases, cache):
    config = make_config(cache=cache, sampling="balanced")
    found = drawn(pipeline.training_dataset(cases, config, card=hospital.card))
    first, *others = cases["case_num"]
    assert len({*found[first]}) == 3
    assert all(len({*found[number]}) == 1 for number in others)


def test_a_bad_picture_that_is_not_the_first_is_named(tmp_path):
    data = write_hospital(tmp_path / "hospital", [row for row in hospital_rows() if row[0] != "L1"], CARD)
    found, config = read(data), make_config()
    bad = data / "pictures" / "L0" / "derm2.png"
    bad.write_bytes(b"no picture")
    with (
        pytest.raises(DataError, match=f"cannot use dermoscopic picture {bad}"),
        pipeline.naming_bad_files(found.cases, config),
    ):
        for _ in pipeline.training_dataset(found.cases, config, card=found.card):
            pass


def test_the_draws_are_even():
    numbers = [int(several.drawn_pair(0, epoch, 5, np.int64(3))) for epoch in range(300)]
    assert np.bincount(numbers, minlength=3).min() > 75
    assert numbers != [int(several.drawn_pair(0, epoch, 6, np.int64(3))) for epoch in range(300)]
