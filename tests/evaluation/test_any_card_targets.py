"""Targets, scores, calibration and subgroups of cards with other tasks."""

import numpy as np
import pandas as pd
import pytest
from other_cards import ALL, MILK10K, PARTLY, WARD, cases_of
from prediction_tables import random_table
from sklearn.metrics import log_loss, roc_auc_score

from amfam_tf.card import cards
from amfam_tf.evaluation import calibration, clinical, compare_runs, metrics, predictions, subgroups
from amfam_tf.evaluation.report import build_report
from amfam_tf.files import json_file
from amfam_tf.report import results
from amfam_tf.tasks import DERM7PT

ULC, NET, DX = WARD.tasks


def ward_table(ulcers, networks, findings, malignant=0.75):
    """Returns predictions that are certain of these classes of ULC and NET; every label but the ulcer's is another's.

    `findings` are labels; the finding's probabilities are `malignant` for BCC and MEL together, the rest is NEV.
    """
    count = len(ulcers)
    labels = {"ULC": np.array(ulcers), "NET": np.array(networks)[::-1], "DX": np.array(findings)}
    certain = {
        "ULC": np.eye(2)[np.maximum(ulcers, 0)],
        "NET": np.eye(3)[networks],
        "DX": np.tile([malignant - 0.25, 1 - malignant, 0.25, 0.0], (count, 1)),
    }
    return predictions.to_frame(np.arange(count), labels, certain, WARD)


def test_a_target_is_the_sum_of_its_classes():
    table = random_table(50, 0, card=WARD)
    malignant = clinical.target_probability(table, WARD, "malignant")
    np.testing.assert_allclose(malignant, table[["DX_BCC", "DX_MEL", "DX_SCC"]].sum(axis=1))
    np.testing.assert_allclose(clinical.target_probability(table, WARD, "melanoma"), table["DX_MEL"])
    assert (clinical.has_target(table, WARD, "malignant") == table["DX_true"].isin(["BCC", "MEL", "SCC"])).all()
    assert list(clinical.scores_of(table, WARD, "melanoma")) == ["melanoma_probability"]


def test_points_of_a_score_are_the_cards_and_unknown_with_an_unknown_criterion():
    table = ward_table([0, 1, -1, 1], [2, 0, 1, 2], [1, 1, 0, 0])
    assert clinical.points(table, card=WARD, score="risk").tolist() == [2, 1, 0, 3]
    np.testing.assert_array_equal(clinical.points(table, WARD, True, "risk"), [2, 1, np.nan, 3])
    assert clinical.expected_points(table, WARD, "risk").tolist() == [2, 1, 0, 3]


def test_a_target_is_judged_on_the_cases_with_its_label_and_the_score_of_the_labels_on_those_with_every_criterion():
    table, target = random_table(120, 1, 1.5, WARD), "malignant"
    part = clinical.target_report(table, 50, card=WARD, target=target)
    truth = clinical.has_target(table, WARD, target)
    assert (part["cases"], part["positives"]) == (120, truth.sum())
    assert list(part["scores"]) == ["malignant_probability", "risk", "expected_risk", "risk_of_labels"]
    known = (table["ULC_true"] != "").to_numpy()
    assert 0 < known.sum() < 120
    labelled = clinical.points(table, WARD, True, "risk")
    assert part["scores"]["risk_of_labels"]["auc"] == pytest.approx(roc_auc_score(truth[known], labelled[known]))
    predicted = clinical.points(table, card=WARD, score="risk")
    assert part["scores"]["risk"]["auc"] == pytest.approx(roc_auc_score(truth, predicted))
    assert [row["second"] for row in part["auc_differences"]] == ["risk", "expected_risk", "risk_of_labels"]
    own = clinical.target_probability(table, WARD, target)
    difference = roc_auc_score(truth[known], own[known]) - part["scores"]["risk_of_labels"]["auc"]
    assert part["auc_differences"][2]["difference"] == pytest.approx(difference)


