"""Pairs that are drawn for a card: whatever way it says things, they are read back by it, and labels can be seen."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from small_pairs import HOSPITAL

from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.cli.synth import SHARE, synth
from amfam_tf.data.check import check_data_set
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.synthetic import Gaps, write_card_set
from amfam_tf.data.synthetic.card_cases import draw_cases
from amfam_tf.data.synthetic.marks import Mark, draw_marks, marks
from amfam_tf.errors import ConfigError, UserError

SIZE = (64, 64)
NAMES = ("BCC", "MEL", "NEV", "SK", "DF", "VASC", "AK", "SCC", "LEN", "INF", "OTH")
ELEVEN_CLASSES = f"classes: [{', '.join(f'{{name: {name}}}' for name in NAMES)}]"
ELEVEN = f"""
name: eleven
cases: {{table: cases.csv, id: lesion}}
pictures:
  clinical: {{path: "{{lesion}}/overview.png"}}
  dermoscopic: {{path: "{{lesion}}/derm.bmp"}}
split: {{assign: {{train: 0.6, validate: 0.2, test: 0.2, stratify: DX}}}}
tasks: [{{name: DX, column: diagnosis, {ELEVEN_CLASSES}}}]
headline: tasks.DX.balanced_accuracy
"""
WARD = """
name: ward
cases: {table: tables/ward.csv, id: number, group: patient}
pictures:
  folder: photos
  clinical: {column: overview, missing: allowed}
  dermoscopic: {path: "{patient}/{number}/*/derm*", several: allowed}
split: {column: {name: part, train: [A, B], validate: [C], test: [D]}}
tasks:
  - {name: DX, column: finding, classes: [{name: MEL, labels: [melanoma, "melanoma, in situ"]}, {name: NEV}],
     missing: [unclear, ""]}
  - {name: SIDE, column: side, classes: [{name: left}, {name: right}, {name: middle}]}
  - {name: ULC, column: ulcer, classes: [{name: absent, labels: ["0"]}, {name: present, labels: ["1"]}]}
targets: {melanoma: {task: DX, classes: [MEL]}}
scores: {risk: {points: {DX: {MEL: 2}, ULC: {present: 1}}, thresholds: {high: 2}, suggests: melanoma, column: points}}
metadata:
  age: {range: [0, 110], missing: [""]}
  thickness: {range: [0.5, 4], column: mm}
  sex: {values: {female: [w, f], male: [m]}, follows_from: DX}
"""
LONG = """
name: long
cases: {table: truth.csv, id: lesion}
pictures:
  table: photos.csv
  folder: photos
  path: "{site}/{lesion}/{file}.jpg"
  kind: view
  clinical: {values: [far, near], missing: allowed, several: allowed}
  dermoscopic: {values: [dermoscopic], missing: allowed, several: allowed}
split: {assign: {}}
tasks: [{name: DX, one_hot: [A, B, C], missing: ["", "?"]}]
metadata:
  site: {values: [arm, leg], missing: [""]}
  age: {range: [0, 90], missing: [""]}
"""
SINGLE = LONG.replace("name: long", "name: single").replace(
    "{table: truth.csv, id: lesion}", "{table: photos.csv, id: lesion, group: patient}"
)
JOINED = """
name: joined
cases:
  table: lesions.csv
  id: lesion
  group: patient
  join:
    - {table: names.csv, on: diagnosis}
    - {table: truth.csv, on: lesion}
    - {table: patients.csv, on: patient}
    - {table: visits.csv, on: visit}
pictures:
  clinical: {column: overview}
  dermoscopic: {column: derm}
split: {index_files: {train: splits/train.csv, validate: splits/validate.csv, test: splits/test.csv}}
tasks:
  - {name: DX, column: diagnosis, classes: [{name: MEL}, {name: NEV}]}
  - {name: KIND, one_hot: [early, late]}
metadata: {age: {range: [0, 110]}, sex: {values: [female, male]}}
"""
SHARED = """
name: shared
cases: {table: cases.xlsx, id: photo, group: patient}
pictures:
  clinical: {path: "{diagnosis}/{patient}.jpg"}
  dermoscopic: {column: photo}
