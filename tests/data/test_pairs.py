"""Data sets of pairs by their cards: what every layout gives, and each fault with file, row and value."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from small_pairs import (
    COMPLETE_HOSPITAL,
    HOSPITAL,
    HOSPITAL_HEADER,
    draw_picture,
    hospital_rows,
    milk10k_class,
    write_hospital,
    write_milk10k,
    write_rows,
)

from amfam_tf.card import cards
from amfam_tf.cli.check import check
from amfam_tf.data import pair_labels, pair_splits
from amfam_tf.data.check import check_data_set
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.pairs import scan_pairs


def scanned(root: Path, card: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """Returns the cases and the problems as text."""
    found = cards.find(root)[0] if card is None else cards.parse(card, "card")
    frame, problems = scan_pairs(found, root)
    return frame, [str(problem) for problem in problems if problem.severity == "problem"]


def test_derm7pt_by_its_card_is_what_its_own_reader_gives(drawn):
    frame, problems = scanned(drawn)
    expected = read_release(drawn)
    assert problems == []
    columns = [name for name in expected if name not in ("case_id", "notes")]
    pd.testing.assert_frame_equal(frame[columns], expected[columns], check_dtype=False)
    assert len(columns) == 19


def test_a_hospitals_export(tmp_path):
    frame, problems = scanned(write_hospital(tmp_path / "data"))
    assert problems == []
    assert list(frame["case_num"]) == list(range(1, 13))
    assert list(frame["case_id"][:2]) == ["L0", "L1"]
    assert list(frame["DX"]) == [0, 1, 1, -1] * 3
    assert list(frame["ULC"][:6]) == [1, 1, 0, 0, 1, 1]
    # Melanoma 2, an ulcer 1; no label of the diagnosis, no score.
    assert list(frame["risk"][:5]) == [3, 1, 0, -1, 3]
    assert list(frame["age"][:2]) == ["40.5", "41.5"]
    assert list(frame["sex"][:2]) == ["female", "male"]
    assert [len(paths) for paths in frame["dermoscopic_all"]] == [3] + [1] * 11
    assert Path(frame["dermoscopic"][0]).name == "derm0.png"
    assert list(frame["clinical"][:2]) == [str(tmp_path / "data/pictures/uebersicht_0.png"), ""]
    assert frame.groupby("group")["split"].nunique().max() == 1
    assert frame.groupby("group")["fold"].nunique().max() == 1
    assert Counter(frame["split"]) == {"train": 8, "validate": 2, "test": 2}


def test_milk10k_in_its_layout(tmp_path):
    root = write_milk10k(tmp_path / "milk")
    frame, problems = scanned(root)
    assert problems == []
    assert list(frame["DIAG"]) == [milk10k_class(number) for number in range(24)]
    assert list(frame["case_id"][:2]) == ["IL_0000000", "IL_0000001"]
    # The smaller id is the dermoscopic one in even lesions, the clinical one in odd ones.
    assert [Path(path).stem for path in frame["clinical"][:2]] == ["ISIC_0000001", "ISIC_0000002"]
    assert [Path(path).stem for path in frame["dermoscopic"][:2]] == ["ISIC_0000000", "ISIC_0000003"]
    assert list(frame["skin_tone_class"][:4]) == ["3", "0", "0", "3"]
    assert list(frame["site"][2:5]) == ["hand", "", "hand"]
    assert list(frame["age_approx"][3:6]) == ["45", "", "45"]
    assert set(frame["fold"]) == set(range(5))


def change(number: int, column: int, value: str) -> list[tuple]:
    """Returns the hospital's rows with one field changed."""
    rows = hospital_rows()
    rows[number] = (*rows[number][:column], value, *rows[number][column + 1 :])
    return rows


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (change(2, 0, "L0"), "hospital.csv row 2: column 'lesion': value 'L0' is that of row 0 already"),
        (change(2, 3, "Warze"), "hospital.csv row 2: column 'Diagnose': value 'Warze' is in no class of task DX"),
        (change(2, 4, ""), "hospital.csv row 2: column 'Ulkus': no label, and the card does not say that one may be"),
        (change(2, 5, "120"), "hospital.csv row 2: column 'Alter': value '120' is none of: 0 to 110"),
        (change(2, 5, "alt"), "hospital.csv row 2: column 'Alter': value 'alt' is none of: 0 to 110"),
        (change(2, 6, "x"), "hospital.csv row 2: column 'Geschlecht': value 'x' is none of: w, m"),
    ],
)
def test_a_field_that_cannot_be_is_named(rows, expected, tmp_path):
    _, problems = scanned(write_hospital(tmp_path / "data", rows))
    assert any(problem.startswith(expected) for problem in problems), problems


