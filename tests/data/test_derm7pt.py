"""Laws of the reader: what it returns, the traps of Derm7pt, every fault named, the fingerprint."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from releases import META, TABLE_FAULTS, Fault, TinyRelease, broken, missing_expectations, picture_names, set_value

from amfam_tf.data.cases import data_fingerprint
from amfam_tf.data.derm7pt import INDEX_FILES, META_COLUMNS, read_release, scan_data_set
from amfam_tf.errors import DataError
from amfam_tf.tasks import DERM7PT, METADATA, TASKS, seven_point_score, task_names


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set without any fault or trap."""
    return TinyRelease().write(tmp_path / "release")


def test_one_row_per_case_in_the_order_of_meta(root: Path) -> None:
    frame = read_release(root)
    assert list(frame["case_num"]) == list(range(1, 13))
    assert set(frame) == {
        *("case_num", "clinical", "dermoscopic", "split", "seven_point_score", "case_id", "notes", "shared_file"),
        *task_names(),
        *METADATA,
    }
    for modality, place in (("clinical", 0), ("dermoscopic", 1)):
        assert list(frame[modality]) == [
            str((root / "images" / picture_names(row)[place]).resolve()) for row in range(12)
        ]


def test_index_files_name_rows_and_are_not_sorted(root: Path) -> None:
    assert list(read_release(root)["split"]) == ["test"] * 3 + ["validate"] * 3 + ["train"] * 6


def test_labels_are_class_numbers_of_the_table_of_tasks(root: Path) -> None:
    frame, meta = read_release(root), TinyRelease().meta
    for task in TASKS:
        assert pd.api.types.is_integer_dtype(frame[task.name])
        assert [meta[task.column][row] in task.raw_labels[number] for row, number in enumerate(frame[task.name])] == [
            True
        ] * 12
    assert [seven_point_score(labels) for labels in frame.to_dict("records")] == list(frame["seven_point_score"])


def test_metadata_are_strings(root: Path) -> None:
    frame, meta = read_release(root), TinyRelease().meta
    for column in (*METADATA, "case_id", "notes"):
        assert list(frame[column]) == list(meta[column])


def test_the_folder_around_release_v0_will_do(tmp_path: Path) -> None:
    root = TinyRelease().write(tmp_path / "release_v0")
    pd.testing.assert_frame_equal(read_release(tmp_path), read_release(root))


def test_line_ends_and_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    expected = read_release(TinyRelease().write(tmp_path / "first")).drop(columns=["clinical", "dermoscopic"])
    root = TinyRelease(line_end="\r\n").write(tmp_path / "second")
    meta = root / META
    assert b"\r\n" in meta.read_bytes()
    meta.write_bytes(b"\xef\xbb\xbf" + meta.read_bytes())
    pd.testing.assert_frame_equal(read_release(root)[list(expected)], expected)


def test_letters_of_another_encoding_in_a_note_do_not_matter(tmp_path: Path) -> None:
    release = TinyRelease()
    release.meta.loc[3, "notes"] = "?tat"
    root = release.write(tmp_path / "release")
    (root / META).write_bytes((root / META).read_bytes().replace(b"?tat", b"\xe9tat"))
    frame, findings = scan_data_set(root)
    assert frame["notes"][3] == read_release(root)["notes"][3] == "\xe9tat"
    (note,) = findings
    assert str(note).startswith("meta/meta.csv: is not UTF-8 (line 5): read as cp1252")
    assert note.severity == "note"


