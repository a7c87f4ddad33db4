"""The 7-point checklist as it is published: points of every class, both rules, every place that applies them."""

import numpy as np
import pytest

from amfam_tf import tasks
from amfam_tf.card.inputs import inputs_of, warning, width
from amfam_tf.client.client import Answer
from amfam_tf.evaluation import clinical, predictions
from amfam_tf.evaluation.figures.decision import lines_of
from amfam_tf.tasks import CRITERIA, DERM7PT, DIAGNOSIS, MELANOMA, TASK_BY_NAME, TASKS, seven_point_score

# Argenziano et al. 1998: major criteria 2 points, minor criteria 1; every other class none.
POINTS = {
    "PN": {"ABS": 0, "TYP": 0, "ATP": 2},
    "BWV": {"ABS": 0, "PRS": 2},
    "VS": {"ABS": 0, "REG": 0, "IR": 2},
    "PIG": {"ABS": 0, "REG": 0, "IR": 1},
    "STR": {"ABS": 0, "REG": 0, "IR": 1},
    "DaG": {"ABS": 0, "REG": 0, "IR": 1},
    "RS": {"ABS": 0, "PRS": 1},
}
# One case per row: classes of the criteria in the order of POINTS, its score, whether each rule suspects it.
CASES = (
    (("ABS", "ABS", "ABS", "ABS", "ABS", "ABS", "ABS"), 0, False, False),
    (("TYP", "ABS", "REG", "REG", "REG", "REG", "ABS"), 0, False, False),
    (("ABS", "ABS", "ABS", "IR", "ABS", "ABS", "ABS"), 1, False, True),
    (("ABS", "ABS", "ABS", "ABS", "IR", "ABS", "ABS"), 1, False, True),
    (("ABS", "ABS", "ABS", "ABS", "ABS", "IR", "ABS"), 1, False, True),
    (("ABS", "ABS", "ABS", "ABS", "ABS", "ABS", "PRS"), 1, False, True),
    (("ATP", "ABS", "ABS", "ABS", "ABS", "ABS", "ABS"), 2, False, True),
    (("ABS", "PRS", "ABS", "ABS", "ABS", "ABS", "ABS"), 2, False, True),
    (("ABS", "ABS", "IR", "ABS", "ABS", "ABS", "ABS"), 2, False, True),
    (("ATP", "ABS", "ABS", "IR", "ABS", "ABS", "ABS"), 3, True, True),
    (("ATP", "PRS", "ABS", "ABS", "ABS", "ABS", "ABS"), 4, True, True),
    (("ATP", "PRS", "IR", "IR", "IR", "IR", "PRS"), 10, True, True),
)


def table_of(classes, truth=None, melanoma=None):
    """Returns predictions that are certain of these classes per case; labels are the same unless given."""
    count = len(classes)
    numbers = {
        task.name: np.array([task.classes.index(row[place]) for row in classes]) for place, task in enumerate(CRITERIA)
    }
    numbers["DIAG"] = np.full(count, DIAGNOSIS.classes.index("NEV"))
    labels = dict(numbers)
    if truth is not None:
        labels |= {
            task.name: np.array([task.classes.index(row[place]) for row in truth])
            for place, task in enumerate(CRITERIA)
        }
    if melanoma is not None:
        labels["DIAG"] = np.where(melanoma, MELANOMA, DIAGNOSIS.classes.index("NEV"))
    probabilities = {task.name: np.eye(len(task.classes))[numbers[task.name]] for task in TASKS}
    return predictions.to_frame(np.arange(1, count + 1), labels, probabilities, DERM7PT)


def test_every_class_has_its_published_points():
    assert {task.name: dict(zip(task.classes, task.scores, strict=True)) for task in CRITERIA} == POINTS
    assert set(DIAGNOSIS.scores) == {0}
    assert tasks.DERM7PT.scores["seven_point_score"].range_of(TASKS) == (0, 10)
    assert dict(tasks.SEVEN_POINT_THRESHOLDS) == {"original": 3, "revised": 1}


@pytest.mark.parametrize(("classes", "score", "original", "revised"), CASES)
def test_score_and_both_rules_of_a_case(classes, score, original, revised):
    numbers = {task.name: task.classes.index(name) for task, name in zip(CRITERIA, classes, strict=True)}
    assert seven_point_score(numbers) == score
    answer = Answer({}, {}, {"seven_point_score": score}, "model", 1)
    assert answer.suspicious == {"original": original, "revised": revised}
    table = table_of([classes])
    assert clinical.points(table, DERM7PT).tolist() == [score]
    assert clinical.expected_points(table, DERM7PT).tolist() == [score]


