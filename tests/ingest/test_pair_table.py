"""A CSV of pairs: each fault of a row has a name and a reason, and faults of the whole table stop it."""

import pytest
from releases import TinyRelease

from amfam_tf.errors import DataError
from amfam_tf.ingest.source import read_source
from amfam_tf.tasks import METADATA, TASKS

PATHS = {"clinical": "a/1.jpg", "dermoscopic": "gs://bucket/2.jpg"}
COLUMNS = ("case_num", *PATHS, "split", *(task.column for task in TASKS), *METADATA)


@pytest.fixture
def rows():
    meta = TinyRelease(3).meta.to_dict("records")
    return [{**raw, **PATHS, "split": "train"} for raw in meta]


def write(path, rows, columns=COLUMNS):
    lines = [",".join(columns), *(",".join(row[column] for column in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return str(path)


def test_paths_start_from_the_tables_folder_unless_they_are_whole(rows, tmp_path):
    source = read_source(write(tmp_path / "pairs.csv", rows))
    assert [case["row"] for case in source.cases] == [0, 1, 2]
    assert {case["clinical"] for case in source.cases} == {str(tmp_path / "a/1.jpg")}
    assert {case["dermoscopic"] for case in source.cases} == {"gs://bucket/2.jpg"}
    rows[0]["clinical"] = "/elsewhere/3.jpg"
    moved = read_source(write(tmp_path / "pairs.csv", rows), images="gs://other/pictures")
    assert [case["clinical"] for case in moved.cases] == ["/elsewhere/3.jpg", *["gs://other/pictures/a/1.jpg"] * 2]


@pytest.mark.parametrize(
    ("column", "value", "kind", "reason"),
    [
        ("case_num", "x1", "not_an_integer", "column 'case_num': value 'x1' is not a whole number"),
        ("case_num", "1", "duplicate_case", "column 'case_num': value 1 is that of row 0 already"),
        ("clinical", "", "missing_path", "column 'clinical' is empty"),
        ("split", "valid", "unknown_split", "column 'split': value 'valid' is none of: train, validate, test"),
        ("split", "", "unknown_split", "column 'split': value '' is none of: train, validate, test"),
        ("streaks", "", "missing_label", "no label in streaks: a record needs all 8"),
        ("streaks", "iregular", "unknown_label", "column 'streaks': value 'iregular' is in no class of task STR"),
        ("sex", "other", "unknown_metadata", "column 'sex': value 'other' is none of: female, male"),
    ],
)
def test_a_bad_row_is_left_out_with_its_reason(rows, tmp_path, column, value, kind, reason):
    rows[1][column] = value
    source = read_source(write(tmp_path / "pairs.csv", rows))
    assert [case["row"] for case in source.cases] == [0, 2]
    (letter,) = source.dead
    assert (letter.row, letter.kind, letter.reason) == (1, kind, reason)
    assert letter.case_num == (None if value == "x1" else 1 if value == "1" else 2)
    assert source.total == 3


def test_all_missing_labels_of_a_row_are_named(rows, tmp_path):
    rows[0] |= {"streaks": "", "diagnosis": ""}
    (letter,) = read_source(write(tmp_path / "pairs.csv", rows)).dead
    assert letter.reason == "no label in diagnosis, streaks: a record needs all 8"


def test_metadata_may_be_empty_or_absent_and_other_columns_are_told(rows, tmp_path):
    rows[0]["sex"] = ""
    columns = [column for column in COLUMNS if column != "elevation"]
    source = read_source(write(tmp_path / "pairs.csv", rows, [*columns, "notes"]))
    assert [case["elevation"] for case in source.cases] == ["", "", ""]
    assert source.cases[0]["sex"] == ""
    assert [str(note) for note in source.notes] == ["unused_column: not used: 'notes'"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as CSV"),
        ("case_num\n", "no column 'clinical'; a CSV of pairs needs case_num, clinical, "),
        (",".join(COLUMNS) + "\n", "has no rows"),
        (",".join(COLUMNS) + "\n" + ",".join("1" * (len(COLUMNS) + 1)) + "\n", "more fields than the header"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_in_one_line(tmp_path, text, message):
    path = tmp_path / "pairs.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_source(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