split: {assign: {}}
tasks:
  - {name: DX, column: diagnosis, classes: [{name: MEL, labels: [thin, thick]}, {name: NEV, labels: [nevus]}],
     missing: ["", scar]}
  - {name: DEPTH, column: diagnosis, classes: [{name: thin}, {name: thick}], missing: [nevus, scar]}
metadata: {text: {column: diagnosis, values: [thin, thick, nevus, scar], input: false}}
"""
DERM = """
name: dermatoscope
cases: {table: meta.csv, id: case.id}
pictures: {clinical: {path: "{case.id}_c.jpg"}, dermoscopic: {path: "{case.id}_d.jpg"}}
split: {assign: {}}
tasks:
  - name: DIAG
    column: diagnosis
    classes: [{name: NEV, labels: [Naevus]}, {name: MEL, labels: [Melanom]}]
    missing: [unklar]
  - {name: SEX, column: sex, classes: [{name: f}, {name: m}]}
"""
ALL = {"eleven": ELEVEN, "ward": WARD, "long": LONG, "single": SINGLE, "joined": JOINED, "shared": SHARED, "derm": DERM}
CASES = 40
GAPS = Gaps(unknown=0.4, missing=0.1, several=0.1)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def changed(text: str, *changes: tuple[str, str]) -> DataCard:
    """Returns the card of a text with words exchanged, each of which is there."""
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return cards.parse(text, "card")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The folders of drawn data sets by the name of the card; not to be changed."""
    root = tmp_path_factory.mktemp("cards")
    for name, text in ALL.items():
        write_card_set(cards.parse(text, name), root / name, CASES, 1, SIZE, 1, gaps=GAPS)
    return root


def read(root: Path, name: str) -> tuple[DataCard, pd.DataFrame]:
    """Returns the card that lies beside drawn data, and the cases, which have no problem."""
    card, folder = cards.find(root / name)
    assert (card, folder) == (cards.parse(ALL[name], name), root / name)
    frame, problems = scan_pairs(card, folder)
    assert [str(one) for one in problems] == []
    return card, frame


@pytest.mark.parametrize("name", ALL)
def test_labels_and_splits_that_are_read_are_those_that_were_drawn(name, drawn):
    card, frame = read(drawn, name)
    expected = draw_cases(card, CASES, 1, GAPS.unknown)
    assert len(frame) == CASES
    for task in card.tasks:
        assert list(frame[task.name]) == list(expected.labels[task.name])
        learned = frame[task.name][frame["split"] == "train"]
        assert set(learned) - {-1} == set(range(len(task.classes))), task.name
    assert list(frame["split"]) == list(expected.splits)
    assert set(frame["split"]) == {"train", "validate", "test"}
    assert frame.groupby("group")["split"].nunique().max() == 1
    assert frame["case_id"].str.startswith("drawn-").all()


@pytest.mark.parametrize("seed", range(6))
def test_training_has_every_class_though_patients_or_few_cases_are_in_the_way(seed):
    patients = changed(
        ELEVEN, ("id: lesion}", "id: lesion, group: patient}"), ("{lesion}/overview", "{lesion}/{patient}")
    )
    by_column = changed(WARD, ("classes: [{name: left}, {name: right}, {name: middle}]", ELEVEN_CLASSES))
    for card, task, cases in ((patients, "DX", 24), (by_column, "SIDE", 17)):
        found = draw_cases(card, cases, seed, 0.0)
        assert {n for n, part in zip(found.labels[task], found.splits, strict=True) if part == "train"} == set(
            range(11)
        )


@pytest.mark.parametrize("name", ALL)
def test_check_finds_nothing_and_no_picture_that_no_case_has(name, drawn):
    card, frame = read(drawn, name)
    report = check_data_set(drawn / name, card=card)
    assert [*report.problems, *report.notes] == []
    named = {path for modality in MODALITIES for paths in frame[f"{modality}_all"] for path in paths}
    tables = (".csv", ".xlsx", ".yaml")
    files = {str(path) for path in (drawn / name).rglob("*") if path.is_file() and path.suffix not in tables}
    assert named == files
    assert all(pixels(path).shape == (*SIZE, 3) for path in named)


