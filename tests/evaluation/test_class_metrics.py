"""Metrics against confusion matrices worked out by hand, and against the paper's reconstructed one."""

import numpy as np
import pytest
from prediction_tables import certain, expand, random_table
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    cohen_kappa_score,
    precision_recall_fscore_support,
    recall_score,
    roc_auc_score,
)

from amfam_tf.evaluation import metrics, predictions
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, TASK_BY_NAME, TASKS

# Rows are labels, columns predictions. Class 0: TP 5, FN 5, FP 1, TN 19; no two of its four rates are equal.
CONFUSION = np.array([[5, 3, 2], [1, 12, 2], [0, 1, 4]])

TEST_COUNTS = {
    "DIAG": (16, 219, 101, 40, 19),
    "PN": (156, 146, 93),
    "BWV": (320, 75),
    "VS": (313, 52, 30),
    "PIG": (223, 48, 124),
    "STR": (257, 44, 94),
    "DaG": (100, 118, 177),
    "RS": (289, 106),
}


def test_rates_of_a_hand_made_confusion_matrix():
    table = metrics.class_table(*expand(CONFUSION))
    assert list(table.columns[:5]) == ["sensitivity", "specificity", "precision", "auc", "support"]
    first = table.loc[0]
    assert first["sensitivity"] == pytest.approx(5 / 10)
    assert first["specificity"] == pytest.approx(19 / 20)
    assert first["precision"] == pytest.approx(5 / 6)
    assert first["f1"] == pytest.approx(2 * 5 / (2 * 5 + 1 + 5))
    assert first["support"] == 10
    negative_predictive_value = 19 / 24
    assert first["specificity"] != pytest.approx(negative_predictive_value)
    np.testing.assert_allclose(table["sensitivity"], [5 / 10, 12 / 15, 4 / 5])
    np.testing.assert_allclose(table["specificity"], [19 / 20, 11 / 15, 21 / 25])
    np.testing.assert_allclose(table["precision"], [5 / 6, 12 / 16, 4 / 8])


def test_reconstructed_table_of_the_paper_gives_its_true_rates():
    """Errata point 1 and 2: recall 6/16 196/219 77/101 17/40 2/19, predicted 15 233 117 25 5."""
    right = np.array([6, 196, 77, 17, 2])
    labels = np.array(TEST_COUNTS["DIAG"])
    predicted = np.array([15, 233, 117, 25, 5])
    confusion = np.diag(right) + _fill_margins(labels - right, predicted - right)
    table = metrics.class_table(*expand(confusion), classes=DIAGNOSIS.classes)
    assert list(table.index) == ["BCC", "NEV", "MEL", "MISC", "SK"]
    assert [round(100 * value, 1) for value in table["sensitivity"]] == [37.5, 89.5, 76.2, 42.5, 10.5]
    assert [round(100 * value, 1) for value in table["precision"]] == [40.0, 84.1, 65.8, 68.0, 40.0]
    assert [round(100 * value, 1) for value in table["specificity"]] == [97.6, 79.0, 86.4, 97.7, 99.2]
    values = metrics.task_metrics(*expand(confusion), DIAGNOSIS)
    assert round(100 * values["accuracy"], 1) == 75.4


