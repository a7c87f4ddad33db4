"""Evaluates a finished run on one split: predicts, measures, writes `evaluation/<split>/` in the run folder."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from amfam_tf.card import cards, inputs
from amfam_tf.card.schema import MODALITIES, SPLITS, DataCard
from amfam_tf.config import Config
from amfam_tf.errors import DataError, RunError
from amfam_tf.evaluation import (
    calibration,
    compare_runs,
    intervals,
    metrics,
    paper,
    predictions,
    provenance,
    report,
    shuffled,
    views,
)
from amfam_tf.evaluation import thresholds as decisions
from amfam_tf.files import json_file
from amfam_tf.files.digests import file_digest
from amfam_tf.report import results
from amfam_tf.report.results import PublishedPart, Report, RunComparison
from amfam_tf.runs import calibration as stored_calibration
from amfam_tf.runs.calibration import Calibration
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import ENVIRONMENT_FILE, METRICS_FILE, PREDICTIONS_FILE, REPORT_FILE, RunFolder

if TYPE_CHECKING:
    from amfam_tf.data.cases import DataSet

Track = Callable[[Iterable[Mapping[str, Any]], int], Iterable[Mapping[str, Any]]]
"""Passes batches through and shows progress; the second argument is their number."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        run: the run folder.
        split: name of the split.
        cases: rows of the data set in the order of `table`.
        used: all cases that the run would use.
        config: of the run.
        table: the predictions table.
        report: content of metrics.json (NaN where undefined).
        notes: what a reader has to know, one sentence each.
        modalities: the pictures that the model was given.
        card: of the data.
    """

    run: Path
    split: str
    cases: pd.DataFrame
    used: pd.DataFrame
    config: Config
    table: pd.DataFrame
    report: Report
    notes: tuple[str, ...]
    card: DataCard
    modalities: tuple[str, ...] = MODALITIES

    @property
    def folder(self) -> Path:
        """Returns the folder that holds the files."""
        return RunFolder(self.run).evaluation(self.split, self.modalities)

    @property
    def scope(self) -> str:
        """Returns the split, and which picture was given if one was left out, for headings."""
        return self.split if _has_all(self.modalities) else f"{self.split}, {self.modalities[0]} picture alone"


@dataclass(frozen=True)
class _Source:
    """A finished run and the data that it is evaluated on; `used` has the cases that the run would use."""

    run: FinishedRun
    card: DataCard
    used: pd.DataFrame
    published: PublishedPart | None
    track: Track | None
    fingerprint: str
    same_data: bool | None

    def cases(self, split: str) -> pd.DataFrame:
        """Returns the rows of a split, possibly none."""
        return self.used[self.used["split"] == split].reset_index(drop=True)


def _has_all(modalities: tuple[str, ...]) -> bool:
    return set(modalities) == set(MODALITIES)


def evaluate_run(
    run: Path,
    data: Path,
    split: str = "test",
    track: Track | None = None,
    calibrate: bool = True,
    modalities: tuple[str, ...] = MODALITIES,
    card: Path | None = None,
    thresholds: bool = False,
) -> Evaluation:
    """Predicts a split with the best model of a run and writes predictions.csv and metrics.json.

    The first time, it also fits one temperature per task on the validation split and writes calibration.json.

    Args:
        run: a run folder that `amfam-tf fit` has finished.
        data: a data set with the questions of the run, or a folder of records, see `cases.read`.
        split: train, validate or test.
        calibrate: apply the temperatures; False leaves the probabilities as the model gives them.
        modalities: the pictures to give to the model; without one, the temperatures do not apply. With both, a network
            that takes one is also measured with each alone, see `views`.
        card: file of the data's card, if it does not lie beside them; the run's own if they have none.
        thresholds: also measure the classes that the run's thresholds decide for.

    Raises:
        RunError: no run folder, training has not finished, there are no thresholds, or the method cannot do without a
            picture.
        ConfigError: the card cannot be used.
        DataError: the data set cannot be used, asks other questions than the run answers, or the split has no cases.
    """
    source, notes = _open(run, data, split, track, modalities, card)
    finished, cases = source.run, source.cases(split)
    digest = finished.model_sha256
    weights = finished.own_thresholds if thresholds else None
    model = finished.inference_model(modalities)
    pairs = predict_pairs(model, cases, finished.config, source.card, track)
    # The temperatures of a run are fitted with all its pictures.
    calibrate = calibrate and _has_all(modalities)
    fitted, more = _calibration(source, model, pairs, split) if calibrate else (None, ["no temperature is applied"])
    raw, table = (predictions.averaged(one, source.card) for one in (pairs, calibrated(pairs, fitted, source.card)))
    if source.same_data:
        notes += provenance.member_notes(finished, split)
    notes += [*provenance.training_notes(finished), *input_notes(finished.config, modalities, source.card), *more]
    notes += absence_notes(table, split, source.card)
    if weights is not None and source.same_data:
        notes.append("the thresholds were fitted on cases of this split: their gain is larger than on new cases")
    content = _measure(source, split, table, raw, fitted, notes) | {"modalities": list(modalities)}
    if weights is not None:
        content["decided"] = decisions.measured(table, weights, source.card, intervals.groups_of(cases, source.card))
    content |= {provenance.MODEL: digest, provenance.DATA: source.fingerprint, provenance.TRAINED_ON: source.same_data}
    columns = finished.config.model.metadata
    if columns:
        asked = shuffled.with_others_metadata(cases, columns)
        other = calibrated(predict_pairs(model, asked, finished.config, source.card, track), fitted, source.card)
        answers = predictions.averaged(other, source.card)
        content["shuffled_metadata"] = shuffled.control(table, answers, columns, cases, source.card)
    if _has_all(modalities) and finished.takes_one_picture:
        content["views"] = views.compared(table, _alone(source, cases), cases, source.card)
    told = tuple(notes)
    evaluation = Evaluation(
        run, split, cases, source.used, finished.config, table, content, told, source.card, modalities
    )
    write_evaluation(evaluation)
    return evaluation


def _alone(source: _Source, cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns the predictions table of each picture alone, by modality, without temperatures."""
    config = source.run.config
    return {
        key: predict_cases(source.run.inference_model((key,)), cases, config, source.card, source.track)
        for key in MODALITIES
    }


