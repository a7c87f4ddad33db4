"""A run that learns from another one: what it is told, that it goes on as it was, and what it says of its teacher."""

import dataclasses
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from dying import Killed, die_at_write
from ensembles import write_member
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import small_config
from small_pairs import COMPLETE_HOSPITAL, HOSPITAL, hospital_rows, write_complete_hospital, write_hospital
from toy_method import SMALL, TOY

from amfam_tf import models
from amfam_tf.cli import main as command_line
from amfam_tf.data import pipeline
from amfam_tf.data.answers import answer_key, with_answers
from amfam_tf.data.cases import read
from amfam_tf.data.mixing import other_label
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.ensemble import make_ensemble
from amfam_tf.evaluation.provenance import member_notes
from amfam_tf.evaluation.run import evaluate_run, predict_cases
from amfam_tf.export.export import export_run
from amfam_tf.export.verify import verify
from amfam_tf.files import json_file
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import MODALITIES
from amfam_tf.training import run as training_run
from amfam_tf.training.dry_run import dry_run
from amfam_tf.training.run import fit, split_cases
from amfam_tf.training.teacher import ask_teacher, describe

QUIET = Console(quiet=True)
FAST = ("training.epochs=2", "training.batch_size=4", "data.image_size=48")


@pytest.fixture(scope="module", autouse=True)
def toy():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.METHODS, "toy", TOY)
        yield


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    return write_complete_hospital(tmp_path_factory.mktemp("hospital") / "data")


@pytest.fixture(scope="module")
def seeds(hospital, tmp_path_factory):
    """An ensemble of two seeds, on smaller pictures than its student sees."""
    root = tmp_path_factory.mktemp("seeds")
    make_ensemble(root / "both", [write_member(root / f"seed{seed}", hospital, seed=seed) for seed in range(2)])
    return root / "both"


@pytest.fixture(scope="module")
def members(hospital, tmp_path_factory):
    root = tmp_path_factory.mktemp("folds")
    return [write_member(root / f"fold{fold}", hospital, fold=fold) for fold in range(2)]


@pytest.fixture(scope="module")
def folds(hospital, members):
    out = members[0].parent / "all"
    make_ensemble(out, members, hospital)
    return out


def student(teacher, *overrides):
    return small_config(*FAST, f"loss.teacher={teacher}", *overrides, method="toy", sizes=SMALL)


def asked(data, config):
    found = read(data).used(config.data)
    splits = ask_teacher(split_cases(found.cases, ("train", "validate")), config, found, QUIET)
    return splits, found.card


def told(frame, card):
    return np.concatenate([np.exp(np.stack(list(frame[answer_key(task.name)]))) for task in card.tasks], axis=1)


def predicted(table, card):
    return table[[name for task in card.tasks for name in predictions.probability_columns(task)]].to_numpy()


def answers_of(run, cases, card):
    """Returns what `evaluate` finds of a run, without temperatures."""
    opened = FinishedRun.open(run)
    return predict_cases(opened.inference_model(), cases, opened.config, card)


def write_several(root):
    """Writes the hospital without the case that lacks a picture; one of the others has three of a view."""
    rows = [row for row in hospital_rows() if row[0] != "L1"]
    return write_hospital(root, rows, HOSPITAL)


def test_the_whole_teacher_answers_as_evaluation_does(seeds, hospital, tmp_path):
    several = write_several(tmp_path / "several")
    single = write_member(tmp_path / "single", several)
    for teacher, data in ((seeds, hospital), (single, several)):
        splits, card = asked(data, student(teacher))
        cases = read(data).cases
        for split, frame in splits.items():
            table = answers_of(teacher, cases[cases["split"] == split].reset_index(drop=True), card)
            assert frame["case_num"].tolist() == table["case_num"].tolist()
            np.testing.assert_allclose(told(frame, card), predicted(table, card), atol=1e-6)