def test_the_served_graph_gives_points_and_each_task_its_own_temperature():
    import tensorflow as tf

    from amfam_tf.export.signatures import outputs_of

    temperatures = {task.name: 0.5 + 0.25 * place for place, task in enumerate(TASKS)}
    generator = np.random.default_rng(0)
    logits = {task.name: generator.normal(size=(len(CASES), len(task.classes))) for task in TASKS}
    for place, task in enumerate(CRITERIA):
        for row, (classes, *_) in enumerate(CASES):
            logits[task.name][row, task.classes.index(classes[place])] = 5.0
    found = outputs_of(
        {name: tf.constant(values, tf.float32) for name, values in logits.items()}, temperatures, DERM7PT
    )
    assert found["seven_point_score"].numpy().tolist() == [score for _, score, *_ in CASES]
    for name, values in logits.items():
        weights = np.exp(values / temperatures[name])
        np.testing.assert_allclose(found[name], weights / weights.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(found["melanoma_probability"], found["DIAG"][:, 2])


def test_predicted_and_labelled_score_are_not_exchanged():
    table = table_of([CASES[9][0], CASES[0][0]], truth=[CASES[2][0], CASES[11][0]])
    scores = clinical.scores_of(table, DERM7PT)
    assert scores["seven_point_score"].tolist() == [3, 0]
    assert scores["expected_seven_point_score"].tolist() == [3, 0]
    assert scores["seven_point_score_of_labels"].tolist() == [1, 10]


def test_the_decision_curve_suspects_from_three_points_on():
    """Scores 0 to 4 and 10: a rule from 2 or from 4 on would give other counts at every threshold."""
    classes = [row[0] for row in CASES]
    melanoma = np.arange(len(classes)) % 2 == 0
    curve = clinical.decision_curve(table_of(classes, melanoma=melanoma), (0.1, 0.4), card=DERM7PT)
    suspected = np.array([row[1] >= 3 for row in CASES])
    right, wrong = int((suspected & melanoma).sum()), int((suspected & ~melanoma).sum())
    assert (right, wrong) == (1, 2)
    for threshold, benefit in zip((0.1, 0.4), curve["seven_point_rule"], strict=True):
        assert benefit == pytest.approx(right / 12 - wrong / 12 * threshold / (1 - threshold))
    assert "at least 3" in lines_of(DERM7PT)["seven_point_rule"][0]


def test_the_classifier_suspects_from_the_threshold_on():
    table = table_of([CASES[0][0]] * 4, melanoma=np.array([True, True, False, False]))
    for row, probability in enumerate((0.5, 0.2, 0.2, 0.1)):
        table.loc[row, "DIAG_MEL"] = probability
    curve = clinical.decision_curve(table, (0.2, 0.5), card=DERM7PT)
    # At 0.2 three are suspected, two of them rightly; at 0.5 one, rightly.
    assert curve["melanoma_probability"] == pytest.approx([2 / 4 - 1 / 4 * 0.25, 1 / 4])
    assert curve["everybody"] == pytest.approx([0.5 - 0.5 * 0.25, 0.0])
    assert curve["nobody"] == [0.0, 0.0]


def test_each_rule_has_its_own_counts():
    classes = [row[0] for row in CASES]
    truth = [row[0] for row in reversed(CASES)]
    melanoma = np.array([True] * 5 + [False] * 7)
    found = {row["rule"]: row for row in clinical.rules(table_of(classes, truth, melanoma), DERM7PT)}
    scores = {"predicted criteria": np.array([row[1] for row in CASES])}
    scores["labels"] = scores["predicted criteria"][::-1]
    seen = set()
    for name, least in (("original", 3), ("revised", 1)):
        for source, of in (("the predicted criteria", "predicted criteria"), ("the labels", "labels")):
            row = found[f"7-point score of {source} at least {least} ({name} rule)"]
            suspected = scores[of] >= least
            assert row["sensitivity"] == pytest.approx(suspected[melanoma].mean())
            assert row["specificity"] == pytest.approx((~suspected[~melanoma]).mean())
            seen.add((row["sensitivity"], row["specificity"]))
    assert len(seen) == 4
    assert found["predicted diagnosis is MEL"]["sensitivity"] == 0
    assert found["predicted diagnosis is MEL"]["specificity"] == 1


def test_metadata_and_modalities_are_in_their_order():
    assert tasks.MODALITIES == ("clinical", "dermoscopic")
    assert tasks.SPLITS == ("train", "validate", "test")
    assert [len(values) for values in tasks.METADATA.values()] == [3, 3, 9, 2, 3]
    assert width(inputs_of(DERM7PT, ["location", "sex"])) == 11
    assert width(inputs_of(DERM7PT, [])) == 0
    follow = [name for name, column in DERM7PT.metadata.items() if column.follows_from is not None]
    assert follow == ["level_of_diagnostic_difficulty", "management"]
    assert warning(DERM7PT, ["sex", "location"]) is None
    assert warning(DERM7PT, ["sex", "management"]).startswith("the network is given management, decided from")
    both = warning(DERM7PT, ["level_of_diagnostic_difficulty", "management"])
    assert both.startswith("the network is given level_of_diagnostic_difficulty and management, decided")


def test_tasks_classes_and_raw_strings():
    assert tasks.task_names() == ("DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS")
    assert tasks.task_names(CRITERIA) == ("PN", "BWV", "VS", "PIG", "STR", "DaG", "RS")
    assert DIAGNOSIS.classes == ("BCC", "NEV", "MEL", "MISC", "SK")
    assert MELANOMA == 2
    for task in TASKS:
        assert len(task.classes) == len(task.raw_labels) == len(task.class_titles) == len(task.scores)
        for number, group in enumerate(task.raw_labels):
            assert [task.encode(raw) for raw in group] == [number] * len(group)
    assert TASK_BY_NAME["VS"].encode("dotted") == 2
    assert TASK_BY_NAME["RS"].encode("white areas") == 1
