"""Fitting on data sets with a card of their own: other questions, labels that nobody knows, the measure of an epoch."""

import io

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from dying import Killed, die_at_write
from recycled_trainers import recycled_trainers
from rich.console import Console
from small import small_config
from small_pairs import HOSPITAL, write_complete_hospital, write_hospital, write_milk10k

from amfam_tf.card import cards
from amfam_tf.cli import main
from amfam_tf.config import DataConfig
from amfam_tf.data import pipeline
from amfam_tf.data.cases import read
from amfam_tf.errors import DataError, RunError
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.training.dry_run import dry_run
from amfam_tf.training.losses import classification_loss
from amfam_tf.training.monitor import monitored
from amfam_tf.training.run import create_trainer, fit

FAST = ("training.epochs=2", "training.batch_size=4", "model.classifier_dropout=0.3")
pytestmark = pytest.mark.usefixtures("tiny_backbone")


def recorder():
    return Console(record=True, width=300, force_terminal=False, file=io.StringIO())


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    """Twelve cases with two pictures each; three have no known diagnosis."""
    return write_complete_hospital(tmp_path_factory.mktemp("data") / "hospital")


@pytest.fixture(scope="module")
def milk(tmp_path_factory):
    return write_milk10k(tmp_path_factory.mktemp("data") / "milk", 44)


def test_a_fit_on_eleven_classes_resumes_and_keeps_its_card(milk, tmp_path, monkeypatch):
    config, console = small_config(*FAST, method="concat"), recorder()
    with recycled_trainers():
        result = fit(milk, tmp_path / "unbroken", config, console)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at_write(patch, "epoch-0001.weights.h5")
            fit(milk, tmp_path / "killed", config, recorder())
        fit(milk, tmp_path / "killed", config, recorder())
    histories = [(tmp_path / name / "history.csv").read_bytes() for name in ("unbroken", "killed")]
    assert histories[0] == histories[1]
    history = pd.read_csv(tmp_path / "unbroken" / "history.csv")
    assert "val_accuracy_DIAG" in history and "accuracy_PN" not in history
    run = FinishedRun.open(tmp_path / "unbroken")
    assert run.card == cards.packaged("milk10k") == result.data.card
    assert run.network.tasks == run.card.tasks
    assert "validation accuracy of DIAG" in console.export_text()


def test_data_with_other_questions_are_not_gone_on_with(milk, tmp_path):
    config = small_config(*FAST, method="concat")
    with recycled_trainers():
        fit(milk, tmp_path / "run", config, recorder())
    card = cards.packaged("milk10k")
    (entry,) = card.questions
    turned = card.model_copy(update={"questions": (entry.model_copy(update={"classes": entry.classes[::-1]}),)})
    (tmp_path / "turned.yaml").write_text(cards.to_yaml(turned), encoding="utf-8")
    with pytest.raises(RunError, match="was begun with other data"):
        fit(milk, tmp_path / "run", config, recorder(), card=tmp_path / "turned.yaml")


def test_unknown_labels_are_counted_and_told(hospital, tmp_path):
    found, console = read(hospital), recorder()
    known = {split: int((rows["DX"] >= 0).sum()) for split, rows in found.cases.groupby("split")}
    sizes = found.cases["split"].value_counts()
    assert sum(known.values()) == 9
    fit(hospital, tmp_path / "run", small_config(*FAST, method="concat"), console)
    counts = ", ".join(f"{known[name]} of {sizes[name]} in {name}" for name in ("train", "validate"))
    told = console.export_text()
    assert f"cases with a label of DX: {counts}" in told
    assert "label of ULC" not in told
    dry = recorder()
    dry_run(hospital, small_config(*FAST, method="concat"), dry)
    assert f"cases with a label of DX: {counts}" in dry.export_text()


def test_a_missing_picture_is_refused_before_the_folder_is_claimed(tmp_path):
    data = write_hospital(tmp_path / "hospital")
    with pytest.raises(DataError, match="case L1 has no clinical picture"):
        fit(data, tmp_path / "run", small_config(*FAST, method="concat"), recorder())
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_balanced_batches_hold_the_classes_of_the_card(hospital):
    config = small_config("data.sampling=balanced", "data.cache=none", *FAST)
    found = read(hospital)
    rows = found.cases
    batch = next(iter(pipeline.training_dataset(rows, config, card=found.card)))
    assert [*batch["DX"].numpy()[:2]] == [0, 1]
    assert [*batch["ULC"].numpy()[2:]] == [0, 1]
    assert pipeline.training_batch_size(config, found.card.tasks) == 4
    assert set(batch) == {"case_num", "DX", "ULC", "clinical", "dermoscopic"}
    without = rows[rows["DX"] != 0].reset_index(drop=True)
    with pytest.raises(DataError, match="none with DX MEL"):
        pipeline.check_training_cases(without, config, found.card.tasks)