def test_rules_and_decision_curve_are_those_of_the_cards_thresholds():
    ulcers, networks, findings = [0, 1, -1, 1, 1], [2, 0, 1, 2, 2], [1, 1, 0, 0, 3]
    table = ward_table(ulcers, networks, findings)
    truth = np.array([False, False, True, True, True])
    found = {row["rule"]: row for row in clinical.rules(table, WARD, "malignant")}
    assert list(found) == [
        "predicted finding is BCC or MEL or SCC",
        "risk of the predicted criteria at least 3 (strict rule)",
        "risk of the labels at least 3 (strict rule)",
        "risk of the predicted criteria at least 1 (loose rule)",
        "risk of the labels at least 1 (loose rule)",
    ]
    scores = {3: np.array([2, 1, 0, 3, 3]) >= 3, 1: np.array([2, 1, 0, 3, 3]) >= 1}
    for least, name in ((3, "strict"), (1, "loose")):
        row = found[f"risk of the predicted criteria at least {least} ({name} rule)"]
        assert row["sensitivity"] == pytest.approx(scores[least][truth].mean())
        assert row["specificity"] == pytest.approx((~scores[least][~truth]).mean())
    # The third case has no known ulcer: the labels' score of the malignant ones is 1 and 3 of two cases.
    labels = clinical.points(table, WARD, True, "risk")
    known = ~np.isnan(labels)
    expected = (labels >= 1)[truth & known].mean()
    assert found["risk of the labels at least 1 (loose rule)"]["sensitivity"] == expected
    curve = clinical.decision_curve(table, (0.2,), card=WARD, target="malignant")
    assert list(curve) == ["thresholds", "malignant_probability", "risk_rule", "everybody", "nobody"]
    assert curve["risk_rule"] == [clinical.net_benefit(truth, scores[3], 0.2)]


def test_cases_of_which_nobody_knows_the_target_are_left_out():
    text = cards.to_yaml(PARTLY) + "targets: {bad: {task: ONE, classes: [A, C]}}\n"
    card, table = cards.parse(text, "partly"), random_table(80, 3, card=PARTLY)
    known = table[table["ONE_true"] != ""].reset_index(drop=True)
    part = clinical.target_report(table, 30, card=card)
    assert part == clinical.target_report(known, 30, card=card)
    assert part["cases"] == len(known) < 80
    report = build_report(table, "test", card=card)
    forecast = calibration.table_calibration(known, card)["targets"]["bad"]
    assert json_file.plain(report["calibration"]["targets"]["bad"]) == json_file.plain(forecast)
    without = build_report(table.assign(ONE_true=""), "test", card=card)
    assert without["targets"] == {}
    assert np.isnan(without["calibration"]["targets"]["bad"]["brier_score"])


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.name)
def test_a_report_of_any_card_has_its_targets_and_is_read_back(tmp_path, card):
    table = random_table(60, 2, card=card)
    report = build_report(table, "test", cases=cases_of(table, card), card=card)
    assert report["card"] == card.name
    assert list(results.targets_of(report)) == list(card.targets)
    assert "melanoma" not in report
    assert "melanoma" not in report["calibration"]
    assert list(report["calibration"]["targets"]) == list(card.targets)
    path = tmp_path / "metrics.json"
    json_file.write(path, report)
    assert results.read(path) == json_file.plain(report)


def test_derm7pts_file_has_the_names_that_it_has_always_had():
    report = build_report(random_table(40, 0), "test", card=DERM7PT)
    assert "card" not in report
    assert results.targets_of(report) == {"melanoma": report["melanoma"]}
    assert results.positives_of(report["melanoma"]) == report["melanoma"]["melanomas"]
    assert list(report["melanoma"]["decision_curve"])[2] == "seven_point_rule"


def test_forecasts_leave_unknown_labels_out():
    table = random_table(70, 4, card=PARTLY)
    found = calibration.table_calibration(table, PARTLY)["tasks"]
    for task in PARTLY.tasks:
        known = table[table[f"{task.name}_true"] != ""]
        values = predictions.task_probabilities(known, task)
        truth = predictions.true_labels(known, task)
        assert found[task.name]["log_loss"] == pytest.approx(log_loss(truth, values, labels=range(values.shape[1])))
        assert sum(row["cases"] for row in found[task.name]["bins"]) == len(known)
    empty = calibration.table_calibration(table.assign(TWO_true=""), PARTLY)["tasks"]["TWO"]
    assert np.isnan([empty[name] for name in ("expected_calibration_error", "brier_score", "log_loss")]).all()


