"""Validation of a fit: cases with several pictures of a view by their mean answers, losses whatever the batches."""

import io

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from rich.console import Console
from small import small_config
from small_pairs import COMPLETE_HOSPITAL, draw_picture, hospital_rows, write_hospital

from amfam_tf.data import pipeline, several
from amfam_tf.data.cases import read
from amfam_tf.errors import DataError
from amfam_tf.evaluation import metrics, predictions
from amfam_tf.evaluation.run import evaluate_run, predict_cases
from amfam_tf.training import callbacks
from amfam_tf.training.case_answers import CaseAnswers
from amfam_tf.training.run import create_trainer, fit

MEASURES = {
    "balanced_accuracy": lambda average: average["balanced_accuracy"],
    "macro_f1": lambda average: average["macro"]["f1"],
    "auc": lambda average: average["macro"]["auc"],
}
CARD = COMPLETE_HOSPITAL.replace('derm*.png"', 'derm*.png", several: allowed')
pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Twelve cases: the first has three dermoscopic pictures, every third of the others two."""
    rows = [(*row[:2], "uebersicht_0.png", *row[3:]) if row[0] == "L1" else row for row in hospital_rows()]
    root = write_hospital(tmp_path_factory.mktemp("data") / "hospital", rows, CARD)
    table = root / "hospital.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("L1;P0;;", "L1;P0;uebersicht_0.png;"))
    for number in (2, 5, 8, 11):
        draw_picture(root / "pictures" / f"L{number}" / "derm1.png")
    return root


def decided(trainer, seed):
    """Makes the answers of a new network differ from picture to picture."""
    random = np.random.default_rng(seed)
    for variable in trainer.trainable_variables:
        if len(variable.shape) == 2:
            variable.assign(random.normal(size=variable.shape) * 3)
    return trainer


@pytest.mark.parametrize(("batch_size", "jit"), [(3, "off"), (4, "on")])
def test_accuracies_are_of_the_mean_over_all_pairs_of_a_case(data, batch_size, jit):
    found = read(data)
    config = small_config(f"training.batch_size={batch_size}", f"training.jit_compile={jit}", method="concat")
    trainer, cases = decided(create_trainer(config, 1, found.card), 1), found.cases
    rows = several.rows_of_pairs(cases, config)
    assert len(rows) == 18
    trainer.average_answers(CaseAnswers(rows, found.card.tasks))
    logs = [
        trainer.evaluate(pipeline.evaluation_dataset(rows, config, card=found.card), return_dict=True, verbose=0)
        for _ in range(2)
    ]
    assert logs[0] == logs[1], "each validation begins without answers"
    table = predict_cases(trainer.network.inference_model(), cases, config, card=found.card)
    shares = {}
    for task in found.card.tasks:
        known = predictions.labelled(table, task)
        right = predictions.true_labels(table, task) == predictions.predicted_labels(table, task)
        shares[task.name] = right[known].mean()
        assert logs[0][f"accuracy_{task.name}"] == pytest.approx(shares[task.name], abs=1e-6)
    assert logs[0]["accuracy"] == pytest.approx(np.mean([*shares.values()]), abs=1e-6)


def test_the_mean_probability_decides_and_not_the_pictures_one_by_one():
    card = read_card()
    rows = pd.DataFrame({"case_num": [7, 7, 7, 9], "DX": [0, 0, 0, 1], "ULC": [1, 1, 1, -1]})
    first, second = np.log([0.9, 0.1]), np.log([0.4, 0.6])
    logits = np.array([first, second, second, second], np.float32)
    for batches in ([slice(0, 4)], [slice(0, 1), slice(1, 2), slice(2, 4)]):
        answers = CaseAnswers(rows, card.tasks)
        assert not answers.any
        for part in batches:
            batch = {"case_num": tf.constant(rows["case_num"].to_numpy()[part])}
            answers.add(batch, {"DX": tf.constant(logits[part]), "ULC": tf.constant(-logits[part])})
        assert answers.any
        assert {name: float(value) for name, value in answers.accuracies().items()} == {"DX": 1.0, "ULC": 1.0}
        answers.reset()
        assert not answers.any


def read_card():
    from amfam_tf.card import cards

    return cards.parse(CARD, "hospital")


@pytest.mark.parametrize("which", ["all", "first"])
def test_a_fit_validates_what_evaluation_measures(data, tmp_path, which):
    config = small_config(
        "training.epochs=2", "training.batch_size=4", f"data.several_pictures={which}", method="concat"
    )
    fit(data, tmp_path / "run", config, Console(file=io.StringIO()))
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    found = evaluate_run(tmp_path / "run", data, "validate", calibrate=False)
    best = history["val_accuracy"].idxmax()
    for task in found.card.tasks:
        assert history[f"val_accuracy_{task.name}"][best] == pytest.approx(
            found.report["tasks"][task.name]["accuracy"], abs=1e-6
        )
    assert history["val_accuracy"][best] == pytest.approx(found.report["average"]["accuracy"], abs=1e-6)


@pytest.mark.parametrize("measure", [*MEASURES])
def test_every_measure_of_a_validation_is_that_of_its_evaluation(data, measure):
    """Of the mean answers to all pairs, unknown labels left out."""
    found = read(data)
    config = small_config("training.batch_size=5", method="concat")
    trainer = decided(create_trainer(config, 1, found.card), 1)
    rows = several.rows_of_pairs(found.cases, config)
    answers = CaseAnswers(rows, found.card.tasks, "float64")
    trainer.average_answers(answers)
    trainer.evaluate(pipeline.evaluation_dataset(rows, config, card=found.card), verbose=0)
    logs = {"val_loss": 1.0}
    callbacks.Measured(answers, measure).on_epoch_end(0, logs)
    table = predict_cases(trainer.network.inference_model(), found.cases, config, card=found.card)
    average = metrics.all_metrics(table, found.card)["average"]
    assert logs == {"val_loss": 1.0, f"val_{measure}": pytest.approx(MEASURES[measure](average), abs=1e-6)}


def test_a_fit_keeps_the_epoch_that_is_best_by_the_measure_of_its_configuration(data, tmp_path):
    config = small_config("training.epochs=3", "training.batch_size=4", "training.monitor=macro_f1", method="concat")
    console = Console(file=io.StringIO(), width=200)
    result = fit(data, tmp_path / "run", config, console)
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    found = evaluate_run(tmp_path / "run", data, "validate", calibrate=False)
    best = history["val_macro_f1"].idxmax()
    assert (result.best_epoch, result.best_accuracy) == (best, history["val_macro_f1"][best])
    assert result.judged_by == "mean validation macro F1"
    assert f"validation macro F1 {history['val_macro_f1'][2]:.4f}" in console.file.getvalue()
    assert history["val_macro_f1"][best] == pytest.approx(found.report["average"]["macro"]["f1"], abs=1e-6)
    assert history["val_accuracy"][best] == pytest.approx(found.report["average"]["accuracy"], abs=1e-6)


def test_a_split_on_which_the_measure_is_not_defined_is_refused(data, tmp_path):
    config = small_config("training.monitor=auc", method="concat")
    with pytest.raises(DataError, match=r"training.monitor=auc needs cases with and without a class in split validate"):
        fit(data, tmp_path / "run", config, Console(file=io.StringIO()))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_loss_of_a_validation_does_not_depend_on_the_batch_size(data):
    """With 40 % of the labels unknown: sums over the known labels of a task by their number."""
    found = read(data)
    unknown = np.random.default_rng(0).permutation(12) < 5
    cases = found.cases.assign(DX=found.cases["DX"].abs().where(~unknown, -1))
    losses, total = {}, 0.0
    for size in (1, 3, 8):
        config = small_config(f"training.batch_size={size}", method="concat")
        trainer = decided(create_trainer(config, 1, found.card), 2)
        dataset = pipeline.evaluation_dataset(cases, config, card=found.card)
        losses[size] = trainer.evaluate(dataset, return_dict=True, verbose=0)
        if size == 8:
            outputs = [trainer(batch) for batch in dataset]
    for task in found.card.tasks:
        logits = np.concatenate([one[task.name] for one in outputs]).astype(np.float64)
        labels = cases[task.name].to_numpy()
        chosen = logits[np.arange(12), labels] - np.log(np.exp(logits).sum(axis=1))
        total -= chosen[labels >= 0].mean()
    for size, logs in losses.items():
        assert logs["classification"] == pytest.approx(total, rel=1e-5), size
        assert logs["loss"] == pytest.approx(total, rel=1e-5), size
        assert set(logs) == {"loss", "classification", "accuracy", "accuracy_DX", "accuracy_ULC"}