@pytest.mark.parametrize("weights", ["none", "batch"])
def test_the_loss_and_its_gradient_leave_unknown_labels_out_exactly(weights):
    random = np.random.default_rng(0)
    labels = np.array([2, -1, 0, 1, -1, 2, 2])
    logits = random.normal(size=(7, 3)).astype(np.float32)
    known = labels >= 0
    values = {}
    for name, (numbers, given) in {"all": (labels, logits), "known": (labels[known], logits[known])}.items():
        variable = tf.Variable(given)
        with tf.GradientTape() as tape:
            incomplete = ("DX",) if name == "all" else ()
            loss = classification_loss({"DX": tf.constant(numbers)}, {"DX": variable}, weights, incomplete)
        values[name] = float(loss), tape.gradient(loss, variable).numpy()
    assert values["all"][0] == pytest.approx(values["known"][0], rel=1e-6)
    np.testing.assert_allclose(values["all"][1][known], values["known"][1], rtol=1e-5)
    np.testing.assert_array_equal(values["all"][1][~known], 0.0)


def test_a_batch_without_a_label_has_no_loss_and_no_gradient():
    variable = tf.Variable(np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = classification_loss({"DX": tf.constant([-1, -1])}, {"DX": variable}, "batch", ("DX",))
    assert float(loss) == 0.0
    np.testing.assert_array_equal(tape.gradient(loss, variable), np.zeros((2, 3)))


@pytest.mark.parametrize(("batch_size", "jit"), [(3, "off"), (4, "on")])
def test_the_accuracies_are_over_the_cases_with_a_label(hospital, batch_size, jit):
    """Also over batches of several sizes, of which one may have no label at all."""
    found = read(hospital)
    config = small_config(f"training.batch_size={batch_size}", f"training.jit_compile={jit}", method="concat")
    trainer = create_trainer(config, 1, found.card)
    rows = found.cases.sort_values("DX").reset_index(drop=True)
    dataset = pipeline.evaluation_dataset(rows, config, card=found.card)
    logs = trainer.evaluate(dataset, return_dict=True, verbose=0)
    answers = {
        task.name: np.concatenate([trainer(batch)[task.name] for batch in dataset]).argmax(axis=1)
        for task in found.card.tasks
    }
    right = {name: (answers[name] == rows[name])[rows[name] >= 0].mean() for name in answers}
    for name, share in right.items():
        assert logs[f"accuracy_{name}"] == pytest.approx(share, abs=1e-6)
    assert logs["accuracy"] == pytest.approx(np.mean(list(right.values())), abs=1e-6)


def test_a_task_without_any_label_is_left_out_of_the_mean(hospital):
    found = read(hospital)
    config = small_config("training.batch_size=4", method="concat")
    trainer = create_trainer(config, 1, found.card)
    rows = found.cases.assign(DX=-1)
    logs = trainer.evaluate(pipeline.evaluation_dataset(rows, config, card=found.card), return_dict=True, verbose=0)
    assert logs["accuracy"] == pytest.approx(logs["accuracy_ULC"], abs=1e-6)
    assert np.isfinite(logs["loss"])


def test_an_epoch_is_judged_by_the_headline():
    """A high mean over tasks may hide that the one that matters has not been learned."""
    hospital, milk = cards.parse(HOSPITAL, "card"), cards.packaged("milk10k")
    assert monitored(cards.packaged("derm7pt")) == monitored(hospital) == "val_accuracy"
    assert monitored(milk) == "val_accuracy_DIAG"
    assert monitored(cards.parse(HOSPITAL + "headline: tasks.ULC.accuracy\n", "card")) == "val_accuracy_ULC"


def test_the_verb_leaves_a_fold_out(milk, capsys):
    words = ["fit", "--data", str(milk), "--preset", "tiny", "--dry-run", "--fold"]
    assert main.main([*words, "5"]) == 1
    assert "data.fold=5: the card milk10k deals out the folds 0 to 4" in capsys.readouterr().err
    found = read(milk)
    counts = [found.used(DataConfig(fold=fold)).cases["split"].value_counts() for fold in (None, 3)]
    assert counts[0]["train"] != counts[1]["train"]
    assert main.main([*words, "3", "--set", "data.image_size=64"]) == 0
    assert f"{counts[1]['train']} training cases, {counts[1]['validate']} validation cases" in capsys.readouterr().out
