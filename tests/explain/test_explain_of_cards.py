"""`amfam-tf explain` of runs on other data: their tasks, their classes, and labels that nobody knows."""

import numpy as np
import pytest
import tensorflow as tf
from exported_runs import write_run
from small_pairs import HOSPITAL, hospital_rows, write_hospital, write_milk10k

from amfam_tf.card import cards
from amfam_tf.cli import main
from amfam_tf.data import cases, pipeline
from amfam_tf.data.pair_labels import UNKNOWN
from amfam_tf.errors import RunError
from amfam_tf.evaluation.run import read_for
from amfam_tf.explain import panel
from amfam_tf.explain.grad_cam import grad_cam
from amfam_tf.explain.run import choose_cases, explain_run
from amfam_tf.runs.finished import FinishedRun

pytestmark = pytest.mark.usefixtures("tiny_backbone")
CARD = cards.parse(HOSPITAL, "hospital")
DX, ULC = CARD.tasks


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Its lesions that have both pictures."""
    rows = [row for row in hospital_rows() if row[0] != "L1"]
    return write_hospital(tmp_path_factory.mktemp("hospital") / "data", rows)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "first"
    write_run(run, card=CARD, temperatures={"DX": 2.0, "ULC": 4.0})
    return run


@pytest.fixture(scope="module")
def everything(finished, hospital):
    return read_for(FinishedRun.open(finished), hospital)


def words_of(figure) -> str:
    titles = [axes.get_title(loc) for axes in figure.axes for loc in ("left", "center", "right")]
    texts = [text.get_text() for axes in figure.axes for text in [*axes.texts, *axes.get_yticklabels()]]
    return " ".join([figure.get_suptitle(), *titles, *texts])


def test_the_main_task_is_explained_unless_another_one_is_named(finished, hospital, everything, tmp_path, capsys):
    number = int(everything.cases.query("split == 'train'")["case_num"].iloc[0])
    words = ["explain", str(finished), "--data", str(hospital), "--split", "train", "--case", str(number)]
    assert main.main([*words, "--out", str(tmp_path)]) == 0
    assert main.main([*words, "--out", str(tmp_path), "--task", "ULC", "--class", "yes"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        f"case-{number:04d}-DX.png",
        f"case-{number:04d}-ULC-yes.png",
    }
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_case_is_named_by_its_id_or_its_number(everything, hospital, capsys, finished):
    of_split = everything.cases.query("split == 'train'")
    names = [*of_split["case_id"][:2]][::-1]
    assert all(name.startswith("L") for name in names)
    assert list(choose_cases(hospital, "train", names, 1, everything)["case_id"]) == names
    number = str(of_split["case_num"].iloc[0])
    assert list(choose_cases(hospital, "train", [number], 1, everything)["case_id"]) == names[1:]
    words = ["explain", str(finished), "--data", str(hospital), "--case"]
    assert main.main([*words, "L99"]) == 1
    assert capsys.readouterr().err == f"error: {hospital} has no case L99 (column 'lesion' of hospital.csv)\n"
    assert main.main([*words, names[0]]) == 1
    assert capsys.readouterr().err == f"error: case {names[0]} is in the split train: add --split train\n"


def test_maps_and_probabilities_are_those_of_the_named_task(finished, everything):
    chosen = everything.cases.head(3)
    found = explain_run(finished, chosen, ULC, 1)
    run = FinishedRun.open(finished)
    (batch,) = pipeline.evaluation_dataset(chosen, run.config, card=CARD)
    pictures = {name: batch[name] for name in cases.MODALITIES}
    size = pictures["clinical"].shape[1]
    ones = tf.ones(3, tf.int32)
    maps, logits = grad_cam(run.network.explanation_model(), pictures, ones, ones, size, CARD.tasks)
    other, _ = grad_cam(run.network.explanation_model(), pictures, 0 * ones, 0 * ones, size, CARD.tasks)
    assert np.abs(maps["clinical"] - other["clinical"]).max() > 0.01
    for row, one in enumerate(found):
        np.testing.assert_allclose(one.maps["clinical"], maps["clinical"][row], atol=1e-4)
        np.testing.assert_allclose(one.probabilities, tf.nn.softmax(logits["ULC"][row] / 4.0), atol=1e-5)
        assert (one.shown, one.truth, one.task) == (1, int(chosen["ULC"].iloc[row]), ULC)


def test_a_label_that_nobody_knows_is_called_so_and_judges_nothing(finished, everything):
    chosen = everything.cases[everything.cases["DX"] == UNKNOWN].head(1)
    (one,) = explain_run(finished, chosen, DX)
    words = words_of(panel.draw_panel([one]))
    assert f"case {one.case_num}, diagnosis; label: unknown" in words
    assert "label)" not in words
    assert "right" not in words
    assert "wrong" not in words
    assert f"{DX.class_titles[one.predicted]}\n(predicted)" in words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "PN"], "'PN' is not one of 'DX', 'ULC'."),
        (["--task", "ULC", "--class", "MEL"], "ULC has the classes no, yes"),
        (["--class", "yes"], "DX has the classes MEL, NEV"),
    ],
)
def test_a_task_or_class_that_the_run_does_not_have_is_wrong_usage(finished, hospital, capsys, words, message):
    assert main.main(["explain", str(finished), "--data", str(hospital), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_data_with_other_questions_are_refused_in_one_line(finished, tmp_path, capsys):
    data = write_milk10k(tmp_path / "milk")
    assert main.main(["explain", str(finished), "--data", str(data)]) == 1
    assert f"{data} has the card milk10k, whose tasks or classes are not those of hospital" in capsys.readouterr().err


def test_a_second_run_of_other_questions_is_refused_in_one_line(everything, tmp_path):
    write_run(tmp_path / "other")
    with pytest.raises(RunError) as caught:
        explain_run(tmp_path / "other", everything.cases.head(1), DX)
    assert str(caught.value) == f"{tmp_path / 'other'} has no task DX of the classes MEL, NEV"


def test_a_case_without_a_picture_is_said(tmp_path):
    data = write_hospital(tmp_path / "data")
    with pytest.raises(cases.DataError, match=r"data: case L1 has no clinical picture \(1 of 12 cases\)"):
        choose_cases(data, "train", (), 2)
