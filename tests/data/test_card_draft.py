"""A draft of a card: what each column becomes, what is marked as unsure, and that the draft itself passes the check."""

import re

import pandas as pd
import pytest
from click.testing import CliRunner
from small_pairs import HOSPITAL_HEADER, draw_picture, hospital_rows, write_rows

from amfam_tf.card import cards
from amfam_tf.cli import main as command_line
from amfam_tf.cli.card import card as verb
from amfam_tf.data.card_draft import draft
from amfam_tf.data.check import check_data_set
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.errors import DataError

HEADER = (*HOSPITAL_HEADER[:2], "Klinisch", "Auflicht", *HOSPITAL_HEADER[3:6], "sex", "Biopsie", "free text", "Teil")


def write_export(root, suffix=".csv"):
    """Writes 36 lesions of 18 patients with both pictures; returns the table."""
    rows = []
    for number in range(36):
        pictures = [f"bilder/{number} {view}.PNG" for view in ("u", "d")]
        for name in pictures:
            draw_picture(root / name)
        diagnosis = ["Melanom", "Nävus, blau", "unklar"][number % 3]
        sex, biopsy = ["m", "w", ""][number % 3], ["ja", "nein"][number % 2]
        part = "test" if number < 6 else "Val" if number < 12 else "train"
        known = (f"L{number}", f"P{number // 2}", *pictures, diagnosis, str(number % 2), f"{40 + number},5")
        rows.append((*known, sex, biopsy, f"text {number // 2}", part))
    table = root / f"Export 2026{suffix}"
    if suffix == ".csv":
        write_rows(table, HEADER, rows, delimiter=";", encoding="utf-8-sig")
    else:
        pd.DataFrame(rows, columns=HEADER).to_excel(table, index=False)
    return table


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_each_column_becomes_what_it_is(suffix, tmp_path):
    table = write_export(tmp_path, suffix)
    text = draft(table)
    card = cards.parse(text, "draft")
    assert (card.name, card.cases.id, card.cases.group) == ("export_2026", "lesion", "patient")
    assert (card.pictures.clinical.column, card.pictures.dermoscopic.column) == ("Klinisch", "Auflicht")
    (task,) = card.tasks
    assert (task.name, task.classes) == ("Diagnose", ("Melanom", "Naevus_blau"))
    assert (task.raw_labels, task.missing) == ((("Melanom",), ("Nävus, blau",)), ("unklar",))
    assert card.split.column is not None
    assert (card.split.column.name, card.split.column.validate_) == ("Teil", ("Val",))
    assert set(card.metadata) == {"ulkus", "alter", "sex", "biopsie"}
    assert card.metadata["alter"].range == (40.5, 75.5)
    assert (card.metadata["sex"].values, card.metadata["sex"].missing) == (("m", "w"), ("",))
    assert [name for name, column in card.metadata.items() if not column.input] == ["biopsie"]
    assert 'Columns left out: ["free text"]' in text
    frame, problems = scan_pairs(card, tmp_path)
    assert [str(problem) for problem in problems if problem.severity == "problem"] == []
    assert list(frame["Diagnose"][:3]) == [0, 1, -1]
    assert list(frame["alter"][:2]) == ["40.5", "41.5"]
    assert check_data_set(tmp_path, card=card).ok


def test_doubts_are_marked_and_only_they(tmp_path):
    text = draft(write_export(tmp_path))
    doubtful = [line for line in text.splitlines()[1:] if "unsure" in line]
    assert [re.split(r"[:{]", line.strip("- "))[0].strip() for line in doubtful] == [
        "licence",
        "missing",
        "metadata",
        "biopsie",
    ]
    assert "# 12 cases; unsure: are they unknown, or a class?" in text


def test_without_names_that_tell_the_columns_are_taken_by_their_values(tmp_path):
    header = ("a", "b", "c", "d", "e")
    rows = [(str(7 * number), f"{number}.jpg", f"x/{number}.jpg", "AB"[number % 2], "") for number in range(40)]
    write_rows(tmp_path / "1.csv", header, rows)
    text = draft(tmp_path / "1.csv")
    card = cards.parse(text, "draft")
    assert (card.cases.id, card.cases.group) == ("a", None)
    assert (card.pictures.clinical.column, card.pictures.dermoscopic.column) == ("b", "c")
    assert card.tasks[0].column == "d"
    assert text.count("unsure: the name does not tell the view") == 2
    assert "unsure: the id is the first column whose values are all different" in text
    assert "unsure: the column with most labels" in text
    assert card.split.assign is not None