def test_a_share_of_the_labels_is_unknown_where_the_card_allows_it(drawn):
    _, ward = read(drawn, "ward")
    _, long = read(drawn, "long")
    assert Counter(ward["DX"]) == {-1: 16, 0: 12, 1: 12}
    assert -1 not in {*ward["SIDE"], *ward["ULC"]}
    assert Counter(long["DX"]) == {-1: 16, 0: 8, 1: 8, 2: 8}
    raw = Counter(row["finding"] for row in rows_of(drawn / "ward" / "tables" / "ward.csv"))
    assert set(raw) == {"melanoma", "melanoma, in situ", "NEV", "unclear", ""}
    assert raw["unclear"] + raw[""] == 16
    blank = [row for row in rows_of(drawn / "long" / "truth.csv") if row["A"] in ("", "?")]
    assert len(blank) == 16
    assert all(row["A"] == row["B"] == row["C"] for row in blank)


def test_missing_and_second_pictures_are_where_the_card_allows_them(drawn):
    _, ward = read(drawn, "ward")
    assert Counter(map(len, ward["clinical_all"])) == {0: 4, 1: 36}
    assert Counter(map(len, ward["dermoscopic_all"])) == {1: 36, 2: 4}
    _, long = read(drawn, "long")
    for modality in MODALITIES:
        assert Counter(map(len, long[f"{modality}_all"])) == {0: 4, 1: 32, 2: 4}
    assert not ((long["clinical"] == "") & (long["dermoscopic"] == "")).any()
    for name in ("eleven", "joined", "shared", "derm"):
        _, frame = read(drawn, name)
        assert {len(paths) for modality in MODALITIES for paths in frame[f"{modality}_all"]} == {1}


def test_no_share_is_none(tmp_path):
    card = cards.parse(WARD, "ward")
    write_card_set(card, tmp_path / "w", 12, size=SIZE, workers=1, gaps=Gaps(0.0, 0.0, 0.0))
    frame, _ = scan_pairs(card, tmp_path / "w")
    assert -1 not in set(frame["DX"])
    assert {len(paths) for modality in MODALITIES for paths in frame[f"{modality}_all"]} == {1}


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        # A second picture of the same view would be the first one; of two views it is one each.
        (changed(LONG, ("{site}/{lesion}/{file}.jpg", "{lesion}/{view}.jpg"), ("[far, near]", "[far]")), {0: 8, 1: 32}),
        (changed(LONG, ("{site}/{lesion}/{file}.jpg", "{lesion}/{view}.jpg")), {0: 8, 1: 28, 2: 4}),
        # An empty field would take the picture of the other view too.
        (
            changed(
                WARD,
                ("{column: overview, missing", '{path: "{file}_c.jpg", missing'),
                ('"{patient}/{number}/*/derm*", several', '"{file}_d.jpg", missing'),
            ),
            {1: 40},
        ),
        # A column of its own can be empty.
        (changed(WARD, ("{column: overview, missing", '{path: "{file}.jpg", missing')), {0: 8, 1: 32}),
        # The id is never empty.
        (changed(WARD, ("{column: overview, missing", '{path: "{number}.jpg", missing')), {1: 40}),
        # No empty field is a label, and each view can be in the same column.
        (
            changed(
                WARD,
                ("{name: NEV}", '{name: NEV, labels: [naevus, ""]}'),
                ('missing: [unclear, ""]', "missing: [unclear]"),
                ('{path: "{patient}/{number}/*/derm*", several: allowed}', "{column: overview}"),
            ),
            {1: 40},
        ),
    ],
)
def test_pictures_are_missing_or_several_only_where_the_paths_can_say_so(card, expected, tmp_path):
    write_card_set(card, tmp_path / "x", 40, size=SIZE, workers=1, gaps=Gaps(0.1, 0.2, 0.1))
    frame, problems = scan_pairs(card, tmp_path / "x")
    assert [str(one) for one in problems] == []
    assert Counter(map(len, frame["clinical_all"])) == expected


