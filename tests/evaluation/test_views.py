"""A network that takes one picture or both: evaluated with C, D and C+D in one go."""

import numpy as np
import pytest
from exported_runs import write_run
from releases import TinyRelease
from small import SMALL_FOR_ANY

from amfam_tf.cli import main
from amfam_tf.evaluation import html_report, tables
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.report import results
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

pytestmark = pytest.mark.usefixtures("tiny_backbone", "undrawn")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return TinyRelease(pixels=(80, 64)).write(tmp_path_factory.mktemp("data") / "release")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_backbone):  # noqa: ARG001
    path = tmp_path_factory.mktemp("runs") / "run"
    write_run(path, "model.modality_dropout=0.3", method="concat", sizes=SMALL_FOR_ANY)
    return path


@pytest.fixture(scope="module")
def both(run, data):
    return evaluate_run(run, data, "train")


def test_each_picture_alone_is_measured_as_when_the_other_is_left_out(run, data, both):
    found = both.report["views"]
    assert list(found) == list(MODALITIES)
    answers = []
    for name, part in found.items():
        alone = evaluate_run(run, data, "train", modalities=(name,))
        answers.append(alone.table.select_dtypes(float).to_numpy())
        assert (part["first"], part["second"]) == ("both pictures", f"{name} picture alone")
        assert part["cases"] == len(both.table)
        places = {("average",): part["average"]["accuracy"]}
        places |= {("tasks", task.name): part["tasks"][task.name]["accuracy"] for task in TASKS}
        for place, change in places.items():
            of_one, of_both = alone.report, both.report
            for key in place:
                of_one, of_both = of_one[key], of_both[key]
            assert change["second"] == pytest.approx(of_one["accuracy"])
            assert change["first"] == pytest.approx(of_both["accuracy"])
            assert change["difference"] == pytest.approx(change["first"] - change["second"])
            assert change["second_ci95"] == pytest.approx(of_one["accuracy_ci95"], nan_ok=True)
        area = part["tasks"]["DIAG"]["classes"]["NEV"]["auc"]
        expected = alone.report["tasks"]["DIAG"]["classes"]["NEV"]["auc_ci95"]
        np.testing.assert_array_equal(area["second_ci95"], expected)
    own = both.table.select_dtypes(float).to_numpy()
    assert not any(np.allclose(one, other) for one, other in ((own, answers[0]), (own, answers[1]), answers))


def test_the_table_has_three_values_and_two_differences_a_task(both):
    table = tables.views_table(both.report, DERM7PT)
    assert table.headings == [
        "task",
        "clinical picture alone",
        "dermoscopic picture alone",
        "both",
        "both minus clinical (95 %)",
        "both minus dermoscopic (95 %)",
    ]
    assert [row.cells[0] for row in table.rows] == [*(task.name for task in TASKS), "average"]
    views = both.report["views"]
    for row in table.rows:
        parts = [
            one["average"]["accuracy"] if row.cells[0] == "average" else one["tasks"][row.cells[0]]["accuracy"]
            for one in views.values()
        ]
        assert row.cells[1:3] == [tables.value_with_interval(one["second"], one["second_ci95"]) for one in parts]
        assert row.cells[3] == tables.share(parts[0]["first"])
        assert row.cells[4:] == [tables.difference_with_interval(one["difference"], one["ci95"]) for one in parts]
    assert table.caption in [one.caption for one in tables.terminal_tables(both.report, DERM7PT)]
    html_report.write_report(both)
    assert table.caption in (both.folder / "report.html").read_text(encoding="utf-8")
    assert results.read(both.folder / "metrics.json")["views"].keys() == set(MODALITIES)


def test_the_verb_prints_it_and_of_one_picture_does_not(run, data, capsys):
    assert main.main(["evaluate", str(run), "--data", str(data)]) == 0
    assert "Accuracy with one picture and with both" in capsys.readouterr().out
    assert main.main(["evaluate", str(run), "--data", str(data), "--modalities", "clinical"]) == 0
    assert "with one picture and with both" not in capsys.readouterr().out


def test_a_run_that_needs_both_has_no_such_table(tmp_path, data):
    write_run(tmp_path / "run", method="concat", sizes=SMALL_FOR_ANY)
    report = evaluate_run(tmp_path / "run", data, "train").report
    assert "views" not in report
    assert not tables.views_table(report, DERM7PT).rows