def test_temperatures_are_fitted_on_the_labelled_cases_alone():
    table = random_table(120, 5, 0.5, PARTLY).assign(TWO_true="")
    known = table[table["ONE_true"] != ""]
    fitted = calibration.fit(table, "a" * 64, card=PARTLY)
    truth = predictions.true_labels(known, PARTLY.tasks[0])
    expected = calibration.fit_temperature(truth, predictions.task_probabilities(known, PARTLY.tasks[0]))
    assert fitted.temperatures == {"ONE": expected, "TWO": 1.0}
    assert expected != 1
    assert fitted.notes == ("TWO: 0 validation cases have a label, 30 are needed: it stays 1",)
    assert np.isnan(list(fitted.log_loss["TWO"].values())).all()
    applied = calibration.apply(table, fitted.temperatures, PARTLY)
    pd.testing.assert_frame_equal(applied.filter(like="TWO"), table.filter(like="TWO"))
    assert list(applied["ONE_true"]) == list(table["ONE_true"])


def test_subgroups_are_the_cards_columns_with_bands_and_the_unknown():
    table = random_table(200, 6, card=WARD)
    cases = cases_of(table, WARD)
    rows = pd.DataFrame(subgroups.subgroup_report(table, cases, 40, card=WARD))
    assert list(dict.fromkeys(rows["variable"])) == ["sex", "age"]
    ages = pd.to_numeric(cases["age"], errors="coerce")
    of_age = rows[rows["variable"] == "age"].set_index("value")
    bands = ["0 to under 20", "20 to under 40", "40 to under 60", "60 to under 80", "80 to under 100", "100 to 110"]
    assert list(of_age.index) == [*bands, "unknown"]
    assert (
        of_age["cases"] == [*np.histogram(ages.dropna(), [0, 20, 40, 60, 80, 100, 110])[0], ages.isna().sum()]
    ).all()
    assert (rows.groupby("variable")["cases"].sum() == 200).all()
    inside = (cases["sex"] == "").to_numpy()
    row = rows[(rows["variable"] == "sex") & (rows["value"] == "unknown")].iloc[0]
    part = table[inside]
    assert row["main_accuracy"] == pytest.approx((part["DX_true"] == part["DX_pred"]).mean())
    truth = part["DX_true"] == "MEL"
    assert row["melanoma_cases"] == truth.sum()
    assert row["melanoma_auc"] == pytest.approx(roc_auc_score(truth, part["DX_MEL"]))
    assert row["malignant_cases"] == part["DX_true"].isin(["BCC", "MEL", "SCC"]).sum()
    per_task = metrics.all_metrics(part, WARD)["average"]["accuracy"]
    assert row["accuracy"] == pytest.approx(per_task)


@pytest.mark.parametrize(
    ("low", "high", "bands"),
    [
        (0, 85, ["0 to under 20", "20 to under 40", "40 to under 60", "60 to under 80", "80 to 85"]),
        (
            18,
            30,
            ["18 to under 20", "20 to under 22", "22 to under 24", "24 to under 26", "26 to under 28", "28 to 30"],
        ),
        (-0.5, 0.5, ["-0.5 to under -0.4"]),
        (1, 2, ["1 to under 1.2", "1.2 to under 1.4", "1.4 to under 1.6", "1.6 to under 1.8", "1.8 to 2"]),
    ],
)
def test_bands_are_round_and_hold_every_value_once(low, high, bands):
    card = cards.parse(
        cards.to_yaml(PARTLY) + f"metadata: {{x: {{range: [{low}.0, {high}.0]}}}}\n".replace(".5.0", ".5"), ""
    )
    values = np.linspace(low, high, 61)
    found = subgroups.members_of(pd.DataFrame({"x": [f"{value:g}" for value in values]}), card)
    assert np.sum(list(found.values()), axis=0).tolist() == [1] * 61
    assert len(found) <= subgroups.MOST_BANDS
    if low != -0.5:
        assert [value for _, value in found] == bands


