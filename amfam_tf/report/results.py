"""What metrics.json and the file of a comparison hold, and the one reader of metrics.json.

A file may lack what a version of before did not write: only what every version wrote is required. Values are in [0, 1]
unless said otherwise; what is undefined is NaN, and null in a file and in what `read` returns. Beside a metric,
`<metric>_ci95` is its interval.
"""

import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Required, TypedDict

from amfam_tf.errors import RunError
from amfam_tf.files import json_file

Measured = float
"""NaN where it is undefined."""
Interval = list[Measured]
"""Lower and upper end."""


class ClassValues(TypedDict, total=False):
    """One class against the rest, or an average over classes; `support` are the cases of a class."""

    sensitivity: Measured
    sensitivity_ci95: Interval
    specificity: Measured
    specificity_ci95: Interval
    precision: Measured
    precision_ci95: Interval
    auc: Measured
    auc_ci95: Interval
    support: int
    f1: Measured
    f1_ci95: Interval
    average_precision: Measured
    average_precision_ci95: Interval


class Overall(TypedDict, total=False):
    """Metrics over all classes; kappa in [-1, 1]."""

    accuracy: Required[Measured]
    accuracy_ci95: Interval
    balanced_accuracy: Measured
    balanced_accuracy_ci95: Interval
    kappa: Measured
    kappa_ci95: Interval
    macro_f1: Measured
    macro_f1_ci95: Interval
    macro_auc: Measured
    macro_auc_ci95: Interval
    f1_at_half: Measured
    f1_at_half_ci95: Interval


class TaskValues(Overall, total=False):
    """A task, with its classes by name; `labelled` are the cases of which somebody knows the label, if not all."""

    labelled: int
    accuracy_wilson95: Interval
    classes: dict[str, ClassValues]


class Average(Overall, total=False):
    """Averages over the tasks, see `averages_over`."""

    paper_criteria: ClassValues
    paper_diagnosis: ClassValues
    macro: ClassValues


ConstantAnswer = TypedDict("ConstantAnswer", {"class": str, "accuracy": float})
"""The most frequent class of a task, and the accuracy of always answering it."""


class Baseline(TypedDict, total=False):
    """What always answering the most frequent class of a split reaches, on average and in each task."""

    majority_from: str
    average: float
    tasks: dict[str, ConstantAnswer]


class CalibrationBin(TypedDict, total=False):
    """The cases whose score is in (low, high]: mean score, and how often it came true with Wilson's interval."""

    low: float
    high: float
    cases: int
    confidence: Measured
    accuracy: Measured
    accuracy_low: Measured
    accuracy_high: Measured


class Forecast(TypedDict, total=False):
    """How well probabilities fit; the Brier score is in [0, 2], the log loss in nats."""

    expected_calibration_error: float
    brier_score: float
    log_loss: float
    bins: list[CalibrationBin]


class Forecasts(TypedDict, total=False):
    """How well the probabilities of each task fit, and that of each target; of Derm7pt's one, `melanoma`."""

    tasks: dict[str, Forecast]
    melanoma: Forecast
    targets: dict[str, Forecast]


class CalibrationPart(Forecasts, total=False):
    """The same after temperature scaling, and before it if there was any."""

    method: str | None
    temperatures: dict[str, float] | None
    before: Forecasts


class OperatingPoint(TypedDict, total=False):
    """A rate at a fixed value (`target`) of another, and the threshold that gives it."""

    target: float
    value: Measured
    ci95: Interval
    threshold: Measured


class TargetScore(TypedDict, total=False):
    """How well a score tells a target, such as melanoma."""

    auc: Measured
    auc_ci95: Interval
    sensitivity_at_specificity: list[OperatingPoint]
    specificity_at_sensitivity: list[OperatingPoint]


class TargetRule(ClassValues, total=False):
    """A rule for a target that needs no threshold: its sensitivity and specificity."""

    rule: str


class TargetPart(TypedDict, total=False):
    """A target or not; how many cases are, is `melanomas` in a file about Derm7pt."""

    cases: int
    melanomas: int
    positives: int
    scores: dict[str, TargetScore]
    auc_differences: list[dict[str, str | Measured]]
    rules: list[TargetRule]
    decision_curve: dict[str, list[float]]


class Subgroup(TypedDict, total=False):
    """The cases with one value of a variable.

    `diagnosis_accuracy`, `melanomas` and `melanoma_auc` are of files about Derm7pt. Those about other cards have
    `main_accuracy`, of the card's main task, and for each target `<target>_cases` and `<target>_auc`.
    """

    variable: str
    value: str
    cases: int
    melanomas: int
    too_small: bool
    accuracy: Measured
    accuracy_ci95: Interval
    diagnosis_accuracy: Measured
    diagnosis_accuracy_ci95: Interval
    melanoma_auc: Measured
    melanoma_auc_ci95: Interval
    main_accuracy: Measured
    main_accuracy_ci95: Interval


class PublishedPart(TypedDict, total=False):
    """What was published, corrected; `comparable` if it is of the same cases, and `note` says so."""

    row: str
    accuracy: dict[str, float]
    paper_criteria: dict[str, float]
    paper_diagnosis: dict[str, float]
    diagnosis_auc: dict[str, float]
    comparable: bool
    note: str


