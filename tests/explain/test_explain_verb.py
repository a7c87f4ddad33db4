"""`amfam-tf explain` as a user runs it: the panels, two runs side by side, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image
from untrained_runs import write_run
from written_records import write_records

from amfam_tf.cli import main
from amfam_tf.data.derm7pt import read_release
from amfam_tf.evaluation import calibration
from amfam_tf.evaluation import run as evaluation_run
from amfam_tf.explain import panel
from amfam_tf.explain.run import choose_cases, explain_run
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, TASK_BY_NAME, task_names

pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, drawn):
    """Returns a finished run."""
    return write_run(tmp_path_factory.mktemp("runs") / "first", drawn)


@pytest.fixture(scope="module")
def other(tmp_path_factory, drawn):
    """Returns a finished run of another method, which does not use the clinical picture."""
    return write_run(tmp_path_factory.mktemp("runs") / "second", drawn, method="dermoscopic-only", seed=1)


@pytest.fixture(scope="module")
def cases(drawn):
    """Returns three cases of the test split."""
    return choose_cases(drawn, "test", (), 3)


def test_one_panel_per_case_of_the_split(finished, drawn, tmp_path, capsys):
    words = ["explain", str(finished), "--data", str(drawn), "--out", str(tmp_path / "new")]
    assert main.main(words) == 0
    first = read_release(drawn).query("split == 'test'")["case_num"].head(4)
    expected = [tmp_path / "new" / f"case-{number:04d}-DIAG.png" for number in first]
    assert sorted((tmp_path / "new").iterdir()) == sorted(expected)
    assert capsys.readouterr().out.splitlines() == [f"written: {path}" for path in expected]
    for path in expected:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert picture.width > 900
            digest = FinishedRun.open(finished).model_sha256
            assert picture.text == {f"model_sha256 of {finished.name}": digest}


def test_chosen_case_task_class_and_second_run(finished, other, drawn, cases):
    number = int(cases["case_num"].iloc[2])
    words = ["explain", str(finished), "--data", str(drawn), "--case", str(number), "--task", "PN", "--class", "ATP"]
    assert main.main([*words, "--against", str(other)]) == 0
    (path,) = (finished / "explain").iterdir()  # the default place
    assert path.name == f"case-{number:04d}-PN-ATP-against-second.png"


def test_cases_from_records_are_explained_in_the_order_asked_for(finished, drawn, tmp_path):
    write_records(read_release(drawn), tmp_path / "records", shards=2)
    numbers = choose_cases(drawn, "test", (), 2)["case_num"].tolist()[::-1]
    first, second = (
        explain_run(finished, choose_cases(data, "test", [*map(str, numbers)], 2), DIAGNOSIS)
        for data in (drawn, tmp_path / "records")
    )
    assert [one.case_num for one in first] == [one.case_num for one in second] == numbers
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_what_is_explained_is_what_is_evaluated(finished, cases):
    temperatures = dict.fromkeys(task_names(), 2.5)
    content = {"temperatures": temperatures, "cases": 40, "log_loss": {}, "notes": []}
    content["model_sha256"] = FinishedRun.open(finished).model_sha256
    (finished / "calibration.json").write_text(json.dumps(content), encoding="utf-8")
    run = FinishedRun.open(finished)
    raw = evaluation_run.predict_cases(run.inference_model(), cases, run.config, DERM7PT)
    table = calibration.apply(raw, temperatures, DERM7PT).set_index("case_num")
    for task in (DIAGNOSIS, TASK_BY_NAME["RS"]):
        for one in explain_run(finished, cases, task):
            row = table.loc[one.case_num]
            expected = [row[f"{task.name}_{name}"] for name in task.classes]
            np.testing.assert_allclose(one.probabilities, expected, atol=1e-5)
            assert task.classes[one.predicted] == row[f"{task.name}_pred"]
            assert task.classes[one.truth] == row[f"{task.name}_true"]
            assert one.shown == one.predicted


def test_panel_says_label_prediction_probabilities_and_unused_picture(finished, other, cases):
    both = [explain_run(run, cases, DIAGNOSIS, 2)[0] for run in (finished, other)]
    figure = panel.draw_panel(both)
    words = " ".join(
        [figure.get_suptitle()]
        + [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center", "right")]
        + [text.get_text() for axes in figure.axes for text in [*axes.texts, *axes.get_yticklabels()]]
    )
    assert f"case {both[0].case_num}, diagnosis; label: {DIAGNOSIS.class_titles[both[0].truth]}" in words
    for one in both:
        assert f"{one.run}\n{'for MEL' if 'clinical' in one.maps else ''}" in words
        assert f"{one.run}: {DIAGNOSIS.classes[one.predicted]}" in words
        assert f"{one.probabilities.max():.2f}" in words
    assert words.count("does not use\nthe clinical picture") == 1
    bars = [axes for axes in figure.axes if axes.get_xlabel() == "probability"]
    heights = [[bar.get_width() for bar in axes.patches] for axes in bars]
    np.testing.assert_allclose(heights, [one.probabilities for one in both])


def test_overlay_leaves_the_picture_where_the_map_is_zero():
    picture = np.random.default_rng(0).random((4, 4, 3))
    activation = np.zeros((4, 4))
    activation[1, 2] = 1
    laid = panel.overlay(picture, activation)
    changed = np.abs(laid - picture).max(axis=-1) > 1e-6
    assert np.argwhere(changed).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--task", "PN", "--class", "MEL"], 2, "PN has the classes ABS, TYP, ATP"),
        (["--task", "ABC"], 2, "ABC"),
        (["--case", "9999"], 1, "has no case 9999"),
    ],
)
def test_refusals(finished, drawn, capsys, words, status, message):
    assert main.main(["explain", str(finished), "--data", str(drawn), *words]) == status
    error = capsys.readouterr().err
    assert message in error
    assert status == 2 or len(error.strip().splitlines()) == 1


def test_case_of_another_split_is_refused_with_its_split(finished, drawn, capsys):
    number = int(read_release(drawn).query("split == 'train'")["case_num"].iloc[0])
    assert main.main(["explain", str(finished), "--data", str(drawn), "--case", str(number)]) == 1
    assert capsys.readouterr().err == f"error: case {number} is in the split train: add --split train\n"


def test_place_that_cannot_be_written_is_one_line(finished, drawn, cases, tmp_path, capsys):
    (tmp_path / "file").write_text("", encoding="utf-8")
    words = ["--case", str(cases["case_num"].iloc[0]), "--out", str(tmp_path / "file" / "below")]
    assert main.main(["explain", str(finished), "--data", str(drawn), *words]) == 1
    assert "cannot write" in capsys.readouterr().err