def _measure(
    source: _Source,
    split: str,
    table: pd.DataFrame,
    raw: pd.DataFrame | None,
    fitted: Calibration | None,
    notes: list[str],
) -> Report:
    """Returns the content of metrics.json; `raw` are the predictions before the temperatures of `fitted`."""
    training = source.cases("train")
    content = report.build_report(
        table,
        split,
        cases=source.cases(split),
        training=None if training.empty else training,
        uncalibrated=raw,
        temperatures=None if fitted is None else fitted.temperatures,
        notes=notes,
        card=source.card,
    )
    return content if source.published is None else content | {"published": source.published}


def write_evaluation(evaluation: Evaluation) -> None:
    """Writes predictions.csv and metrics.json."""
    # A report of other predictions must not stay beside these.
    (evaluation.folder / REPORT_FILE).unlink(missing_ok=True)
    path = evaluation.folder / PREDICTIONS_FILE
    predictions.write(evaluation.table, path, evaluation.card)
    evaluation.report[provenance.PREDICTIONS] = file_digest(path)
    json_file.write(evaluation.folder / METRICS_FILE, evaluation.report)


def _open(
    run: Path,
    data: Path,
    split: str,
    track: Track | None,
    modalities: tuple[str, ...] = MODALITIES,
    card: Path | None = None,
) -> tuple[_Source, list[str]]:
    """Returns the run and its data, which have cases in the split, and notes about them."""
    from amfam_tf.data.cases import data_fingerprint, refuse_missing_pictures

    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}: it is one of {', '.join(SPLITS)}")
    finished = FinishedRun.open(run)
    found = read_for(finished, data, card)
    used = found.used(finished.config.data).cases
    if not (used["split"] == split).any():
        raise DataError(f"{data} has no cases in the split {split}")
    refuse_missing_pictures(used, data)
    fingerprint = data_fingerprint(used, found.card)
    trained_on = finished.data_fingerprint
    same_data = None if trained_on is None else trained_on == fingerprint
    notes = fingerprint_notes(same_data)
    published = None
    if cards.is_derm7pt(found.card):
        published = paper.published_part(finished.config.method, found.cases, split)
        if not _has_all(modalities):
            published = published | {"comparable": False, "note": "published for both pictures: not comparable"}
    return _Source(finished, found.card, used, published, track, fingerprint, same_data), notes


