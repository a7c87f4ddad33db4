"""The tests for a loss: exact where they say so, corrected over the subgroups, silent where there is nothing."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from prediction_tables import cases_of_table, random_table
from scipy.stats import binomtest

from amfam_tf.errors import DataError
from amfam_tf.evaluation import compare_runs, predictions
from amfam_tf.release.losses import find_losses, sign_flip_p_value
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, METADATA, TASKS

CASES = 120


@pytest.mark.parametrize("differences", [[3, -1, 2], [-8, 1, 1, 0, 2], [0, 0], [5], [-2, -2, 2, 4, -1, 1]])
def test_sign_flip_p_value_is_the_share_of_all_sign_patterns(differences):
    sums = [np.dot(signs, np.abs(differences)) for signs in itertools.product((-1, 1), repeat=len(differences))]
    assert sign_flip_p_value(np.array(differences)) == pytest.approx(np.mean(np.array(sums) <= sum(differences)))


def test_sign_flip_test_of_right_and_wrong_is_mcnemars_exact_test():
    differences = np.array([1] * 7 + [-1] * 19 + [0] * 300)
    expected = binomtest(7, 26, alternative="less").pvalue
    assert sign_flip_p_value(differences) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("cases", "sizes"), [(5, 2), (1000, 5)])
def test_p_values_are_probabilities_whatever_the_rounding(cases, sizes):
    """Added up, the shares of these are more than 1 and less than 0, in the last digit."""
    differences = np.resize(np.arange(1, sizes + 1), cases)
    assert 1.0 - 1e-12 < sign_flip_p_value(differences) <= 1.0
    assert 0.0 <= sign_flip_p_value(-differences) < 0.04


def test_nobody_to_compare_is_no_loss():
    assert sign_flip_p_value(np.array([], np.int64)) == 1.0


def with_sexes(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the cases of a table; the first half is female, the second male, but for three of unknown sex."""
    half = len(table) // 2
    return cases_of_table(table).assign(sex=["female"] * half + ["male"] * (half - 3) + [""] * 3)


def spoiled(table: pd.DataFrame, rows: slice) -> pd.DataFrame:
    """Returns the table with every answer of these rows turned to a wrong one."""
    labels = {task.name: predictions.true_labels(table, task) for task in TASKS}
    probabilities = {}
    for task in TASKS:
        values = predictions.task_probabilities(table, task).copy()
        wrong = (labels[task.name][rows] + 1) % len(task.classes)
        values[rows] = np.eye(len(task.classes))[wrong]
        probabilities[task.name] = values
    return predictions.to_frame(table["case_num"].to_numpy(), labels, probabilities, DERM7PT)


def test_equal_answers_lose_nowhere():
    table = random_table(CASES, seed=0)
    rows = find_losses(table, table.iloc[::-1], with_sexes(table), ("sex",), 0.05, DERM7PT)
    assert [row["loss"] for row in rows] == [False] * 15
    assert all(row["difference"] == 0 for row in rows if row["tested"])


def test_a_loss_in_one_subgroup_is_found_there_with_holms_correction():
    served = random_table(CASES, seed=1, skill=2.0)
    rows = find_losses(spoiled(served, slice(60, 75)), served, with_sexes(served), ("sex",), 0.05, DERM7PT)
    found = {(row["quantity"], row["value"]): row for row in rows}
    assert found["accuracy", "male"]["loss"]
    assert found["diagnosis_accuracy", "male"]["loss"]
    assert not found["accuracy", "female"]["loss"]
    male = found["accuracy", "male"]
    tested = [row["p"] for row in rows if row["variable"] == "sex" and row["tested"]]
    assert male["p"] == min(tested)
    assert male["corrected_p"] == pytest.approx(len(tested) * male["p"])  # over all quantities and values
    assert male["served"] - male["candidate"] == pytest.approx(-male["difference"])
    assert male["cases"] == 57


def test_a_gain_is_never_a_loss():
    candidate = random_table(CASES, seed=2, skill=2.0)
    rows = find_losses(candidate, spoiled(candidate, slice(0, 40)), with_sexes(candidate), ("sex",), 0.5, DERM7PT)
    assert not any(row["loss"] for row in rows)


def test_melanoma_auc_is_delongs_test_on_one_side():
    one, other = random_table(CASES, seed=3, skill=0.3), random_table(CASES, seed=3, skill=1.5)
    row = next(
        row for row in find_losses(one, other, with_sexes(one), (), 0.05, DERM7PT) if row["quantity"] == "melanoma_auc"
    )
    expected = compare_runs.delong_of_class(one, other, DIAGNOSIS, DIAGNOSIS.classes.index("MEL"))["delong_p"] / 2
    assert row["difference"] < 0
    assert row["p"] == pytest.approx(expected)