def test_patients_have_up_to_two_cases_unless_a_path_names_them_only(drawn):
    for name, most in (("ward", 2), ("joined", 2), ("shared", 1)):
        _, frame = read(drawn, name)
        assert frame["group"].value_counts().max() == most
    _, ward = read(drawn, "ward")
    assert (ward["group"].value_counts() == 2).sum() >= 8


def test_stored_scores_are_right_and_empty_where_a_label_is_unknown(drawn):
    _, frame = read(drawn, "ward")
    for row, case in zip(rows_of(drawn / "ward" / "tables" / "ward.csv"), frame.to_dict("records"), strict=True):
        known = case["DX"] != -1
        assert row["points"] == (str(2 * (case["DX"] == 0) + (case["ULC"] == 1)) if known else "")
        assert case["risk"] == (int(row["points"]) if known else -1)


def test_metadata_are_within_their_values_and_now_and_then_unknown(drawn):
    _, ward = read(drawn, "ward")
    ages = ward["age"][ward["age"] != ""]
    assert 0 < (ward["age"] == "").sum() < CASES / 4
    assert {float(age).is_integer() for age in ages} == {True}
    assert ages.nunique() > 10
    thickness = ward["thickness"].astype(float)
    assert thickness.between(0.5, 4).all()
    assert thickness.nunique() > 10
    assert set(ward["sex"]) == {"female", "male"}
    raw = Counter(row["sex"] for row in rows_of(drawn / "ward" / "tables" / "ward.csv"))
    assert set(raw) == {"w", "f", "m"}
    _, long = read(drawn, "long")
    # A site is a folder of the pictures: an empty one would be no path.
    assert set(long["site"]) == {"arm", "leg"}


def test_a_case_has_the_same_metadata_with_each_of_its_pictures(drawn):
    photos = pd.DataFrame(rows_of(drawn / "long" / "photos.csv"))
    assert photos.groupby("lesion")[["site", "age"]].nunique().max().max() == 1
    assert set(photos["view"]) == {"far", "near", "dermoscopic"}
    assert set(rows_of(drawn / "long" / "truth.csv")[0]) == {"lesion", "A", "B", "C"}


def test_joined_tables_have_a_row_for_each_value_that_they_are_joined_by(drawn):
    root = drawn / "joined"
    tables = {file.stem: rows_of(file) for file in root.glob("*.csv")}
    columns = {name: set(rows[0]) for name, rows in tables.items()}
    assert columns == {
        "lesions": {"lesion", "patient", "visit", "diagnosis", "overview", "derm"},
        "names": {"diagnosis"},
        "truth": {"lesion", "diagnosis", "early", "late"},
        "patients": {"patient", "age", "sex"},
        "visits": {"visit"},
    }
    patients = len({row["patient"] for row in tables["lesions"]})
    assert {name: len(rows) for name, rows in tables.items()} == {
        **dict.fromkeys(("lesions", "truth", "visits"), CASES),
        "patients": patients,
        "names": 2,
    }
    assert patients < CASES


def test_what_stands_with_a_patient_is_the_same_for_all_of_their_cases():
    fields = pd.DataFrame(draw_cases(cards.parse(JOINED, "joined"), CASES, 1, 0.0).fields)
    assert fields.groupby("patient")[["age", "sex"]].nunique().max().max() == 1
    assert fields.groupby("patient")["diagnosis"].nunique().max() == 2


def test_index_files_share_out_all_rows(drawn):
    rows = [int(row["indexes"]) for file in (drawn / "joined" / "splits").glob("*.csv") for row in rows_of(file)]
    assert sorted(rows) == list(range(CASES))