def test_out_of_fold_each_case_is_answered_by_the_member_that_left_it_out(hospital, folds, members):
    splits, card = asked(hospital, student(folds, "loss.teacher_answers=out_of_fold"))
    tables = [answers_of(run, read(hospital).cases, card).set_index("case_num") for run in members]
    fold_of = read(hospital).cases.set_index("case_num")["fold"]
    whole, _ = asked(hospital, student(folds))
    for split, frame in splits.items():
        rows = [tables[fold_of[number]].loc[[number]] for number in frame["case_num"]]
        expected = np.concatenate([predicted(row, card) for row in rows])
        np.testing.assert_allclose(told(frame, card), expected, atol=1e-6)
        assert np.abs(told(frame, card) - told(whole[split], card)).max() > 0.05


def test_with_no_share_it_is_the_fit_without_a_teacher(hospital, tmp_path):
    values = {"plain": (), "untaught": ("loss.teacher=nowhere", "loss.distillation=0")}
    for name, overrides in values.items():
        fit(hospital, tmp_path / name, small_config(*FAST, *overrides, method="toy", sizes=SMALL), QUIET)
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in values]
    assert histories[0] == histories[1]
    weights = [FinishedRun.open(tmp_path / name).network.get_weights() for name in values]
    assert all(np.array_equal(one, two) for one, two in zip(*weights, strict=True))
    assert FinishedRun.open(tmp_path / "untaught").teacher is None


@pytest.mark.parametrize("sampling", ["shuffled", "balanced"])
def test_each_case_of_a_batch_has_its_own_answers_and_mixed_ones_those_of_both(hospital, sampling):
    found = read(hospital)
    frame = found.cases[found.cases["split"] == "train"].reset_index(drop=True)
    random = np.random.default_rng(0)
    answers = {task.name: random.normal(size=(len(frame), 2)).astype(np.float32) for task in found.card.tasks}
    config = small_config(*FAST, f"data.sampling={sampling}", "augmentation.mixup=1", method="toy", sizes=SMALL)
    seen = {int(number): row for row, number in enumerate(frame["case_num"])}
    before = None
    for batch in (
        pipeline.training_dataset(with_answers(frame, answers), config, found.card).take(2).as_numpy_iterator()
    ):
        for place, number in enumerate(batch["case_num"]):
            for name, values in answers.items():
                key, own = answer_key(name), values[seen[number]]
                np.testing.assert_array_equal(batch[key][place], own)
                other = own if before is None else values[seen[before]]
                np.testing.assert_array_equal(batch[other_label(key)][place], other)
            before = number


def test_the_student_comes_nearer_to_its_teacher(hospital, seeds, tmp_path):
    more = ("training.epochs=12", "optimizer.learning_rate=0.02", "loss.distillation=1", "augmentation.enabled=false")
    fit(hospital, tmp_path / "run", student(seeds, *more), QUIET)
    history = FinishedRun.open(tmp_path / "run").state.history
    assert history[-1]["distillation"] < 0.5 * history[0]["distillation"]
    for row in history:
        assert row["loss"] == pytest.approx(row["distillation"], rel=1e-5)
        assert row["val_loss"] == pytest.approx(row["val_distillation"], rel=1e-5)


def test_a_killed_student_goes_on_as_an_unbroken_one_and_with_the_same_teacher(hospital, seeds, tmp_path, monkeypatch):
    teacher = shutil.copytree(seeds, tmp_path / "teacher")
    config = student(teacher, "augmentation.mixup=0.5")
    with recycled_trainers():
        fit(hospital, tmp_path / "unbroken", config, QUIET)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at_write(patch, "epoch-0001.weights.h5")
            fit(hospital, tmp_path / "killed", config, QUIET)
        shutil.copytree(tmp_path / "killed", tmp_path / "changed")
        fit(hospital, tmp_path / "killed", config, QUIET)
        histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("unbroken", "killed")]
        assert histories[0] == histories[1]
        before = FinishedRun.open(teacher).model_sha256
        shutil.rmtree(teacher)
        write_member(teacher, hospital, seed=7)
        with pytest.raises(RunError) as caught:
            fit(hospital, tmp_path / "changed", config, QUIET)
        after = FinishedRun.open(teacher).model_sha256
        assert str(caught.value) == (
            f"run folder {tmp_path / 'changed'} was begun with another teacher: {teacher} had other weights "
            f"({before[:12]} -> {after[:12]}): name another folder"
        )
        shutil.rmtree(teacher)
        assert fit(hospital, tmp_path / "killed", config, QUIET).already_finished