def test_pictures_that_the_card_refuses_are_named(tmp_path):
    root = write_hospital(tmp_path / "data")
    assert scanned(root, COMPLETE_HOSPITAL)[1] == [
        "hospital.csv row 1: no clinical picture, and the card does not say that it may be missing",
        "hospital.csv row 0: 3 dermoscopic pictures, and the card does not say that there may be several",
    ]
    (root / "pictures" / "uebersicht_4.png").unlink()
    assert scanned(root)[1] == ["hospital.csv row 4: picture 'uebersicht_4.png' names no file in pictures/"]


def test_a_column_and_a_file_that_are_not_there_are_named(tmp_path):
    root = write_hospital(tmp_path / "data")
    _, problems = scanned(root, HOSPITAL.replace("column: Ulkus", "column: Ulcus"))
    assert problems[0].startswith("hospital.csv: no column 'Ulcus', which the card names; it has: 'lesion', 'patient'")
    _, problems = scanned(root, HOSPITAL.replace("table: hospital.csv", "table: none.csv"))
    assert problems[0] == "none.csv: no such file; the card names it"


def test_faults_of_a_table_of_pictures_are_named(tmp_path):
    root = write_milk10k(tmp_path / "milk", 12)
    table = root / "MILK10k_Training_Metadata.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].replace("dermoscopic", "microscopic")
    lines[3] = lines[3].replace(",hand,", ",foot,")
    lines.append(lines[2].replace("IL_0000000", "IL_9999999"))
    table.write_text("\n".join(lines))
    truth = root / "MILK10k_Training_GroundTruth.csv"
    rows = truth.read_text().splitlines()
    rows[3] = rows[3].replace("1.0", "0.0")
    truth.write_text("\n".join(rows))
    frame, problems = scan_pairs(cards.packaged("milk10k"), root)
    found = [str(problem) for problem in problems]
    name = "MILK10k_Training_Metadata.csv"
    truths = "MILK10k_Training_GroundTruth.csv"
    views = "clinical: close-up, dermoscopic"
    assert f"{name} row 0: column 'image_type': value 'microscopic' is none of: {views}" in found
    assert f"{truths} row 0: no dermoscopic picture, and the card does not say that it may be missing" in found
    assert f"{name} row 3: column 'site': value 'hand', and 'foot' with another picture of 'IL_0000001'" in found
    assert f"{name} row 24: lesion_id 'IL_9999999' is no case of {truths}: the picture is left out" in found
    assert f"{truths} row 2: the columns of task DIAG need one 1 and else 0; there is 1 for none" in found
    assert f"{truths}: task DIAG: no case has class BEN_OTH" in found
    assert len(frame) == 12


def test_tables_are_joined_by_an_id(tmp_path):
    root = write_hospital(tmp_path / "data")
    draw_picture(root / "pictures" / "uebersicht_1.png")
    rows = hospital_rows()
    write_rows(root / "hospital.csv", HOSPITAL_HEADER[:3], [row[:3] for row in rows])
    write_rows(root / "truth.csv", ("lesion", *HOSPITAL_HEADER[3:]), [(row[0], *row[3:]) for row in rows])
    card = HOSPITAL.replace("group: patient}", "group: patient, join: [{table: truth.csv, on: lesion}]}")
    frame, problems = scanned(root, card)
    assert problems == []
    assert list(frame["DX"]) == [0, 1, 1, -1] * 3
    fewer = [(row[0], row[3], *row[5:]) for row in rows[1:]]
    write_rows(root / "truth.csv", ("lesion", "Diagnose", "Alter", "Geschlecht"), fewer)
    _, problems = scanned(root, card)
    assert "hospital.csv row 0: column 'lesion': value 'L0' is in no row of truth.csv" in problems
    assert "hospital.csv: no column 'Ulkus', which the card names, in it and the tables joined with it" in problems


def test_splits_by_a_column_must_not_part_a_group(tmp_path):
    rows = [(*row, ["Train", "Val", "Test"][number % 3]) for number, row in enumerate(hospital_rows())]
    root = write_hospital(tmp_path / "data")
    draw_picture(root / "pictures" / "uebersicht_1.png")
    write_rows(root / "hospital.csv", (*HOSPITAL_HEADER, "part"), rows)
    rule = "split: {column: {name: part, train: [Train], validate: [Val], test: [Test]}}"
    card = HOSPITAL.replace(HOSPITAL[HOSPITAL.index("split:") : HOSPITAL.index("tasks:")], rule + "\n")
    frame, problems = scanned(root, card)
    assert list(frame["split"][:3]) == ["train", "validate", "test"]
    assert problems[0] == "hospital.csv row 1: patient 'P0' is in train (row 0), validate (row 1)"
    assert len(problems) == 6
    _, problems = scanned(root, card.replace("test: [Test]", "test: [test]"))
    assert "hospital.csv row 2: column 'part': value 'Test' is none of: Train, test, Val" in problems