def test_a_column_that_several_parts_read_holds_what_all_of_them_take(drawn):
    _, frame = read(drawn, "shared")
    assert set(zip(frame["text"], frame["DX"], frame["DEPTH"], strict=True)) == {
        *(("thin", 0, 0), ("thick", 0, 1), ("nevus", 1, -1), ("scar", -1, -1))
    }
    assert {Path(path).parent.name for path in frame["clinical"]} == set(frame["text"])


def test_equal_arguments_give_equal_bytes_whatever_the_workers_and_other_seeds_others(drawn, tmp_path):
    card = cards.parse(SHARED, "shared")
    write_card_set(card, tmp_path / "again", CASES, 1, SIZE, 2, gaps=GAPS)
    files = sorted(path.relative_to(drawn / "shared") for path in (drawn / "shared").rglob("*") if path.is_file())
    again = sorted(path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*") if path.is_file())
    assert again == files
    for file in files:
        assert (drawn / "shared" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file
    write_card_set(cards.parse(WARD, "ward"), tmp_path / "other", CASES, 2, SIZE, 1, gaps=GAPS)
    for file in ("tables/ward.csv", "photos/clinical/drawn-0000001.jpg"):
        assert (tmp_path / "other" / file).read_bytes() != (drawn / "ward" / file).read_bytes()


def at_mark(path: str, mark: Mark) -> np.ndarray:
    """Returns the mean colour of a picture of 64 x 64 pixels where a mark is."""
    picture = pixels(path).astype(float)
    x, y, radius = (64 * (0.5 + mark.centre[0]), 64 * (0.5 + mark.centre[1]), 64 * mark.radius)
    window = picture[round(y - radius) : round(y + radius), round(x - radius) : round(x + radius)]
    return window.reshape(-1, 3).mean(0)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("name", ["eleven", "ward", "long"])
def test_each_label_can_be_seen_at_its_mark_in_either_picture(name, modality, drawn):
    card, frame = read(drawn, name)
    for task in card.tasks:
        own = marks(card.tasks)[task.name]
        cases = frame[(frame[task.name] != -1) & (frame[modality] != "")]
        seen = np.array([at_mark(path, own[0]) for path in cases[modality]])
        labels = np.array(cases[task.name])
        means = np.array([seen[labels == number].mean(0) for number in range(len(task.classes))])
        distances = np.abs(means[:, None] - means[None]).mean(-1) + 255 * np.eye(len(means))
        assert distances.min() > 8, task.name
        assert (np.abs(seen[:, None] - means[None]).mean(-1).argmin(1) == labels).all(), task.name


def test_an_unknown_label_is_drawn_as_one_of_the_classes(drawn):
    card, frame = read(drawn, "long")
    own = marks(card.tasks)["DX"]
    looks = [
        np.mean([at_mark(path, own[0]) for path in frame["dermoscopic"][frame["DX"] == k] if path], 0) for k in range(3)
    ]
    unknown = [at_mark(path, own[0]) for path in frame["dermoscopic"][frame["DX"] == -1] if path]
    nearest = [np.abs(np.array(looks) - one).mean(-1) for one in unknown]
    assert {int(distance.argmin()) for distance in nearest} == {0, 1, 2}
    assert max(distance.min() for distance in nearest) < 20


def test_labels_that_derm7pt_has_are_drawn_as_there_and_others_are_marks(drawn):
    from amfam_tf.data.synthetic.card_set import _plans, place_pictures

    card, _ = read(drawn, "derm")
    cases = draw_cases(card, CASES, 1, 0.4)
    plans = _plans(card, cases, place_pictures(card, cases.fields, 1, 0.0, 0.0), 1)
    diagnosis = cards.packaged("derm7pt").task("DIAG")
    for plan, label in zip(plans, cases.labels["DIAG"], strict=True):
        number = diagnosis.encode(plan.lesion["diagnosis"])
        assert diagnosis.classes[number] == (["NEV", "MEL"][label] if label != -1 else diagnosis.classes[number])
        assert diagnosis.classes[number] in ("NEV", "MEL")
    shown = marks([card.task("SEX")])["SEX"]
    assert [plan.marks for plan in plans] == [[shown[number]] for number in cases.labels["SEX"]]


def task_of(classes: int, name: str = "T") -> Task:
    names = tuple(f"c{number}" for number in range(classes))
    return Task(name, name, name, names, (0,) * classes, (), names)


@pytest.mark.parametrize("counts", [(2,), (11,), (30,), (2, 3, 2), (5, 3, 2, 3, 3, 3, 3, 2), (4,) * 25])
def test_marks_have_places_by_task_and_colours_of_their_own_within_the_picture(counts):
    tasks = [task_of(count, f"T{number}") for number, count in enumerate(counts)]
    found = marks(tasks)
    everything = [mark for of_task in found.values() for mark in of_task]
    assert len({mark.colour for mark in everything}) == sum(counts)
    assert all(max(map(abs, mark.centre)) + mark.radius < 0.5 for mark in everything)
    places = [of_task[0].centre for of_task in found.values()]
    assert all(len({mark.centre for mark in of_task}) == 1 for of_task in found.values())
    apart = [np.hypot(a[0] - b[0], a[1] - b[1]) for n, a in enumerate(places) for b in places[:n]]
    assert all(distance > 2 * everything[0].radius for distance in apart)


@pytest.mark.parametrize("size", [(512, 384), (384, 512)])
def test_marks_of_large_pictures_can_be_told_apart_in_64_x_64_pixels(size):
    grey = np.full((*size[::-1], 3), 120, np.uint8)
    for own in marks([task_of(4, "A"), task_of(11, "B")]).values():
        pictures = [Image.fromarray(draw_marks(grey, [mark])).resize((64, 64)) for mark in own]
        small = np.array([np.asarray(picture, float) for picture in pictures])
        changed = np.abs(small - 120).max(-1).max(0) > 10
        assert 60 < changed.sum() < 160
        differences = np.abs(small[:, None] - small[None])[:, :, changed].mean((-2, -1))
        assert differences[~np.eye(len(own), dtype=bool)].min() > 15


def test_a_mark_changes_the_picture_where_it_is_and_nowhere_else():
    (mark,) = marks([task_of(2)])["T"][:1]
    grey = np.full((100, 160, 3), 120, np.uint8)
    changed = (draw_marks(grey, [mark]) != grey).any(-1)
    rows, columns = np.nonzero(changed)
    x, y = 80 + 100 * mark.centre[0], 50 + 100 * mark.centre[1]
    distance = np.hypot(columns - x, rows - y)
    assert distance.max() < 100 * mark.radius + 1.5
    assert changed.sum() == pytest.approx(np.pi * (100 * mark.radius) ** 2, rel=0.12)
    assert (draw_marks(grey, []) == grey).all()


@pytest.mark.parametrize(
    ("card", "cases", "unknown", "expected"),
    [
        (ELEVEN, 10, 0.0, "10 cases with a label are too few for the 11 classes of DX: --cases has to be 11 or more"),
        (
            ELEVEN.replace("]}]\n", '], missing: [""]}]\n'),
            20,
            0.5,
            "10 cases with a label are too few for the 11 classes of DX: --cases has to be 22 or more",
        ),
        (
            HOSPITAL.replace(
                "train: 0.6, validate: 0.2, test: 0.2, stratify: DX", "train: 0.98, validate: 0.01, test: 0.01"
            ),
            10,
            0.0,
            "none of 10 cases is in validate: --cases has to be more",
        ),
    ],
)
def test_too_few_cases_are_one_line_and_leave_nothing(card, cases, unknown, expected, tmp_path):
    with pytest.raises(UserError) as refused:
        write_card_set(cards.parse(card, "card"), tmp_path / "x", cases, gaps=Gaps(unknown), size=SIZE, workers=1)
    assert str(refused.value) == expected
    assert list(tmp_path.iterdir()) == []


def test_as_many_known_labels_as_classes_are_enough(tmp_path):
    card = cards.parse(ELEVEN, "card")
    write_card_set(card, tmp_path / "x", 11, size=SIZE, workers=1)
    frame, problems = scan_pairs(card, tmp_path / "x")
    assert problems == []
    assert sorted(frame["DX"]) == list(range(11))


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (
            changed(WARD, ("column: side", "column: patient")),
            "card ward: column 'patient' is read in several ways: nothing can be drawn that is all of them",
        ),
        (
            changed(LONG, ("one_hot: [A, B, C]", "one_hot: [A, B, site]")),
            "card long: column 'site' is read in several ways: nothing can be drawn that is all of them",
        ),
        (
            changed(SHARED, ("values: [thin, thick, nevus, scar]", "values: [thin, nevus]")),
            "column 'diagnosis': no raw value of class thick of task DEPTH fits all parts of the card that read it",
        ),
        (
            changed(WARD, ("metadata:\n", "metadata:\n  low: {column: age, range: [-2, -1]}\n")),
            "column 'age': no raw value fits metadata.low and metadata.age",
        ),
        (
            changed(SHARED, ("{diagnosis}/{patient}.jpg", "{diagnosis}.jpg")),
            "have one picture, '",
        ),
        (
            changed(
                WARD,
                ('derm*", several: allowed', 'derm1"'),
                ("{column: overview, missing: allowed}", '{path: "{patient}/{number}/*/*"}'),
            ),
            "nothing can be drawn for it that is read without a problem: tables/ward.csv row",
        ),
        (
            changed(
                WARD,
                ("{patient}/{number}/*/derm*", "{side}/{number}*"),
                ("{column: overview, missing: allowed}", '{path: "{side}/{number}x.jpg"}'),
            ),
            "another picture than its own",
        ),
        (
            changed(JOINED, ("splits/validate.csv", "truth.csv")),
            "card joined: truth.csv is named for two tables that have other rows",
        ),
    ],
)
def test_a_card_that_nothing_can_be_drawn_for_is_one_line(card, expected, tmp_path):
    with pytest.raises(ConfigError) as refused:
        write_card_set(card, tmp_path / "x", CASES, size=SIZE, workers=1)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def invoke(tmp_path: Path, *words: str):
    out = str(tmp_path / "out")
    return CliRunner().invoke(synth, ["--out", out, "--cases", "20", "--size", "64x64", "--workers", "1", *words])


