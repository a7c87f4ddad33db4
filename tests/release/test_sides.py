"""The Evaluator holds the candidate against the served version, not the other way round: gains pass, losses do not."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from prediction_tables import cases_of_table, random_table

from amfam_tf.evaluation import compare_runs, html_report, intervals, metrics, predictions
from amfam_tf.evaluation import run as evaluation_run
from amfam_tf.release import blessing, evaluator, served, served_predictions
from amfam_tf.release.configuration import BlessingPart, Threshold
from amfam_tf.release.losses import find_losses
from amfam_tf.release.pipeline import STEPS
from amfam_tf.tasks import DERM7PT, METADATA, TASKS

CASES = 200
RESAMPLES = 100
"""Few: no end of an interval is asked for here."""
QUANTITIES = ("accuracy", "diagnosis_accuracy", "melanoma_sensitivity", "melanoma_specificity", "melanoma_auc")


def better_and_worse() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns two tables on the same cases: of a network that knows much, and of one that knows less."""
    good = random_table(CASES, seed=1, skill=3.0)
    bad = random_table(CASES, seed=2, skill=0.0)
    labels = {task.name: predictions.true_labels(good, task) for task in TASKS}
    guesses = {task.name: predictions.task_probabilities(bad, task) for task in TASKS}
    return good, predictions.to_frame(good["case_num"].to_numpy(), labels, guesses, DERM7PT)


GOOD, BAD = better_and_worse()


@functools.cache
def report_of(good: bool) -> dict[str, Any]:
    """Returns what the rule reads of metrics.json."""
    table = GOOD if good else BAD
    measured = metrics.all_metrics(table, DERM7PT)
    intervals.add_intervals(measured, table, intervals.bootstrap(table, RESAMPLES, card=DERM7PT), DERM7PT)
    return measured


COMPARE = compare_runs.compare
META = cases_of_table(GOOD).assign(sex=[METADATA["sex"][number % 2] for number in range(CASES)])


@dataclass
class Shown:
    """What the Evaluator handed to the report."""

    comparison: dict[str, Any] | None = None


@pytest.fixture
def evaluate(monkeypatch, tmp_path):
    """Returns the function that evaluates a candidate's table against a served one, as the step does."""

    def run(candidate: pd.DataFrame, of_served: pd.DataFrame | None, at_least: float = 0.0):
        shown = Shown()
        folder = tmp_path / "evaluation"
        report = report_of(candidate is GOOD)
        evaluation = SimpleNamespace(table=candidate, cases=META, folder=folder, report=report, card=DERM7PT)
        against = None if of_served is None else served.Served(tmp_path / "models" / "amfam" / "3", 3, "f" * 64, {})
        monkeypatch.setattr(evaluation_run, "evaluate_run", lambda *_: evaluation)
        monkeypatch.setattr(compare_runs, "compare", functools.partial(COMPARE, resamples=RESAMPLES))
        monkeypatch.setattr(html_report, "write_report", lambda _, comparison: setattr(shown, "comparison", comparison))
        monkeypatch.setattr(served_predictions, "predict_served", lambda *_: of_served)
        monkeypatch.setattr(evaluator, "_served", lambda *_: against)
        monkeypatch.setattr(evaluator, "_copy_run", lambda _, to: to)
        (tmp_path / "out").mkdir(exist_ok=True)
        rules = BlessingPart(thresholds=(Threshold("average.accuracy", at_least),), split="test", subgroups=("sex",))
        work = SimpleNamespace(
            config=SimpleNamespace(blessing=rules, model="models/amfam"),
            inputs={"Trainer": tmp_path, "ExampleGen": tmp_path},
            out=tmp_path / "out",
            records={"ExampleGen": {"fingerprint": "e"}},
        )
        outcome = evaluator.run(work)
        return outcome, json.loads((work.out / "blessing.json").read_text()), shown.comparison, folder

    return run


def mean_accuracy(table: pd.DataFrame) -> float:
    return float(sum((table[f"{task.name}_true"] == table[f"{task.name}_pred"]).mean() for task in TASKS) / len(TASKS))


def test_a_gain_is_blessed(evaluate):
    outcome, content, _, _ = evaluate(GOOD, BAD)
    assert outcome.accepted
    assert outcome.decision == (
        f"blessed: 1 of 1 thresholds reached; mean accuracy {mean_accuracy(GOOD):.4f}; no significant loss against "
        "amfam/3"
    )
    assert content["blessed"] is True
    assert all(row["difference"] > 0 and not row["loss"] for row in content["losses"])


def test_a_loss_is_blocked_and_both_values_are_at_their_place(evaluate):
    outcome, content, _, _ = evaluate(BAD, GOOD)
    assert not outcome.accepted
    assert outcome.decision.startswith(
        f"not blessed: accuracy overall is {mean_accuracy(BAD):.4f}, the served version has {mean_accuracy(GOOD):.4f} "
        f"on the same {CASES} cases"
    )
    assert content["blessed"] is False
    assert content["served"] == {"version": 3, "fingerprint": "f" * 64}
    whole = {row["quantity"]: row for row in content["losses"] if row["variable"] == "all"}
    assert tuple(whole) == QUANTITIES
    assert all(row["candidate"] < row["served"] and row["loss"] for row in whole.values())
    assert all(row["difference"] == pytest.approx(row["candidate"] - row["served"]) for row in whole.values())


