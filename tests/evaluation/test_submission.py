"""The file of a challenge: thresholds moved to 0.5 change no decision; they are tuned on cases that no run has seen."""

import shutil

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import f1_score
from small import small_config
from small_pairs import HOSPITAL
from tiny_backbone import TINY_BACKBONE

from amfam_tf.card import cards
from amfam_tf.cli import main
from amfam_tf.data.synthetic.milk10k import write_milk10k
from amfam_tf.errors import DataError
from amfam_tf.evaluation import predictions, submission
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.models import backbones
from amfam_tf.training.run import fit

CARD = cards.packaged("milk10k")
TASK = CARD.tasks[0]


def answers(cases, seed=0, first=1):
    """Returns predictions that are right more often than not, and labels of which one class is rare."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(TASK.classes), cases)
    labels[labels == 6] = 0
    labels[0] = 6
    logits = random.normal(size=(cases, len(TASK.classes))) + 1.5 * np.eye(len(TASK.classes))[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return predictions.to_frame(np.arange(first, first + cases), {"DIAG": labels}, {"DIAG": probabilities}, CARD)


def test_moving_a_threshold_to_half_keeps_order_and_decisions():
    probabilities = np.random.default_rng(1).random((50, 11))
    thresholds = np.linspace(0.05, 0.9, 11)
    probabilities[0] = thresholds
    moved = submission.moved_to_half(probabilities, thresholds)
    np.testing.assert_array_equal(moved > 0.5, probabilities > thresholds)
    assert moved.min() >= 0 and moved.max() <= 1
    np.testing.assert_array_equal(moved.argsort(axis=0), probabilities.argsort(axis=0))
    np.testing.assert_allclose(submission.moved_to_half(np.array([[0.0], [1.0]]), np.array([0.2])), [[0], [1]])


def test_the_best_threshold_is_that_of_a_search_over_all():
    table = answers(80)
    found = submission.best_thresholds([table], TASK)
    labels, probabilities = predictions.true_labels(table, TASK), predictions.task_probabilities(table, TASK)
    for number, name in enumerate(TASK.classes):
        scores = probabilities[:, number]
        best = max(f1_score(labels == number, scores > edge) for edge in (0, *scores[scores < scores.max()]))
        assert f1_score(labels == number, scores > found[name]) == pytest.approx(best)
    pooled = submission.best_thresholds([table[:30], table[30:]], TASK)
    assert pooled == found, "pooled, not a mean over the folds"


def test_a_class_without_a_case_keeps_a_half_and_no_case_counts_twice():
    table = answers(40)
    rest = table[table["DIAG_true"] != "MAL_OTH"]
    assert submission.best_thresholds([rest], TASK)["MAL_OTH"] == 0.5
    with pytest.raises(DataError, match="case 12 is in the predictions of two of the runs"):
        submission.best_thresholds([table[:20], table[11:]], TASK)


def test_the_numbers_are_probabilities_or_the_largest_or_moved():
    table = answers(20)
    probabilities = predictions.task_probabilities(table, TASK)
    np.testing.assert_array_equal(submission.numbers_of(table, TASK, "probabilities", None), probabilities)
    largest = submission.numbers_of(table, TASK, "largest", None)
    assert set(largest.ravel()) == {0.0, 1.0}
    np.testing.assert_array_equal(largest.argmax(axis=1), probabilities.argmax(axis=1))
    thresholds = dict.fromkeys(TASK.classes, 0.25)
    moved = submission.numbers_of(table, TASK, "probabilities", thresholds)
    np.testing.assert_array_equal(moved > 0.5, probabilities > 0.25)


def test_the_file_is_checked_before_it_is_written(tmp_path):
    out, numbers = tmp_path / "out.csv", np.full((2, 11), 0.25)
    submission.write(out, CARD.submission, CARD, ["IL_2", "IL_1"], numbers)
    frame = pd.read_csv(out)
    assert [*frame] == ["lesion_id", *TASK.classes]
    assert [*frame["lesion_id"]] == ["IL_2", "IL_1"] and (frame[[*TASK.classes]] == 0.25).all().all()
    before = out.read_bytes()
    with pytest.raises(DataError, match="lesion_id 'IL_1' stands twice among the blind cases"):
        submission.write(out, CARD.submission, CARD, ["IL_1", "IL_1"], numbers)
    with pytest.raises(DataError, match="a number is not in"):
        submission.write(out, CARD.submission, CARD, ["IL_1", "IL_2"], numbers * np.nan)
    assert out.read_bytes() == before


@pytest.fixture(scope="module")
def milk(tmp_path_factory):
    """Drawn lesions with labels, and two blind ones."""
    out = tmp_path_factory.mktemp("milk") / "data"
    write_milk10k(out, cases=44, size=(72, 64), workers=1)
    return out


@pytest.fixture(scope="module", autouse=True)
def tiny_backbone():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        yield


@pytest.fixture(scope="module")
def folds(milk, tmp_path_factory):
    """Two runs, each without its fold, evaluated on it."""
    paths = []
    for fold in (0, 1):
        paths.append(tmp_path_factory.mktemp("runs") / f"fold{fold}")
        words = ("training.epochs=1", "training.batch_size=8", f"data.fold={fold}")
        fit(milk, paths[-1], small_config(*words, method="concat"), Console(quiet=True))
        evaluate_run(paths[-1], milk)
    return paths


def test_a_run_answers_for_the_blind_pictures(milk, folds, tmp_path, capsys):
    out = tmp_path / "blind.csv"
    words = ["predict", str(milk), "--run", str(folds[0]), "--submission", str(out)]
    assert main.main(words) == 0
    told = capsys.readouterr().out
    frame, listed = pd.read_csv(out), pd.read_csv(milk / "MILK10k_Test_Metadata.csv")
    assert [*frame["lesion_id"]] == [*dict.fromkeys(listed["lesion_id"])]
    assert f"written: {out}, {len(frame)} cases of milk10k" in told and "research" in told
    np.testing.assert_allclose(frame[[*TASK.classes]].sum(axis=1), 1.0, atol=1e-9)
    assert main.main([*words, "--values", "largest"]) == 0
    assert set(pd.read_csv(out)[[*TASK.classes]].to_numpy().ravel()) == {0.0, 1.0}
    capsys.readouterr()
    tuned = [word for fold in folds for word in ("--tuned-on", str(fold))]
    assert main.main([*words, *tuned]) == 0
    assert "thresholds that were moved to 0.5: AKIEC " in capsys.readouterr().out
    moved = pd.read_csv(out)[[*TASK.classes]].to_numpy()
    assert moved.shape == (len(frame), 11) and (np.abs(moved.sum(axis=1) - 1) > 1e-6).any()
    assert main.main([*words, *tuned, "--values", "largest"]) == 2


def test_a_run_on_the_archives_layout_answers_for_the_challenges_blind_part(milk, folds, tmp_path, capsys):
    out, run, archive = tmp_path / "blind.csv", tmp_path / "run", tmp_path / "archive"
    write_milk10k(archive, cases=44, size=(72, 64), workers=1, layout="milk10k-archive")
    shutil.copytree(folds[0], run)
    (run / "dataset.yaml").write_text(cards.to_yaml(cards.packaged("milk10k_archive")), encoding="utf-8")
    for data, status in ((milk, 0), (archive, 1)):
        assert main.main(["predict", str(data), "--run", str(run), "--submission", str(out)]) == status
    assert len(pd.read_csv(out)) == 4
    assert "the card milk10k names no blind part of the data: submission.table is needed" in capsys.readouterr().err


def test_what_cannot_answer_is_refused_in_a_line(milk, folds, tmp_path, capsys):
    out = tmp_path / "blind.csv"

    def refusal(data, run, *more):
        assert main.main(["predict", str(data), "--run", str(run), "--submission", str(out), *more]) == 1
        return capsys.readouterr().err

    assert "is in the predictions of two of the runs" in refusal(
        milk, folds[0], "--tuned-on", str(folds[0]), "--tuned-on", str(folds[0])
    )
    blind = tmp_path / "blind"
    shutil.copytree(milk / "MILK10k_Test_Input", blind / "MILK10k_Test_Input")
    shutil.copy(milk / "MILK10k_Test_Metadata.csv", blind)
    assert main.main(["predict", str(blind), "--run", str(folds[0]), "--submission", str(out)]) == 0, "no labels needed"
    capsys.readouterr()
    next((blind / "MILK10k_Test_Input").glob("*/*.jpg")).unlink()
    assert "MILK10k_Test_Metadata.csv row" in refusal(blind, folds[0])
    card = tmp_path / "card.yaml"
    without = CARD.model_copy(update={"submission": CARD.submission.model_copy(update={"table": None})})
    card.write_text(cards.to_yaml(without), encoding="utf-8")
    assert "names no blind part of the data: submission.table is needed" in refusal(milk, folds[0], "--card", str(card))
    card.write_text(cards.to_yaml(CARD.model_copy(update={"submission": None})), encoding="utf-8")
    assert "has no section submission" in refusal(milk, folds[0], "--card", str(card))
    card.write_text(HOSPITAL, encoding="utf-8")
    assert "whose tasks or classes are not those of hospital" in refusal(milk, folds[0], "--card", str(card))