def test_columns_of_zeros_and_ones_are_one_question(tmp_path):
    rows = [
        (f"case{number}", f"{number}.jpg", f"derm/{number}.jpg", *(float(number % 3 == place) for place in range(3)))
        for number in range(30)
    ]
    write_rows(tmp_path / "t.csv", ("case_id", "macro", "dermoscopy", "MEL", "0", "N V"), rows)
    card = cards.parse(draft(tmp_path / "t.csv"), "draft")
    assert card.tasks[0].one_hot == ("MEL", "0", "N V")
    assert card.tasks[0].classes == ("MEL", "0", "N_V")
    # Two 1 in a row: three questions, not one.
    write_rows(
        tmp_path / "t.csv", ("case_id", "macro", "dermoscopy", "MEL", "x", "NV"), [(*rows[0][:3], 1, 1, 0), *rows[1:]]
    )
    assert cards.parse(draft(tmp_path / "t.csv"), "draft").tasks[0].one_hot == ()


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (("a", "b"), [("1", "x.jpg"), ("1", "y.jpg")], "no column names each row by a value of its own"),
        (("id", "dx"), [("1", "a"), ("2", "b"), ("3", "a"), ("4", "b")], "no column holds names of clinical pictures"),
        (
            ("id", "p", "derm"),
            [("1", "a.jpg", "b.jpg"), ("2", "c.jpg", "d.jpg")],
            "no column holds labels that come again",
        ),
        (("id", "dx"), [], "has no rows"),
    ],
)
def test_what_no_card_can_be_drafted_from_is_said(header, rows, message, tmp_path):
    write_rows(tmp_path / "t.csv", header, rows)
    with pytest.raises(DataError, match=message) as raised:
        draft(tmp_path / "t.csv")
    assert str(raised.value).startswith(f"{tmp_path / 't.csv'}: ")


def test_hospital_rows_of_an_odd_kind_still_give_a_card(tmp_path):
    rows = [(*row[:2], f"{row[0]}.png", f"{row[0]} derm.png", *row[3:]) for row in hospital_rows()]
    write_rows(tmp_path / "t.csv", (*HOSPITAL_HEADER[:3], "dermatoscopy", *HOSPITAL_HEADER[3:]), rows)
    card = cards.parse(draft(tmp_path / "t.csv"), "draft")
    assert card.cases.group == "patient"
    assert set(card.tasks[0].classes) == {"Melanom", "Naevus", "Naevus_2"}


def test_one_case_is_one_case(tmp_path):
    rows = [(f"L{number}", f"{number}.jpg", f"d{number}.jpg", "b" if number else "a") for number in range(9)]
    write_rows(tmp_path / "t.csv", ("lesion", "clinic", "derm", "diagnosis"), rows)
    text = draft(tmp_path / "t.csv")
    assert "labels: [a]}  # 1 case; unsure: few" in text
    assert "labels: [b]}  # 8 cases; unsure: few" in text


def test_the_verb_writes_a_new_file_or_prints(tmp_path, capsys):
    table = write_export(tmp_path)
    out = tmp_path / cards.FILE
    result = CliRunner().invoke(verb, [str(table), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "settle 4 lines marked unsure" in result.output
    assert out.read_text(encoding="utf-8") == draft(table)
    assert command_line.main(["check", str(tmp_path)]) == 0
    assert "36 cases of" in capsys.readouterr().out
    assert command_line.main(["card", str(table), "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert command_line.main(["card", str(table)]) == 0
    assert capsys.readouterr().out == draft(table)


def test_a_workbook_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"no workbook")
    with pytest.raises(DataError, match=r"t\.xlsx: cannot be read as a workbook"):
        draft(path)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"needs openpyxl: pip install 'amfam_tf\[excel\]'"):
        draft(path)
