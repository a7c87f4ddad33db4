"""predictions.csv: what is written comes back exactly, and an edited file is refused with row and column."""

import re

import numpy as np
import pandas as pd
import pytest
from prediction_tables import cases_of_table, random_table

from amfam_tf.errors import DataError
from amfam_tf.evaluation import predictions
from amfam_tf.tasks import DERM7PT, TASK_BY_NAME


@pytest.fixture
def written(tmp_path):
    """Returns a table and the path that it was written to."""
    table = random_table(cases=7, seed=0)
    path = tmp_path / "evaluation" / "test" / "predictions.csv"
    predictions.write(table, path, card=DERM7PT)
    return table, path


def test_stable_columns(written):
    header = written[1].read_text().splitlines()[0].split(",")
    assert header[:8] == [
        "case_num",
        "DIAG_true",
        "DIAG_pred",
        "DIAG_BCC",
        "DIAG_NEV",
        "DIAG_MEL",
        "DIAG_MISC",
        "DIAG_SK",
    ]
    assert header[8:13] == ["PN_true", "PN_pred", "PN_ABS", "PN_TYP", "PN_ATP"]
    assert len(header) == 1 + 2 * 8 + 24


def test_floats_come_back_to_the_last_bit(written):
    table, path = written
    back = predictions.read(path, cases_of_table(table), card=DERM7PT)
    pd.testing.assert_frame_equal(back, table, check_exact=True)


def test_arrays_come_back_from_the_table():
    table = random_table(cases=5, seed=3)
    task = TASK_BY_NAME["DIAG"]
    probabilities = predictions.task_probabilities(table, task)
    assert probabilities.shape == (5, 5)
    np.testing.assert_array_equal(probabilities[:, 2], table["DIAG_MEL"])
    np.testing.assert_array_equal(predictions.predicted_labels(table, task), probabilities.argmax(axis=1))
    assert [task.classes[number] for number in predictions.true_labels(table, task)] == list(table["DIAG_true"])


def _set(row, column, value):
    def edit(raw):
        raw.loc[row, column] = value
        return raw

    return edit


EDITS = {
    "missing column": (lambda raw: raw.drop(columns="VS_IR"), r"column 'VS_IR' is missing"),
    "unknown column": (lambda raw: raw.assign(extra="1"), r"column 'extra' is unknown"),
    "sum": (_set(4, "PN_ABS", "1.0"), r"row 4 .*column PN_ABS to PN_ATP.* sum to 1\.\d+, not to 1"),
    "unknown class": (
        _set(2, "STR_true", "TYP"),
        r"row 2 .*column STR_true: 'TYP' is no class of STR \(ABS, REG, IR\)",
    ),
    "unknown prediction": (_set(2, "STR_pred", ""), r"row 2 .*column STR_pred: '' is no class"),
    "duplicate case": (_set(3, "case_num", "1"), r"row 3 .*column case_num: case 1 is in row 0 already"),
    "unknown case": (_set(3, "case_num", "999"), r"row 3 .*column case_num: case 999 is not among the 7 cases"),
    "no number": (_set(3, "case_num", "x"), r"row 3 .*column case_num: 'x' is not a case number"),
    "no float": (_set(5, "RS_ABS", "half"), r"row 5 .*column RS_ABS: 'half' is not a number"),
    "not a number": (_set(5, "RS_ABS", "nan"), r"row 5 .*column RS_ABS: nan is not a probability"),
    "negative": (_set(5, "RS_ABS", "-0.1"), r"row 5 .*column RS_ABS: -0.1 is not a probability"),
    "no rows": (lambda raw: raw.iloc[:0], r"has no rows"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_file_is_refused_with_row_and_column(written, name):
    table, path = written
    edit, message = EDITS[name]
    edit(pd.read_csv(path, dtype=str)).to_csv(path, index=False)
    with pytest.raises(DataError, match=message):
        predictions.read(path, cases_of_table(table), card=DERM7PT)


def test_prediction_that_is_not_the_most_probable_class_is_refused(written):
    table, path = written
    other = "ABS" if table["BWV_pred"][1] == "PRS" else "PRS"
    _set(1, "BWV_pred", other)(raw := pd.read_csv(path, dtype=str)).to_csv(path, index=False)
    assert raw["BWV_pred"][1] == other
    with pytest.raises(DataError, match=r"row 1 .*column BWV_pred: \w+ is not the most probable class"):
        predictions.read(path, card=DERM7PT)


def test_label_that_differs_from_the_data_set_is_refused(written):
    table, path = written
    cases = cases_of_table(table)
    cases.loc[6, "RS"] = 1 - cases.loc[6, "RS"]
    with pytest.raises(DataError, match=r"row 6 .*column RS_true: \w+ differs from the data set's label"):
        predictions.read(path, cases, card=DERM7PT)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"case_num,a\n1,2,3,4\n"])
def test_file_that_is_no_such_table_is_refused_by_name(tmp_path, content):
    path = tmp_path / "predictions.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path))):
        predictions.read(path, card=DERM7PT)


def test_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*absent\.csv"):
        predictions.read(tmp_path / "absent.csv", card=DERM7PT)


def test_probabilities_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"DIAG must be of shape \(2, 5\)"):
        predictions.to_frame(np.array([1, 2]), {"DIAG": np.zeros(2, int)}, {"DIAG": np.zeros((2, 3))}, DERM7PT)
