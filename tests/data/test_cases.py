"""One reader for releases and records: the same cases, bytes and fingerprint from both."""

import pandas as pd
import pytest
from releases import TinyRelease
from small_pairs import write_milk10k
from written_records import write_records

from amfam_tf.card import cards
from amfam_tf.data.cases import data_fingerprint, encoded_pair, in_stored_order, read_cases
from amfam_tf.errors import DataError

CASES, SHARED = 6, 3


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same cases as a data set and as records, one with a shared file."""
    folder = tmp_path_factory.mktemp("cases")
    release = TinyRelease(CASES)
    release.meta.loc[SHARED, "clinic"] = release.meta.loc[SHARED, "derm"]
    release.write(folder / "release")
    write_records(read_cases(folder / "release"), folder / "records", shards=2)
    return folder / "release", folder / "records"


@pytest.mark.parametrize("drop", [False, True])
def test_both_have_the_same_cases_and_the_same_fingerprint(stored, drop):
    first, second = (read_cases(data, drop_shared_files=drop) for data in stored)
    columns = [column for column in first if column in second and column not in ("clinical", "dermoscopic")]
    assert set(first) - set(columns) == {"clinical", "dermoscopic", "notes"}
    pd.testing.assert_frame_equal(first[columns], second[columns], check_dtype=False)
    assert len(first) == CASES - drop
    assert data_fingerprint(first) == data_fingerprint(second)


def test_a_data_set_with_another_card_is_not_taken_for_derm7pt(tmp_path):
    milk = write_milk10k(tmp_path / "milk", 11)
    with pytest.raises(DataError, match="milk has the layout of milk10k: so far only `amfam-tf check` reads"):
        read_cases(milk)
    TinyRelease(CASES).write(tmp_path / "release")
    assert len(read_cases(tmp_path / "release")) == CASES
    card = tmp_path / "release" / cards.FILE
    card.write_text("name: mine\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"{card} is a card: so far only"):
        read_cases(tmp_path / "release")


def test_the_order_of_records_does_not_change_the_fingerprint(stored):
    frame = read_cases(stored[1])
    turned = frame[::-1].reset_index(drop=True)
    assert data_fingerprint(turned) == data_fingerprint(frame)
    pd.testing.assert_frame_equal(in_stored_order(turned).reset_index(drop=True), frame)


def test_the_files_of_a_case_are_the_same_bytes(stored):
    first, second = (read_cases(data).to_dict("records") for data in stored)
    for case in (0, SHARED, CASES - 1):
        assert encoded_pair(first[case]) == encoded_pair(second[case])


def test_records_damaged_after_reading_the_table_are_named(stored, tmp_path):
    copy = tmp_path / "copy"
    write_records(read_cases(stored[0]), copy, shards=1)
    frame = read_cases(copy)
    (shard,) = copy.iterdir()
    shard.write_bytes(shard.read_bytes()[:-200])
    with pytest.raises(DataError, match=f"^damaged records in {shard}: "):
        data_fingerprint(frame)
