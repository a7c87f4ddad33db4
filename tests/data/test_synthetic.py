"""Laws of the drawn data set: exact counts, equal bytes, labels that hang together, structures where they belong."""

import csv
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from amfam_tf.cli.synth import synth
from amfam_tf.data import synthetic
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.synthetic import data_set
from amfam_tf.data.synthetic.labels import meet_quotas
from amfam_tf.data.synthetic.marginals import largest_remainder
from amfam_tf.data.synthetic.metadata import describe
from amfam_tf.errors import DataError, UserError
from amfam_tf.tasks import CRITERIA, METADATA, SPLITS, TASK_BY_NAME, TASKS, seven_point_score

TABLE_1 = {
    "DIAG": {"train": [19, 256, 90, 32, 16], "validate": [7, 100, 61, 25, 10], "test": [16, 219, 101, 40, 19]},
    "PN": {"train": [160, 160, 93], "validate": [84, 75, 44], "test": [156, 146, 93]},
    "BWV": {"train": [339, 74], "validate": [157, 46], "test": [320, 75]},
    "VS": {"train": [347, 43, 23], "validate": [163, 22, 18], "test": [313, 52, 30]},
    "PIG": {"train": [253, 44, 116], "validate": [112, 26, 65], "test": [223, 48, 124]},
    "STR": {"train": [273, 39, 101], "validate": [123, 24, 56], "test": [257, 44, 94]},
    "DaG": {"train": [84, 156, 173], "validate": [45, 60, 98], "test": [100, 118, 177]},
    "RS": {"train": [317, 96], "validate": [152, 51], "test": [289, 106]},
}
SMALL = (96, 72)
STRUCTURES = [(task.column, raw) for task in CRITERIA for group in task.raw_labels[1:] for raw in group]


def _counts(cases, split):
    """Returns cases per class for each task."""
    chosen = [case for case in cases if case.split == split]
    return {
        task.name: [sum(case.labels[task.name] == number for case in chosen) for number in range(len(task.classes))]
        for task in TASKS
    }


