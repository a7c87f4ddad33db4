"""Batch prediction end to end: the same probabilities as evaluate, a bad picture alone, the same after any kill."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from exported_runs import CALIBRATED, OVERRIDES, encoded, random_picture
from small import small_config
from small_disks import full_disk
from written_records import write_records

from amfam_tf.cli import main as command_line
from amfam_tf.data import pipeline
from amfam_tf.errors import DataError
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.predict import predict
from amfam_tf.files.writing import PARTIAL
from amfam_tf.pipelines.batch_predict import run
from amfam_tf.tasks import DERM7PT, TASKS

# Bytes are compared with those of other processes, which optimise their graphs.
pytestmark = [pytest.mark.usefixtures("loaded_once"), pytest.mark.optimized_graphs]

PROBABILITIES = [name for task in TASKS for name in predictions.probability_columns(task)]
TOLERANCE = 1e-5
KILLED = """
import os, signal, sys
from pathlib import Path
from amfam_tf.cli.main import main
replace, done = Path.replace, []
def replace_or_die(self, target):
    if Path(target).suffix == ".parquet":
        done.append(target)
        if len(done) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)
Path.replace = replace_or_die
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def evaluated(cases, version) -> pd.DataFrame:
    """What evaluate says about the same cases, with the temperatures that the version applies."""
    dataset = pipeline.evaluation_dataset(cases, small_config(*OVERRIDES), DERM7PT)
    return predict(version.network.inference_model(), dataset, CALIBRATED, card=DERM7PT)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def largest_difference(first: pd.DataFrame, second: pd.DataFrame) -> float:
    return float(np.abs(first[PROBABILITIES].to_numpy() - second[PROBABILITIES].to_numpy()).max())


def test_probabilities_are_those_of_evaluate(predicted, evaluated):
    assert predicted.table["case_num"].tolist() == evaluated["case_num"].tolist()
    assert largest_difference(predicted.table, evaluated) <= TOLERANCE
    for task in TASKS:
        assert predicted.table[f"{task.name}_pred"].tolist() == evaluated[f"{task.name}_pred"].tolist()
    assert np.ptp(evaluated[PROBABILITIES].to_numpy(), axis=0).min() > 100 * TOLERANCE  # not all the same pair


def test_the_other_columns_follow_from_the_probabilities_and_the_version(predicted):
    table = predicted.table
    expected = [column for column in predictions.columns(card=DERM7PT) if not column.endswith("_true")]
    more = ["melanoma_probability", "seven_point_score", "model", "model_version", "error"]
    assert table.columns.tolist() == expected + more
    assert (table["melanoma_probability"] == table["DIAG_MEL"]).all()
    points = {task.name: dict(zip(task.classes, task.scores, strict=True)) for task in TASKS}
    score = sum(table[f"{name}_pred"].map(scores) for name, scores in points.items())
    assert table["seven_point_score"].tolist() == score.tolist()
    assert set(table["model"]) == {"lesions"}
    assert set(table["model_version"]) == {1}
    assert table["error"].isna().all()


def test_report_and_files_say_what_was_done(predicted):
    report = predicted.report
    assert (report.pairs, report.errors, report.shards, report.done_before, report.predicted) == (40, 0, 3, 0, 40)
    assert report.pairs_per_second == 40 / report.seconds
    paths = sorted(predicted.folder.glob("part-*.parquet"))
    assert [path.name for path in paths] == [f"part-0000{number}-of-00003.parquet" for number in range(3)]
    facts = pyarrow.parquet.read_metadata(paths[0]).metadata
    assert b"not a medical device" in facts[b"research_only"]
    assert (facts[b"pairs"], facts[b"errors"], facts[b"model"], facts[b"model_version"]) == (
        b"14",
        b"0",
        b"lesions",
        b"1",
    )