def test_from_two_runs_to_a_served_student(hospital, seeds, tmp_path):
    run, sets = tmp_path / "student", [word for value in (*SMALL, *FAST) for word in ("--set", value)]
    words = ["fit", "--data", str(hospital), "--run", str(run), "--preset", "tiny", "--method", "toy", *sets]
    assert command_line.main([*words, "--set", f"loss.teacher={seeds}"]) == 0
    evaluation = evaluate_run(run, hospital)
    assert not any("teacher" in note for note in evaluation.notes)
    exported = export_run(run, tmp_path / "models" / "lesions")
    verify(exported.path)
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    frame = evaluation.cases
    answer = served(**{name: tf.constant([Path(path).read_bytes() for path in frame[name]]) for name in MODALITIES})
    for task in evaluation.card.tasks:
        expected = evaluation.table[predictions.probability_columns(task)].to_numpy()
        np.testing.assert_allclose(answer[task.name], expected, rtol=0, atol=1e-5)
    teacher = FinishedRun.open(run).teacher
    assert (teacher.run, teacher.method, teacher.folds) == ("both", "ensemble", 1)
    assert teacher.model_sha256 == FinishedRun.open(seeds).model_sha256
    assert exported.metadata["training"]["teacher"] == dataclasses.asdict(teacher)
    assert FinishedRun.open(run).network.count_params() < FinishedRun.open(seeds).network.count_params()


def taught_by(run, teacher):
    """Returns a finished run that says of itself that it has learned from another one."""
    folder = RunFolder(run)
    told = {"teacher": dataclasses.asdict(describe(FinishedRun.open(teacher)))}
    json_file.write(folder.environment_file, {**folder.read_environment(), **told})
    return FinishedRun.open(run)


def test_what_a_teacher_has_seen_of_a_split_is_said(hospital, folds, seeds, tmp_path):
    run = taught_by(write_member(tmp_path / "run", hospital), folds)
    assert member_notes(run, "test") == [
        "its teacher all is made of runs that left out 2 different folds: each case of the split test was trained on "
        "by some of them, and this run has learned from their answers: these numbers may be better than on new cases"
    ]
    assert member_notes(run, "validate") == []
    assert describe(run).folds == 2
    assert member_notes(taught_by(write_member(tmp_path / "clean", hospital), seeds), "test") == []
    (note,) = member_notes(taught_by(write_member(tmp_path / "other", hospital, fold=1), seeds), "test")
    assert note == (
        "its teacher both was trained on other data or other splits of them: if cases of the split test were among its "
        "training cases, these numbers are better than on new cases"
    )


def test_the_dry_run_asks_the_teacher(hospital, seeds):
    console = Console(record=True, width=300, force_terminal=False, file=io.StringIO())
    dry_run(hospital, student(seeds), console)
    shown = console.export_text()
    assert "distillation: " in shown
    assert "input teacher.DX" in shown


def refusal(data, config, run, kind=RunError):
    with pytest.raises(kind) as caught:
        fit(data, run, config, QUIET)
    assert not (run / "config.yaml").exists()
    return str(caught.value)