def test_dealing_keeps_groups_and_shares_whatever_the_order_of_the_rows():
    groups = [f"g{number // 3}" for number in range(300)]
    labels = [0 if number // 3 % 10 else 1 for number in range(300)]
    shares = {"train": 0.7, "validate": 0.15, "test": 0.15}
    found = pair_splits.dealt(shares, 0, groups, labels)
    assert Counter(found) == {"train": 210, "validate": 45, "test": 45}
    rare = Counter(part for part, label in zip(found, labels, strict=True) if label == 1)
    assert rare == {"train": 21, "validate": pytest.approx(4.5, abs=1.5), "test": pytest.approx(4.5, abs=1.5)}
    by_group = dict(zip(groups, found, strict=True))
    assert all(by_group[group] == part for group, part in zip(groups, found, strict=True))
    back = pair_splits.dealt(shares, 0, groups[::-1], labels[::-1])
    assert back[::-1] == found
    assert pair_splits.dealt(shares, 1, groups, labels) != found


def test_nine_cases_of_a_class_are_in_every_split_and_fold():
    labels = [1] * 9 + [0] * 500
    groups = [str(number) for number in range(509)]
    found = pair_splits.dealt({"train": 0.7, "validate": 0.15, "test": 0.15}, 0, groups, labels)
    counts = Counter(found[:9])
    assert min(counts.values()) >= 1
    assert counts["train"] >= 5
    assert set(pair_splits.folds(5, 0, groups, labels)[:9]) == set(range(5))


def test_check_counts_the_classes_of_the_card(tmp_path):
    root = write_milk10k(tmp_path / "milk")
    result = CliRunner().invoke(check, [str(root)])
    assert result.exit_code == 0, result.output
    assert "24 cases of" in result.output
    rows = [line.replace("│", " ").split() for line in result.output.splitlines() if "DIAG" in line]
    assert len(rows) == 11
    (nevus,) = (row for row in rows if "NV," in row)
    assert sum(map(int, nevus[-4:-1])) == int(nevus[-1]) == 1
    report = check_data_set(root, card=cards.packaged("milk10k"))
    assert dict(zip(report.counts["class"], report.counts["total"], strict=True))["BCC"] == 3
    assert report.sizes == {"70 x 66": 48}


def test_check_lists_each_fault_of_a_card_and_of_all_pictures(tmp_path):
    root = write_hospital(tmp_path / "data")
    third = root / "pictures" / "L0" / "derm2.png"
    third.write_bytes(third.read_bytes()[:100])
    result = CliRunner().invoke(check, [str(root)])
    assert result.exit_code == 1
    assert "pictures/L0/derm2.png row 0:" in result.output
    card = tmp_path / "card.yaml"
    card.write_text(HOSPITAL.replace("train: 0.6", "train: 0.7").replace("suggests: melanoma", "suggests: scc"))
    result = CliRunner().invoke(check, [str(root), "--card", str(card)])
    assert result.exit_code == 1
    told = f"{result.stderr}{result.exception}"
    assert "the shares must add up to 1" in told
    assert "scores.risk.suggests" in told


@pytest.mark.parametrize("lesion", ["..", "../secret", "/etc", "a/../../secret"])
def test_no_id_leads_out_of_the_folder(lesion, tmp_path):
    root = write_hospital(tmp_path / "data")
    draw_picture(tmp_path / "data" / "secret" / "derm0.png")
    draw_picture(tmp_path / "data" / "derm0.png")
    write_rows(root / "hospital.csv", HOSPITAL_HEADER, change(3, 0, lesion))
    frame, problems = scanned(root)
    assert frame["dermoscopic"][3] == ""
    assert f"hospital.csv row 3: picture '{lesion}/derm*.png' leaves the folder pictures/" in problems


def test_a_link_out_of_the_folder_is_refused_though_a_wildcard_finds_it(tmp_path):
    root = write_hospital(tmp_path / "data")
    draw_picture(tmp_path / "elsewhere.png")
    (root / "pictures" / "L0" / "derm9.png").symlink_to(tmp_path / "elsewhere.png")
    _, problems = scanned(root)
    assert len(problems) == 1
    assert "row 0: picture 'L0/derm*.png' leaves the folder pictures/ by a symbolic link to" in problems[0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("1", 1.0), (" 2,5 ", 2.5), ("-0.5", -0.5), (".5", 0.5), ("3.", 3.0), ("1,5E-05", 1.5e-5)]
    + [(raw, None) for raw in ("", "inf", "nan", "1_0", "1e999", "1,000.5", "0x1", "\u0661", "1 2", "9" * 50)],
)
def test_a_number_is_decimal_digits(raw, expected):
    found = pair_labels.number(raw)
    assert found == expected if expected is not None else found != found


def test_a_wildcard_in_an_id_stands_for_itself(tmp_path):
    rows = change(3, 0, "L[1]*")
    root = write_hospital(tmp_path / "data", rows)
    draw_picture(root / "pictures" / "L1x" / "derm0.png")
    frame, problems = scanned(root)
    assert problems == []
    assert [Path(path).parent.name for path in frame["dermoscopic_all"][3]] == ["L[1]*"]
