"""What stands in a figure is of its own task, class, score and case: lines, marks, cells, legends, ticks."""

import different
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from matplotlib.colors import to_hex
from prediction_tables import random_table
from sklearn.metrics import precision_recall_curve, roc_curve
from small import small_config

from amfam_tf.data import pipeline
from amfam_tf.data.derm7pt import read_release
from amfam_tf.evaluation import clinical, figure_style, html_report, predictions, report
from amfam_tf.evaluation.figures import (
    confusion,
    curves,
    decision,
    gallery,
    network,
    reliability,
    target,
    training,
    write,
)
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS
from amfam_tf.training.panel import GAP

SCORES = {
    "classifier's probability of MEL": "melanoma_probability",
    "7-point score, predicted criteria": "seven_point_score",
    "expected 7-point score": "expected_seven_point_score",
    "7-point score of the labels": "seven_point_score_of_labels",
}
RULES = {
    "classifier's probability of MEL": "melanoma_probability",
    "7-point score of the predicted criteria at least 3": "seven_point_rule",
    "suspect everybody": "everybody",
    "suspect nobody": "nobody",
}
each_task = pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Returns an evaluation of which no two values are the same."""
    return different.of_evaluation(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def table(results):
    """Returns its predictions."""
    return results.evaluation.table


@pytest.fixture(scope="module")
def dealt(results):
    """Returns its metrics.json."""
    return results.evaluation.report


@pytest.fixture(scope="module")
def figures(table, dealt):
    """Returns the figures of many panels, by name."""
    return {
        "confusion": confusion.draw_confusion(table, DERM7PT),
        "roc": curves.draw_roc(table, dealt, DERM7PT),
        "precision_recall": curves.draw_precision_recall(table, dealt, DERM7PT),
        "reliability": reliability.draw_reliability(dealt, DERM7PT),
    }


def panel_of(figure, task):
    """Returns the axes of a task."""
    (axes,) = [axes for axes in figure.axes if axes.get_title("left") == f"{task.name}: {task.title}"]
    return axes


def by_legend(axes) -> dict[str, object]:
    """Returns the line of each entry of the legend: what has its colour and its words, and has points."""
    legend = axes.get_legend()
    entries = zip(legend.get_texts(), legend.get_lines(), strict=True)
    colours = {text.get_text(): (to_hex(line.get_color()), line.get_linestyle()) for text, line in entries}
    found = {}
    for line in axes.lines:
        if line.get_label() in colours and len(line.get_xdata()) > 1:
            assert (to_hex(line.get_color()), line.get_linestyle()) == colours[line.get_label()]
            found[line.get_label()] = line
    assert len(set(colours.values())) == len(colours)
    return found


def with_interval(row, metric: str) -> str:
    low, high = row[f"{metric}_ci95"]
    return f"{row[metric]:.2f} ({low:.2f}-{high:.2f})"


@each_task
def test_confusion_of_each_task(figures, table, task):
    axes = panel_of(figures["confusion"], task)
    counts = pd.crosstab(table[f"{task.name}_true"], table[f"{task.name}_pred"])
    counts = counts.reindex(index=task.classes, columns=task.classes, fill_value=0)
    assert not np.array_equal(counts, counts.T)  # rows and columns are not exchanged
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label", "predicted")
    ticks = [[label.get_text() for label in labels] for labels in (axes.get_yticklabels(), axes.get_xticklabels())]
    assert ticks == [list(task.classes)] * 2
    shares = counts.to_numpy() / counts.to_numpy().sum(axis=1, keepdims=True)
    cells = {text.get_position()[::-1]: text for text in axes.texts}
    for row, column in np.ndindex(shares.shape):
        text = cells[row, column]
        assert text.get_text() == f"{counts.iloc[row, column]}\n{100 * shares[row, column]:.0f} %"
        assert (text.get_color() == "white") is bool(shares[row, column] > 0.55)
    np.testing.assert_allclose(axes.images[0].get_array(), shares)
    assert axes.images[0].get_clim() == (0, 1)


@each_task
def test_roc_of_each_class(figures, table, dealt, task):
    axes = panel_of(figures["roc"], task)
    lines = by_legend(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("1 - specificity", "sensitivity")
    assert axes.get_legend().get_title().get_text() == "AUC (95 %)"
    rows = dealt["tasks"][task.name]["classes"]
    assert list(lines) == [f"{name} {with_interval(rows[name], 'auc')}" for name in task.classes]
    for name, line in zip(task.classes, lines.values(), strict=True):
        wrong, right, _ = roc_curve(table[f"{task.name}_true"] == name, table[f"{task.name}_{name}"])
        np.testing.assert_allclose(line.get_xdata(), wrong)
        np.testing.assert_allclose(line.get_ydata(), right)


@each_task
def test_precision_and_recall_of_each_class(figures, table, dealt, task):
    axes = panel_of(figures["precision_recall"], task)
    lines = by_legend(axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("recall (sensitivity)", "precision")
    assert axes.get_legend().get_title().get_text() == "average precision (frequency)"
    for name, (label, line) in zip(task.classes, lines.items(), strict=True):
        truth = table[f"{task.name}_true"] == name
        average = dealt["tasks"][task.name]["classes"][name]["average_precision"]
        assert label == f"{name} {average:.2f} ({truth.mean():.2f})"
        precision, recall, _ = precision_recall_curve(truth, table[f"{task.name}_{name}"], drop_intermediate=True)
        np.testing.assert_allclose(line.get_xdata(), recall)
        np.testing.assert_allclose(line.get_ydata(), precision)
        assert line.get_drawstyle() == "steps-pre"


@each_task
def test_reliability_of_each_task_before_and_after(figures, dealt, task):
    axes = panel_of(figures["reliability"], task)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("probability of the prediction", "share that is right")
    found = dealt["calibration"]
    before, after = found["before"]["tasks"][task.name], found["tasks"][task.name]
    errors = [100 * part["expected_calibration_error"] for part in (before, after)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"before, ECE {errors[0]:.1f} %",
        f"T = {found['temperatures'][task.name]:.2f}, ECE {errors[1]:.1f} %",
    ]
    marks = [points for points in axes.collections if hasattr(points, "get_sizes")]
    for points, part, colour in zip(marks, (before, after), ("#E69F00", "#0072B2"), strict=True):
        used = [row for row in part["bins"] if row["cases"]]
        np.testing.assert_allclose(points.get_offsets(), [(row["confidence"], row["accuracy"]) for row in used])
        total = sum(row["cases"] for row in used)
        np.testing.assert_allclose(points.get_sizes(), [8 + 120 * row["cases"] / total for row in used])
        assert to_hex(points.get_edgecolors()[0]).upper() == colour


def test_bars_of_reliability_are_wilsons_ends_after_scaling():
    table = random_table(120, 8, skill=1.0)
    sharper = random_table(120, 9, skill=2.0)
    measured = report.build_report(
        table, "test", uncalibrated=sharper, temperatures={task.name: 2.0 for task in TASKS}, card=DERM7PT
    )
    figure = reliability.draw_reliability(measured, DERM7PT)
    for task in TASKS:
        axes = panel_of(figure, task)
        (bars,) = [one for one in axes.collections if hasattr(one, "get_segments")]
        used = [row for row in measured["calibration"]["tasks"][task.name]["bins"] if row["cases"]]
        expected = [
            [(row["confidence"], row["accuracy_low"]), (row["confidence"], row["accuracy_high"])] for row in used
        ]
        np.testing.assert_allclose(bars.get_segments(), expected)


def test_without_temperatures_there_is_one_set_of_marks():
    measured = report.build_report(random_table(60, 8), "test", card=DERM7PT)
    axes = panel_of(reliability.draw_reliability(measured, DERM7PT), TASKS[3])
    error = measured["calibration"]["tasks"]["VS"]["expected_calibration_error"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"ECE {100 * error:.1f} %"]


def test_decision_curve_has_each_policy_under_its_name(dealt):
    figure = decision.draw_decision_curve(dealt, DERM7PT)
    axes, curve = figure.axes[0], dealt["melanoma"]["decision_curve"]
    lines = by_legend(axes)
    assert list(lines) == list(RULES)
    for label, line in lines.items():
        np.testing.assert_allclose(line.get_xdata(), curve["thresholds"])
        np.testing.assert_allclose(line.get_ydata(), curve[RULES[label]])
    assert axes.get_ylabel() == "net benefit per case"
    assert axes.get_xlabel().startswith("threshold probability")


def test_melanoma_roc_has_each_score_under_its_name(table):
    axes = target.draw_target_roc(table, DERM7PT).axes[0]
    lines = by_legend(axes)
    truth, scores = clinical.has_target(table, DERM7PT), clinical.scores_of(table, DERM7PT)
    assert [label.split(", AUC")[0] for label in lines] == list(SCORES)
    for label, line in lines.items():
        wrong, right, _ = roc_curve(truth, scores[SCORES[label.split(", AUC")[0]]])
        np.testing.assert_allclose(line.get_xdata(), wrong)
        np.testing.assert_allclose(line.get_ydata(), right)
        assert label.endswith(f"AUC {np.trapezoid(right, wrong):.2f}")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("1 - specificity", "sensitivity")


def test_training_curves_are_training_and_validation_of_their_name():
    generator, names = np.random.default_rng(2), ("accuracy", "loss", "adversarial", "reconstruction_clinical")
    history = pd.DataFrame(
        {"epoch": range(5)} | {f"{v}{name}": generator.random(5) for name in names for v in ("", "val_")}
    )
    figure = training.draw_training(history, DERM7PT)
    titles = ["accuracy, mean of the 8 tasks", "loss", "adversarial", "reconstruction clinical"]
    assert [axes.get_title("left") for axes in figure.axes] == titles
    for axes, name in zip(figure.axes, names, strict=True):
        lines = by_legend(axes)
        np.testing.assert_allclose(lines["training"].get_ydata(), history[name])
        np.testing.assert_allclose(lines["validation"].get_ydata(), history[f"val_{name}"])
        np.testing.assert_allclose(lines["training"].get_xdata(), range(5))
        assert axes.get_xlabel() == "epoch (from 0)"
    best = int(history["val_accuracy"].idxmax())
    assert best != int(history["val_accuracy"].idxmin()) and best != int(history["accuracy"].idxmax())
    (mark,) = [line for line in figure.axes[0].lines if line.get_label().startswith("best")]
    assert mark.get_label() == f"best: {history['val_accuracy'].max():.3f}, epoch {best}"
    assert list(mark.get_xdata()) == [best, best]


def test_the_best_epoch_is_one_of_the_last_stage():
    history = pd.DataFrame({"epoch": range(4), "stage": ["a", "a", "b", "b"]})
    history["accuracy"], history["val_accuracy"] = [0.1, 0.2, 0.3, 0.4], [0.9, 0.8, 0.3, 0.4]
    labels = [line.get_label() for line in training.draw_training(history, DERM7PT).axes[0].lines]
    assert "best: 0.400, epoch 3" in labels


def words_of(table, mistake) -> list[str]:
    """Returns both lines about a mistake, from the predictions."""
    row, name = table.set_index("case_num").loc[mistake.case_num], mistake.task.name
    guess, truth = row[f"{name}_pred"], row[f"{name}_true"]
    assert guess != truth
    return [
        f"case {mistake.case_num}, {name}",
        f"predicted {guess} {row[f'{name}_{guess}']:.2f}, label {truth} {row[f'{name}_{truth}']:.2f}",
    ]


def test_each_picture_of_the_gallery_is_the_case_of_its_words(results, table):
    mistakes, cases = gallery.choose_mistakes(table, DERM7PT), results.evaluation.cases
    assert len({mistake.case_num for mistake in mistakes}) > 4
    figure = gallery.draw_gallery(mistakes, cases)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == len(mistakes)
    for axes, mistake in zip(shown, mistakes, strict=True):
        assert axes.get_title("left").split("\n") == words_of(table, mistake)
        np.testing.assert_array_equal(axes.images[0].get_array(), gallery.pair_of(cases, mistake.case_num))


def test_each_card_of_the_page_has_the_pictures_of_its_case(results, table):
    cards, cases = html_report.cards(results.evaluation), results.evaluation.cases
    mistakes = gallery.choose_mistakes(table, DERM7PT)
    for card, mistake in zip(cards, mistakes, strict=True):
        assert [card.title, card.text] == words_of(table, mistake)
        pair = gallery.pair_of(cases, mistake.case_num)
        assert card.source == html_report.data_uri(gallery.to_jpeg(pair), "jpeg")
        assert (card.height, card.width) == pair.shape[:2]
    assert len({card.source for card in cards}) == len({mistake.case_num for mistake in mistakes})


class Inverting:
    """A network whose reconstruction is the negative of each picture, and whose map its red."""

    output = {f"{kind}_{name}": None for kind in ("attention", "reconstruction") for name in MODALITIES}

    def __call__(self, pictures, training):
        assert training is False
        answers = {f"reconstruction_{name}": 1 - picture for name, picture in pictures.items()}
        return answers | {f"attention_{name}": picture[..., :1] for name, picture in pictures.items()}


class Informed(Inverting):
    """The same, which has to be given metadata."""

    input = dict.fromkeys((*MODALITIES, "metadata"))

    def __call__(self, given, training):
        assert given["metadata"].shape == (4, 2)
        return super().__call__({name: given[name] for name in MODALITIES}, training)


@pytest.mark.parametrize(("shown", "overrides"), [(Inverting(), ()), (Informed(), ("model.metadata=[sex]",))])
def test_each_row_of_the_networks_figure_is_its_own_case(shown, overrides, drawn):
    config = small_config(*overrides)
    cases = read_release(drawn).query("split == 'test'").reset_index(drop=True)
    (axes,) = network.draw_network(shown, cases, config, card=DERM7PT).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [str(number) for number in cases["case_num"][:4]]
    titles = [label.get_text() for label in axes.get_xticklabels()]
    assert titles == ["clinical", "attention", "reconstruction", "dermoscopic", "attention", "reconstruction"]
    panel, cell = np.asarray(axes.images[0].get_array()), config.data.image_size + GAP
    batch = next(iter(pipeline.evaluation_dataset(cases, config, DERM7PT).unbatch().batch(4)))
    for row in range(4):
        for column, name in ((0, "clinical"), (3, "dermoscopic")):
            picture = batch[name][row].numpy()
            for place, expected in ((column, picture), (column + 2, 1 - picture)):
                found = panel[row * cell : (row + 1) * cell - GAP, place * cell : (place + 1) * cell - GAP]
                np.testing.assert_allclose(found, np.round(255 * expected), atol=1)
    assert len({batch["clinical"][row].numpy().tobytes() for row in range(4)}) == 4
    assert isinstance(batch["clinical"], tf.Tensor)


def test_every_figure_has_its_own_title_caption_and_content(results, table, dealt, monkeypatch):
    monkeypatch.setattr(figure_style, "to_png", lambda figure: figure)
    pictures = write.draw_all(table, dealt, results.evaluation.cases, card=DERM7PT)
    words = {
        "confusion": ("Confusion matrices", "A row is a label, a column a prediction.", "predicted"),
        "roc": ("ROC curves", "One class against the rest, with the area under the curve", "1 - specificity"),
        "precision_recall": (
            *("Precision and recall", "One class against the rest, with the average precision", "recall (sensitivity)"),
        ),
        "reliability": ("Reliability", "How often the predicted class is right", "probability of the prediction"),
        "melanoma_roc": (
            *("ROC curves for melanoma", "The classifier's own probability against the 7-point", "1 - specificity"),
        ),
        "decision_curve": ("Decision curve", "Net benefit of suspecting melanoma", "threshold probability"),
        "errors": ("Most confident errors", "The wrong predictions with the highest probability: eight of the", ""),
    }
    assert [picture.name for picture in pictures] == list(words)
    for picture in pictures:
        title, caption, label = words[picture.name]
        assert picture.title == title
        assert picture.caption.startswith(caption)
        assert picture.file == f"figures/{picture.name}.png"
        axes = picture.png.axes[0]
        assert axes.get_xlabel().startswith(label)
    panels = {picture.name: len(picture.png.axes) for picture in pictures}
    assert (panels["roc"], panels["melanoma_roc"], panels["confusion"]) == (8, 1, 8)


def test_the_most_confident_errors_are_of_each_task(table):
    mistakes = gallery.choose_mistakes(table, DERM7PT)
    assert [one.task.name for one in mistakes[8:]] == [task.name for task in TASKS[1:]]
    for task, mistake in zip(TASKS[1:], mistakes[8:], strict=True):
        wrong = predictions.true_labels(table, task) != predictions.predicted_labels(table, task)
        surest = predictions.task_probabilities(table, task)[wrong].max()
        assert mistake.probability == surest > mistake.probability_of_truth
