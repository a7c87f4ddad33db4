"""The pipeline as a whole: the bytes that come out, what is left out and why, what is never touched."""

import fcntl
import json
import os
import warnings

import pytest
from pair_sources import natural_picture, pair_rows, to_csv
from PIL import Image
from releases import TinyRelease
from written_records import write_records

from amfam_tf.data import records
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.files.writing import PARTIAL
from amfam_tf.ingest import pipeline as ingest
from amfam_tf.ingest.output import new_folder

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Please install grpcio-status", ImportWarning)
    from memory_store import MemoryStore

CASES, SHARDS = 12, 3
SHARED, LEAKED_FROM, LEAKED_TO, NO_LABEL, DAMAGED = 1, 0, 11, 2, 4


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A data set without a fault and the CSV of pairs that says the same: folder with release/ and pairs.csv."""
    folder, release = tmp_path_factory.mktemp("clean"), TinyRelease(CASES)
    root = release.write(folder / "release")
    (folder / "pairs.csv").write_text(to_csv(pair_rows(release, root)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def expected(clean, tmp_path_factory):
    """The shards that `write_records` makes of the clean release."""
    out = tmp_path_factory.mktemp("expected") / "out"
    write_records(read_release(clean / "release"), out, shards=SHARDS)
    return contents(out)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A data set with a shared file, a picture that was saved again in another split, and two bad rows."""
    release = TinyRelease(CASES)
    release.meta.loc[SHARED, "clinic"] = release.meta.loc[SHARED, "derm"]
    release.meta.loc[NO_LABEL, "streaks"] = ""
    root = release.write(tmp_path_factory.mktemp("faulty") / "release")
    pictures = root / "images" / release.meta["derm"]
    natural_picture(0).save(pictures[LEAKED_FROM], "JPEG", quality=95)
    Image.open(pictures[LEAKED_FROM]).resize((120, 80)).save(pictures[LEAKED_TO], "JPEG", quality=70)
    pictures[DAMAGED].write_bytes(pictures[DAMAGED].read_bytes()[:300])
    return root


@pytest.fixture(scope="module")
def ingested(faulty, tmp_path_factory):
    """The report on the faulty release, made by this process alone."""
    out = tmp_path_factory.mktemp("ingested") / "out"
    return ingest.run(str(faulty), str(out), shards=SHARDS, max_bad_share=0.2)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def shards_of(folder):
    return {name: data for name, data in contents(folder).items() if name.startswith("cases-")}


def kinds(report):
    return {anomaly.kind: anomaly for anomaly in report.anomalies}


