"""predictions.csv: label, answer and probability in the column of their task and class, each row its own case."""

import csv

import numpy as np

from amfam_tf.evaluation import predictions
from amfam_tf.tasks import DERM7PT, TASKS

CASES = 40
COLUMNS = (
    *("case_num", "DIAG_true", "DIAG_pred", "DIAG_BCC", "DIAG_NEV", "DIAG_MEL", "DIAG_MISC", "DIAG_SK"),
    *("PN_true", "PN_pred", "PN_ABS", "PN_TYP", "PN_ATP", "BWV_true", "BWV_pred", "BWV_ABS", "BWV_PRS"),
    *("VS_true", "VS_pred", "VS_ABS", "VS_REG", "VS_IR", "PIG_true", "PIG_pred", "PIG_ABS", "PIG_REG", "PIG_IR"),
    *("STR_true", "STR_pred", "STR_ABS", "STR_REG", "STR_IR", "DaG_true", "DaG_pred", "DaG_ABS", "DaG_REG", "DaG_IR"),
    *("RS_true", "RS_pred", "RS_ABS", "RS_PRS"),
)


def test_every_value_is_in_its_column_and_row(tmp_path):
    generator = np.random.default_rng(0)
    numbers = generator.permutation(np.arange(100, 100 + CASES))
    labels = {task.name: generator.integers(0, len(task.classes), CASES) for task in TASKS}
    probabilities = {task.name: generator.dirichlet(np.ones(len(task.classes)), CASES) for task in TASKS}
    assert len(np.unique(np.concatenate([values.ravel() for values in probabilities.values()]))) == CASES * 24
    predictions.write(
        predictions.to_frame(numbers, labels, probabilities, DERM7PT), tmp_path / "predictions.csv", card=DERM7PT
    )
    with (tmp_path / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    for place, row in enumerate(rows):
        assert int(row["case_num"]) == numbers[place]
        for task in TASKS:
            values = dict(zip(task.classes, probabilities[task.name][place], strict=True))
            assert {name: float(row[f"{task.name}_{name}"]) for name in task.classes} == values
            assert row[f"{task.name}_pred"] == max(values, key=values.get)
            assert row[f"{task.name}_true"] == task.classes[labels[task.name][place]]


def test_the_first_of_equal_classes_is_the_answer():
    labels = {task.name: np.array([0]) for task in TASKS}
    even = {task.name: np.full((1, len(task.classes)), 1 / len(task.classes)) for task in TASKS}
    table = predictions.to_frame(np.array([1]), labels, even, DERM7PT)
    assert [table[f"{task.name}_pred"][0] for task in TASKS] == [task.classes[0] for task in TASKS]
