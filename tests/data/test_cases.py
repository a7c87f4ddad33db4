"""One reader for releases and records: the same cases, bytes and fingerprint from both."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from releases import TinyRelease
from small_pairs import draw_picture, milk10k_class, write_hospital, write_milk10k
from written_records import write_records

from amfam_tf.card import cards
from amfam_tf.config import DataConfig
from amfam_tf.data.cases import (
    DataSet,
    data_fingerprint,
    encoded_pair,
    in_stored_order,
    read,
    refuse_missing_pictures,
)
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.tasks import DERM7PT, TASKS

CASES, SHARED = 6, 3


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same cases as a data set and as records, one with a shared file."""
    folder = tmp_path_factory.mktemp("cases")
    release = TinyRelease(CASES)
    release.meta.loc[SHARED, "clinic"] = release.meta.loc[SHARED, "derm"]
    release.write(folder / "release")
    write_records(read(folder / "release").cases, folder / "records", shards=2)
    return folder / "release", folder / "records"


@pytest.mark.parametrize("drop", [False, True])
def test_both_have_the_same_cases_and_the_same_fingerprint(stored, drop):
    first, second = (read(data, drop_shared_files=drop).cases for data in stored)
    columns = [column for column in first if column in second and column not in ("clinical", "dermoscopic")]
    assert set(first) - set(columns) == {"clinical", "dermoscopic", "notes"}
    pd.testing.assert_frame_equal(first[columns], second[columns], check_dtype=False)
    assert len(first) == CASES - drop
    assert data_fingerprint(first, card=DERM7PT) == data_fingerprint(second, card=DERM7PT)


def test_a_card_beside_the_data_comes_before_the_one_of_their_layout(tmp_path):
    TinyRelease(CASES).write(tmp_path / "release")
    assert len(read(tmp_path / "release").cases) == CASES
    card = tmp_path / "release" / cards.FILE
    card.write_text("name: mine\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{card}: cases: is needed"):
        read(tmp_path / "release")


def test_a_card_decides_what_the_cases_are_asked(tmp_path):
    """Beside the data, by the layout, or named: always the same table, and the fingerprint is of names of classes."""
    milk = write_milk10k(tmp_path / "milk", 24)
    found = read(milk)
    assert found.card == cards.packaged("milk10k")
    assert [*found.cases["DIAG"]] == [milk10k_class(number) for number in range(24)]
    named = tmp_path / "named.yaml"
    named.write_text(cards.to_yaml(found.card), encoding="utf-8")
    pd.testing.assert_frame_equal(read(milk, card=named).cases, found.cases)
    assert read(milk, card=named).fingerprint == found.fingerprint
    # The same table under two exchanged names of classes is another data set, although each number stays.
    (entry,) = found.card.questions
    mel, nv = (next(one for one in entry.classes if one.name == name) for name in ("MEL", "NV"))
    exchanged = [nv if one == mel else mel if one == nv else one for one in entry.classes]
    other = found.card.model_copy(update={"questions": (entry.model_copy(update={"classes": tuple(exchanged)}),)})
    named.write_text(cards.to_yaml(other), encoding="utf-8")
    again = read(milk, card=named)
    assert [*again.cases["DIAG"]] == [*found.cases["DIAG"]]
    assert again.fingerprint != found.fingerprint


def test_the_fingerprint_of_derm7pt_is_that_of_older_versions(stored):
    """Runs of before are compared with it: a SHA-256 of the rows with numbers of classes."""
    frame = read(stored[0]).cases
    rows = [
        [case["case_num"], case["split"], *(case[task.name] for task in TASKS)]
        + [hashlib.sha256(Path(case[name]).read_bytes()).hexdigest() for name in ("clinical", "dermoscopic")]
        for case in frame.to_dict("records")
    ]
    assert read(stored[0]).fingerprint == hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def test_all_pictures_of_a_view_count_and_a_missing_one_is_refused(tmp_path):
    hospital = write_hospital(tmp_path / "hospital")
    found = read(hospital)
    first = found.fingerprint
    with pytest.raises(DataError, match=r"hospital: case L1 has no clinical picture \(1 of 12 cases\), and no method"):
        refuse_missing_pictures(found.cases, hospital)
    draw_picture(hospital / "pictures" / "L0" / "derm2.png")
    assert read(hospital).fingerprint != first


def test_records_take_no_card_of_another_place(stored, tmp_path):
    card = tmp_path / "card.yaml"
    card.write_text(cards.to_yaml(cards.packaged("milk10k")), encoding="utf-8")
    with pytest.raises(DataError, match=r"records have their own card: leave .*card\.yaml out"):
        read(stored[1], card=card)


def test_the_order_of_records_does_not_change_the_fingerprint(stored):
    frame = read(stored[1]).cases
    turned = frame[::-1].reset_index(drop=True)
    assert data_fingerprint(turned, card=DERM7PT) == data_fingerprint(frame, card=DERM7PT)
    pd.testing.assert_frame_equal(in_stored_order(turned).reset_index(drop=True), frame)


def test_the_files_of_a_case_are_the_same_bytes(stored):
    first, second = (read(data).cases.to_dict("records") for data in stored)
    for case in (0, SHARED, CASES - 1):
        assert encoded_pair(first[case]) == encoded_pair(second[case])


def test_records_damaged_after_reading_the_table_are_named(stored, tmp_path):
    copy = tmp_path / "copy"
    write_records(read(stored[0]).cases, copy, shards=1)
    frame = read(copy).cases
    (shard,) = copy.iterdir()
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(DataError, match=f"^damaged records in {shard}: "):
        data_fingerprint(frame, card=DERM7PT)


def test_a_fold_is_the_test_split_and_leaves_the_validation_split_what_is_left(tmp_path):
    found = read(write_milk10k(tmp_path / "milk", 44))
    folds = [found.used(DataConfig(fold=number)).cases for number in range(5)]
    tests = [set(rows.loc[rows["split"] == "test", "case_id"]) for rows in folds]
    assert sum(len(one) for one in tests) == 44 and set().union(*tests) == set(found.cases["case_id"])
    validation = set(found.cases.loc[found.cases["split"] == "validate", "case_id"])
    for rows, test in zip(folds, tests, strict=True):
        assert set(rows.loc[rows["split"] == "validate", "case_id"]) == validation - test
        assert set(rows["split"]) == {"train", "validate", "test"}
    assert found.used(DataConfig()).fingerprint == found.fingerprint
    assert len({DataSet(found.card, rows).fingerprint for rows in folds}) == 5, "other splits are other data"
    with pytest.raises(ConfigError, match="data.fold=5: the card milk10k deals out the folds 0 to 4"):
        found.used(DataConfig(fold=5))


def test_derm7pt_has_no_folds(stored):
    for data in stored:
        with pytest.raises(ConfigError, match="data.fold=0: the card derm7pt deals out none"):
            read(data).used(DataConfig(fold=0))
        assert len(read(data).used(DataConfig(drop_shared_files=True)).cases) == CASES - 1
