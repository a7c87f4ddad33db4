"""Evaluates a finished run on one split: predicts, measures, writes `evaluation/<split>/` in the run folder."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amfam_tf import config as configuration
from amfam_tf.config import Config
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation import intervals, metrics, predictions, report_json
from amfam_tf.tasks import SPLITS, TASKS, task_names

MODEL_FILE = "model.keras"
CONFIG_FILE = "config.yaml"
ENVIRONMENT_FILE = "environment.json"
PREDICTIONS_FILE = "predictions.csv"
METRICS_FILE = "metrics.json"
ACCURACY_INTERVAL = "Wilson"

Track = Callable[[Iterable[Mapping[str, Any]], int], Iterable[Mapping[str, Any]]]
"""Passes batches through and shows progress; the second argument is their number."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        run: the run folder.
        split: name of the split.
        cases: rows of the release in the order of `table`.
        table: the predictions table.
        report: content of metrics.json (NaN where undefined).
        notes: what a reader has to know, one sentence each.
    """

    run: Path
    split: str
    cases: pd.DataFrame
    table: pd.DataFrame
    report: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Returns the folder that holds the files."""
        return folder_of(self.run, self.split)


def folder_of(run: Path, split: str) -> Path:
    """Returns the folder of the evaluation of a split."""
    return run / "evaluation" / split


def evaluate_run(run: Path, data: Path, split: str = "test", track: Track | None = None) -> Evaluation:
    """Predicts a split with the best model of a run and writes predictions.csv and metrics.json.

    Args:
        run: a run folder that `amfam-tf fit` has finished.
        data: a release in the Derm7pt layout.
        split: train, validate or test.
        track: shows progress; None shows nothing.

    Raises:
        RunError: no run folder, or training has not finished.
        DataError: the release cannot be used, or the split has no cases.
    """
    from amfam_tf.data.derm7pt import read_release

    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}: it is one of {', '.join(SPLITS)}")
    config = read_config(run)
    release = read_release(data, drop_shared_files=config.data.drop_shared_files)
    cases = cases_of(release, split, data)
    table = predict_cases(load_inference_model(run), cases, config, track)
    notes = [*fingerprint_notes(run, release), *absence_notes(table, split)]
    training = cases_of(release, "train", data) if (release["split"] == "train").any() else None
    report = build_report(table, split, training, notes)
    folder = folder_of(run, split)
    predictions.write(table, folder / PREDICTIONS_FILE)
    report_json.write(folder / METRICS_FILE, report)
    return Evaluation(run, split, cases, table, report, tuple(notes))


def read_config(run: Path) -> Config:
    """Returns the configuration of a finished run.

    Raises:
        RunError: no run folder, or training has not finished.
    """
    if not (run / CONFIG_FILE).is_file():
        raise RunError(f"{run} is no run folder: it has no {CONFIG_FILE}; `amfam-tf fit --run {run}` makes one")
    if not (run / MODEL_FILE).is_file():
        raise RunError(f"{run} has not finished training: it has no {MODEL_FILE}; the same `amfam-tf fit` resumes it")
    return configuration.read(run / CONFIG_FILE)


def cases_of(release: pd.DataFrame, split: str, data: Path) -> pd.DataFrame:
    """Returns the rows of a split.

    Raises:
        DataError: it has none.
    """
    cases = release[release["split"] == split].reset_index(drop=True)
    if cases.empty:
        raise DataError(f"{data} has no cases in the split {split}")
    return cases


def load_inference_model(run: Path) -> Any:
    """Returns the classifier's part of a run's best model: images in, logits per task out.

    Raises:
        RunError: the file cannot be loaded.
    """
    import keras

    import amfam_tf.models  # noqa: F401  (registers the classes that the file names)

    path = run / MODEL_FILE
    try:
        model = keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error
    return model.inference_model() if hasattr(model, "inference_model") else model


def predict_cases(
    model: Any,
    cases: pd.DataFrame,
    config: Config,
    track: Track | None = None,
    temperatures: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Returns the predictions table of the cases, in their order."""
    from amfam_tf.data import pipeline
    from amfam_tf.evaluation.predict import predict

    dataset = pipeline.evaluation_dataset(cases, config)
    batches = dataset if track is None else track(dataset, pipeline.steps_per_epoch(len(cases), config))
    with pipeline.naming_bad_files(cases, config):
        return predict(model, batches, temperatures)


def fingerprint_notes(run: Path, release: pd.DataFrame) -> list[str]:
    """Returns a note if the data are not those that the run was trained on."""
    from amfam_tf.data.derm7pt import data_fingerprint

    try:
        trained = json.loads((run / ENVIRONMENT_FILE).read_text(encoding="utf-8"))["data_fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{ENVIRONMENT_FILE} does not say which data the run was trained on"]
    if trained == data_fingerprint(release):
        return []
    return ["these are not the data that the run was trained on: a case of this split may have been trained on"]


def absence_notes(table: pd.DataFrame, split: str) -> list[str]:
    """Returns a note if some class has no case."""
    absent = metrics.absent_classes(table)
    if not absent:
        return []
    names = ", ".join(f"{task} {name}" for task, name in absent)
    return [f"no case of the split {split} has {names}: what needs such cases is undefined (null)"]


def build_report(
    table: pd.DataFrame, split: str, training: pd.DataFrame | None = None, notes: Iterable[str] = ()
) -> dict[str, Any]:
    """Returns the content of metrics.json (NaN where undefined).

    Args:
        table: the predictions table.
        split: name of the split.
        training: cases of the training split, whose majority class is the baseline; None leaves that one out.
        notes: sentences to keep with the numbers.
    """
    measured = metrics.all_metrics(table)
    labels = {task.name: predictions.true_labels(table, task) for task in TASKS}
    for name, values in measured["tasks"].items():
        correct = round(values["accuracy"] * len(table))
        interval = list(intervals.wilson(correct, len(table)))
        measured["tasks"][name] = {"accuracy": values.pop("accuracy"), "accuracy_ci95": interval, **values}
    baseline = {"evaluated": metrics.majority_baseline(labels)}
    if training is not None:
        trained = {name: training[name].to_numpy() for name in task_names()}
        baseline["train"] = metrics.majority_baseline(labels, trained)
    return {
        "split": split,
        "cases": len(table),
        "average": measured["average"],
        "tasks": measured["tasks"],
        "majority_baseline": baseline,
        "averages_over": dict(metrics.AVERAGES),
        "accuracy_interval": ACCURACY_INTERVAL,
        "undefined": measured["undefined"],
        "notes": list(notes),
    }
