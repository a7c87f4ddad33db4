"""`amfam-tf ingest` as a user runs it, and what then takes the records as --data."""

import json
import re

import pandas as pd
import pytest
from releases import TinyRelease
from rich.console import Console
from small import small_config
from small_disks import full_disk
from staged_method import STAGED

from amfam_tf.cli import ingest as verb
from amfam_tf.cli import main
from amfam_tf.data import pipeline
from amfam_tf.evaluation import run as evaluation_run
from amfam_tf.evaluation.figures import gallery
from amfam_tf.models import registry
from amfam_tf.tasks import DERM7PT
from amfam_tf.training import run as training

pytestmark = pytest.mark.filterwarnings("ignore:Please install grpcio-status:ImportWarning")


@pytest.fixture(scope="module")
def records(drawn, tmp_path_factory):
    """The drawn release as records, made by the command line in this process."""
    out = tmp_path_factory.mktemp("verb") / "records"
    assert main.main(["ingest", str(drawn), str(out), "--shards", "2", "--workers", "1"]) == 0
    return out


def test_the_report_counts_classes_pictures_and_what_is_left_out(tmp_path, capsys):
    root = TinyRelease(12).write(tmp_path / "release")
    words = [str(root), str(tmp_path / "out"), "--shards", "1", "--workers", "1"]
    assert main.main(["ingest", *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["", "cases", "6", "3", "3", "12", ""] in [[cell.strip() for cell in line.split("│")] for line in lines]
    assert "clinical pictures, pixels: 12 of 80 x 64" in lines
    assert any(line.startswith("dermoscopic pictures, brightness of 255: train 12") for line in lines)
    assert any(line.startswith("note: absent_class: no case in test of ") for line in lines)
    assert lines[-1] == f"written: 12 records to {tmp_path / 'out'}"
    assert "left out: 0 of 12 rows" in lines
    assert main.main(["ingest", *words]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("workers", "options", "expected"),
    [
        (3, (), ["--direct_num_workers=3"]),
        (30, (), ["--direct_num_workers=8"]),
        (None, ("--runner=FlinkRunner",), []),
        (None, ("--direct_num_workers=2",), []),
        (None, ("--temp_location=/tmp",), ["--direct_num_workers=5"]),
    ],
)
def test_workers_are_those_asked_for_one_per_core_or_left_to_beam(monkeypatch, workers, options, expected):
    monkeypatch.setattr("amfam_tf.environment.usable_cores", lambda: 5)
    assert verb._worker_arguments(workers, 8, options) == expected


def test_workers_of_this_machine_and_another_engine_are_wrong_usage(drawn, tmp_path, capsys):
    words = ["ingest", str(drawn), str(tmp_path / "out"), "--workers", "2", "--", "--runner=FlinkRunner"]
    assert main.main(words) == 2
    assert "--workers is for this machine alone" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_leaves_nothing(drawn, tmp_path, capsys):
    with full_disk(tmp_path / "disk", 60, of_one_file=False) as disk:
        words = [str(drawn), str(disk.folder / "out"), "--shards", "2", "--workers", "1"]
        assert main.main(["ingest", *words]) == 1
        error = capsys.readouterr().err
        assert re.fullmatch(rf"error: cannot write .*{re.escape(str(disk.folder))}/\S+: {disk.reason}\n", error), error
        assert list(disk.folder.iterdir()) == []


def test_a_run_is_fitted_and_evaluated_on_records_as_on_the_release(drawn, records, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.METHODS, "staged", STAGED)
    config = small_config("training.epochs=2", "training.batch_size=8", method="staged")
    splits = [
        training.split_cases(training.read_data(data, config).cases, ("train",))["train"] for data in (drawn, records)
    ]
    batches = [list(pipeline.training_dataset(cases, config, DERM7PT).as_numpy_iterator()) for cases in splits]
    for first, second in zip(*batches, strict=True):
        assert all((first[key] == second[key]).all() for key in first)
    run = tmp_path / "run"
    assert not training.fit(records, run, config, Console(quiet=True)).already_finished
    assert training.fit(drawn, run, config, Console(quiet=True)).already_finished, "the same data, so the same run"
    first, second = (evaluation_run.evaluate_run(run, data, calibrate=False) for data in (drawn, records))
    pd.testing.assert_frame_equal(first.table, second.table)
    reports = [json.dumps(one.report) for one in (first, second)]  # as text: what has no cases is NaN
    assert reports[0] == reports[1]
    assert not any("not the data" in note for note in second.notes)
    number = int(second.cases["case_num"].iloc[3])
    pairs = [gallery.pair_of(one.cases, number) for one in (first, second)]
    assert (pairs[0] == pairs[1]).all()