def test_a_relative_root_gives_absolute_paths(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_release(root)
    monkeypatch.chdir(root.parent)
    pd.testing.assert_frame_equal(read_release(root.name), expected)


@pytest.mark.parametrize("spelling", ["FCl/Fcl004.jpg", "fcl/FCL004.JPG", "FCL/./Fcl004.jpg"])
def test_letter_case_of_a_path_does_not_matter(tmp_path: Path, spelling: str) -> None:
    release = TinyRelease()
    release.meta.loc[4, "clinic"] = spelling
    root = release.write(tmp_path / "release")
    assert read_release(root)["clinical"][4] == str((root / "images/FCL/Fcl004.jpg").resolve())


def test_a_match_in_letter_case_is_not_ambiguous(tmp_path: Path) -> None:
    fault = TABLE_FAULTS["ambiguous path"]
    root = broken(tmp_path, [Fault(set_value(11, "clinic", picture_names(11)[0]), (), fault.damage)])
    assert read_release(root)["clinical"][11] == str((root / "images" / picture_names(11)[0]).resolve())


def test_links_that_stay_in_the_images_are_followed(root: Path, tmp_path: Path) -> None:
    picture = root / "images" / picture_names(3)[0]
    target = picture.rename(picture.with_name("moved.jpg"))
    picture.symlink_to(target)
    (root / "images").rename(tmp_path / "another disk")
    target = tmp_path / "another disk" / target.relative_to(root / "images")
    (root / "images").symlink_to(tmp_path / "another disk")
    picture.unlink()
    picture.symlink_to(target)
    assert read_release(root)["clinical"][3] == str(target.resolve())


def test_shared_files_are_kept_and_can_be_dropped(tmp_path: Path) -> None:
    release = TinyRelease()
    release.meta.loc[5, "clinic"] = release.meta.loc[5, "derm"]
    root = release.write(tmp_path / "release")
    frame = read_release(root)
    assert list(frame["case_num"][frame["shared_file"]]) == [6]
    fewer = read_release(root, drop_shared_files=True)
    assert list(fewer["case_num"]) == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert list(fewer.index) == list(range(11))


@pytest.mark.parametrize("name", TABLE_FAULTS)
def test_each_fault_is_found_and_nothing_else(tmp_path: Path, name: str) -> None:
    fault = TABLE_FAULTS[name]
    root = broken(tmp_path, [fault])
    _, problems = scan_data_set(root)
    assert missing_expectations(problems, [fault]) == []
    assert len(problems) == len(fault.expected), problems
    with pytest.raises(DataError) as caught:
        read_release(root)
    message = str(caught.value)
    file, row, _, words = fault.expected[0]
    assert f"{file} row {row}: " in message
    assert all(word in message for word in words)
    assert "\n" not in message


def test_all_faults_at_once_are_all_found(tmp_path: Path) -> None:
    root = broken(tmp_path, TABLE_FAULTS.values())
    _, problems = scan_data_set(root)
    assert missing_expectations(problems, TABLE_FAULTS.values()) == []
    assert len(problems) == sum(len(fault.expected) for fault in TABLE_FAULTS.values())
    with pytest.raises(DataError, match=rf"{len(problems)} problems in total; `amfam-tf check {root}` lists all"):
        read_release(root)


def test_every_row_that_no_index_file_names_is_listed(tmp_path: Path) -> None:
    release = TinyRelease()
    release.indexes["train"] = ["6", "8", "10"]
    _, problems = scan_data_set(release.write(tmp_path / "release"))
    assert [(problem.file, problem.row, problem.kind) for problem in problems] == [
        (META, row, "incomplete_index") for row in (7, 9, 11)
    ]


@pytest.mark.parametrize("column", META_COLUMNS)
def test_a_missing_column_is_named_once(root: Path, column: str) -> None:
    table = pd.read_csv(root / META, dtype=str, keep_default_na=False)
    table.drop(columns=column).to_csv(root / META, index=False)
    _, problems = scan_data_set(root)
    assert [(problem.file, problem.row, problem.kind) for problem in problems] == [(META, None, "missing_column")]
    assert f"no column {column!r}" in problems[0].message


@pytest.mark.parametrize("file", [META, *INDEX_FILES.values(), "images"])
def test_a_missing_file_is_named_once(root: Path, file: str) -> None:
    path = root / file
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(
        DataError, match=rf"{file}: no such f.*a data set is a folder that holds .* \(1 problem in total"
    ):
        read_release(root)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ("", "unreadable_table", "cannot be read as CSV"),
        ("indexes\n", "no_rows", "no rows"),
        ("rows\n0\n", "missing_column", "no column 'indexes'; the file has: 'rows'"),
        ("indexes\n0,1\n1,2\n", "unreadable_table", "more fields"),
        ("indexes\n0\n1,2,3\n", "unreadable_table", "line 3"),
    ],
)
def test_an_unusable_table_is_named_once(root: Path, content: str, kind: str, words: str) -> None:
    file = INDEX_FILES["test"]
    (root / file).write_text(content)
    _, problems = scan_data_set(root)
    assert [(problem.file, problem.row, problem.kind) for problem in problems] == [(file, None, kind)]
    assert words in problems[0].message
    assert "\n" not in problems[0].message


def test_the_fingerprint_does_not_depend_on_the_place(root: Path, tmp_path: Path) -> None:
    fingerprint = data_fingerprint(read_release(root), card=DERM7PT)
    assert len(bytes.fromhex(fingerprint)) == 32
    moved = tmp_path / "deep" / "elsewhere"
    shutil.copytree(root, moved)
    assert data_fingerprint(read_release(moved), card=DERM7PT) == fingerprint


def test_the_fingerprint_does_not_depend_on_the_order_of_rows(root: Path) -> None:
    frame = read_release(root)
    assert data_fingerprint(frame[::-1], card=DERM7PT) == data_fingerprint(frame, card=DERM7PT)


def test_one_changed_byte_of_a_picture_changes_the_fingerprint(root: Path) -> None:
    frame = read_release(root)
    before = data_fingerprint(frame, card=DERM7PT)
    for path in (frame["clinical"][7], frame["dermoscopic"][2]):
        content = bytearray(Path(path).read_bytes())
        content[-3] ^= 1
        Path(path).write_bytes(content)
        after = data_fingerprint(frame, card=DERM7PT)
        assert after != before
        before = after


@pytest.mark.parametrize("column", ["split", "case_num", *task_names()])
def test_one_changed_label_changes_the_fingerprint(root: Path, column: str) -> None:
    frame = read_release(root)
    changed = frame.copy()
    changed.loc[11, column] = "test" if column == "split" else frame[column][11] + 1
    assert data_fingerprint(changed, card=DERM7PT) != data_fingerprint(frame, card=DERM7PT)


def test_swapped_pictures_change_the_fingerprint(root: Path) -> None:
    frame = read_release(root)
    swapped = frame.rename(columns={"clinical": "dermoscopic", "dermoscopic": "clinical"})
    assert data_fingerprint(swapped, card=DERM7PT) != data_fingerprint(frame, card=DERM7PT)


def test_a_picture_that_is_gone_is_an_error_that_names_it(root: Path) -> None:
    frame = read_release(root)
    Path(frame["clinical"][0]).unlink()
    with pytest.raises(DataError, match=r"Nel000\.jpg: cannot be read"):
        data_fingerprint(frame, card=DERM7PT)
