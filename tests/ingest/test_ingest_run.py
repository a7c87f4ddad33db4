"""The pipeline as a whole: the bytes that come out, what is left out and why, what is never touched."""

import json
from pathlib import Path

import pytest
from releases import TinyRelease

from amfam_tf.data import records
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import DataError
from amfam_tf.pipelines import ingest

CASES, SHARDS = 10, 3

pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return TinyRelease(CASES).write(tmp_path_factory.mktemp("ingest") / "release")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_shards_are_those_that_write_records_makes_of_the_release(release, tmp_path):
    report = ingest.run(str(release), str(tmp_path / "out"), shards=SHARDS)
    assert (report.cases, report.bad, report.out) == (CASES, 0, tmp_path / "out")
    records.write_records(read_release(release), tmp_path / "expected", shards=SHARDS)
    expected = contents(tmp_path / "expected")
    assert {name: data for name, data in contents(tmp_path / "out").items() if name in expected} == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out"]


def test_bad_rows_go_to_the_dead_letters_with_their_reasons(release, tmp_path):
    broken = TinyRelease(CASES)
    broken.meta.loc[2, "streaks"] = ""
    root = broken.write(tmp_path / "release")
    picture = read_release(release)["clinical"][4].replace(str(release), str(root))
    Path(picture).write_bytes(b"\xff\xd8\xff no more")
    with pytest.raises(DataError, match=r"^2 of 10 rows \(20\.0%\) become no record, and at most 0\.0% may: "):
        ingest.run(str(root), str(tmp_path / "out"), shards=SHARDS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.dead_letter.jsonl", "release"]
    report = ingest.run(str(root), str(tmp_path / "out"), shards=SHARDS, max_bad_share=0.2)
    assert (report.cases, report.bad) == (CASES - 2, 2)
    letters = [json.loads(line) for line in (tmp_path / "out" / "dead_letter.jsonl").read_text().splitlines()]
    assert [(letter["row"], letter["case_num"], letter["kind"]) for letter in letters] == [
        (2, 3, "missing_label"),
        (4, 5, "unusable_picture"),
    ]
    assert "'streaks'" in letters[0]["reason"]
    assert picture in letters[1]["reason"]
    assert records.read_records(tmp_path / "out")["case_num"].tolist() == [1, 2, 4, 6, 7, 8, 9, 10]
    assert not (tmp_path / "out.dead_letter.jsonl").exists()