def test_a_subgroup_with_few_labels_has_no_accuracy():
    table = random_table(40, 7, card=PARTLY)
    card = cards.parse(cards.to_yaml(PARTLY) + "metadata: {x: {values: [a, b]}}\n", "")
    cases = pd.DataFrame({"x": ["a"] * 20 + ["b"] * 20})
    table.loc[:14, ["ONE_true", "TWO_true"]] = ""
    rows = {row["value"]: row for row in subgroups.subgroup_report(table, cases, 20, card=card)}
    assert rows["a"]["too_small"] is False
    assert np.isnan([rows["a"]["accuracy"], rows["a"]["main_accuracy"]]).all()
    assert not np.isnan(rows["b"]["accuracy"])


def test_the_auc_of_a_target_in_a_subgroup_is_of_the_cases_with_a_label():
    text = cards.to_yaml(PARTLY) + "targets: {bad: {task: ONE, classes: [A, C]}}\nmetadata: {x: {values: [a, b]}}\n"
    card, table = cards.parse(text, "partly"), random_table(120, 3, 0.5, PARTLY)
    cases = pd.DataFrame({"x": ["a"] * 80 + ["b"] * 40})
    row = subgroups.subgroup_report(table, cases, 20, card=card)[0]
    known = table[:80][table["ONE_true"][:80] != ""]
    truth = known["ONE_true"].isin(["A", "C"])
    assert row["bad_cases"] == truth.sum()
    assert row["bad_auc"] == pytest.approx(roc_auc_score(truth, known["ONE_A"] + known["ONE_C"]))


def test_two_runs_are_compared_on_the_labelled_cases():
    first, second = random_table(90, 8, 1.5, WARD), random_table(90, 8, 0.3, WARD)
    second = second.assign(**{f"{task.name}_true": first[f"{task.name}_true"] for task in WARD.tasks})
    found = compare_runs.compare(first, second, 60, card=WARD)
    known = (first["ULC_true"] != "").to_numpy()
    right = [(table["ULC_pred"] == table["ULC_true"])[known] for table in (first, second)]
    accuracy = found["tasks"]["ULC"]["accuracy"]
    assert accuracy["only_first_right"] == (right[0] & ~right[1]).sum()
    assert accuracy["only_second_right"] == (right[1] & ~right[0]).sum()
    assert accuracy["difference"] == pytest.approx(right[0].mean() - right[1].mean())
    truth = first["ULC_true"][known] == "YES"
    areas = [roc_auc_score(truth, table["ULC_YES"][known]) for table in (first, second)]
    assert found["tasks"]["ULC"]["classes"]["YES"]["auc"]["difference"] == pytest.approx(areas[0] - areas[1])
    scores = np.stack([table["ULC_YES"][known] for table in (first, second)])
    _, error, p_value = compare_runs.delong(truth.to_numpy(), scores)
    tested = found["tasks"]["ULC"]["classes"]["YES"]["auc"]
    assert [tested["delong_standard_error"], tested["delong_p"]] == pytest.approx([error, p_value])
    assert list(found["average"]) == [*metrics.OVERALL, *metrics.MORE_OVERALL]
    assert found["tasks"]["DX"]["f1_at_half"]["difference"] > 0


def test_a_task_without_labels_is_not_tested():
    table = random_table(30, 9, card=PARTLY).assign(TWO_true="")
    found = compare_runs.compare(table, table, 10, card=PARTLY)
    accuracy = found["tasks"]["TWO"]["accuracy"]
    assert np.isnan([accuracy["difference"], accuracy["mcnemar_exact_p"], accuracy["mcnemar_holm_p"]]).all()
    assert found["tasks"]["ONE"]["accuracy"]["mcnemar_holm_p"] == 1


def test_names_of_subgroup_values_of_derm7pt_are_the_older_ones():
    assert subgroups.Names.of(DERM7PT).values == ("accuracy", "diagnosis_accuracy", "melanoma_auc")
    assert subgroups.variables(DERM7PT) == ("sex", "location", "elevation", "level_of_diagnostic_difficulty")
    assert subgroups.variables(MILK10K) == ("skin_tone_class", "site", "sex", "age_approx")