def test_who_cannot_teach_is_refused(hospital, seeds, folds, members, tmp_path):
    run = tmp_path / "run"
    nothing = refusal(tmp_path / "no-data", student(tmp_path), run)
    assert nothing.startswith(f"loss.teacher: {tmp_path} is no run folder: it has no config.yaml")
    assert not run.exists()
    out_of_fold = "loss.teacher_answers=out_of_fold"
    assert refusal(hospital, student(seeds, out_of_fold), run) == (
        f"loss.teacher_answers=out_of_fold: {seeds} is no ensemble of runs that left out different folds: name one "
        "(amfam-tf ensemble), or set loss.teacher_answers=whole"
    )
    elsewhere = write_complete_hospital(tmp_path / "elsewhere")
    strangers = f"loss.teacher_answers=out_of_fold: these are not the data whose folds {folds} is made of"
    assert refusal(elsewhere, student(folds, out_of_fold), run).startswith(strangers)
    dealt = shutil.copytree(hospital, tmp_path / "dealt")
    (dealt / "dataset.yaml").write_text(COMPLETE_HOSPITAL.replace("folds: 2", "folds: 3"), encoding="utf-8")
    assert read(dealt).fingerprint == read(hospital).fingerprint
    assert refusal(dealt, student(folds, out_of_fold), run).startswith(strangers)
    with pytest.raises(ConfigError, match="have learned from the cases of data.fold"):
        student(folds, out_of_fold, "data.fold=0")
    folder = RunFolder(shutil.copytree(members[0], tmp_path / "diverged"))
    folder.write_state(dataclasses.replace(folder.read_state(), diverged="the loss is nan"))
    assert "has ended early (the loss is nan): name another one" in refusal(hospital, student(folder.path), run)


def test_a_fold_that_no_member_left_out_is_refused(hospital, tmp_path):
    three = shutil.copytree(hospital, tmp_path / "three")
    (three / "dataset.yaml").write_text(COMPLETE_HOSPITAL.replace("folds: 2", "folds: 3"), encoding="utf-8")
    make_ensemble(
        tmp_path / "two", [write_member(tmp_path / f"fold{fold}", three, fold=fold) for fold in (0, 2)], three
    )
    config = student(tmp_path / "two", "loss.teacher_answers=out_of_fold")
    assert f"no member of {tmp_path / 'two'} left out fold 1, of which there are" in refusal(
        three, config, tmp_path / "run"
    )


def test_other_questions_or_values_are_refused(hospital, seeds, tmp_path):
    turned = shutil.copytree(hospital, tmp_path / "turned")
    classes = "[{name: no, labels: [nein]}, {name: yes, labels: [ja]}]"
    other = "[{name: yes, labels: [ja]}, {name: no, labels: [nein]}]"
    assert classes in COMPLETE_HOSPITAL
    (turned / "dataset.yaml").write_text(COMPLETE_HOSPITAL.replace(classes, other), encoding="utf-8")
    assert refusal(turned, student(seeds), tmp_path / "run") == (
        f"loss.teacher: {seeds} is trained on hospital, whose tasks or classes are not those of hospital: a teacher "
        "has the same ones in the same order"
    )
    informed = write_member(tmp_path / "informed", hospital, "model.metadata=[age]")
    ranged = shutil.copytree(hospital, tmp_path / "ranged")
    (ranged / "dataset.yaml").write_text(COMPLETE_HOSPITAL.replace("[0, 110]", "[0, 120]"), encoding="utf-8")
    assert refusal(ranged, student(informed), tmp_path / "run") == (
        f"loss.teacher: {informed} takes age, of which the card hospital has other values or ranges than hospital"
    )
    splits, card = asked(hospital, student(informed))
    assert answer_key(card.tasks[0].name) in splits["train"]


def test_another_worker_has_the_same_teacher():
    config = small_config(method="concat")
    from amfam_tf import config as configuration

    message = {"config": configuration.to_dict(config), "data": "d" * 64, "state": {"epochs": 0}, "teacher": "a" * 64}
    with pytest.raises(RunError) as caught:
        training_run._state_of_chief([message, message, message | {"teacher": "b" * 64}])
    assert str(caught.value) == ("worker 2 has another teacher than the chief (weights aaaaaaaaaaaa -> bbbbbbbbbbbb)")
    finished = message | {"teacher": None}
    assert training_run._state_of_chief([finished, message]).epochs == 0
