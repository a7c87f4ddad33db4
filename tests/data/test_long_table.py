"""One table with a row for each picture: cases are what its rows agree on, and a fault is named by its own row."""

from collections import Counter
from pathlib import Path

import pytest
from small_pairs import draw_picture, write_rows

from amfam_tf.batch_predict.source import open_source
from amfam_tf.card import cards
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.synthetic import write_milk10k
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.ingest.pair_source import read_pairs

CARD = """
name: photos
cases: {table: photos.csv, id: lesion, group: patient}
pictures:
  table: photos.csv
  folder: pictures
  column: file
  kind: view
  clinical: {values: [near, far], several: allowed}
  dermoscopic: {values: [dscope]}
split: {column: {name: part, train: [a], validate: [b], test: [c]}}
tasks: [{name: DX, column: finding, classes: [{name: MEL}, {name: NEV}], missing: ["?"]}]
metadata: {age: {range: [0, 110], missing: [""]}}
"""
HEADER = ("lesion", "patient", "view", "file", "part", "finding", "age")


def table():
    """Returns the rows of six lesions with three pictures each; a label and an age stand with one picture only."""
    rows = []
    for number in range(6):
        for view in ("dscope", "near", "far"):
            label, age = ["MEL", "NEV", "?"][number % 3], str(40 + number)
            if view != "dscope":
                label, age = ("" if number == 0 else label), ("" if number == 1 else age)
            rows.append([f"L{number}", f"P{number}", view, f"{number}_{view}.png", "abc"[number % 3], label, age])
    return rows


@pytest.fixture
def written(tmp_path):
    """Writes rows and their pictures, and returns the cases and the problems as text."""

    def write(rows, card=CARD):
        write_rows(tmp_path / "photos.csv", HEADER, rows)
        for row in table():
            draw_picture(tmp_path / "pictures" / row[3])
        frame, problems = scan_pairs(cards.parse(card, "card"), tmp_path)
        return frame, [str(one) for one in problems]

    return write


def test_a_case_is_what_has_one_id(written):
    frame, problems = written(table())
    assert problems == []
    assert list(frame["case_id"]) == [f"L{number}" for number in range(6)]
    assert list(frame["DX"]) == [0, 1, -1] * 2
    assert list(frame["age"]) == ["40", "41", "42", "43", "44", "45"]
    assert list(frame["group"]) == [f"P{number}" for number in range(6)]
    assert list(frame["split"]) == ["train", "validate", "test"] * 2
    assert [Path(path).name for path in frame["clinical_all"][1]] == ["1_near.png", "1_far.png"]
    assert [Path(path).name for path in frame["dermoscopic"][:2]] == ["0_dscope.png", "1_dscope.png"]


def changed(row, column, value):
    rows = table()
    rows[row][HEADER.index(column)] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (changed(4, "finding", "MEL"), "row 4: column 'finding': value 'MEL', and 'NEV' with another picture of 'L1'"),
        (changed(5, "patient", "P9"), "row 5: column 'patient': value 'P9', and 'P1' with another picture of 'L1'"),
        (changed(10, "age", "7"), "row 10: column 'age': value '7', and '43' with another picture of 'L3'"),
        (changed(7, "lesion", ""), "row 7: column 'lesion' is empty"),
        (changed(8, "view", "scan"), "row 8: column 'view': value 'scan' is none of: near, far, dscope"),
        (changed(14, "file", "x.png"), "row 14: picture 'x.png' names no file"),
        # What is wrong with a case is named by its first row: that of L4 is 12.
        ([row for n, row in enumerate(table()) if n != 12], "row 12: no dermoscopic picture, and the card does not"),
        ([[*row[:5], "Mole", *row[6:]] if row[0] == "L4" else row for row in table()], "row 12: column 'finding'"),
        ([[*row[:6], "200"] if row[0] == "L4" else row for row in table()], "row 12: column 'age': value '200' is"),
        (
            [[row[0], "P0" if row[0] in ("L0", "L4") else row[1], *row[2:]] for row in table()],
            "row 12: patient 'P0' is in train (row 0), validate (row 12)",
        ),
        ([[*row[:4], "d" if row[0] == "L4" else row[4], *row[5:]] for row in table()], "row 12: column 'part': value"),
        ([], "has no rows"),
    ],
)
def test_each_fault_is_named_by_its_row(rows, expected, written):
    _, problems = written(rows)
    assert len(problems) == 1, problems
    assert problems[0].startswith("photos.csv") and expected in problems[0]


def test_a_column_that_is_missing_is_told_once(tmp_path):
    write_rows(tmp_path / "photos.csv", HEADER[:6], [row[:6] for row in table()])
    for row in table():
        draw_picture(tmp_path / "pictures" / row[3])
    frame, problems = scan_pairs(cards.parse(CARD, "card"), tmp_path)
    assert [one.kind for one in problems] == ["missing_column"]
    assert "no column 'age'" in str(problems[0]) and list(frame["age"]) == [""] * 6


def test_files_of_row_numbers_do_not_go_with_it():
    rule = CARD[CARD.index("split:") : CARD.index("tasks:")]
    files = "split: {index_files: {train: a.csv, validate: b.csv, test: c.csv}}\n"
    with pytest.raises(ConfigError, match="split.index_files: counts rows of cases, and the table has a row for each"):
        cards.parse(CARD.replace(rule, files), "card")


def test_ingest_and_batches_do_not_take_its_rows_for_cases(written, tmp_path):
    card = cards.parse(CARD, "card")
    written(table())
    assert [case["DX"] for case in read_pairs("photos", card, tmp_path).cases] == [0, 1, -1] * 2
    written(changed(14, "file", "x.png"))
    with pytest.raises(DataError, match=r"photos: photos.csv row 14: picture 'x.png' names no file"):
        read_pairs("photos", card, tmp_path)
    written(changed(15, "file", "x.png"))
    (tmp_path / cards.FILE).write_text(CARD, encoding="utf-8")
    rows = list(open_source(str(tmp_path)).rows())
    assert [row.error for row in rows] == [None] * 5 + ["case L5 has no dermoscopic picture"]


def test_the_archives_metadata_of_milk10k_are_such_a_table(tmp_path):
    write_milk10k(tmp_path / "milk", 40, size=(64, 64), workers=1, layout="milk10k-archive")
    card = cards.parse(
        """
        name: milk-kinds
        cases: {table: metadata.csv, id: lesion_id}
        pictures:
          table: metadata.csv
          folder: images
          path: "{isic_id}.jpg"
          kind: image_type
          clinical: {values: ["clinical: close-up"]}
          dermoscopic: {values: [dermoscopic]}
        split: {assign: {stratify: KIND}}
        tasks: [{name: KIND, column: diagnosis_1, classes: [{name: Benign}, {name: Indeterminate}, {name: Malignant}]}]
        metadata: {age_approx: {range: [0, 85], missing: [""]}, sex: {values: [female, male]}}
        """,
        "card",
    )
    frame, problems = scan_pairs(card, tmp_path / "milk")
    truth, _ = scan_pairs(cards.packaged("milk10k_archive"), tmp_path / "milk")
    assert problems == []
    malignant = Counter(truth["DIAG"].isin([1, 6, 7, 9]))
    assert (frame["KIND"] == 2).sum() == malignant[True]
    assert (frame["KIND"] == 1).sum() == (truth["DIAG"] == 0).sum()
    pairs = [frame.set_index("case_id")[view] for view in ("clinical", "dermoscopic")]
    for view, found in zip(("clinical", "dermoscopic"), pairs, strict=True):
        assert found.to_dict() == truth.set_index("case_id")[view].to_dict()