def read_for(finished: FinishedRun, data: Path, card: Path | None = None) -> "DataSet":
    """Returns a data set that a run can be asked about.

    Raises:
        ConfigError: the card cannot be used.
        DataError: the data set cannot be used, or asks other questions than the run answers.
    """
    from amfam_tf.data.cases import read

    run, found = finished.path, read(data, card=_card_file(finished, data, card))
    if not cards.same_questions(found.card, finished.card):
        raise DataError(
            f"{data} has the card {found.card.name}, whose tasks or classes are not those of {finished.card.name}, "
            f"which {run} is trained on: evaluate it on data with the same questions"
        )
    columns = finished.config.model.metadata
    if not inputs.same_inputs(found.card, finished.card, columns):
        raise DataError(
            f"{data}: the card {found.card.name} has other values or ranges of {' and '.join(columns)} than "
            f"{finished.card.name}, which {run} is trained on"
        )
    return found


def _card_file(run: FinishedRun, data: Path, given: Path | None) -> Path | None:
    """Returns the card to read data by: one that somebody names, or the run's if the data have none of their own."""
    from amfam_tf.data import shards

    if given is not None or not run.folder.card_file.exists() or shards.has_shards(data):
        return given
    own = cards.beside(data) is not None or next(cards.with_layout(data), None) is not None
    return None if own else run.folder.card_file


def predict_cases(
    model: Any, cases: pd.DataFrame, config: Config, card: DataCard, track: Track | None = None
) -> pd.DataFrame:
    """Returns the predictions table of the cases, in their order, at temperature 1.

    Of a case with several pictures of a view these are means over its pairs, unless the run takes the first only.
    """
    return predictions.averaged(predict_pairs(model, cases, config, card, track), card)


def predict_pairs(
    model: Any, cases: pd.DataFrame, config: Config, card: DataCard, track: Track | None = None
) -> pd.DataFrame:
    """Returns the predictions table of the cases with a row for each pair, those of a case one after the other.

    That is of the first one if the run takes that only. A temperature is of the answer to a pair: it is applied before
    they are averaged.
    """
    from amfam_tf.data import pipeline, several
    from amfam_tf.evaluation.predict import predict

    pairs = several.rows_of_pairs(cases, config)
    dataset = pipeline.evaluation_dataset(pairs, config, card=card)
    batches = dataset if track is None else track(dataset, pipeline.evaluation_steps(len(pairs), config))
    with pipeline.naming_bad_files(pairs, config):
        return predict(model, batches, card=card)


def calibrated(table: pd.DataFrame, fitted: Calibration | None, card: DataCard) -> pd.DataFrame:
    """Returns a predictions table with the temperatures of a run, if it has any, applied."""
    return table if fitted is None else calibration.apply(table, fitted.temperatures, card)


def calibrate_run(
    run: Path, data: Path, track: Track | None = None, trained_on: "DataSet | None" = None
) -> tuple[Calibration | None, list[str]]:
    """Returns the temperatures of a run, fitted now if it has none, and notes about them.

    None if the data are not those that the run was trained on and it has no calibration.json.

    Args:
        run: a run folder that `amfam-tf fit` has finished.
        data: a data set with the questions of the run, or a folder of records.
        track: shows progress.
        trained_on: `data`, if the run is known to be trained on it; then neither read nor compared with the run again.

    Raises:
        RunError: no run folder, or training has not finished.
        DataError: the data set cannot be used, or has no validation split.
    """
    if trained_on is None:
        source, notes = _open(run, data, "validate", track)
    else:
        finished = FinishedRun.open(run)
        fingerprint = finished.data_fingerprint or trained_on.fingerprint
        source, notes = _Source(finished, trained_on.card, trained_on.cases, None, track, fingerprint, True), []
    fitted = source.run.calibration
    if fitted is not None:
        return fitted, [*notes, *fitted.notes]
    found, more = _calibration(source, source.run.inference_model(), None, "validate")
    return found, [*notes, *more]