def test_a_bad_picture_costs_its_row_only(cases, version, evaluated, tmp_path):
    some = cases.head(9)
    images = Path(some["clinical"][0]).parents[1]
    broken, huge = tmp_path / "broken.jpg", tmp_path / "huge.png"
    broken.write_bytes(Path(some["clinical"][2]).read_bytes()[:500])
    huge.write_bytes(encoded(random_picture(shape=(200, 150, 3))))
    table = some[["case_num", "clinical", "dermoscopic", "sex"]].replace(f"{images}/", "", regex=True)
    table.loc[2, "clinical"], table.loc[3, "dermoscopic"] = str(broken), "nowhere/x.jpg"
    table.loc[5, "dermoscopic"], table.loc[6, "clinical"] = str(huge), ""
    table.to_csv(tmp_path / "pairs.csv", index=False)
    source, model, out = str(tmp_path / "pairs.csv"), str(version.path.parent), tmp_path / "out"
    report = run(source, model, str(out), images=str(images), shards=1, batch_size=3)
    result = pd.read_parquet(out)
    assert result["case_num"].tolist() == some["case_num"].tolist()
    assert result["error"].dropna().to_dict() == {
        2: f"clinical picture {broken} cannot be used: the picture is damaged or of a kind that cannot be read",
        3: f"dermoscopic picture {images}/nowhere/x.jpg cannot be read: No such file or directory",
        5: f"dermoscopic picture {huge} cannot be used: the picture has more than 20000 pixels",
        6: "column 'clinical' is empty",
    }
    good = [0, 1, 4, 7, 8]
    assert result.drop(index=good)[[*PROBABILITIES, "DIAG_pred", "seven_point_score"]].isna().all(axis=None)
    assert largest_difference(result.loc[good], evaluated.loc[good]) <= TOLERANCE
    assert (report.pairs, report.errors, report.first_error) == (9, 4, result["error"][2])


def test_records_are_predicted_file_by_file(cases, version, evaluated, tmp_path):
    some = cases.head(7).copy()
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    some.loc[4, "dermoscopic"] = str(bad)
    shards = write_records(some, tmp_path / "records", shards=2)
    report = run(str(tmp_path / "records"), str(version.path), str(tmp_path / "out"), batch_size=2)
    result = pd.read_parquet(tmp_path / "out")
    assert (report.pairs, report.errors, report.shards) == (7, 1, 2)
    assert result["case_num"].tolist() == some["case_num"].tolist()
    place = f"{shards[1]}, record 0, dermoscopic"
    assert (
        result["error"][4] == f"dermoscopic picture {place} cannot be used: the picture is not a JPEG, PNG or BMP file"
    )
    good = [0, 1, 2, 3, 5, 6]
    assert largest_difference(result.loc[good], evaluated.loc[good]) <= TOLERANCE


def test_killed_and_run_again_gives_the_same_bytes(drawn, version, predicted, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["batch-predict", str(drawn), "--version", str(version.path), "--out", str(out)]
    command += [f"--shards={predicted.settings['shards']}", f"--batch-size={predicted.settings['batch_size']}"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *command], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    left = files(out)
    assert sum(name.startswith(PARTIAL) for name in left) == 1
    assert sum(name.startswith("part-") for name in left) == 1
    assert command_line.main(command) == 0
    assert "done before: 1 of 3 shards" in capsys.readouterr().out
    assert files(out) == files(predicted.folder)


def test_a_full_disk_is_one_line_and_with_room_it_goes_on(drawn, version, predicted, tmp_path, capsys):
    command = ["batch-predict", str(drawn), "--version", str(version.path)]
    command += [f"--shards={predicted.settings['shards']}", f"--batch-size={predicted.settings['batch_size']}"]
    with full_disk(tmp_path / "disk", 48, of_one_file=False) as disk:
        out = disk.folder / "out"
        assert command_line.main([*command, "--out", str(out)]) == 1
        error = capsys.readouterr().err
        assert re.fullmatch(rf"error: cannot write (to )?{re.escape(str(out))}\S*: {disk.reason}\n", error), error
        shutil.copytree(out, tmp_path / "out")
    assert command_line.main([*command, "--out", str(tmp_path / "out")]) == 0
    assert files(tmp_path / "out") == files(predicted.folder)


def test_the_same_again_does_nothing_and_anything_else_is_refused(drawn, version, predicted, tmp_path):
    before, out = files(predicted.folder), str(predicted.folder)
    again = run(str(drawn), str(version.path), out, **predicted.settings)
    assert (again.predicted, again.done_before, again.pairs_per_second) == (0, 3, 0)
    with pytest.raises(DataError, match=r"what differs is shards \(3 instead of 2\) and batch_size \(4 instead of 5\)"):
        run(str(drawn), str(version.path), out, shards=2, batch_size=5)
    other = shutil.copytree(drawn, tmp_path / "other")
    with pytest.raises(DataError, match=r"what differs is the input \(it was "):
        run(str(other), str(version.path), out, **predicted.settings)
    newer = shutil.copytree(version.path, tmp_path / "lesions" / "2")
    metadata = newer / "assets.extra" / "metadata.json"
    metadata.write_text(metadata.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(DataError, match=r"the version \(lesions version 1 instead of lesions version 2\)"):
        run(str(drawn), str(newer), out, **predicted.settings)
    assert files(predicted.folder) == before
