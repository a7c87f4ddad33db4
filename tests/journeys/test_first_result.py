"""What a newcomer does, by the command line: draw, check, fit, lose the process, resume, evaluate.

All this in processes of their own; what is refused after it is asked for in this one, which has imported TensorFlow.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from amfam_tf.cli import main as command_line
from amfam_tf.tasks import TASKS

SMALL = (
    "--preset=tiny",
    "--set=data.image_size=64",
    "--set=model.decoder_channels=[8, 8, 8]",
    "--set=training.epochs=3",
    "--set=training.batch_size=8",
    "--set=training.picture_every=0",
)
PATIENCE_SECONDS = 300


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "amfam_tf", *map(str, words)]


def amfam_tf(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*words), capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=newcomers_environment()
    )


def newcomers_environment() -> dict[str, str]:
    """Returns this environment without a log level, which a newcomer has not set; other tests of this process may."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


def fit_words(data: Path, run: Path, *more: str) -> tuple[object, ...]:
    return ("fit", "--data", data, "--run", run, *SMALL, *more)


def fit_here(data: Path, run: Path, *more: str) -> int:
    """Runs `fit` in this process and returns its status."""
    return command_line.main([str(word) for word in fit_words(data, run, *more)])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data set of 40 cases, drawn and checked by the command line."""
    root = tmp_path_factory.mktemp("journey") / "release"
    drawn = amfam_tf("synth", root, "--cases", 40, "--size", "96x72", "--traps")
    assert (drawn.returncode, drawn.stdout) == (0, f"40 cases drawn into {root}\n")
    checked = amfam_tf("check", root)
    assert checked.returncode == 0, checked.stdout
    assert "\n0 problems\n" in checked.stdout
    return root


def kill_after(words: list[str], text: str) -> str:
    """Starts a process and kills it, without warning, once its output has `text`; returns what it printed."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        printed = ""
        for line in process.stdout:
            printed += line
            if text in line:
                os.kill(process.pid, signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL, printed
    return printed


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """Two runs of one configuration: one unbroken, one killed after its second epoch and started again."""
    root = tmp_path_factory.mktemp("runs")
    unbroken = amfam_tf(*fit_words(data, root / "unbroken"))
    assert unbroken.returncode == 0, unbroken.stderr
    kill_after(command(*fit_words(data, root / "killed")), "epoch 2/3")
    assert not (root / "killed/model.keras").exists()
    resumed = amfam_tf(*fit_words(data, root / "killed"))
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after epoch 2 of 3" in resumed.stdout
    return root, unbroken.stdout


def test_killed_and_resumed_equals_unbroken(runs):
    root, _ = runs
    histories = [(root / name / "history.csv").read_bytes() for name in ("unbroken", "killed")]
    assert histories[0] == histories[1]
    evaluated = {}
    for name in ("unbroken", "killed"):
        state = json.loads((root / name / "checkpoints/state.json").read_text())
        evaluated[name] = {key: state[key] for key in ("epochs", "best_epoch", "best_accuracy", "history")}
    assert evaluated["unbroken"] == evaluated["killed"]


def test_fit_ends_with_temperatures_that_export_applies(runs):
    root, _ = runs
    written = [json.loads((root / name / "calibration.json").read_text()) for name in ("unbroken", "killed")]
    assert written[0]["temperatures"] == written[1]["temperatures"]
    assert set(written[0]["temperatures"]) == {task.name for task in TASKS}


def test_fit_shows_every_named_loss_and_the_validation_accuracy(runs):
    _, output = runs
    lines = [line for line in output.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 3
    names = ("classification", "adversarial", "reconstruction_clinical", "reconstruction_dermoscopic")
    assert all(name in line for line in lines for name in (*names, "validation accuracy"))


def test_evaluate_prints_the_table_and_writes_the_stable_files(runs, data):
    root, _ = runs
    done = amfam_tf("evaluate", root / "unbroken", "--data", data, "--split", "test")
    assert done.returncode == 0, done.stderr
    for word in ("majority", "not a medical device", *(task.name for task in TASKS)):
        assert word in done.stdout
    folder = root / "unbroken/evaluation/test"
    predictions = pd.read_csv(folder / "predictions.csv")
    columns = ["case_num"]
    for task in TASKS:
        columns += [f"{task.name}_true", f"{task.name}_pred", *(f"{task.name}_{name}" for name in task.classes)]
    assert list(predictions) == columns
    metrics = json.loads((folder / "metrics.json").read_text())
    assert (metrics["split"], metrics["cases"]) == ("test", len(predictions))
    for task in TASKS:
        right = (predictions[f"{task.name}_true"] == predictions[f"{task.name}_pred"]).mean()
        assert metrics["tasks"][task.name]["accuracy"] == pytest.approx(right)
        low, high = metrics["tasks"][task.name]["accuracy_ci95"]
        assert 0 <= low <= right <= high <= 1


def test_finished_run_is_not_trained_again(runs, data, capsys):
    root, _ = runs
    assert fit_here(data, root / "unbroken") == 0
    assert capsys.readouterr().out.startswith("run already finished: 3 epochs")


ERRORS = {
    "unknown key": (
        ("--set=model.colour=red",),
        "error: unknown configuration key model.colour; known here: backbone, ",
    ),
    "impossible value": (("--set=training.epochs=0",), "error: training.epochs must be from 1 to 1000000. Received: 0"),
    "unknown preset": (
        ("--preset=huge",),
        "error: unknown preset 'huge': it is none of laptop, paper, tiny and no YAML file",
    ),
    "unknown method": (("--method=alexnet",), "error: unknown method 'alexnet'; known: clinical-only, "),
    "missing weights": (("--set=model.weights=no.weights.h5",), "error: weight file no.weights.h5 does not exist"),
    "no ImageNet weights": (
        ("--set=model.backbone=resnet18", "--set=model.weights=imagenet"),
        "error: there are no ImageNet weights for resnet18, only for resnet50",
    ),
    "another configuration": (("--set=seed=9",), "was begun with another configuration (seed: 0 -> 9)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_and_status_1(name, runs, data, tmp_path, capsys):
    root, _ = runs
    more, expected = ERRORS[name]
    run = root / "unbroken" if name == "another configuration" else tmp_path / "run"
    status = fit_here(data, run, *more)
    out, error = capsys.readouterr()
    assert (status, out) == (1, "")
    assert expected in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_missing_data_is_one_line(tmp_path, capsys):
    assert fit_here(tmp_path / "nothing", tmp_path / "run") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert str(tmp_path / "nothing") in error
    assert error.count("\n") == 1


def test_missing_option_is_wrong_usage(data):
    done = amfam_tf("fit", "--data", data)
    assert done.returncode == 2
    assert "Missing option '--run'" in done.stderr


def test_second_process_in_one_run_folder_is_refused(data, tmp_path):
    with subprocess.Popen(
        command(*fit_words(data, tmp_path / "run")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as first:
        while not (tmp_path / "run/config.yaml").exists():
            assert first.poll() is None, first.stdout.read()
            time.sleep(0.05)
        second = amfam_tf(*fit_words(data, tmp_path / "run"))
        first.terminate()
        assert first.stdout.read().splitlines()[-1] == "interrupted by SIGTERM: the same command goes on from there"
    assert first.returncode == 143
    assert second.returncode == 1
    assert (
        second.stderr == f"error: run folder {tmp_path / 'run'} is in use by another process: wait for it or stop it\n"
    )
