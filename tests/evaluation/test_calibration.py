"""Calibration: bins, error and Brier score by hand; temperatures recovered, fitted on the validation split only."""

import json

import numpy as np
import pytest
from prediction_tables import random_table
from sklearn.metrics import brier_score_loss, log_loss

from amfam_tf.errors import RunError
from amfam_tf.evaluation import calibration, intervals, predictions
from amfam_tf.evaluation.predict import probabilities_of
from amfam_tf.runs import calibration as stored
from amfam_tf.tasks import DERM7PT, TASK_BY_NAME, TASKS


def test_reliability_and_expected_calibration_error_by_hand():
    probabilities = np.array([[0.95, 0.05], [0.05, 0.95], [0.9, 0.1], [0.62, 0.38], [0.35, 0.65]])
    y_true = np.array([0, 0, 0, 0, 0])
    bins = calibration.reliability(y_true, probabilities)
    assert list(bins["cases"]) == [0, 0, 0, 0, 0, 0, 2, 0, 1, 2]  # 0.9 is in 0.8 to 0.9
    assert bins.loc[9, "confidence"] == pytest.approx(0.95)
    assert bins.loc[9, "accuracy"] == 0.5
    assert bins.loc[6, "accuracy"] == 0.5
    assert np.isnan(bins.loc[0, "accuracy"])
    expected = (2 * abs(0.5 - 0.95) + 1 * abs(1 - 0.9) + 2 * abs(0.5 - 0.635)) / 5
    assert calibration.expected_calibration_error(bins) == pytest.approx(expected)


def test_brier_score_by_hand_and_of_two_classes():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]])
    by_hand = ((0.3**2 + 0.2**2 + 0.1**2) + (1 + 0 + 1)) / 2
    assert calibration.brier_score(np.array([0, 0]), probabilities) == pytest.approx(by_hand)
    generator = np.random.default_rng(0)
    scores, truth = generator.random(50), generator.integers(0, 2, 50)
    both = np.stack([1 - scores, scores], axis=1)
    assert calibration.brier_score(truth, both) == pytest.approx(2 * brier_score_loss(truth, scores))
    assert calibration.negative_log_likelihood(truth, both) == pytest.approx(log_loss(truth, both))


