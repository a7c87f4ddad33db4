"""Evaluator: measures the candidate, compares it with the served version on the same cases, and blesses it or not.

out/run/            what later steps need of the trained run; calibration.json and evaluation/<split>/ beside it, as
                    `amfam-tf evaluate` writes them
out/blessing.json   thresholds, losses and decision, see `amfam_tf.release.blessing`
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.card import cards
from amfam_tf.data import shards
from amfam_tf.files import json_file
from amfam_tf.release import blessing, losses, record, served
from amfam_tf.release.configuration import BlessingPart, ReleaseConfig
from amfam_tf.release.layout import RECORDS, RUN
from amfam_tf.release.step import StepOutcome, Work
from amfam_tf.report.notice import RESEARCH_ONLY
from amfam_tf.report.results import Report, RunComparison
from amfam_tf.runs import folder

BLESSING_FILE = "blessing.json"
COUNTED = (
    *(f"{RUN}/{name}" for name in (folder.CONFIG_FILE, folder.MODEL_FILE, folder.CALIBRATION_FILE)),
    *(f"{RUN}/{folder.EVALUATION}/*/{name}" for name in (folder.METRICS_FILE, folder.PREDICTIONS_FILE)),
)
RESUMABLE = False
RUN_FILES = (folder.CONFIG_FILE, folder.ENVIRONMENT_FILE, folder.MODEL_FILE, folder.HISTORY_FILE, folder.STATE_FILE)
OPTIONAL_FILES = (cards.FILE,)
"""Of a run whose data are not Derm7pt."""
NOTHING_SERVED = "first release: nothing is served to compare with"


def configuration(config: ReleaseConfig) -> BlessingPart:
    """Returns the rule of the blessing, with the split that is evaluated."""
    return config.blessing


def outside(config: ReleaseConfig, inputs: Mapping[str, Path]) -> dict[str, str]:
    """Returns the fingerprint of the version to compare with.

    Raises:
        ExportError: it is damaged.
    """
    found = _served(config, inputs["Trainer"])
    return {"served": "none" if found is None else found.fingerprint}


def _served(config: ReleaseConfig, trained: Path) -> served.Served | None:
    return served.baseline(Path(config.model), record.read(trained)["fingerprint"])


def run(work: Work) -> StepOutcome:
    """Evaluates the run, compares it with the served version case by case, and accepts it if the rule blesses it."""
    rules = work.config.blessing
    against = _served(work.config, work.inputs["Trainer"])
    copy = _copy_run(work.inputs["Trainer"] / RUN, work.out / RUN)
    records = work.inputs["ExampleGen"] / RECORDS
    report, found = _measure(copy, records, rules, against)
    decision = blessing.judge(report, rules.thresholds, found, shards.read_card(records))
    notes = _notes(work.records, against)
    _write(work.out / BLESSING_FILE, decision, against, notes)
    details = {
        "served": None if against is None else against.describe(),
        "reasons": list(decision.reasons),
        "thresholds": list(decision.thresholds),
        "notes": notes,
    }
    return StepOutcome(_sentence(decision, against, report), decision.blessed, details)


def _copy_run(trained: Path, copy: Path) -> Path:
    """Copies what evaluation and export read of a run: Trainer's own result stays as it is."""
    for name in (*RUN_FILES, *(name for name in OPTIONAL_FILES if (trained / name).is_file())):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(trained / name, copy / name)
    return copy


def _measure(
    run_folder: Path, records: Path, rules: BlessingPart, against: served.Served | None
) -> tuple[Report, list[dict[str, Any]] | None]:
    """Returns the content of metrics.json, and the tests for losses; writes evaluation/<split>/ with report.html."""
    from amfam_tf.evaluation import html_report
    from amfam_tf.evaluation.run import evaluate_run

    evaluation = evaluate_run(run_folder, records, rules.split)
    comparison, found = (None, None) if against is None else _compare(evaluation, against, rules)
    html_report.write_report(evaluation, comparison)
    return evaluation.report, found


def _compare(
    evaluation: Any, against: served.Served, rules: BlessingPart
) -> tuple[RunComparison, list[dict[str, Any]]]:
    """Returns the comparison for the report, written beside it, and the tests for losses."""
    from amfam_tf.evaluation import compare_runs, intervals
    from amfam_tf.evaluation.run import against_file
    from amfam_tf.release.served_predictions import predict_served

    table = predict_served(against.folder, evaluation.cases, evaluation.card)
    card, groups = evaluation.card, intervals.groups_of(evaluation.cases, evaluation.card)
    changes = compare_runs.compare(evaluation.table, table, card=card, groups=groups)
    comparison = {"first": "candidate", "second": against.name} | changes
    json_file.write(evaluation.folder / against_file(against.name), comparison)
    variables = rules.subgroups_of(card)
    found = losses.find_losses(evaluation.table, table, evaluation.cases, variables, rules.significance, card)
    return comparison, found


def _notes(records: Mapping[str, Any], against: served.Served | None) -> list[str]:
    """Returns what a reader of the decision has to know."""
    if against is None:
        return [NOTHING_SERVED]
    trained_on = against.made_by("ExampleGen")
    if trained_on is None:
        return [f"{against.name} was not pushed by a release: it may have been trained on cases of this split"]
    if trained_on != records["ExampleGen"]["fingerprint"]:
        return [f"{against.name} was trained on other records: it may have been trained on cases of this split"]
    return []


def _write(path: Path, decision: blessing.Blessing, against: served.Served | None, notes: list[str]) -> None:
    content = {
        "blessed": decision.blessed,
        "reasons": decision.reasons,
        "served": None if against is None else against.describe(),
        "thresholds": decision.thresholds,
        "losses": decision.losses,
        "notes": [*notes, RESEARCH_ONLY],
        "rule": " ".join(blessing.__doc__.split()),
    }
    json_file.write(path, content)


def _sentence(decision: blessing.Blessing, against: served.Served | None, report: Report) -> str:
    if not decision.blessed:
        more = f" (and {len(decision.reasons) - 1} more reasons)" if len(decision.reasons) > 1 else ""
        return f"not blessed: {decision.reasons[0]}{more}"
    beside = NOTHING_SERVED if against is None else f"no significant loss against {against.name}"
    reached = f"{len(decision.thresholds)} of {len(decision.thresholds)} thresholds reached"
    return f"blessed: {reached}; mean accuracy {report['average']['accuracy']:.4f}; {beside}"
