"""Laws of the check: every fault of every sort is listed at once, traps are notes, and the exit status says it."""

import io
import json
import struct
from pathlib import Path

import click
import numpy as np
import profiled_pictures
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from releases import META, TABLE_FAULTS, TinyRelease, broken, missing_expectations, picture_names

from amfam_tf.cli.check import check
from amfam_tf.data.check import DEFAULT_MIN_SIDE, CheckReport, check_data_set, inspect_picture
from amfam_tf.data.derm7pt import read_release
from amfam_tf.data.picture_file import PictureFile, judge
from amfam_tf.data.problems import Problem
from amfam_tf.data.synthetic import write_data_set
from amfam_tf.errors import DataError
from amfam_tf.ingest.picture import inspect_picture as ingest_picture
from amfam_tf.tasks import SPLITS, TASKS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set without any fault or trap."""
    return TinyRelease().write(tmp_path / "release")


def picture(root: Path, row: int, place: int = 0) -> Path:
    """Returns the clinical (0) or dermoscopic (1) file of a row."""
    return root / "images" / picture_names(row)[place]


def encoded(mode: str, pixels: tuple[int, int] = (80, 64), file_format: str = "JPEG") -> bytes:
    """Returns the bytes of a plain picture."""
    buffer = io.BytesIO()
    Image.new(mode, pixels, 120).save(buffer, file_format)
    return buffer.getvalue()


def bmp_of_16_bits() -> bytes:
    """Returns a picture that Pillow decodes and training does not."""
    head = struct.pack("<2sIHHI", b"BM", 54 + 2 * 96 * 96, 0, 0, 54)
    return head + struct.pack("<IiiHHIIiiII", 40, 96, 96, 1, 16, 0, 2 * 96 * 96, 0, 0, 0, 0) + b"\x21\x43" * 96 * 96


def places(findings: list[Problem]) -> list[tuple[str, int | None, str]]:
    return [(finding.file, finding.row, finding.kind) for finding in findings]


def test_a_sound_release_has_no_problem_and_no_note(root: Path) -> None:
    report = check_data_set(root)
    assert report.ok
    assert (report.problems, report.notes) == ([], [])
    assert (report.cases, dict(report.splits)) == (12, {"train": 6, "validate": 3, "test": 3})
    assert report.sizes == {"80 x 64": 24}


def test_counts_are_those_of_each_task_class_and_split(root: Path) -> None:
    counts, frame = check_data_set(root).counts, read_release(root)
    assert list(counts) == ["task", "class", "train", "validate", "test", "total"]
    assert [tuple(pair) for pair in counts[["task", "class"]].to_numpy()] == [
        (task.name, name) for task in TASKS for name in task.classes
    ]
    for task in TASKS:
        rows = counts[counts["task"] == task.name]
        assert list(rows["total"]) == [list(frame[task.name]).count(number) for number in range(len(task.classes))]
        assert list(rows[list(SPLITS)].sum()) == [6, 3, 3]
    melanoma = counts[(counts["task"] == "DIAG") & (counts["class"] == "MEL")]
    assert melanoma[["train", "validate", "test", "total"]].to_numpy().tolist() == [[1, 0, 1, 2]]


def damage_pictures(root: Path) -> None:
    """Gives each picture fault to a picture of its own."""
    content = picture(root, 0).read_bytes()
    picture(root, 0).write_bytes(content[: len(content) // 2])
    picture(root, 0, 1).write_bytes(picture(root, 0, 1).read_bytes()[:-2])
    picture(root, 1).write_bytes(b"")
    picture(root, 2).write_text("<html>not found</html>")
    middle = len(picture(root, 3).read_bytes()) * 2 // 3
    picture(root, 3).write_bytes(picture(root, 3).read_bytes()[:middle] + b"\xff\xd9")
    picture(root, 4).write_bytes(encoded("1", (9000, 6000), file_format="PNG"))
    picture(root, 5).write_bytes(bmp_of_16_bits())
    picture(root, 6).write_bytes(encoded("RGB", (100, 63)))
    picture(root, 6, 1).write_bytes(encoded("RGB", file_format="TIFF"))
    picture(root, 9).write_bytes(picture(root, 7).read_bytes())
    picture(root, 8).write_bytes(picture(root, 2, 1).read_bytes())


PICTURE_FAULTS: list[tuple[int, int, str, str]] = [
    (0, 0, "truncated_image", "truncated"),
    (0, 1, "truncated_image", "truncated"),
    (1, 0, "unreadable_image", "is not a JPEG, PNG or BMP file but empty"),
    (2, 0, "unreadable_image", "is not a JPEG, PNG or BMP file but a web page"),
    (3, 0, "damaged_image", "is damaged: part of it is grey"),
    (4, 0, "unreadable_image", "more than 50000000 pixels"),
    (5, 0, "unreadable_image", "a BMP of another kind"),
    (6, 0, "too_small", "is 100 x 63 pixels; the shorter side needs at least 64"),
    (6, 1, "unreadable_image", "is not a JPEG, PNG or BMP file but a TIFF or camera raw picture"),
    (9, 0, "duplicate_image", "has the same bytes as images/FCL/Fcl007.JPG of row 7"),
    (8, 0, "leakage", "has the same bytes as images/A1l/A1l102.jpg of row 2: a picture of test leaks into train"),
]


def test_each_picture_fault_is_found_and_nothing_else(root: Path) -> None:
    damage_pictures(root)
    report = check_data_set(root)
    for row, place, kind, words in PICTURE_FAULTS:
        file = f"images/{picture_names(row)[place]}"
        found = [
            problem for problem in report.problems if (problem.file, problem.row, problem.kind) == (file, row, kind)
        ]
        assert len(found) == 1, (file, kind, report.problems)
        assert words in found[0].message
        assert "BytesIO" not in found[0].message
    assert len(report.problems) == len(PICTURE_FAULTS)
    assert report.notes == []


def test_faults_of_tables_paths_and_pictures_are_listed_together(tmp_path: Path) -> None:
    root = broken(tmp_path, TABLE_FAULTS.values())
    picture(root, 0).write_bytes(picture(root, 0).read_bytes()[:-2])
    report = check_data_set(root)
    assert missing_expectations(report.problems, TABLE_FAULTS.values()) == []
    expected = sum(len(fault.expected) for fault in TABLE_FAULTS.values())
    assert len(report.problems) == expected + 1
    assert report.problems[-1].kind == "truncated_image"


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2, 3, 40, 400])
def test_any_missing_end_is_a_truncated_picture(tmp_path: Path, missing: int, progressive: bool) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    path = tmp_path / "picture.jpg"
    Image.fromarray(pixels).save(path, progressive=progressive)
    assert inspect_picture(path).faults == ()
    path.write_bytes(path.read_bytes()[:-missing])
    assert [kind for kind, _ in inspect_picture(path).faults] == ["truncated_image"]


def test_a_picture_that_cannot_be_used_has_one_fault_and_no_other_facts(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded("L", (20, 30))[:-2])
    found = inspect_picture(path)
    assert [kind for kind, _ in found.faults] == ["truncated_image"]
    assert (found.size, found.mode, found.profile, len(found.digest)) == (None, "", "", 64)


def test_what_is_not_rgb_is_counted_and_taken(root: Path) -> None:
    for row, (mode, file_format) in enumerate(
        [("L", "JPEG"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "BMP")]
    ):
        picture(root, row).write_bytes(encoded(mode, (80, 64 + row), file_format))
    report = check_data_set(root)
    assert (report.problems, report.notes) == ([], [])
    assert report.modes == {"greyscale": 3, "CMYK": 1, "alpha": 1, "palette": 1, "greyscale with alpha": 1}
    result = run(root)
    assert "not RGB (all are taken): greyscale 3, CMYK 1, alpha 1, palette 1, greyscale with alpha 1" in result.output
    for row in range(7):
        assert isinstance(judge(picture(root, row).read_bytes()), PictureFile)


def test_colour_profiles_are_counted_by_name_and_by_what_becomes_of_them(root: Path) -> None:
    curve = profiled_pictures.power(2.2)
    made = profiled_pictures.profile(profiled_pictures.ADOBE_RGB, curve, name="Adobe RGB\x1b[31m (made)")
    for row, profile in enumerate([made, made, b"damaged"]):
        image = Image.fromarray(profiled_pictures.colourful(64 + row, 80))
        image.save(picture(root, row), icc_profile=profile)
    report = check_data_set(root)
    assert (report.problems, report.notes) == ([], [])
    assert report.profiles == {
        "Adobe RGB [31m (made): converted to sRGB": 2,
        "damaged: not usable, taken for sRGB": 1,
    }
    assert (
        "pictures with a colour profile: Adobe RGB [31m (made): converted to sRGB 2, damaged: not" in run(root).output
    )


def test_a_remark_of_the_strict_decoder_is_a_note(root: Path) -> None:
    data = picture(root, 4).read_bytes()
    picture(root, 4).write_bytes(data[:-2] + bytes(30) + data[-2:])
    report = check_data_set(root)
    assert report.ok
    assert places(report.notes) == [(f"images/{picture_names(4)[0]}", 4, "unusual_image")]
    assert "27 extraneous bytes before marker 0xd9" in report.notes[0].message


def test_check_and_ingest_judge_alike(root: Path) -> None:
    damage_pictures(root)
    for row in range(12):
        for place in (0, 1):
            path = picture(root, row, place)
            refused = [message for kind, message in inspect_picture(path).faults if kind != "too_small"]
            try:
                ingested = []
                ingest_picture(path.read_bytes())
            except DataError as error:
                ingested = [str(error)]
            assert refused == ingested


def test_the_size_of_a_turned_picture_is_that_which_training_sees(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (90, 70)).save(path, exif=exif)
    assert inspect_picture(path).size == (70, 90)


def test_the_smallest_side_is_a_parameter(root: Path) -> None:
    assert check_data_set(root, min_side=64).ok
    problems = check_data_set(root, min_side=65).problems
    assert [problem.kind for problem in problems] == ["too_small"] * 24


def test_shared_files_are_counted_notes(tmp_path: Path) -> None:
    release = TinyRelease()
    for row in (5, 8):
        release.meta.loc[row, "clinic"] = release.meta.loc[row, "derm"]
    report = check_data_set(release.write(tmp_path / "release"))
    assert report.ok
    assert report.shared_files == 2
    assert places(report.notes) == [(META, 5, "shared_file"), (META, 8, "shared_file")]
    assert {note.severity for note in report.notes} == {"note"}
    assert picture_names(5)[1] in report.notes[0].message
    assert report.sizes == {"80 x 64": 22}


def test_equal_bytes_within_a_row_are_a_note(root: Path) -> None:
    picture(root, 1).write_bytes(picture(root, 1, 1).read_bytes())
    report = check_data_set(root)
    assert report.ok
    assert places(report.notes) == [(f"images/{picture_names(1)[1]}", 1, "shared_bytes")]


def test_one_file_in_two_splits_is_leakage(tmp_path: Path) -> None:
    release = TinyRelease()
    release.meta.loc[10, "derm"] = release.meta.loc[1, "derm"]
    report = check_data_set(release.write(tmp_path / "release"))
    assert places(report.problems) == [(f"images/{picture_names(1)[1]}", 10, "leakage")]


def test_black_corners_are_a_share_of_each_modality(root: Path) -> None:
    framed, half_framed = np.zeros((64, 80, 3), np.uint8), np.full((64, 80, 3), 200, np.uint8)
    framed[8:-8, 8:-8] = 200
    half_framed[:, :40] = 0
    for row in range(3):
        framed[32, 40] = row
        Image.fromarray(framed).save(picture(root, row, 1), "PNG")
    Image.fromarray(half_framed).save(picture(root, 0), "PNG")
    report = check_data_set(root)
    assert report.ok
    assert report.black_corners == {"clinical": 0.0, "dermoscopic": 0.25}


def test_a_folder_that_is_no_release_has_one_problem_for_each_file(tmp_path: Path) -> None:
    report = check_data_set(tmp_path)
    assert [problem.file for problem in report.problems] == [
        META,
        "images",
        "meta/train_indexes.csv",
        "meta/valid_indexes.csv",
        "meta/test_indexes.csv",
    ]
    assert (report.cases, report.sizes, report.counts["total"].sum()) == (0, {}, 0)


def test_a_drawn_release_with_traps_has_notes_and_no_problem(tmp_path: Path) -> None:
    root = tmp_path / "drawn"
    write_data_set(root, cases=20, seed=3, size=(96, 72), traps=True)
    report = check_data_set(root)
    assert report.problems == []
    assert report.cases == 20
    assert report.shared_files == len(report.notes) >= 1
    assert len(report.sizes) > 1
    assert list(read_release(root)["shared_file"]).count(True) == report.shared_files


def run(*arguments: object) -> Result:
    return CliRunner().invoke(check, [str(argument) for argument in arguments])


def test_the_command_prints_the_table_and_ends_with_0(root: Path) -> None:
    result = run(root)
    assert result.exit_code == 0, result.output
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.output.splitlines()]
    assert ["DIAG BCC, basal cell carcinoma", "1", "1", "1", "3"] in cells
    assert ["DIAG MEL, melanoma", "1", "0", "1", "2"] in cells
    assert ["cases", "6", "3", "3", "12"] in cells
    assert "0 problems" in result.output


def test_the_command_prints_each_problem_in_one_line_and_ends_with_1(tmp_path: Path) -> None:
    root = broken(tmp_path, TABLE_FAULTS.values())
    result = run(root)
    assert result.exit_code == 1
    report = check_data_set(root)
    lines = [line.strip() for line in result.output.splitlines()]
    assert [str(problem) for problem in report.problems if str(problem) not in lines] == []
    assert f"{len(report.problems)} problems" in lines


def test_a_note_alone_ends_with_0(tmp_path: Path) -> None:
    release = TinyRelease()
    release.meta.loc[5, "clinic"] = release.meta.loc[5, "derm"]
    result = run(release.write(tmp_path / "release"))
    assert result.exit_code == 0
    assert "cases whose clinical picture is the dermoscopic file: 1" in result.output
    assert "1 note\n" in result.output


def test_json_holds_the_whole_report(tmp_path: Path) -> None:
    root = broken(tmp_path, TABLE_FAULTS.values())
    result = run(root, "--json")
    assert result.exit_code == 1
    report: CheckReport = check_data_set(root)
    assert json.loads(result.stdout) == report.to_dict()
    assert json.loads(result.stdout)["ok"] is False
    assert json.loads(result.stdout)["problems"][0]["severity"] == "problem"


def test_min_side_of_the_command(root: Path) -> None:
    assert run(root, "--min-side", 64).exit_code == 0
    assert run(root, "--min-side", 65).exit_code == 1
    option = next(option for option in check.params if option.name == "min_side")
    assert isinstance(option, click.Option)
    assert option.default == DEFAULT_MIN_SIDE


def test_a_folder_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    result = run(tmp_path / "nothing")
    assert result.exit_code == 2
    assert "does not exist" in result.output
