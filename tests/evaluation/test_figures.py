"""Figures: what they show is what was measured; absent classes are said; files are whole."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from prediction_tables import random_table

from amfam_tf.evaluation import clinical, figure_style, predictions, report, titles
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
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, TASK_BY_NAME, TASKS


@pytest.fixture(scope="module")
def table():
    """Returns the predictions of 90 cases."""
    return random_table(90, seed=2, skill=1.5)


@pytest.fixture(scope="module")
def measured(table):
    """Returns metrics.json of them."""
    return report.build_report(table, "test", card=DERM7PT)


@pytest.fixture(scope="module")
def without_sk():
    """Returns predictions and report of cases of which none has the class SK or the veil."""
    table = random_table(60, seed=4)
    table = table[(table["DIAG_true"] != "SK") & (table["BWV_true"] != "PRS")].reset_index(drop=True)
    return table, report.build_report(table, "test", card=DERM7PT)


def axes_of(figure, task):
    """Returns the panel of a task."""
    return next(axes for axes in figure.axes if axes.get_title("left").startswith(f"{task.name}:"))


def legend_of(axes) -> list[str]:
    """Returns the lines of a legend."""
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_confusion_has_labels_as_rows_counts_and_shares(table):
    task = DIAGNOSIS
    expected = pd.crosstab(table["DIAG_true"], table["DIAG_pred"]).reindex(
        index=task.classes, columns=task.classes, fill_value=0
    )
    np.testing.assert_array_equal(confusion.counts_of(table, task), expected)
    np.testing.assert_allclose(np.nansum(confusion.shares_of(expected.to_numpy()), axis=1), 1)
    axes = axes_of(confusion.draw_confusion(table, DERM7PT), task)
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    for row, label in enumerate(task.classes):
        for column, guess in enumerate(task.classes):
            count = expected.loc[label, guess]
            share = 100 * count / expected.loc[label].sum()
            assert cells[column, row] == f"{count}\n{share:.0f} %"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label", "predicted")


def test_roc_lines_have_the_area_that_is_measured(table, measured):
    figure = curves.draw_roc(table, measured, DERM7PT)
    for task in TASKS:
        lines = [line for line in axes_of(figure, task).lines if not line.get_label().startswith("_")]
        assert [line.get_label().split()[0] for line in lines] == list(task.classes)
        for line, row in zip(lines, measured["tasks"][task.name]["classes"].values(), strict=True):
            assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(row["auc"])
            low, high = row["auc_ci95"]
            assert line.get_label().endswith(f"{row['auc']:.2f} ({low:.2f}-{high:.2f})")


def test_precision_recall_steps_have_the_average_precision(table, measured):
    figure = curves.draw_precision_recall(table, measured, DERM7PT)
    for line, row in zip(axes_of(figure, DIAGNOSIS).lines, measured["tasks"]["DIAG"]["classes"].values(), strict=True):
        recall, precision = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
        assert -np.sum(np.diff(recall) * precision[:-1]) == pytest.approx(row["average_precision"])
        assert f"{row['average_precision']:.2f} ({row['support'] / 90:.2f})" in line.get_label()


def test_absent_classes_are_said(without_sk):
    table, measured = without_sk
    assert "SK: no case" in legend_of(axes_of(curves.draw_roc(table, measured, DERM7PT), DIAGNOSIS))
    veil = legend_of(axes_of(curves.draw_roc(table, measured, DERM7PT), TASK_BY_NAME["BWV"]))
    assert veil == ["ABS: every case", "PRS: no case"]
    assert "SK: no case" in legend_of(axes_of(curves.draw_precision_recall(table, measured, DERM7PT), DIAGNOSIS))
    axes = axes_of(confusion.draw_confusion(table, DERM7PT), DIAGNOSIS)
    assert [text.get_position()[1] for text in axes.texts if text.get_text() == "no case"] == [4]


def test_reliability_shows_the_bins_before_and_after(table):
    sharper = table.copy()
    for task in TASKS:
        values = predictions.task_probabilities(table, task) ** 3
        sharper[predictions.probability_columns(task)] = values / values.sum(axis=1, keepdims=True)
    temperatures = {task.name: 3.0 for task in TASKS}
    measured = report.build_report(table, "test", uncalibrated=sharper, temperatures=temperatures, card=DERM7PT)
    axes = axes_of(reliability.draw_reliability(measured, DERM7PT), DIAGNOSIS)
    after = measured["calibration"]["tasks"]["DIAG"]
    before = measured["calibration"]["before"]["tasks"]["DIAG"]
    for points, values in zip([axes.collections[0], axes.collections[-1]], (before, after), strict=True):
        used = [(row["confidence"], row["accuracy"]) for row in values["bins"] if row["cases"]]
        np.testing.assert_allclose(points.get_offsets(), used)
    errors = [100 * values["expected_calibration_error"] for values in (before, after)]
    assert legend_of(axes) == [f"before, ECE {errors[0]:.1f} %", f"T = 3.00, ECE {errors[1]:.1f} %"]


def test_decision_curve_is_the_one_of_the_report(measured):
    axes = decision.draw_decision_curve(measured, DERM7PT).axes[0]
    curve = measured["melanoma"]["decision_curve"]
    for key, (label, *_) in decision.lines_of(DERM7PT).items():
        (line,) = [line for line in axes.lines if line.get_label() == label]
        np.testing.assert_allclose(line.get_ydata(), curve[key])


def test_melanoma_roc_has_the_areas_of_the_report(table, measured):
    lines = target.draw_target_roc(table, DERM7PT).axes[0].lines[1:]
    scores = measured["melanoma"]["scores"]
    assert [line.get_label().split(", AUC")[0] for line in lines] == [
        titles.scores(DERM7PT, "melanoma")[name] for name in scores
    ]
    for line, values in zip(lines, scores.values(), strict=True):
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(values["auc"])
        assert line.get_label().endswith(f"{values['auc']:.2f}")


def test_split_without_melanoma_says_so(table):
    without = table[table["DIAG_true"] != "MEL"]
    axes = target.draw_target_roc(without, DERM7PT).axes[0]
    assert [text.get_text() for text in axes.texts] == ["no case is a melanoma"]
    curve = decision.draw_decision_curve(
        {"melanoma": clinical.target_report(without, resamples=10, card=DERM7PT)}, DERM7PT
    ).axes[0]
    assert "no case is a melanoma" in curve.get_title("left")


def test_training_curves_mark_the_best_epoch():
    history = pd.DataFrame(
        {"epoch": [0, 1, 2], "accuracy": [0.5, 0.6, 0.7], "val_accuracy": [0.4, 0.8, 0.6], "loss": [3.0, 2.0, 1.0]}
        | {"val_loss": [3.5, 2.5, 2.6], "adversarial": [1.0, 1.1, 1.2], "val_adversarial": [1.0, 1.0, 1.0]}
        | {"accuracy_DIAG": [0.1, 0.2, 0.3], "val_accuracy_DIAG": [0.1, 0.2, 0.3]}
    )
    assert training.loss_parts(history) == ["adversarial"]
    figure = training.draw_training(history, DERM7PT)
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == ["accuracy, mean of the 8 tasks", "loss", "adversarial", ""]
    assert "best: 0.800, epoch 1" in legend_of(figure.axes[0])
    np.testing.assert_allclose(figure.axes[1].lines[1].get_ydata(), history["val_loss"])


def test_most_confident_errors_are_wrong_and_in_order(table):
    found = gallery.most_confident_errors(table, DIAGNOSIS, 5)
    assert len(found) == 5
    wrong = table[table["DIAG_true"] != table["DIAG_pred"]]
    best = wrong[predictions.probability_columns(DIAGNOSIS)].max(axis=1).sort_values(ascending=False)
    assert [one.probability for one in found] == pytest.approx(best.head(5).tolist())
    for one in found:
        row = table.set_index("case_num").loc[one.case_num]
        assert DIAGNOSIS.classes[one.truth] == row["DIAG_true"] != row["DIAG_pred"]
        assert one.probability_of_truth == pytest.approx(row[f"DIAG_{row['DIAG_true']}"])
    chosen = gallery.choose_mistakes(table, DERM7PT)
    assert [one.task.name for one in chosen] == ["DIAG"] * 8 + [task.name for task in TASKS[1:]]


def test_pair_has_the_clinical_picture_on_the_left(tmp_path):
    row = {"case_num": 7}
    for name, colour, size in (("clinical", (200, 0, 0), (80, 40)), ("dermoscopic", (0, 0, 200), (40, 40))):
        row[name] = tmp_path / f"{name}.png"
        Image.new("RGB", size, colour).save(row[name])
    pair = gallery.pair_of(pd.DataFrame([row]), 7, side=40)
    assert pair.shape == (40, 84, 3)
    assert pair[20, 20].tolist() == [200, 0, 0]
    assert pair[2, 20].tolist() == [255, 255, 255]
    assert pair[20, 64].tolist() == [0, 0, 200]


def test_pictures_that_are_higher_than_wide_are_in_the_middle_of_their_half(tmp_path):
    row = {"case_num": 7}
    for name, colour in (("clinical", (200, 0, 0)), ("dermoscopic", (0, 0, 200))):
        row[name] = tmp_path / f"{name}.png"
        Image.new("RGB", (40, 80), colour).save(row[name])
    pair = gallery.pair_of(pd.DataFrame([row]), 7, side=40)
    assert pair.shape == (40, 84, 3)
    colours = [tuple(pixel) for pixel in pair[20].tolist()]
    white, red, blue = (255, 255, 255), (200, 0, 0), (0, 0, 200)
    assert colours == [*[white] * 10, *[red] * 20, *[white] * 24, *[blue] * 20, *[white] * 10]


def test_network_without_attention_and_reconstruction_has_no_figure(table):
    assert network.draw_network(object(), table, None, card=DERM7PT) is None
    titles = network.column_titles(["reconstruction_dermoscopic", "attention_dermoscopic"])
    assert titles == ["clinical", "dermoscopic", "attention", "reconstruction"]


def test_files_are_replaced_whole_and_old_ones_go(tmp_path, table):
    png = figure_style.to_png(confusion.draw_confusion(table, DERM7PT))
    assert Image.open(io.BytesIO(png)).width == 960
    assert png == figure_style.to_png(confusion.draw_confusion(table, DERM7PT))
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "of_an_earlier_run.png").write_bytes(b"")
    write.write_figures([write.FigureFile("confusion", "", "", "", png)], tmp_path)
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["confusion.png"]


def test_drawing_leaves_the_settings_of_the_caller_alone(measured):
    import matplotlib

    before = dict(matplotlib.rcParams)
    decision.draw_decision_curve(measured, DERM7PT)
    assert dict(matplotlib.rcParams) == before


def test_every_figure_is_as_wide_as_a_page_and_as_high_as_its_rows(table, measured):
    parts = {name: [1.0] for name in ("epoch", "accuracy", "val_accuracy", "loss", "val_loss", "rest", "val_rest")}
    heights = {
        11.0: confusion.draw_confusion(table, DERM7PT),
        11.6: curves.draw_roc(table, measured, DERM7PT),
        11.2: reliability.draw_reliability(measured, DERM7PT),
        4.6: target.draw_target_roc(table, DERM7PT),
        3.4: decision.draw_decision_curve(measured, DERM7PT),
        4.1: training.draw_training(pd.DataFrame(parts), DERM7PT),
        1.35: gallery.draw_gallery([], table),
    }
    for height, figure in heights.items():
        assert figure.get_size_inches() == pytest.approx((6.4, height))
    assert curves.draw_precision_recall(table, measured, DERM7PT).get_size_inches() == pytest.approx((6.4, 11.6))


def test_legends_over_curves_have_a_ground_and_lines_that_show_their_dashes(table, measured):
    for draw in (curves.draw_roc, curves.draw_precision_recall):
        for axes in draw(table, measured, DERM7PT).axes:
            legend = axes.get_legend()
            assert legend.get_frame_on()
            assert 0.5 < legend.get_frame().get_alpha() < 1
            assert legend.handlelength >= 2
    for figure in (reliability.draw_reliability(measured, DERM7PT), target.draw_target_roc(table, DERM7PT)):
        assert all(axes.get_legend().get_frame_on() for axes in figure.axes)


def test_words_in_cells_are_small_where_there_are_many(table):
    figure = confusion.draw_confusion(table, DERM7PT)
    for task in TASKS:
        sizes = {text.get_fontsize() for text in axes_of(figure, task).texts}
        assert sizes == {7 if task is DIAGNOSIS else 8}


def test_an_area_without_an_interval_stands_alone(table, measured):
    nothing = {"auc": 0.5, "auc_ci95": [float("nan")] * 2}
    classes = measured["tasks"]["DIAG"]["classes"] | {"NEV": nothing}
    of_diagnosis = measured["tasks"]["DIAG"] | {"classes": classes}
    given = measured | {"tasks": measured["tasks"] | {"DIAG": of_diagnosis}}
    legend = legend_of(axes_of(curves.draw_roc(table, given, DERM7PT), DIAGNOSIS))
    assert legend[DIAGNOSIS.classes.index("NEV")] == "NEV 0.50"
    assert sum("(" in line for line in legend) == len(legend) - 1


def test_marks_of_a_reliability_diagram_have_the_area_of_their_cases(measured):
    axes = axes_of(reliability.draw_reliability(measured, DERM7PT), DIAGNOSIS)
    cases = np.array([row["cases"] for row in measured["calibration"]["tasks"]["DIAG"]["bins"] if row["cases"]])
    assert cases.sum() == 90
    np.testing.assert_allclose(axes.collections[-1].get_sizes(), 8 + 120 * cases / 90)


def test_a_gallery_without_errors_says_so(table):
    shown = gallery.draw_gallery([], table).axes
    assert [text.get_text() for axes in shown for text in axes.texts] == ["no error in this split"]
