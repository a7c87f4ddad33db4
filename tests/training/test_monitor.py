"""What an epoch is judged by: its names, its value by hand, and the same on two cards as the results have it."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import random_table

from amfam_tf.card import cards
from amfam_tf.errors import DataError
from amfam_tf.evaluation import metrics, predictions
from amfam_tf.evaluation.figures.training import draw_training
from amfam_tf.tasks import DERM7PT
from amfam_tf.training import monitor

MILK10K = cards.packaged("milk10k")


@pytest.mark.parametrize(
    ("name", "logged", "words", "recorded"),
    [
        ("headline", "val_accuracy_DIAG", "validation accuracy of DIAG", "best_validation_accuracy"),
        ("accuracy", "val_accuracy", "mean validation accuracy", "best_validation_accuracy"),
        ("macro_f1", "val_macro_f1", "mean validation macro F1", "best_validation_macro_f1"),
        ("loss", "val_loss", "validation loss", "best_validation_loss"),
    ],
)
def test_a_measure_has_a_name_in_the_logs_in_words_and_in_records(name, logged, words, recorded):
    assert monitor.monitored(MILK10K, name) == logged
    assert monitor.measure_of(MILK10K, name) == words
    assert monitor.name_in_records(name) == recorded


@pytest.mark.parametrize(("name", "value"), [("balanced_accuracy", 0.75), ("macro_f1", 2 / 3), ("auc", 0.5)])
def test_three_cases_by_hand(name, value):
    """Of classes 0, 0, 1 and none of 2, the second case is taken for 1; a fourth one has no known label."""
    labels = {"DX": np.array([0, 0, 1, -1])}
    probabilities = {"DX": np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.3, 0.7, 0.0], [0.0, 0.0, 1.0]])}
    assert monitor.measure(name, labels, probabilities) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("card", [DERM7PT, MILK10K], ids=lambda card: card.name)
def test_a_measure_is_the_average_of_the_results(card):
    table = random_table(30, 3, card=card)
    labels = {task.name: predictions.true_labels(table, task) for task in card.tasks}
    probabilities = {task.name: predictions.task_probabilities(table, task) for task in card.tasks}
    average = metrics.all_metrics(table, card)["average"]
    expected = {
        "balanced_accuracy": average["balanced_accuracy"],
        "macro_f1": average["macro"]["f1"],
        "auc": average["macro"]["auc"],
    }
    for name, value in expected.items():
        assert monitor.measure(name, labels, probabilities) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", [*monitor.RATES])
def test_labels_that_a_measure_is_not_defined_for_are_refused(name):
    monitor.check_measurable("headline", {"DX": np.array([-1])}, {"DX": 2})
    monitor.check_measurable(name, {"DX": np.array([0, 1]), "ULC": np.array([-1, -1])}, {"DX": 2, "ULC": 2})
    with pytest.raises(DataError, match=f"training.monitor={name} needs .* in split validate: set another one"):
        monitor.check_measurable(name, {"DX": np.array([-1, -1])}, {"DX": 2})


@pytest.mark.parametrize(("name", "best"), [("macro_f1", 1), ("loss", 2), ("headline", 0)])
def test_the_curves_mark_the_epoch_that_is_best_by_the_measure(name, best):
    columns = {"accuracy": [0.9, 0.8, 0.7], "loss": [3.0, 2.0, 1.0], "macro_f1": [0.1, 0.5, 0.3]}
    history = pd.DataFrame({"epoch": [0, 1, 2]} | {f"val_{key}": values for key, values in columns.items()})
    history[["accuracy", "loss"]] = history[["val_accuracy", "val_loss"]]
    labels = [line.get_label() for axes in draw_training(history, DERM7PT, name).axes for line in axes.lines]
    value = columns["accuracy" if name == "headline" else name][best]
    assert [label for label in labels if label.startswith("best")] == [f"best: {value:.3f}, epoch {best}"]