def _calibration(
    source: _Source, model: Any, raw: pd.DataFrame | None, split: str
) -> tuple[Calibration | None, list[str]]:
    """Returns the temperatures, read or fitted and written, and notes; `raw` are those of pairs of `split`, if any."""
    run = source.run
    fitted = run.calibration
    if fitted is None:
        cases = source.cases("validate")
        if not source.same_data:
            return None, ["no temperature is applied: fit them by evaluating on the data of the training first"]
        if cases.empty:
            return None, ["no temperature is applied: the data have no validation split to fit them on"]
        validation = raw if split == "validate" and raw is not None else None
        if validation is None:
            validation = predict_pairs(model, cases, run.config, source.card, source.track)
        fitted = calibration.fit(validation, run.model_sha256, source.card, source.fingerprint)
        stored_calibration.write(run.folder.calibration_file, fitted)
    notes = list(fitted.notes)
    if split == "validate":
        notes.append("the temperatures were fitted on this split: its calibration is better than on new cases")
    return fitted, notes


def fingerprint_notes(same_data: bool | None) -> list[str]:
    """Returns a note if the data are not those that the run was trained on, or if it does not say which those were."""
    if same_data is None:
        return [f"{ENVIRONMENT_FILE} does not say which data the run was trained on"]
    if same_data:
        return []
    return ["these are not the data that the run was trained on: a case of this split may have been trained on"]


def input_notes(config: Config, modalities: tuple[str, ...], card: DataCard) -> list[str]:
    """Returns a note if a picture is left out, and a note if the model is given what follows from the diagnosis."""
    left_out = [name for name in MODALITIES if name not in modalities]
    notes = [f"the model was not given the {name} picture" for name in left_out]
    warning = inputs.warning(card, config.model.metadata)
    return notes if warning is None else [*notes, warning]


def absence_notes(table: pd.DataFrame, split: str, card: DataCard) -> list[str]:
    """Returns a note if some class has no case, and one if no label of a task is known."""
    unknown = [task.name for task in card.tasks if not predictions.labelled(table, task).any()]
    notes = [
        f"no case of the split {split} has a label of {name}: its metrics are undefined (null) and in no average"
        for name in unknown
    ]
    absent = metrics.absent_classes(table, card)
    if absent:
        names = ", ".join(f"{task} {name}" for task, name in absent)
        notes.append(f"no case of the split {split} has {names}: what needs such cases is undefined (null)")
    return notes


def compare_with(
    evaluation: Evaluation, other: Path, data: Path, track: Track | None = None, card: Path | None = None
) -> RunComparison:
    """Compares an evaluation with another run on the same cases and writes `against_<name>.json` beside it.

    The other run is given the same pictures and the same card. Its predictions.csv is used if metrics.json beside it
    says that it is of the present weights and of these data; else the run is evaluated first.

    Returns:
        What `compare_runs.compare` returns, with `first` and `second`, the names of the run folders.

    Raises:
        RunError: the other run cannot be used, or answers other questions.
        DataError: its predictions are of other cases.
    """
    finished = FinishedRun.open(other)
    if not cards.same_questions(finished.card, evaluation.card):
        raise RunError(
            f"{other} is trained on data with the card {finished.card.name}, {evaluation.run} with "
            f"{evaluation.card.name}: their tasks or classes differ, so they cannot be compared"
        )
    path = finished.folder.evaluation(evaluation.split, evaluation.modalities) / PREDICTIONS_FILE
    measured = results.read(path.with_name(METRICS_FILE))
    if provenance.holds(measured, path, finished.model_sha256, evaluation.report[provenance.DATA]):
        second = predictions.read(path, evaluation.cases, card=evaluation.card)
    else:
        modalities = evaluation.modalities
        second = evaluate_run(other, data, evaluation.split, track, modalities=modalities, card=card).table
    one, two = short_names(evaluation.run.resolve(), other.resolve())
    groups = intervals.groups_of(evaluation.cases, evaluation.card)
    found = compare_runs.compare(evaluation.table, second, card=evaluation.card, groups=groups)
    comparison: RunComparison = {"first": one, "second": two, **found}
    json_file.write(evaluation.folder / against_file(two), comparison)
    return comparison


def against_file(name: str) -> str:
    """Returns the name of the file that holds the comparison with the run `name`."""
    return f"against_{file_part(name)}.json"


def file_part(name: str) -> str:
    """Returns the short name of a run as part of a file name."""
    return name.replace("/", "_")


def short_names(first: Path, second: Path) -> tuple[str, str]:
    """Returns the shortest names that tell two run folders apart: the folder, or with the one above it."""
    if first.name != second.name:
        return first.name, second.name
    return f"{first.parent.name}/{first.name}", f"{second.parent.name}/{second.name}"