def test_the_comparison_of_the_report_is_candidate_minus_served(evaluate):
    _, _, comparison, folder = evaluate(BAD, GOOD)
    assert (comparison["first"], comparison["second"]) == ("candidate", "amfam/3")
    row = comparison["average"]["accuracy"]
    assert row["first"] == pytest.approx(mean_accuracy(BAD))
    assert row["second"] == pytest.approx(mean_accuracy(GOOD))
    assert row["difference"] < 0
    (path,) = folder.glob("against_*.json")
    assert path.name == "against_amfam_3.json"
    assert json.loads(path.read_text())["average"]["accuracy"]["first"] == pytest.approx(mean_accuracy(BAD))


def test_the_threshold_is_the_candidates(evaluate):
    """0.5 lies between both: the candidate decides, whatever is served."""
    assert mean_accuracy(BAD) < 0.5 < 0.8 < mean_accuracy(GOOD)
    outcome, content, _, _ = evaluate(GOOD, BAD, at_least=0.7)
    assert outcome.accepted
    (row,) = content["thresholds"]
    assert row["value"] == pytest.approx(mean_accuracy(GOOD))
    outcome, content, _, _ = evaluate(BAD, BAD, at_least=0.7)
    assert not outcome.accepted
    assert "begins below 0.7" in outcome.decision


def test_one_reason_is_the_whole_sentence(evaluate):
    outcome, content, _, _ = evaluate(BAD, BAD, at_least=0.7)
    (reason,) = content["reasons"]
    assert outcome.decision == f"not blessed: {reason}"


def test_two_reasons_are_one_and_one_more():
    decision = blessing.Blessing(("the first", "the second"), (), None)
    assert evaluator._sentence(decision, None, {}) == "not blessed: the first (and 1 more reasons)"


def test_what_evaluation_and_export_read_of_a_run_is_copied_and_only_that(tmp_path):
    trained, copy = tmp_path / "trained", tmp_path / "out" / "run"
    names = ["config.yaml", "environment.json", "model.keras", "history.csv", "checkpoints/state.json"]
    for name in (*names, "checkpoints/epoch-3.keras"):
        (trained / name).parent.mkdir(parents=True, exist_ok=True)
        (trained / name).write_text(f"content of {name}")
    for _ in range(2):  # again over what a killed run has left
        assert evaluator._copy_run(trained, copy) == copy
    found = {path.relative_to(copy).as_posix(): path.read_text() for path in copy.rglob("*") if path.is_file()}
    assert found == {name: f"content of {name}" for name in names}


def test_only_the_trainer_goes_on_with_what_a_killed_run_has_left():
    assert [step.name for step in STEPS if step.load().RESUMABLE] == ["Trainer"]


def test_what_is_served_decides_by_its_content(monkeypatch, tmp_path):
    seen = []
    found = [None, served.Served(tmp_path / "models" / "amfam" / "3", 3, "f" * 64, {})]
    monkeypatch.setattr(evaluator.record, "read", lambda folder: {"fingerprint": f"of {folder.name}"})
    monkeypatch.setattr(evaluator.served, "baseline", lambda *arguments: seen.append(arguments) or found[len(seen) - 1])
    inputs = {"Trainer": tmp_path / "trained", "ExampleGen": tmp_path / "records"}
    config = SimpleNamespace(model="models/amfam")
    assert evaluator.outside(config, inputs) == {"served": "none"}
    assert evaluator.outside(config, inputs) == {"served": "f" * 64}
    assert seen == [(Path("models/amfam"), "of trained")] * 2


def test_a_first_release_has_nothing_to_lose(evaluate):
    outcome, content, comparison, _ = evaluate(BAD, None)
    assert outcome.accepted
    assert outcome.decision.endswith("first release: nothing is served to compare with")
    assert content["losses"] is None and comparison is None
    assert content["notes"][0] == "first release: nothing is served to compare with"


def test_every_loss_is_one_reason_and_only_the_first_is_in_the_sentence(evaluate):
    outcome, content, _, _ = evaluate(BAD, GOOD)
    lost = [row for row in content["losses"] if row["loss"]]
    assert len(content["reasons"]) == len(lost) > 3
    assert outcome.decision.endswith(f"(and {len(lost) - 1} more reasons)")
    assert outcome.details["reasons"] == content["reasons"]


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_exchanged_tables_exchange_values_and_turn_the_p_value(quantity):
    one, other = (
        next(row for row in find_losses(*tables, META, (), 0.05, DERM7PT) if row["quantity"] == quantity)
        for tables in ((BAD, GOOD), (GOOD, BAD))
    )
    assert (one["candidate"], one["served"]) == (other["served"], other["candidate"])
    assert one["difference"] == pytest.approx(-other["difference"])
    assert one["p"] < 1e-3 and other["p"] > 0.999
    assert one["loss"] and not other["loss"]


def test_every_subgroup_is_of_its_own_cases():
    rows = {(row["quantity"], row["value"]): row for row in find_losses(BAD, GOOD, META, ("sex",), 0.05, DERM7PT)}
    for value in METADATA["sex"]:
        inside = (META["sex"] == value).to_numpy()
        row = rows["diagnosis_accuracy", value]
        assert row["cases"] == inside.sum()
        for name, table in (("candidate", BAD), ("served", GOOD)):
            assert row[name] == pytest.approx((table["DIAG_true"] == table["DIAG_pred"])[inside].mean())


def test_notes_say_what_the_served_version_was_trained_on():
    folder = Path("models/amfam/3")
    records = {"ExampleGen": {"fingerprint": "same"}}

    def notes(lineage):
        return evaluator._notes(records, served.Served(folder, 3, "f", lineage))

    assert notes({"steps": {"ExampleGen": {"fingerprint": "same"}}}) == []
    (other,) = notes({"steps": {"ExampleGen": {"fingerprint": "other"}}})
    assert other.startswith("amfam/3 was trained on other records")
    (unknown,) = notes({})
    assert unknown.startswith("amfam/3 was not pushed by a release")
