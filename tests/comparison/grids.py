"""Grids for tests: cheap stand-ins for the child process, and cells that look finished."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf import config as configuration
from amfam_tf.card.schema import DataCard
from amfam_tf.comparison import records
from amfam_tf.comparison.children import Job, Snapshot
from amfam_tf.data.cases import DataSet
from amfam_tf.evaluation import predictions
from amfam_tf.runs.folder import METRICS_FILE, PREDICTIONS_FILE, RunFolder, RunState
from amfam_tf.tasks import DERM7PT


def drawn_table(cases: pd.DataFrame, seed: int, skill: float = 1.0, card: DataCard = DERM7PT) -> pd.DataFrame:
    """Returns a predictions table of these cases whose probabilities lean to the labels by `skill`."""
    generator = np.random.default_rng(seed)
    probabilities, labels = {}, {}
    for task in card.tasks:
        labels[task.name] = cases[task.name].to_numpy()
        logits = generator.normal(size=(len(cases), len(task.classes)))
        logits += skill * np.eye(len(task.classes))[labels[task.name]]
        weights = np.exp(logits)
        probabilities[task.name] = weights / weights.sum(axis=1, keepdims=True)
    return predictions.to_frame(cases["case_num"].to_numpy(), labels, probabilities, card)


def write_cell(
    run: Path, config: Mapping, cases: pd.DataFrame, split: str, fingerprint: str, card: DataCard = DERM7PT
) -> None:
    """Writes what a fitted and evaluated cell leaves, predictions drawn from its seed."""
    folder = RunFolder(run)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    chosen = configuration.from_dict(config)
    folder.config_file.write_text(configuration.dump(chosen), encoding="utf-8")
    folder.write_state(RunState(epochs=2, finished=True, stopped=True, seconds=[30.0, 10.0 + chosen.seed]))
    folder.model_file.write_text(f"model of {run.name}", encoding="utf-8")
    write_evaluation(run, cases, split, fingerprint, chosen.seed, card)


def write_evaluation(
    run: Path, cases: pd.DataFrame, split: str, fingerprint: str, seed: int, card: DataCard = DERM7PT
) -> None:
    """Writes the evaluation of a cell."""
    folder = RunFolder(run).evaluation(split)
    predictions.write(drawn_table(cases, seed, card=card), folder / PREDICTIONS_FILE, card)
    (folder / METRICS_FILE).write_text("{}", encoding="utf-8")
    records.record_evaluation(run, split, fingerprint)


class FakeRunner:
    """Stands for `run_jobs`: does in this process, and without TensorFlow, what the child would leave behind.

    Args:
        release: all cases.
        failing: name of a job -> its error.
        card: of the data.
    """

    def __init__(self, release: pd.DataFrame, failing: Mapping[str, str] | None = None, card: DataCard = DERM7PT):
        self.data = DataSet(card, release)
        self.failing = dict(failing or {})
        self.ran: list[str] = []
        self.interrupt_after: int | None = None

    def __call__(
        self,
        jobs: Sequence[Job],
        logs: Path,
        *,
        at_once: int = 1,
        watch: Callable[[Snapshot], None] = lambda _: None,
        threads: int | None = None,
    ) -> dict[str, str]:
        self.called_with = {"logs": logs, "at_once": at_once, "threads": threads}
        succeeded: list[str] = []
        failed: dict[str, str] = {}
        for place, job in enumerate(jobs):
            waiting = tuple(other.name for other in jobs[place + 1 :])
            watch(Snapshot(waiting, (job.name,), tuple(succeeded), dict(failed)))
            if self.interrupt_after == len(self.ran):
                raise KeyboardInterrupt
            self.ran.append(job.name)
            if job.name in self.failing:
                failed[job.name] = self.failing[job.name]
            else:
                self._work(json.loads(job.command[-1]))
                succeeded.append(job.name)
            watch(Snapshot(waiting, (), tuple(succeeded), dict(failed)))
        return failed

    def _work(self, task: Mapping) -> None:
        given = task["arguments"]
        run = Path(given["run"])
        if task["work"] == "measure":
            content = {"parameters": 2000, "parameters_served": 1500, "seconds_per_case": 0.004, "batch_size": 16}
            machine = {"device": "CPU", "processor": "Test", "cpu_count": 2, "devices": ["CPU"]}
            records.write_measurement(run, content | machine)
            return
        used = self.data.used(configuration.from_dict(given["config"]).data).cases
        cases = used[used["split"] == given["split"]].reset_index(drop=True)
        write_cell(run, given["config"], cases, given["split"], given["fingerprint"], self.data.card)
