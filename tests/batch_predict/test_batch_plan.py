"""Splitting pairs into shards, and the manifest that holds a folder to one version, input and settings."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from amfam_tf.batch_predict import plan
from amfam_tf.batch_predict.folder import results_folder
from amfam_tf.batch_predict.model import ExportedVersion
from amfam_tf.batch_predict.pair import PairRow
from amfam_tf.batch_predict.source import PairSource, open_source
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.files.writing import PARTIAL
from amfam_tf.tasks import DERM7PT

VERSION = ExportedVersion(Path("/models/lesions/1"), "lesions", 1, "f" * 64, card=DERM7PT)


def source_of(count: int) -> PairSource:
    rows = (PairRow(number, f"/absent/{number}.jpg", "/absent/d.jpg") for number in range(count))
    return PairSource("pairs", "/pairs.csv", count, lambda: rows)


@pytest.fixture
def source(tmp_path) -> PairSource:
    """Seven pairs of one picture that exists."""
    (tmp_path / "a.jpg").write_bytes(b"picture")
    lines = [f"{number},a.jpg,a.jpg" for number in range(7)]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["case_num,clinical,dermoscopic", *lines]) + "\n")
    return open_source(str(path))


def test_every_pair_is_in_one_shard_and_in_order(source, tmp_path):
    manifest = plan.describe(source, VERSION, 3, 2)
    with results_folder(str(tmp_path / "out"), manifest, source) as folder:
        tasks = plan.tasks(plan.read(folder), source, folder)
    rows = [[row.case_num for row in plan.read_rows(task.rows)] for task in tasks]
    assert rows == [[0, 1, 2], [3, 4], [5, 6]]
    assert list(plan.read_rows(tasks[1].rows)) == list(source.rows())[3:5]
    assert [Path(task.out).name for task in tasks] == [f"part-0000{number}-of-00003.parquet" for number in range(3)]


@pytest.mark.parametrize(
    ("pairs", "shards"), [(1, 1), (8, 1), (9, 2), (1000, 16), (16 * 256, 16), (16 * 256 + 1, 17), (10**6, 1000)]
)
def test_the_number_of_shards_follows_from_the_number_of_pairs(pairs, shards):
    assert len(plan._split(source_of(pairs), None, batch_size=8)) == shards
    assert sum(plan._split(source_of(pairs), None, batch_size=8)) == pairs


def test_numbers_that_cannot_be_are_refused(source):
    with pytest.raises(ConfigError, match="7 pairs cannot be spread over 8 shards"):
        plan.describe(source, VERSION, 8, 2)
    with pytest.raises(ConfigError, match="the batch size must be at least 1. Received: 0"):
        plan.describe(source, VERSION, 1, 0)
    records = PairSource("records", "/r", None, lambda: iter(()), (Path("/r/a"), Path("/r/b")))
    with pytest.raises(ConfigError, match="2 files of records, each of which stays whole, cannot be spread over 3"):
        plan.describe(records, VERSION, 3, 2)


def test_another_picture_in_the_same_place_is_another_input(source, tmp_path):
    before = plan.describe(source, VERSION, 1, 2)
    assert plan.describe(source, VERSION, 1, 2) == before
    os.utime(tmp_path / "a.jpg", ns=(0, 0))
    after = plan.describe(source, VERSION, 1, 2)
    assert after["input"]["fingerprint"] != before["input"]["fingerprint"]
    with pytest.raises(DataError, match="what differs is the input"):
        plan.check_same(before, after, tmp_path)


def test_what_differs_is_said_in_one_line():
    wanted = plan.describe(source_of(4), VERSION, 2, 2)
    exported_anew = ExportedVersion(VERSION.path, "lesions", 1, "e" * 64, card=DERM7PT)
    found = plan.describe(source_of(5), exported_anew, 3, 4)
    with pytest.raises(DataError) as caught:
        plan.check_same(found, wanted, Path("out"))
    assert str(caught.value) == (
        "out holds results of another batch prediction; what differs is the version (another lesions version 1, "
        "exported anew) and the input (it was /pairs.csv, with the rows and files of that time) and shards (3 instead "
        "of 2) and batch_size (4 instead of 2): name a new folder, or ask for the same again"
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", "mine", "exists already and holds no batch prediction"),
        (plan.MANIFEST_FILE, "{", "cannot be read"),
        (plan.MANIFEST_FILE, '{"format": 9}', "is not of format 1"),
    ],
)
def test_a_folder_of_something_else_is_left_as_it_is(name, content, message, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(content)
    manifest = plan.describe(source, VERSION, 1, 2)
    with pytest.raises(DataError, match=message), results_folder(str(out), manifest, source):
        pytest.fail("it was taken")
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [(name, content)]


def test_what_a_kill_while_planning_has_left_is_removed(source, tmp_path):
    left = tmp_path / f"{PARTIAL}out"
    (left / plan.ROWS_FOLDER).mkdir(parents=True)
    (left / plan.ROWS_FOLDER / "part-00000-of-00009.jsonl").write_text('{"half a li')
    manifest = plan.describe(source, VERSION, 1, 2)
    with results_folder(str(tmp_path / "out"), manifest, source) as folder:
        assert [path.name for path in (folder / plan.ROWS_FOLDER).iterdir()] == ["part-00000-of-00001.jsonl"]
        assert json.loads((folder / plan.MANIFEST_FILE).read_text()) == manifest
    assert not left.exists()


def test_two_processes_do_not_predict_into_one_folder(source, tmp_path):
    manifest = plan.describe(source, VERSION, 1, 2)
    with results_folder(str(tmp_path / "out"), manifest, source):
        pass
    holder = os.open(tmp_path / "out", os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    with (
        pytest.raises(DataError, match="out is in use: another process predicts into it"),
        results_folder(str(tmp_path / "out"), manifest, source),
    ):
        pytest.fail("it was taken")
    os.close(holder)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file/out", "cannot write to .*file/out: Not a directory"),
        ("gs://bucket/out", "gs://bucket/out: results are written to a folder that this machine"),
    ],
)
def test_a_target_that_cannot_be_is_one_line(out, message, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    manifest = plan.describe(source, VERSION, 1, 2)
    with pytest.raises(DataError, match=message), results_folder(out, manifest, source):
        pytest.fail("it was made")