class DecidedTask(TypedDict, total=False):
    """Accuracy, balanced accuracy and macro F1 of a task: of the most probable class, and of the decided one."""

    cases: int
    plain: dict[str, Measured]
    decided: dict[str, Measured]
    gain_ci95: Interval


class DecidedPart(TypedDict, total=False):
    """What thresholds per class change; `nested` if each fold is decided by those that the others were fitted to."""

    measure: str
    nested: bool
    tasks: dict[str, DecidedTask]


class Change(TypedDict, total=False):
    """A metric of two runs on the same cases, and first minus second; the rest where it is tested."""

    first: Measured
    second: Measured
    difference: Measured
    ci95: Interval
    second_ci95: Interval
    only_first_right: int
    only_second_right: int
    mcnemar_exact_p: Measured
    mcnemar_mid_p: Measured
    mcnemar_holm_p: Measured
    delong_standard_error: Measured
    delong_p: Measured
    delong_holm_p: Measured


class TaskChange(TypedDict, total=False):
    """The metrics of a task, of files about Derm7pt its accuracy alone, and those of its classes by name."""

    accuracy: Required[Change]
    balanced_accuracy: Change
    kappa: Change
    macro_f1: Change
    macro_auc: Change
    f1_at_half: Change
    classes: Required[dict[str, dict[str, Change]]]


class RunComparison(TypedDict, total=False):
    """The content of the file of a comparison of two runs, `first` and `second`."""

    first: str
    second: str
    cases: int
    average: dict[str, Change]
    tasks: dict[str, TaskChange]


class ShuffledMetadata(RunComparison, total=False):
    """A run on the cases beside the same with the metadata of other cases, see `amfam_tf.evaluation.shuffled`."""

    columns: list[str]
    seed: int


class Report(TypedDict, total=False):
    """The content of metrics.json."""

    card: str
    split: Required[str]
    cases: Required[int]
    average: Required[Average]
    tasks: Required[dict[str, TaskValues]]
    majority_baseline: dict[str, Baseline]
    calibration: CalibrationPart
    melanoma: TargetPart
    targets: dict[str, TargetPart]
    subgroups: list[Subgroup]
    averages_over: dict[str, str]
    intervals: str
    undefined: list[dict[str, str]]
    notes: list[str]
    published: PublishedPart | None
    decided: DecidedPart
    shuffled_metadata: ShuffledMetadata
    views: dict[str, RunComparison]
    modalities: list[str]
    model_sha256: str | None
    data_fingerprint: str | None
    predictions_sha256: str | None
    trained_on_these_data: bool | None


def targets_of(report: Report) -> Mapping[str, TargetPart]:
    """Returns what was measured of each target, by name."""
    return {"melanoma": report["melanoma"]} if "melanoma" in report else report.get("targets", {})


def positives_of(part: TargetPart) -> int:
    """Returns how many cases are of a target."""
    return part["positives"] if "positives" in part else part["melanomas"]


def value(values: Mapping[str, Any], metric: str) -> Measured:
    """Returns a metric by its name."""
    found: Measured = values[metric]
    return found


def measured(values: Mapping[str, Any], metric: str) -> tuple[Measured, Interval]:
    """Returns a metric with its interval."""
    return values[metric], values[f"{metric}_ci95"]


def read(path: Path) -> Report | None:
    """Returns the content of a metrics.json; None if there is none.

    Raises:
        RunError: it is damaged, a key is missing that all versions wrote, or has a value of another type.
    """
    if not path.is_file():
        return None
    try:
        content = json_file.read(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged: run amfam-tf evaluate again") from error
    wrong = _wrong(content, Report, "")
    if wrong is not None:
        raise RunError(f"{path} is damaged: {wrong}; run amfam-tf evaluate again")
    return content


def _wrong(value: Any, kind: Any, place: str) -> str | None:
    """Returns what is not of a type, or None; the types are those of this file."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        found = [_wrong(value, part, place) for part in parts]
        return None if None in found else found[0]
    expected = dict if typing.is_typeddict(kind) else origin or kind
    # In JSON a number without a fraction looks like an int; true and false are no numbers.
    fits = isinstance(value, expected) or (expected is float and (value is None or isinstance(value, int)))
    if not fits or (isinstance(value, bool) and expected is not bool):
        return f"{place.rstrip('.') or 'its content'} is not {NAMES.get(expected, 'null')}"
    kinds: Mapping[Any, Any] = {}
    if typing.is_typeddict(kind):
        missing = sorted(kind.__required_keys__ - value.keys())
        if missing:
            return f"it has no {place}{missing[0]}"
        hints = _hints(kind)
        kinds = {key: hints[key] for key in value if key in hints}
    elif origin in (dict, list):
        kinds = dict.fromkeys(value if origin is dict else range(len(value)), parts[-1])
    return next(filter(None, (_wrong(value[key], part, f"{place}{key}.") for key, part in kinds.items())), None)


_hints = functools.cache(typing.get_type_hints)
"""Each type of this file stands for many objects of a metrics.json."""
NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