def _files(root: Path) -> dict[str, str]:
    """Returns a digest per file."""
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _size(path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _rows(root: Path) -> list[dict[str, str]]:
    with (root / "meta" / "meta.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_full_release_has_exactly_the_counts_of_table_1():
    cases = synthetic.sample_labels(1011, seed=5)
    assert {split: _counts(cases, split) for split in SPLITS} == {
        split: {task: counts[split] for task, counts in TABLE_1.items()} for split in SPLITS
    }
    assert sorted(case.row for case in cases) == list(range(1011))


@pytest.mark.parametrize("number", [10, 60, 333, 2500])
def test_other_sizes_keep_the_shares_of_splits_and_classes(number):
    cases = synthetic.sample_labels(number, seed=1)
    sizes = Counter(case.split for case in cases)
    assert sum(sizes.values()) == number
    for split, size in (("train", 413), ("validate", 203), ("test", 395)):
        assert abs(sizes[split] - number * size / 1011) < 1
        for task, counts in _counts(cases, split).items():
            for count, paper in zip(counts, TABLE_1[task][split], strict=True):
                assert abs(count - sizes[split] * paper / size) < 1


def test_largest_remainder_by_hand():
    assert largest_remainder((5, 3, 1), 4) == (2, 1, 1)  # shares 2.22, 1.33, 0.44: the last has the largest remainder


def test_quotas_go_to_the_cases_that_fit_best():
    utilities = np.array([[0.0, 5.0], [0.0, 1.0], [0.0, 3.0], [0.0, -2.0]])
    assert meet_quotas(utilities, (2, 2)).tolist() == [1, 0, 1, 0]


def test_every_row_hangs_together():
    for case in synthetic.sample_labels(1011, seed=2):
        row = describe(case, seed=2)
        assert {task.name: task.encode(row[task.column]) for task in TASKS} == case.labels
        assert int(row["seven_point_score"]) == seven_point_score(case.labels)
        assert int(row["case_num"]) == case.row + 1
        assert all(row[column] in values for column, values in METADATA.items())
        assert row["vascular_structures"] != "within regression" or case.labels["RS"] == 1
        if case.labels["DIAG"] in (0, 2):
            assert row["management"] == "excision"


def test_melanoma_has_more_and_more_irregular_criteria_than_nevus():
    cases = synthetic.sample_labels(1011, seed=3)
    of_class = {name: [case for case in cases if case.labels["DIAG"] == number] for number, name in
                enumerate(TASK_BY_NAME["DIAG"].classes)}  # fmt: skip
    mean = {name: np.mean([seven_point_score(case.labels) for case in chosen]) for name, chosen in of_class.items()}
    assert mean["MEL"] > mean["NEV"] + 1.5
    for task in CRITERIA:
        worst = len(task.classes) - 1
        share = {name: np.mean([case.labels[task.name] == worst for case in of_class[name]]) for name in of_class}
        assert share["MEL"] > share["NEV"] + 0.05, task.name
    arborizing = {name: np.mean([case.labels["VS"] == 1 for case in of_class[name]]) for name in of_class}
    assert arborizing["BCC"] > 0.4 > arborizing["NEV"]
    assert np.mean([case.labels["PN"] == 0 for case in of_class["BCC"]]) > 0.75


def test_same_seed_same_bytes_whatever_the_workers(tmp_path):
    for name, seed, workers in (("one", 7, 1), ("two", 7, 2), ("other", 8, 1)):
        synthetic.write_data_set(tmp_path / name, 12, seed, SMALL, workers=workers)
    one, two, other = (_files(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert len(one) == 4 + 2 * 12
    pictures = [{digest for name, digest in files.items() if "images" in name} for files in (one, other)]
    assert not pictures[0] & pictures[1]


def test_layout_is_the_release_s(tmp_path):
    done = []
    synthetic.write_data_set(tmp_path / "made" / "drawn", 70, 0, (48, 36), workers=1, progress=done.append)
    root = tmp_path / "made" / "drawn"
    assert done == list(range(1, 71))
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["drawn"]
    assert len(list((root / "images").iterdir())) == 34
    rows = _rows(root)
    assert tuple(rows[0]) == data_set.COLUMNS
    assert len(rows[0]) == 19
    with Image.open(root / "images" / rows[0]["derm"]) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (48, 36))
    cases = synthetic.sample_labels(70, 0)
    for split, name in (("train", "train"), ("validate", "valid"), ("test", "test")):
        lines = (root / "meta" / f"{name}_indexes.csv").read_text().splitlines()
        assert lines[0] == "indexes"
        assert [int(line) for line in lines[1:]] == [case.row for case in cases if case.split == split]
        assert lines[1:] != sorted(lines[1:], key=int)
    assert b"\r" not in (root / "meta" / "meta.csv").read_bytes()


def test_traps_are_there_and_the_reader_gets_the_same_labels(tmp_path):
    synthetic.write_data_set(tmp_path / "traps", 120, 0, SMALL, traps=True, workers=1)
    rows = _rows(tmp_path / "traps")
    meta = (tmp_path / "traps" / "meta" / "meta.csv").read_bytes()
    assert meta.count(b"\r\n") == meta.count(b"\n") == 121
    shared = [row for row in rows if row["clinic"] == row["derm"]]
    assert len(shared) == 1
    assert all(bool(row["notes"]) == (row in shared) for row in rows)
    misspelt = [row["derm"] for row in rows if not (tmp_path / "traps" / "images" / row["derm"]).exists()]
    assert len(misspelt) == 1
    assert misspelt[0].startswith("FCl/Fcl")
    frame = read_release(tmp_path / "traps")
    labels = {case.row + 1: case for case in synthetic.sample_labels(120, 0)}
    for _, read in frame.iterrows():
        case = labels[read["case_num"]]
        assert read["split"] == case.split
        assert {task.name: read[task.name] for task in TASKS} == case.labels
    assert {_size(path) for path in frame["dermoscopic"]} == {SMALL, (72, 72)}


def test_the_full_release_shares_the_nine_documented_rows():
    _, drawings = data_set._plan(1011, 0, SMALL, traps=True)
    shared = [drawing.row for drawing in drawings if drawing.columns["clinic"] == drawing.columns["derm"]]
    assert shared == [564, 799, 823, 826, 832, 833, 838, 843, 850]
    names = {drawing.columns[column].lower() for drawing in drawings for column in ("clinic", "derm")}
    assert len(names) == 2013


def _change(column: str, raw: str, row: int) -> tuple[float, float]:
    """Returns the mean absolute change per pixel that a structure makes: clinical, dermoscopic."""
    size = (256, 192)
    without = synthetic.draw_case({"diagnosis": "clark nevus"}, 0, row, size)
    with_it = synthetic.draw_case({"diagnosis": "clark nevus", column: raw}, 0, row, size)
    return tuple(np.abs(a.astype(float) - b.astype(float)).mean() for a, b in zip(without, with_it, strict=True))


@pytest.mark.parametrize(("column", "raw"), STRUCTURES)
def test_a_structure_is_plain_in_the_dermoscopic_and_faint_in_the_clinical_picture(column, raw):
    clinical, dermoscopic = np.mean([_change(column, raw, row) for row in range(4)], axis=0)
    assert dermoscopic > 0.6
    assert clinical < 0.15 * dermoscopic


def _blueness(picture: np.ndarray) -> float:
    """Returns blue minus red of the middle, where the lesion is, mean over pixels in [0, 255]."""
    height, width, _ = picture.shape
    middle = picture[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5].astype(float)
    return (middle[..., 2] - middle[..., 0]).mean()


def test_a_veil_turns_the_dermoscopic_picture_bluer_than_the_clinical():
    gains = []
    for row in range(8):
        plain = synthetic.draw_case({"diagnosis": "melanoma"}, 0, row, (256, 192))
        veiled = synthetic.draw_case({"diagnosis": "melanoma", "blue_whitish_veil": "present"}, 0, row, (256, 192))
        gains.append([_blueness(after) - _blueness(before) for before, after in zip(plain, veiled, strict=True)])
    clinical, dermoscopic = np.mean(gains, axis=0)
    assert dermoscopic > 25
    assert dermoscopic > 3 * clinical > 0


def test_a_structure_leaves_the_skin_far_from_the_lesion_alone():
    for column, raw in STRUCTURES:
        plain = synthetic.draw_case({"diagnosis": "clark nevus"}, 0, 3, SMALL)[1]
        drawn = synthetic.draw_case({"diagnosis": "clark nevus", column: raw}, 0, 3, SMALL)[1]
        assert (plain[:, :8] == drawn[:, :8]).all(), raw


def test_elevation_is_seen_in_the_clinical_picture_only():
    flat = synthetic.draw_case({"diagnosis": "melanoma", "elevation": "flat"}, 0, 1, SMALL)
    nodular = synthetic.draw_case({"diagnosis": "melanoma", "elevation": "nodular"}, 0, 1, SMALL)
    assert (flat[1] == nodular[1]).all()
    assert np.abs(flat[0].astype(int) - nodular[0]).max() > 20


def test_an_existing_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    with pytest.raises(UserError, match="already exists"):
        synthetic.write_data_set(tmp_path / "out", 12, size=SMALL)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    synthetic.write_data_set(tmp_path / "empty", 10, size=(48, 36))
    assert (tmp_path / "empty" / "meta" / "meta.csv").is_file()


def test_an_interrupted_drawing_leaves_nothing_behind(tmp_path):
    def interrupt(done):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic.write_data_set(tmp_path / "out", 12, size=SMALL, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cases": 9}, "--cases must be between 10 and .*; received 9"),
        ({"size": (512, 20)}, "--size: height must be between 32 and .*; received 20"),
        ({"seed": -1}, "--seed must be 0 or more; received -1"),
        ({"workers": 0}, "--workers must be 1 or more; received 0"),
    ],
)
def test_values_that_cannot_be_name_the_option(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        synthetic.write_data_set(tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_command_draws_a_release_and_its_contact_sheet(tmp_path):
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    arguments = [str(out), "--cases", "12", "--size", "96x72", "--contact-sheet", str(sheet)]
    result = CliRunner().invoke(synth, arguments)
    assert result.exit_code == 0, result.output
    assert len(_rows(out)) == 12
    with Image.open(sheet) as image:
        assert image.size[0] > image.size[1] > 400
    refused = CliRunner().invoke(synth, [str(tmp_path / "x"), "--size", "96*72"])
    assert refused.exit_code == 2
    assert "must be WIDTHxHEIGHT" in refused.output
    again = CliRunner().invoke(synth, arguments)
    assert isinstance(again.exception, UserError)
    assert again.output == ""
    with pytest.raises(DataError, match="row"):
        synthetic.contact_sheet(out, sheet, cases=[99])
