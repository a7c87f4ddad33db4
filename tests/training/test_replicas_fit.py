"""Training on two devices and on two workers ends as on one device, and goes on after a worker was killed.

Each strategy needs processes of its own: TensorFlow takes its devices and its cluster only once.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port
from recycled_trainers import recycled_trainers
from rich.console import Console
from run_comparison import assert_same_training
from small import SMALL_FOR_ANY, small_config
from tiny_method import TINY

from amfam_tf import models
from amfam_tf.runs.folder import RunFolder
from amfam_tf.training.run import fit

HERE = Path(__file__).parent
# 16 training cases in batches of 5, 5, 5 and 1, three times in the first stage and twice in the second; epsilon: a
# gradient that is 0 but for rounding must not become a step.
TWENTY_STEPS = (
    "training.epochs=5",
    "training.pretraining_epochs=3",
    "training.batch_size=5",
    "optimizer.epsilon=1e-4",
    "optimizer.clip_norm=1.0",
    "model.embedding_dropout=0",
)
KILLED_IN = 3
"""Epoch, the first of the second stage."""
SECONDS = 900
"""Only a process that hangs takes as long."""
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, *sys.path)))}


@pytest.fixture(autouse=True)
def tiny_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "tiny", TINY)


@pytest.fixture(scope="module", autouse=True)
def recycled():
    with recycled_trainers():
        yield


@pytest.fixture(scope="module")
def reference(drawn, tmp_path_factory):
    """A run on one device."""
    path = tmp_path_factory.mktemp("runs") / "reference"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.METHODS, "tiny", TINY)
        fit_alone(drawn, path)
    return path


def fit_alone(data: Path, run: Path) -> None:
    fit(data, run, small_config(*TWENTY_STEPS, method="tiny", sizes=SMALL_FOR_ANY), Console(quiet=True))


@pytest.mark.slow
def test_laws_of_two_devices(drawn, reference):
    """Those of two_devices.py."""
    told = {"REPLICAS_FIT": json.dumps([str(drawn), str(reference), TWENTY_STEPS])}
    options = ("-q", "-p", "no:xdist", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, HERE / "two_devices.py"],
        env=ENVIRONMENT | told,
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_end_as_one_device(drawn, reference, tmp_path):
    run, other, alone = tmp_path / "run", tmp_path / "other", tmp_path / "alone"
    statuses, told = train(drawn, run, other, "--strategy", "auto", dies_in=KILLED_IN)
    assert statuses == [1, -9], told
    assert "error: the workers no longer reach each other" in told[0]
    assert RunFolder(run).read_state().epochs == KILLED_IN
    shutil.copytree(run, alone)

    statuses, told = train(drawn, run, other, "--strategy", "multi-worker", "--profile")
    assert statuses == [0, 0], told
    assert f"resuming after epoch {KILLED_IN} of 5" in told[0]
    assert_same_training(run, reference)
    two = {"from_epoch": 0, "strategy": "multi-worker", "replicas": 2, "workers": 2}
    assert RunFolder(run).read_environment()["distribution"] == [two]
    assert {"model.keras", "calibration.json", "history.csv", "profile.json"} <= {item.name for item in run.iterdir()}
    # The second worker has read and written nothing, and says so; TensorFlow may complain of a chief that ends first.
    assert not other.exists()
    assert sum(line.endswith("; the chief has the model") for line in told[1].splitlines()) == 1

    # The folder of the killed run goes on with another number of devices, too.
    fit_alone(drawn, alone)
    assert_same_training(alone, reference)
    assert [entry["replicas"] for entry in RunFolder(alone).read_environment()["distribution"]] == [2, 1]


def train(
    data: Path, run: Path, other: Path, *options: str, dies_in: int | None = None
) -> tuple[list[int], tuple[str, ...]]:
    """Runs two workers with the same command but each its own --run, and returns their exit statuses and outputs.

    Args:
        data: to fit on.
        run: folder of the chief.
        other: that of the other worker.
        options: further ones of `amfam-tf fit`.
        dies_in: the epoch in which the other worker is killed.
    """
    addresses = [f"localhost:{port}" for port in (free_port(), free_port())]
    settings = [word for value in (*SMALL_FOR_ANY, *TWENTY_STEPS) for word in ("--set", value)]
    dying = {} if dies_in is None else {"DIES_IN_EPOCH": str(dies_in)}
    logs = [path.with_suffix(".log") for path in (run, other)]
    processes = []
    try:
        for number, folder in enumerate((run, other)):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": number}}
            command = [sys.executable, HERE / "one_worker.py", "fit", "--data", data, "--run", folder, *settings]
            with logs[number].open("w") as log:
                processes.append(
                    subprocess.Popen(
                        [*command, "--preset", "tiny", "--method", "tiny", *options],
                        env=ENVIRONMENT | {"TF_CONFIG": json.dumps(cluster)} | (dying if number else {}),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        statuses = [process.wait(SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return statuses, tuple(log.read_text() for log in logs)
