"""The growth benchmark: the repeated release is sound, a part measures itself, exponents and rows are right."""

import numpy as np
import pytest

from amfam_tf.data import synthetic
from amfam_tf.data.check import check_data_set
from amfam_tf.data.derm7pt import read_release
from amfam_tf.evaluation import predictions
from amfam_tf.tasks import DERM7PT, TASKS
from benchmarks import growth


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("growth")
    synthetic.write_data_set(folder / "drawn", cases=10, seed=0, size=(96, 72), workers=1)
    growth.make_data_set(folder / "drawn", folder / "repeated", 30)
    return folder


def test_repeated_release_has_no_problem_and_every_case_once(repeated):
    report = check_data_set(repeated / "repeated")
    assert report.ok
    assert report.cases == 30
    drawn, cases = (read_release(repeated / name) for name in ("drawn", "repeated"))
    assert cases["case_num"].is_unique
    assert cases["clinical"].nunique() == 30
    for copy in range(3):
        part = cases.iloc[10 * copy : 10 * copy + 10]
        assert list(part["split"]) == list(drawn["split"])
        assert list(part["DIAG"]) == list(drawn["DIAG"])
        assert all(f"/images/{copy}/" in path for path in part["dermoscopic"])


def test_number_of_cases_must_be_a_multiple(repeated):
    with pytest.raises(ValueError, match="multiple of 10. Received: 25"):
        growth.make_data_set(repeated / "drawn", repeated / "other", 25)


def test_a_part_measures_itself(repeated, tmp_path):
    taken = growth.measure_here("check", repeated / "repeated", tmp_path)
    assert set(taken) == {"seconds", "processor", "memory"}
    assert all(value > 0 for value in taken.values())


def test_drawn_predictions_are_a_table_of_these_cases(repeated):
    cases = read_release(repeated / "repeated")
    table = growth.draw_predictions(cases, DERM7PT)
    assert list(table["case_num"]) == list(cases["case_num"])
    np.testing.assert_array_equal(predictions.true_labels(table, TASKS[0]), cases["DIAG"])


def test_slope_is_the_exponent():
    sizes = [10, 100, 1000]
    assert growth.slope(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert growth.slope(sizes, [7, 7, 7]) == pytest.approx(0, abs=1e-12)


def test_rows_say_what_was_not_measured():
    one = {"seconds": 2.0, "processor": 1.0, "memory": 0.5}
    ten = {"seconds": 20.0, "processor": 1.0, "memory": 0.5}
    rows = growth.rows_of({100: {"check": one, "report": one}, 1000: {"check": ten}})
    assert rows[0] == ["check", "s", "2.0", "20.0", "1.00"]
    assert rows[2] == ["check", "GiB", "0.50", "0.50", "0.00"]
    assert ["report", "s", "2.0", "not measured", ""] in rows


def test_plot_is_written(tmp_path):
    one = {"seconds": 2.0, "processor": 1.0, "memory": 0.5}
    growth.draw({100: dict.fromkeys(growth.PARTS, one), 1000: {"check": one}}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