@pytest.mark.parametrize(("quantity", "of_melanoma"), [("melanoma_sensitivity", True), ("melanoma_specificity", False)])
def test_rates_of_the_served_answer_are_mcnemars_exact_test_on_one_side(quantity, of_melanoma):
    one, other = random_table(CASES, seed=8, skill=0.5), random_table(CASES, seed=8, skill=1.0)
    row = next(
        row for row in find_losses(one, other, with_sexes(one), (), 0.05, DERM7PT) if row["quantity"] == quantity
    )
    inside = (one["DIAG_true"] == "MEL") == of_melanoma
    right = [((table["DIAG_pred"] == "MEL") == of_melanoma)[inside] for table in (one, other)]
    only_one, only_other = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert only_one + only_other >= 3
    assert (row["candidate"], row["served"]) == (right[0].mean(), right[1].mean())
    expected = binomtest(only_one, only_one + only_other, alternative="less").pvalue
    assert row["p"] == pytest.approx(expected, rel=1e-9)


def test_a_probability_of_melanoma_that_is_too_low_everywhere_is_a_loss_of_sensitivity_alone():
    """The order stays, and with it the area."""
    served = random_table(300, seed=9, skill=2.5)
    labels = {task.name: predictions.true_labels(served, task) for task in TASKS}
    probabilities = {task.name: predictions.task_probabilities(served, task).copy() for task in TASKS}
    melanoma = DIAGNOSIS.classes.index("MEL")
    probabilities["DIAG"][:, melanoma] *= np.exp(-3)
    probabilities["DIAG"] /= probabilities["DIAG"].sum(axis=1, keepdims=True)
    candidate = predictions.to_frame(served["case_num"].to_numpy(), labels, probabilities, DERM7PT)
    whole = {row["quantity"]: row for row in find_losses(candidate, served, with_sexes(served), (), 0.05, DERM7PT)}
    assert whole["melanoma_sensitivity"]["loss"]
    assert whole["melanoma_sensitivity"]["difference"] < -0.1
    assert whole["melanoma_specificity"]["difference"] >= 0
    assert not whole["melanoma_auc"]["loss"]


def test_a_subgroup_that_is_too_small_is_listed_and_not_tested():
    table = random_table(CASES, seed=4)
    cases = cases_of_table(table).assign(location=["back"] * 9 + ["chest"] * (CASES - 9))
    rows = find_losses(spoiled(table, slice(0, 9)), table, cases, ("location",), 0.05, DERM7PT)
    back = [row for row in rows if row["value"] == "back"]
    assert len(back) == 5
    assert not any(row["tested"] or row["loss"] for row in back)
    assert all(math.isnan(row["p"]) for row in back)


def test_ten_cases_of_a_subgroup_are_enough_and_nine_are_not():
    table = random_table(CASES, seed=4)
    cases = cases_of_table(table).assign(location=["back"] * 9 + ["chest"] * 10 + ["face"] * (CASES - 19))
    rows = find_losses(spoiled(table, slice(0, 19)), table, cases, ("location",), 0.05, DERM7PT)
    found = {(row["quantity"], row["value"]): row for row in rows}
    for quantity in ("accuracy", "diagnosis_accuracy"):
        assert not found[quantity, "back"]["tested"]
        assert found[quantity, "chest"]["tested"]
        assert (found[quantity, "back"]["cases"], found[quantity, "chest"]["cases"]) == (9, 10)
        assert found[quantity, "chest"]["candidate"] == 0.0
    assert found["accuracy", "chest"]["p"] == pytest.approx(0.5**10)


def with_melanomas(count: int, of: int, whose: str) -> pd.DataFrame:
    """Returns a table with so many melanomas (or so many others) in its first `of` cases, and as many as there are
    after them."""
    table = random_table(CASES, seed=7)
    melanoma = DIAGNOSIS.classes.index("MEL")
    kinds = (melanoma, 0) if whose == "melanomas" else (0, melanoma)
    labels = {task.name: predictions.true_labels(table, task).copy() for task in TASKS}
    labels["DIAG"][:of] = [kinds[0]] * count + [kinds[1]] * (of - count)
    probabilities = {task.name: predictions.task_probabilities(table, task) for task in TASKS}
    return predictions.to_frame(table["case_num"].to_numpy(), labels, probabilities, DERM7PT)