def test_a_release_gives_the_shards_that_write_records_makes(clean, expected, tmp_path):
    report = ingest.run(str(clean / "release"), str(tmp_path / "out"), shards=SHARDS)
    assert (report.cases, report.bad, report.out) == (CASES, 0, tmp_path / "out")
    assert shards_of(tmp_path / "out") == expected
    assert set(contents(tmp_path / "out")) - set(expected) == {
        *("anomalies.json", "dead_letter.jsonl", "schema.pbtxt", "statistics.json", "statistics.pbtxt")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_table_of_pairs_gives_the_same_shards(clean, expected, tmp_path):
    images = str(clean / "release" / "images")
    ingest.run(str(clean / "pairs.csv"), str(tmp_path / "out"), images=images, shards=SHARDS)
    assert shards_of(tmp_path / "out") == expected


def test_an_object_store_gives_the_same_shards(clean, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(MemoryStore, "files", {})
    MemoryStore.fill("memory://bucket/release_v0", clean / "release")
    MemoryStore.fill("memory://bucket/pairs", clean / "release" / "images")
    MemoryStore.files["memory://bucket/pairs/pairs.csv"] = (clean / "pairs.csv").read_bytes()
    for number, source in enumerate(("memory://bucket", "memory://bucket/pairs/pairs.csv")):
        ingest.run(source, str(tmp_path / str(number)), shards=SHARDS)
        assert shards_of(tmp_path / str(number)) == expected


def test_pictures_in_a_store_are_found_whatever_their_letter_case(clean, tmp_path, monkeypatch):
    monkeypatch.setattr(MemoryStore, "files", {})
    MemoryStore.fill("memory://bucket/pictures", clean / "release" / "images")
    name = next(path for path in MemoryStore.files if path.endswith("Nel000.jpg"))
    MemoryStore.files[name.replace("NEL/Nel000", "nel/NEL000")] = MemoryStore.files.pop(name)
    wanted = str(clean / "release"), str(tmp_path / "out")
    report = ingest.run(*wanted, images="memory://bucket/pictures", shards=SHARDS)
    assert report.cases == CASES
    del MemoryStore.files[name.replace("NEL/Nel000", "nel/NEL000")]
    with pytest.raises(DataError, match=r"row 0: column 'clinic': value 'NEL/Nel000.jpg' names no file in memory://"):
        ingest.run(*wanted[:1], str(tmp_path / "other"), images="memory://bucket/pictures", shards=SHARDS)


def test_a_store_that_cannot_be_read_ends_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^s3://bucket/pairs.csv: cannot be read: .*apache-beam\[aws\]") as caught:
        ingest.run("s3://bucket/pairs.csv", str(tmp_path / "out"))
    assert "\n" not in str(caught.value)


def test_two_processes_give_the_same_bytes_as_one(faulty, ingested, tmp_path):
    arguments = ["--direct_num_workers=2"]
    report = ingest.run(str(faulty), str(tmp_path / "out"), shards=SHARDS, max_bad_share=0.2, beam_arguments=arguments)
    assert contents(report.out) == contents(ingested.out)
    assert (report.cases, report.bad, report.anomalies) == (ingested.cases, ingested.bad, ingested.anomalies)


def test_bad_rows_are_dead_letters_with_their_reasons(ingested):
    assert (ingested.cases, ingested.bad) == (CASES - 2, 2)
    letters = [json.loads(line) for line in (ingested.out / "dead_letter.jsonl").read_text().splitlines()]
    assert [(letter["row"], letter["case_num"], letter["kind"]) for letter in letters] == [
        (NO_LABEL, NO_LABEL + 1, "missing_label"),
        (DAMAGED, DAMAGED + 1, "unusable_picture"),
    ]
    assert "'streaks'" in letters[0]["reason"]
    assert "cannot be decoded" in letters[1]["reason"]
    assert "NEL" in letters[1]["reason"] or "FCL" in letters[1]["reason"]
    assert kinds(ingested)["missing_label"].rows == (NO_LABEL,)
    left = [row + 1 for row in range(CASES) if row not in (NO_LABEL, DAMAGED)]
    assert records.read_records(ingested.out)["case_num"].tolist() == left


def test_a_copy_in_another_split_is_leakage_and_a_shared_file_is_none(ingested):
    found = kinds(ingested)
    assert found["leakage"].severity == "problem"
    assert found["leakage"].rows == (LEAKED_FROM, LEAKED_TO)
    assert found["shared_file"].severity == "note"
    assert found["shared_file"].rows == (SHARED,)
    assert "duplicate" not in found
    content = json.loads((ingested.out / "anomalies.json").read_text())
    assert [anomaly["kind"] for anomaly in content["anomalies"]] == [one.kind for one in ingested.anomalies]
    (group,) = content["duplicates"]
    assert (group["kind"], group["same_bytes"]) == ("leakage", False)
    assert [use["row"] for use in group["pictures"]] == [LEAKED_FROM, LEAKED_TO]


def test_more_bad_rows_than_allowed_leave_nothing_but_their_list(faulty, tmp_path):
    wanted = str(faulty), str(tmp_path / "out")
    with pytest.raises(DataError, match=r"^2 of 12 rows \(16\.7%\) become no record, at most 15\.0% may "):
        ingest.run(*wanted, shards=SHARDS, max_bad_share=0.15)
    assert [path.name for path in tmp_path.iterdir()] == ["out.dead_letter.jsonl"]
    assert len((tmp_path / "out.dead_letter.jsonl").read_text().splitlines()) == 2
    ingest.run(*wanted, shards=SHARDS, max_bad_share=2 / 12)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_table_that_is_too_bad_ends_before_any_picture_is_read(faulty, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest.beam_engine, "run_pipeline", None)
    with pytest.raises(DataError, match=r"^1 of 12 rows .* row 2: column 'streaks'"):
        ingest.run(str(faulty), str(tmp_path / "out"), shards=SHARDS)


def test_what_is_there_is_refused_and_left_alone(clean, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(DataError, match="out exists already"):
        ingest.run(str(clean / "release"), str(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    with pytest.raises(DataError, match="not to an object store"):
        ingest.run(str(clean / "release"), "gs://bucket/out")


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_not_disturbed(clean, expected, tmp_path):
    left = tmp_path / f"{PARTIAL}out"
    (left / "_work").mkdir(parents=True)
    (left / "cases-00000-of-00099.tfrecord.gz").touch()
    descriptor = os.open(left, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another process is writing these records"):
        ingest.run(str(clean / "release"), str(tmp_path / "out"), shards=SHARDS)
    assert len(list(left.iterdir())) == 2
    os.close(descriptor)
    ingest.run(str(clean / "release"), str(tmp_path / "out"), shards=SHARDS)
    assert shards_of(tmp_path / "out") == expected
    assert not left.exists()


def test_a_worker_that_outlives_its_killed_pipeline_writes_nothing_into_the_next(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out") as killed:
        raise KeyboardInterrupt
    with new_folder(tmp_path / "out") as folder:
        (folder / "mine").touch()
        killed.mkdir(parents=True)
        (killed / "late").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_folder_that_cannot_be_written_ends_in_one_line(clean, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^cannot write records to .*file/out: Not a directory$"):
        ingest.run(str(clean / "release"), str(tmp_path / "file" / "out"), shards=SHARDS)


def test_a_shard_that_cannot_be_written_ends_in_one_line(clean, tmp_path, monkeypatch):
    def fail(path):
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(records, "shard_writer", fail)
    with pytest.raises(DataError, match=r"^cannot write .*cases-0000\d-of-00003.tfrecord.gz: No space left on device$"):
        ingest.run(str(clean / "release"), str(tmp_path / "out"), shards=SHARDS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shards": 0}, "shards must be at least 1"),
        ({"max_bad_share": 1.5}, r"max_bad_share must be in \[0, 1\]"),
        ({"beam_arguments": ["--no_such_option=1"]}, "no_such_option"),
    ],
)
def test_impossible_arguments_are_refused(clean, tmp_path, arguments, message):
    with pytest.raises(ConfigError, match=message):
        ingest.run(str(clean / "release"), str(tmp_path / "out"), **{"shards": SHARDS, **arguments})
    assert list(tmp_path.iterdir()) == []


def test_more_shards_than_cases_are_refused(clean, tmp_path):
    with pytest.raises(DataError, match="12 cases cannot be spread over 13 shards"):
        ingest.run(str(clean / "release"), str(tmp_path / "out"), shards=13)


def test_a_release_whose_tables_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"meta/meta\.csv: no such file"):
        ingest.run(str(tmp_path / "nothing"), str(tmp_path / "out"))