def _fill_margins(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns off-diagonal counts with these row and column sums."""
    from scipy.optimize import linprog

    size = len(rows)
    index = [(row, column) for row in range(size) for column in range(size) if row != column]
    constraints = [[float(row == k) for row, _ in index] for k in range(size)]
    constraints += [[float(column == k) for _, column in index] for k in range(size)]
    sums = np.concatenate([rows, columns])
    result = linprog(np.ones(len(index)), A_eq=constraints, b_eq=sums, integrality=np.ones(len(index)))
    counts = np.zeros((size, size), int)
    for (row, column), value in zip(index, result.x, strict=True):
        counts[row, column] = round(value)
    return counts


def test_kappa_and_balanced_accuracy_by_hand():
    y_true, probabilities = expand(CONFUSION)
    values = metrics.task_metrics(y_true, probabilities, TASK_BY_NAME["PN"])
    observed, expected = 21 / 30, (10 * 6 + 15 * 16 + 5 * 8) / 30**2
    assert values["accuracy"] == pytest.approx(21 / 30)
    assert values["kappa"] == pytest.approx((observed - expected) / (1 - expected))
    assert values["balanced_accuracy"] == pytest.approx((5 / 10 + 12 / 15 + 4 / 5) / 3)
    assert values["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y_true, probabilities.argmax(1)))


def test_auc_counts_ordered_pairs_and_half_of_the_ties():
    scores = np.array([0.9, 0.5, 0.5, 0.4, 0.1])
    truth = np.array([1, 1, 0, 0, 0])
    table = metrics.class_table(truth, np.stack([1 - scores, scores], axis=1))
    # 6 pairs: 0.9 beats all three; 0.5 ties with one and beats two.
    assert table.loc[1, "auc"] == pytest.approx(5.5 / 6)
    assert table.loc[0, "auc"] == pytest.approx(5.5 / 6)


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.4, 0.3])
    truth = np.array([1, 0, 1, 0])
    table = metrics.class_table(truth, np.stack([1 - scores, scores], axis=1))
    assert table.loc[1, "average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_equal_probabilities_go_to_the_first_class():
    table = metrics.class_table(np.array([0, 1]), np.full((2, 2), 0.5))
    assert table.loc[0, "sensitivity"] == 1
    assert table.loc[1, "sensitivity"] == 0


def test_class_that_no_case_has_is_undefined_and_not_zero():
    y_true = np.array([0, 1, 1])
    table = metrics.class_table(y_true, np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]))
    assert np.isnan(table.loc[2, ["sensitivity", "auc", "average_precision"]].astype(float)).all()
    assert table.loc[2, "support"] == 0
    assert table.loc[2, "precision"] == 0  # predicted once, wrongly: defined
    assert table.loc[2, "specificity"] == pytest.approx(2 / 3)
    values = metrics.task_metrics(y_true, np.eye(3), TASK_BY_NAME["PN"])
    assert values["balanced_accuracy"] == pytest.approx((1 + 0.5) / 2)


def test_class_that_is_never_predicted_has_no_precision_but_a_sensitivity_of_zero():
    table = metrics.class_table(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert np.isnan(table.loc[1, "precision"])
    assert table.loc[1, "sensitivity"] == 0
    assert table.loc[1, "f1"] == 0


def test_only_one_class_leaves_specificity_and_kappa_undefined():
    y_true = np.zeros(3, int)
    probabilities = certain(y_true, 2)
    table = metrics.class_table(y_true, probabilities)
    assert np.isnan(table.loc[0, "specificity"])
    assert np.isnan(table.loc[0, "auc"])
    assert np.isnan(metrics.task_metrics(y_true, probabilities, TASK_BY_NAME["BWV"])["kappa"])
    assert np.isnan(table.loc[1, "f1"])


@pytest.mark.parametrize(
    ("y_true", "probabilities"),
    [
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]]),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]]),
        ([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]]),
        ([0], [[0.5, 0.5], [0.5, 0.5]]),
        ([], np.zeros((0, 2))),
        ([0, 1], [[1.5, -0.5], [0.5, 0.5]]),
        ([0, 1], [[np.nan, 0.5], [0.5, 0.5]]),
    ],
)
def test_impossible_arrays_are_refused(y_true, probabilities):
    with pytest.raises(ValueError):
        metrics.class_table(np.array(y_true), np.array(probabilities))


def test_every_undefined_value_has_its_reason():
    table = random_table(cases=3, seed=1)
    measured = metrics.all_metrics(table, DERM7PT)
    listed = {(row["task"], row["class"], row["metric"]) for row in measured["undefined"]}
    found = {
        (task, label, metric)
        for task, values in measured["tasks"].items()
        for label, row in values["classes"].items()
        for metric, value in row.items()
        if np.isnan(value)
    }
    assert listed == found
    assert found
    assert all(row["reason"] for row in measured["undefined"])


@pytest.mark.parametrize("cases", [60, 4])
def test_averages_are_over_the_classes_that_are_stated(cases):
    """With 4 cases some precisions are undefined: they count as 0 in the paper's way, and not at all in macro."""
    table = random_table(cases, seed=2)
    measured = metrics.all_metrics(table, DERM7PT)
    tasks, average = measured["tasks"], measured["average"]
    criteria = [
        0.0 if np.isnan(row["precision"]) else row["precision"]
        for name, values in tasks.items()
        if name != "DIAG"
        for row in values["classes"].values()
    ]
    assert len(criteria) == 19
    assert (cases == 60) == (not any(row["metric"] == "precision" for row in measured["undefined"]))
    assert average["paper_criteria"]["precision"] == pytest.approx(sum(criteria) / 19)
    diagnosis = [row["sensitivity"] for row in tasks["DIAG"]["classes"].values()]
    assert average["paper_diagnosis"]["sensitivity"] == pytest.approx(np.nan_to_num(diagnosis).sum() / 5)
    areas = [
        [row["auc"] for row in values["classes"].values() if row["auc"] == row["auc"]] for values in tasks.values()
    ]
    means = [sum(defined) / len(defined) for defined in areas if defined]
    assert average["macro"]["auc"] == pytest.approx(sum(means) / len(means))
    assert average["accuracy"] == pytest.approx(sum(values["accuracy"] for values in tasks.values()) / 8)


def test_majority_baseline_of_the_published_test_split():
    """Errata point 7: 61.84 % on average, DIAG 55.44 %."""
    labels = {name: np.repeat(np.arange(len(counts)), counts) for name, counts in TEST_COUNTS.items()}
    baseline = metrics.majority_baseline(labels, card=DERM7PT)
    assert round(100 * baseline["average"], 2) == 61.84
    assert round(100 * baseline["tasks"]["DIAG"]["accuracy"], 2) == 55.44
    assert baseline["tasks"]["DIAG"]["class"] == "NEV"


def test_majority_comes_from_the_training_split_when_it_is_given():
    labels = {task.name: np.array([0, 0, 0, 1]) for task in TASKS}
    training = {task.name: np.array([1, 1, 0]) for task in TASKS}
    baseline = metrics.majority_baseline(labels, training, card=DERM7PT)
    assert baseline["majority_from"] == "train"
    assert baseline["average"] == 0.25
    assert metrics.majority_baseline(labels, card=DERM7PT)["average"] == 0.75


def by_scikit_learn(truth: np.ndarray, scores: np.ndarray) -> dict[str, object]:
    """Returns every metric of a task: a number, or one per class."""
    numbers, predicted = np.arange(scores.shape[1]), scores.argmax(axis=1)
    precision, sensitivity, f1, support = precision_recall_fscore_support(
        truth, predicted, labels=numbers, average=None, zero_division=np.nan
    )
    mine = [truth == number for number in numbers]
    both = [one.any() and not one.all() for one in mine]
    constant = len({*truth, *predicted}) == 1
    return {
        "sensitivity": sensitivity,
        "specificity": [
            np.nan if one.all() else recall_score(~one, predicted != number) for number, one in enumerate(mine)
        ],
        "precision": precision,
        "auc": [roc_auc_score(mine[i], scores[:, i]) if both[i] else np.nan for i in numbers],
        "support": support,
        "f1": f1,
        "average_precision": [
            average_precision_score(mine[i], scores[:, i]) if mine[i].any() else np.nan for i in numbers
        ],
        "accuracy": accuracy_score(truth, predicted),
        "balanced_accuracy": np.nanmean(sensitivity),
        "kappa": np.nan if constant else cohen_kappa_score(truth, predicted),
    }


@pytest.mark.parametrize("places", [1, 12])
@pytest.mark.parametrize("cases", [1, 2, 4, 9, 200])
@pytest.mark.parametrize("name", ["DIAG", "PN", "BWV"])
def test_every_metric_is_scikit_learns(name, cases, places):
    """Also for few cases, where much is undefined, and for scores of one decimal, where many are equal."""
    task = TASK_BY_NAME[name]
    generator = np.random.default_rng([cases, places])
    scores = np.round(generator.dirichlet(np.ones(len(task.classes)), cases), places)
    truth = generator.integers(0, len(task.classes), cases)
    expected, found = by_scikit_learn(truth, scores), metrics.task_metrics(truth, scores, task)
    table = metrics.class_table(truth, scores, task.classes)
    for metric in table.columns:
        rows = [found["classes"][label][metric] for label in task.classes]
        np.testing.assert_allclose(rows, expected[metric], atol=1e-12, err_msg=metric)
        np.testing.assert_array_equal(table[metric], rows, err_msg=metric)
    for metric in ("accuracy", "balanced_accuracy", "kappa"):
        np.testing.assert_allclose(found[metric], expected[metric], atol=1e-12, err_msg=metric)


def test_metrics_of_a_table_are_those_of_its_tasks():
    table = random_table(cases=30, seed=4)
    tasks = metrics.all_metrics(table, DERM7PT)["tasks"]
    assert list(tasks) == [task.name for task in TASKS]
    for task in TASKS:
        labels, scores = predictions.true_labels(table, task), predictions.task_probabilities(table, task)
        assert tasks[task.name] == metrics.task_metrics(labels, scores, task)
        assert list(tasks[task.name]) == ["accuracy", "balanced_accuracy", "kappa", "classes"]
        for row in tasks[task.name]["classes"].values():
            assert list(row) == [*metrics.PAPER_METRICS, "support", "f1", "average_precision"]


@pytest.mark.parametrize("labels", [[0, 3], [0, 7], [-1, 0]])
def test_labels_out_of_range_are_refused_with_the_range(labels):
    with pytest.raises(ValueError, match=r"integers in 0\.\.2\. Received"):
        metrics.class_table(np.array(labels), np.full((2, 3), 1 / 3))


@pytest.mark.parametrize("count", [1, 3])
def test_as_many_labels_as_rows_are_needed(count):
    with pytest.raises(ValueError, match=r"must be \[N\]"):
        metrics.class_table(np.zeros(count, int), np.full((2, 3), 1 / 3))


def test_absent_classes_are_those_without_a_case():
    table = random_table(60, 3)
    assert metrics.absent_classes(table, DERM7PT) == []
    without = table[(table["DIAG_true"] != "MISC") & (table["RS_true"] != "ABS")]
    assert metrics.absent_classes(without, DERM7PT) == [("DIAG", "MISC"), ("RS", "ABS")]