@pytest.mark.parametrize("whose", ["melanomas", "others"])
@pytest.mark.parametrize(("count", "tested"), [(9, False), (10, True)])
def test_the_area_of_a_subgroup_needs_ten_of_both_kinds(count, tested, whose):
    table = with_melanomas(count, of=60, whose=whose)
    rows = find_losses(table, table, with_sexes(table), ("sex",), 0.05, DERM7PT)
    (row,) = (row for row in rows if (row["quantity"], row["value"]) == ("melanoma_auc", "female"))
    assert row["tested"] is tested
    assert math.isnan(row["served"]) is not tested


@pytest.mark.parametrize("whose", ["melanomas", "others"])
@pytest.mark.parametrize(("count", "tested"), [(1, False), (2, True)])
def test_the_area_of_the_whole_split_needs_two_of_both_kinds(count, tested, whose):
    table = with_melanomas(count, of=CASES, whose=whose)
    rows = find_losses(table, table, with_sexes(table), (), 0.05, DERM7PT)
    (row,) = (row for row in rows if row["quantity"] == "melanoma_auc")
    assert row["tested"] is tested
    # Equal networks: as likely better as worse.
    assert row["p"] == 0.5 if tested else math.isnan(row["p"])


def test_a_p_value_at_the_level_is_no_loss():
    served = random_table(CASES, seed=1, skill=2.0)
    candidate = spoiled(served, slice(60, 64))
    level = find_losses(candidate, served, with_sexes(served), (), 0.5, DERM7PT)[0]["corrected_p"]
    assert 0 < level < 0.5
    at, above = (
        find_losses(candidate, served, with_sexes(served), (), significance, DERM7PT)[0]["loss"]
        for significance in (level, math.nextafter(level, 1))
    )
    assert (at, above) == (False, True)


def test_the_row_of_the_whole_split():
    served = random_table(CASES, seed=1, skill=2.0)
    candidate = spoiled(served, slice(0, 30))
    row = find_losses(candidate, served, with_sexes(served), (), 0.05, DERM7PT)[0]
    shares = [
        np.mean([predictions.predicted_labels(table, task) == predictions.true_labels(table, task) for task in TASKS])
        for table in (candidate, served)
    ]
    assert (row["quantity"], row["variable"], row["value"], row["cases"]) == ("accuracy", "all", "all", CASES)
    assert (row["candidate"], row["served"]) == (pytest.approx(shares[0]), pytest.approx(shares[1]))
    assert row["difference"] == pytest.approx(shares[0] - shares[1])
    assert row["p"] < 1e-6
    assert row["corrected_p"] == pytest.approx(5 * row["p"])  # the smallest of five quantities
    assert row["tested"] and row["loss"]


def test_one_test_per_quantity_and_value_that_occurs():
    table = random_table(CASES, seed=5)
    values = METADATA["elevation"]
    cases = with_sexes(table).assign(elevation=[values[number % len(values)] for number in range(CASES)])
    rows = find_losses(table, table, cases, ("sex", "elevation"), 0.05, DERM7PT)
    assert len(rows) == 5 * (1 + 2 + len(values))


def test_the_whole_split_is_a_family_of_its_own():
    served = random_table(CASES, seed=1, skill=2.0)
    rows = find_losses(spoiled(served, slice(0, 12)), served, with_sexes(served), ("sex",), 0.05, DERM7PT)
    for of_whole in (True, False):
        family = [row for row in rows if (row["variable"] == "all") == of_whole]
        assert len(family) == (5 if of_whole else 10)
        assert [row["corrected_p"] for row in family] == pytest.approx(
            compare_runs.holm([row["p"] for row in family]), nan_ok=True
        )


def test_cases_of_a_group_are_one_piece_of_evidence():
    """Eight cases lost by one patient are as likely as not; by eight patients, one in 256."""
    card = DERM7PT.model_copy(update={"cases": DERM7PT.cases.model_copy(update={"group": "patient"})})
    served = random_table(CASES, seed=1, skill=100.0)
    candidate = spoiled(served, slice(0, 8))
    p_values = []
    for owners in (np.arange(CASES), np.arange(CASES) // 8):
        cases = with_sexes(served).assign(group=owners)
        p_values.append(find_losses(candidate, served, cases, (), 0.05, card)[1]["p"])
    assert p_values == pytest.approx([0.5**8, 0.5])


def test_other_cases_are_refused():
    table = random_table(CASES, seed=6)
    with pytest.raises(DataError, match="case 120 is in one of them only"):
        find_losses(table, table.iloc[:-1], with_sexes(table), (), 0.05, DERM7PT)