def _drawn(temperature, cases=20_000, seed=0):
    """Returns labels drawn from softmax(logits / temperature), and softmax(logits)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(cases, 3)) * 3
    truth = probabilities_of(logits, temperature)
    labels = (generator.random((cases, 1)) > np.cumsum(truth, axis=1)).sum(axis=1)
    return labels, probabilities_of(logits)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_of_the_drawing_is_found(temperature):
    labels, probabilities = _drawn(temperature)
    found = calibration.fit_temperature(labels, probabilities)
    assert found == pytest.approx(temperature, rel=0.05)
    scaled = calibration.reliability(labels, calibration.scale(probabilities, found))
    assert calibration.expected_calibration_error(scaled) < 0.015


def test_scaling_probabilities_is_scaling_logits():
    logits = np.random.default_rng(1).normal(size=(40, 5)) * 8
    scaled = calibration.scale(probabilities_of(logits), 1.7)
    np.testing.assert_allclose(scaled, probabilities_of(logits, 1.7), rtol=1e-9)
    assert np.isfinite(calibration.scale(np.array([[1.0, 0.0]]), 3.0)).all()


def test_scaling_keeps_predictions_and_labels():
    table = random_table(100, 2)
    temperatures = {task.name: 0.4 + 0.3 * place for place, task in enumerate(TASKS)}
    scaled = calibration.apply(table, temperatures, DERM7PT)
    for task in TASKS:
        assert (scaled[f"{task.name}_pred"] == table[f"{task.name}_pred"]).all()
        assert (scaled[f"{task.name}_true"] == table[f"{task.name}_true"]).all()
        values = predictions.task_probabilities(scaled, task)
        np.testing.assert_array_equal(values.argmax(axis=1), predictions.predicted_labels(scaled, task))
        np.testing.assert_allclose(values.sum(axis=1), 1)
    assert (scaled["PN_ABS"] != table["PN_ABS"]).all()


def test_fit_lowers_the_loss_of_each_task_and_comes_back_from_the_run(tmp_path):
    fitted = calibration.fit(random_table(200, 3, skill=1.5), "digest", card=DERM7PT)
    assert all(values["after"] <= values["before"] + 1e-9 for values in fitted.log_loss.values())
    assert len({round(value, 6) for value in fitted.temperatures.values()}) == 8
    stored.write(tmp_path / "calibration.json", fitted)
    assert stored.read(tmp_path / "calibration.json", tasks=TASKS) == fitted
    content = json.loads((tmp_path / "calibration.json").read_text(encoding="utf-8"))
    assert content["fitted_on"] == "validate"
    assert list(content["temperatures"]) == [task.name for task in TASKS]


def test_no_temperature_from_a_handful_of_cases():
    fitted = calibration.fit(random_table(29, 4), "digest", card=DERM7PT)
    assert set(fitted.temperatures.values()) == {1.0}
    assert "fewer than 30 validation cases (29)" in fitted.notes[0]


def _table_with(labels_to_logits):
    table = random_table(50, 5)
    labels = {task.name: predictions.true_labels(table, task) for task in TASKS}
    made = {
        task.name: probabilities_of(labels_to_logits(np.eye(len(task.classes))[labels[task.name]])) for task in TASKS
    }
    return predictions.to_frame(table["case_num"].to_numpy(), labels, made, DERM7PT)


def test_no_temperature_where_every_validation_case_is_right():
    fitted = calibration.fit(_table_with(lambda labels: 3 * labels), "digest", card=DERM7PT)
    assert set(fitted.temperatures.values()) == {1.0}
    assert "DIAG: every validation case is right" in fitted.notes[0]


def test_temperature_at_the_end_of_its_range_is_said():
    """Answers that avoid the label are worse than no answer: no temperature is high enough."""
    fitted = calibration.fit(_table_with(lambda labels: -3 * labels), "digest", card=DERM7PT)
    assert fitted.temperatures["DIAG"] == pytest.approx(20, rel=0.01)
    assert "DIAG: the temperature is at the end of the range 0.05 to 20" in fitted.notes[0]


@pytest.mark.parametrize("text", ["", "{}", '{"temperatures": {"DIAG": 1}}'])
def test_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunError, match="damaged"):
        stored.read(tmp_path / "calibration.json", tasks=TASKS)


def test_temperature_that_cannot_be_is_refused(tmp_path):
    fitted = calibration.fit(random_table(29, 4), "digest", card=DERM7PT)
    content = fitted.to_dict()
    content["temperatures"]["PN"] = 0
    (tmp_path / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RunError, match="not greater than 0"):
        stored.read(tmp_path / "calibration.json", tasks=TASKS)


def test_run_without_calibration_has_none(tmp_path):
    assert stored.read(tmp_path / "calibration.json", tasks=TASKS) is None


def test_melanoma_is_calibrated_as_a_forecast_of_its_own():
    table = random_table(300, 6)
    measured = calibration.table_calibration(table, DERM7PT)
    outcome, scores = table["DIAG_true"] == "MEL", table["DIAG_MEL"]
    assert measured["melanoma"]["brier_score"] == pytest.approx(brier_score_loss(outcome, scores))
    assert sum(row["cases"] for row in measured["melanoma"]["bins"]) == 300
    assert list(measured["tasks"]) == [task.name for task in TASKS]
    assert TASK_BY_NAME["PN"].name in measured["tasks"]


def test_bins_have_their_ends_and_an_edge_belongs_below():
    scores = np.array([0.0, 0.05, 0.1, 0.1001, 0.5, 0.95, 1.0])
    outcomes = np.array([True, False, True, False, True, True, False])
    bins = calibration.reliability_of(outcomes, scores)
    assert bins["low"].tolist() == pytest.approx([place / 10 for place in range(10)])
    assert bins["high"].tolist() == pytest.approx([place / 10 for place in range(1, 11)])
    assert bins["cases"].tolist() == [3, 1, 0, 0, 1, 0, 0, 0, 0, 2]
    assert bins.loc[0, "accuracy"] == pytest.approx(2 / 3)
    assert bins.loc[0, "confidence"] == pytest.approx(0.05)
    assert bins.loc[9, "accuracy"] == 0.5
    low, high = intervals.wilson(2, 3)
    assert (bins.loc[0, "accuracy_low"], bins.loc[0, "accuracy_high"]) == (low, high)
    assert np.isnan(bins.loc[2, ["confidence", "accuracy", "accuracy_low", "accuracy_high"]].astype(float)).all()


def test_temperature_one_changes_no_bit():
    probabilities = np.array([[1.0, 0.0, 0.0], [0.1, 0.2, 0.7]])
    np.testing.assert_array_equal(calibration.scale(probabilities, 1), probabilities)
    assert calibration.scale(probabilities, 2.0)[0, 1] > 0


@pytest.mark.parametrize(
    ("temperature", "said"),
    [(0.05, True), (0.0504, True), (0.0506, False), (1.0, False), (19.5, False), (19.79, False), (19.81, True)],
)
def test_a_temperature_is_at_the_end_of_its_range_within_a_hundredth(monkeypatch, temperature, said):
    monkeypatch.setattr(calibration, "fit_temperature", lambda *_: temperature)
    found, note = calibration._fit_task(np.array([0, 1]), np.array([[0.9, 0.1], [0.9, 0.1]]))
    assert found == temperature
    assert (note == "the temperature is at the end of the range 0.05 to 20") is said
    assert said or note is None


@pytest.mark.parametrize("truth", [[0, 0, 0], [2, 2, 2]])
def test_predictions_on_one_side_of_the_label_are_not_all_right(truth):
    probabilities = np.array([[0.2, 0.6, 0.2]] * 3)
    _, note = calibration._fit_task(np.array(truth), probabilities)
    assert "every validation case is right" not in (note or "")


@pytest.mark.parametrize("value", ["Infinity", "-1.0", "NaN"])
def test_no_temperature_outside_its_range_is_read(tmp_path, value):
    text = json.dumps(calibration.fit(random_table(29, 4), "digest", card=DERM7PT).to_dict())
    (tmp_path / "calibration.json").write_text(text.replace('"RS": 1.0', f'"RS": {value}', 1), encoding="utf-8")
    with pytest.raises(RunError, match="not greater than 0"):
        stored.read(tmp_path / "calibration.json", tasks=TASKS)


def test_each_task_is_scaled_by_its_own_temperature():
    table = random_table(40, 9)
    temperatures = {task.name: 0.5 + place / 2 for place, task in enumerate(TASKS)}
    scaled = calibration.apply(table, temperatures, DERM7PT)
    for task in TASKS:
        expected = calibration.scale(predictions.task_probabilities(table, task), temperatures[task.name])
        np.testing.assert_allclose(predictions.task_probabilities(scaled, task), expected)


def test_a_temperature_of_pairs_fits_the_means_over_the_pairs_of_a_case():
    random = np.random.default_rng(8)
    labels, counts = random.integers(0, 3, 60), random.integers(1, 4, 60)
    logits = random.normal(size=(counts.sum(), 3)) * 4 + 2 * np.eye(3)[np.repeat(labels, counts)]
    values, first = probabilities_of(logits), np.cumsum(counts) - counts
    found = calibration.fit_temperature(labels, values, first)

    def loss(temperature):
        scaled = probabilities_of(logits, temperature)
        means = [part.mean(axis=0) for part in np.split(scaled, first[1:])]
        return calibration.negative_log_likelihood(labels, np.array(means))

    assert loss(found) < min(loss(found * 1.01), loss(found * 0.99))
    once = calibration.fit_temperature(labels[:30], values[:30])
    assert calibration.fit_temperature(labels[:30], values[:30], np.arange(30)) == once