def test_the_verb_draws_for_a_card_of_a_file_and_of_the_package(tmp_path):
    (tmp_path / "ward.yaml").write_text(WARD, encoding="utf-8")
    words = ("--card", str(tmp_path / "ward.yaml"), "--unknown", "0.5", "--missing", "0.2", "--several", "0")
    result = invoke(tmp_path, *words)
    assert result.exit_code == 0, result.output
    frame, _ = scan_pairs(*cards.find(tmp_path / "out"))
    assert (frame["DX"] == -1).sum() == 10
    assert (frame["clinical"] == "").sum() == 4
    assert {len(paths) for paths in frame["dermoscopic_all"]} == {1}
    result = invoke(tmp_path / "more", "--card", "derm7pt")
    assert result.exit_code == 0, result.output
    card, folder = cards.find(tmp_path / "more" / "out")
    assert cards.is_derm7pt(card)
    assert [problem for problem in scan_pairs(card, folder)[1] if problem.severity == "problem"] == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--unknown", "0.4"), "--unknown needs --card"),
        (("--several", "0"), "--several needs --card"),
        (("--card", "derm7pt", "--layout", "derm7pt"), "--layout does not go with --card"),
        (("--card", "derm7pt", "--no-traps"), "--traps does not go with --card"),
        (("--card", "derm7pt", "--contact-sheet", "x.png"), "--contact-sheet does not go with --card"),
    ],
)
def test_options_that_mean_nothing_are_wrong_usage(words, expected, tmp_path):
    result = invoke(tmp_path, *words)
    assert result.exit_code == 2
    assert expected in result.output
    assert not (tmp_path / "out").exists()


def test_the_verb_has_the_shares_of_the_function():
    assert Gaps() == Gaps(SHARE, SHARE, SHARE)
