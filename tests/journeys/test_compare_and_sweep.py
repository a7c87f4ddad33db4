"""`compare` and `sweep` for real: networks are fitted and evaluated, through the command line."""

import contextlib
import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from small import SMALL_FOR_ANY
from tiny_backbone import TINY_BACKBONE

from amfam_tf.cli import main as command_line
from amfam_tf.comparison import children, worker
from amfam_tf.data.derm7pt import read_release
from amfam_tf.evaluation import predictions
from amfam_tf.models.backbones import BACKBONES
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT, TASKS

SMALLER = ("data.image_size=32", "model.reconstruction=false", "model.attention=none", "augmentation.enabled=false")
FAST = (*SMALL_FOR_ANY, *SMALLER, "training.epochs=1", "training.batch_size=8")
OPTIONS = ["--preset", "tiny", *(word for override in FAST for word in ("--set", override))]


def in_this_process(jobs, logs, *, watch=lambda _: None, **_):
    """Stands for `run_jobs`: the same work without starting TensorFlow again for each job."""
    del watch
    logs.mkdir(exist_ok=True)
    for job in jobs:
        task = json.loads(job.command[-1])
        with contextlib.redirect_stdout(io.StringIO()):
            worker.WORK[task["work"]](**task["arguments"])
    return {}


@pytest.mark.slow
def test_two_methods_with_two_seeds(drawn, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(children, "run_jobs", in_this_process)
    monkeypatch.setitem(BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    out = tmp_path / "out"
    words = [
        "compare",
        "--data",
        str(drawn),
        "--out",
        str(out),
        "--methods",
        "concat,amfam",
        "--seeds",
        "0,1",
        *OPTIONS,
    ]
    assert command_line.main(words) == 0
    printed = capsys.readouterr().out
    rows = {
        (row["method"], row["metric"]): row
        for row in csv.DictReader(io.StringIO((out / "comparison.csv").read_text(encoding="utf-8")))
    }
    release = read_release(drawn)
    cases = release[release["split"] == "test"]
    for method in ("concat", "amfam"):
        runs = [out / f"runs/{method}-seed{seed}" for seed in (0, 1)]
        found = [predictions.read(run / "evaluation/test/predictions.csv", cases, card=DERM7PT) for run in runs]
        accuracies = [
            [(table[f"{task.name}_true"] == table[f"{task.name}_pred"]).mean() for task in TASKS] for table in found
        ]
        assert float(rows[method, "DIAG"]["mean"]) == pytest.approx(sum(values[0] for values in accuracies) / 2)
        average = sum(map(sum, accuracies)) / 16
        assert float(rows[method, "average"]["mean"]) == pytest.approx(average)
        assert f"{100 * average:.1f}" in printed
        seconds = [second for run in runs for second in RunFolder(run).read_state().seconds]
        assert float(rows[method, "epoch_seconds"]["mean"]) == pytest.approx(sum(seconds) / 2)
        assert float(rows[method, "case_seconds"]["mean"]) > 0
        assert (runs[0] / "calibration.json").is_file()
    # The ablation is AMFAM without training-only parts: the classifiers are the same size, the networks are not.
    served, trained = (
        [float(rows[method, name]["mean"]) for method in ("concat", "amfam")]
        for name in ("parameters_served", "parameters")
    )
    assert served[0] == served[1] == trained[0] < trained[1]
    model = out / "runs/amfam-seed1/model.keras"
    before = model.stat().st_mtime_ns
    assert command_line.main(words) == 0
    assert model.stat().st_mtime_ns == before
    assert command_line.main([*words, "--set", "training.epochs=2"]) == 1
    assert "training.epochs: 1 -> 2" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_in_a_real_process_needs_no_test_picture(drawn, tmp_path, capsys):
    """A point is fitted in a child process; no picture of the test split can be decoded."""
    data = shutil.copytree(drawn, tmp_path / "data")
    release = read_release(data)
    for column in ("clinical", "dermoscopic"):
        for path in release.loc[release["split"] == "test", column]:
            Path(path).write_bytes(b"no picture")
    out = tmp_path / "out"
    words = ["sweep", "--data", str(data), "--out", str(out), "--method", "concat", *OPTIONS]
    assert command_line.main([*words, "--grid", "model.classifier_dropout=0.5"]) == 0
    assert "best: model.classifier_dropout=0.5" in capsys.readouterr().out
    with (out / "sweep.csv").open(encoding="utf-8", newline="") as stream:
        (row,) = csv.DictReader(stream)
    state = RunFolder(out / "runs/model.classifier_dropout=0.5-seed0").read_state()
    # The run's own best mean validation accuracy, a float32 mean over the batches.
    assert float(row["accuracy"]) == pytest.approx(state.best_accuracy, abs=1e-5)
    assert (row["best"], row["seeds"]) == ("True", "1")
    assert [path.name for path in out.glob("runs/*/evaluation/*")] == ["validate"]
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "epoch 1/1" in (out / "logs/model.classifier_dropout=0.5-seed0.log").read_text(encoding="utf-8")


def test_a_worker_says_a_users_error_in_one_last_line(tmp_path, capsys):
    command = worker.command("measure", run=str(tmp_path / "nothing"))
    assert worker.main([command[-1]]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ") and "nothing is no run folder" in last


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["compare", "--methods", "no-such"], 1, "error: unknown method 'no-such'; known: "),
        (["compare", "--methods", "concat,,amfam"], 2, "a word is missing between commas"),
        (["compare", "--seeds", "0,-1"], 2, "'-1' is no whole number from 0 to 4294967295"),
        (["compare", "--set", "method=concat"], 1, "error: --set method has no meaning here: use --methods"),
        (["compare", "--jobs", "0"], 2, "0 is not in the range 1<=x<="),
        (["sweep", "--grid", "loss.lambda=1"], 1, "error: unknown configuration key loss.lambda"),
        (["sweep"], 2, "Missing option '--grid'"),
    ],
)
def test_wrong_words_are_refused_in_one_line(words, status, message, drawn, tmp_path, capsys):
    out = tmp_path / "out"
    assert command_line.main([*words, "--data", str(drawn), "--out", str(out), "--preset", "tiny"]) == status
    error = capsys.readouterr().err
    assert message in error
    assert status == 2 or error.count("\n") == 1
    assert not out.exists()
