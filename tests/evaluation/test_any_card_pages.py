"""Tables, figures and report.html of cards with other tasks."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from other_cards import ALL, MILK10K, PARTLY, WARD, cases_of
from PIL import Image
from prediction_tables import random_table
from rich.console import Console

from amfam_tf import config as configuration
from amfam_tf.card import cards
from amfam_tf.evaluation import compare_runs, figure_style, html_report, tables, titles
from amfam_tf.evaluation.figures import (
    confusion,
    curves,
    decision,
    gallery,
    panels,
    reliability,
    target,
    training,
    write,
)
from amfam_tf.evaluation.report import build_report
from amfam_tf.evaluation.run import Evaluation
from amfam_tf.report.terminal import to_rich
from amfam_tf.tasks import DERM7PT

CASES = 90


def evaluated(card, table=None):
    """Returns a predictions table, its cases with pictures that are not looked at, and its report."""
    table = random_table(CASES, 3, 1.2, card) if table is None else table
    cases = cases_of(table, card)
    return table, cases, build_report(table, "test", cases=cases, training=cases, uncalibrated=table, card=card)


@pytest.fixture(scope="module")
def evaluations():
    return {card.name: evaluated(card) for card in ALL}


@pytest.fixture(scope="module")
def undrawn_pictures():
    """Pictures of cases are white: the cases here have none."""
    white = np.full((20, 44, 3), 255, np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(html_report.gallery, "pair_of", lambda *_: white)
        yield


@pytest.fixture(scope="module")
def drawn(evaluations, undrawn_pictures):  # noqa: ARG001
    """Returns the figures of each card."""
    return {card.name: write.draw_all(*of(evaluations, card), card=card) for card in ALL}


def of(evaluations, card):
    """Returns what `write.draw_all` takes."""
    table, cases, report = evaluations[card.name]
    return table, report, cases


def page_of(card, evaluations, comparison=None):
    table, cases, report = evaluations[card.name]
    config = configuration.load("tiny", [])
    return Evaluation(Path("run"), "test", cases, cases, config, table, report, (), card=card), comparison


def text_of(card, report, comparison=None):
    console = Console(file=io.StringIO(), width=300)
    for table in tables.terminal_tables(report, card, comparison):
        console.print(to_rich(table))
    return console.file.getvalue()


def cells(table):
    return {row.cells[0]: list(row.cells[1:]) for row in table.rows}


def percent(values, metric):
    low, high = values[f"{metric}_ci95"]
    return f"{100 * values[metric]:.1f} ({100 * low:.1f}–{100 * high:.1f})"


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.name)
def test_the_headline_is_the_first_number_of_terminal_and_page(card, evaluations):
    _, _, report = evaluations[card.name]
    section, _, metric = card.headline.rpartition(".")
    values = report["average"] if section == "average" else report["tasks"][card.main_task.name]
    first = tables.terminal_tables(report, card=card)[0]
    assert list(first.rows[0].cells) == [titles.headline(card), percent(values, metric)]
    key = html_report.summary(report, card)[0]
    assert (key.title, key.value) == (titles.headline(card), f"{100 * values[metric]:.1f}")


def test_headlines_in_words():
    words = [titles.headline(card) for card in (DERM7PT, *ALL)]
    assert words == [
        "Accuracy, average of the 8 tasks",
        "F1 at probability > 0.5 of the diagnosis",
        "Balanced accuracy of the finding",
        "Accuracy, average of the 2 tasks",
    ]


def test_keys_of_a_card_without_target_and_score_speak_of_neither(evaluations):
    keys = [key.title for key in html_report.summary(evaluations["partly"][2], PARTLY)]
    assert keys == ["Accuracy, average of the 2 tasks", "Accuracy of the ONE"]
    keys = html_report.summary(evaluations["ward"][2], WARD)
    assert [key.title for key in keys[2:]] == ["AUC of malignant", "AUC of melanoma"]
    assert keys[2].beside.startswith("risk of the predicted criteria: ")
    assert keys[3].beside == ""


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.name)
def test_every_metric_of_every_task_is_in_a_table(card, evaluations):
    _, _, report = evaluations[card.name]
    overall, accuracy = cells(tables.overall_table(report, card)), cells(tables.accuracy_table(report, card))
    for task in card.tasks:
        values = report["tasks"][task.name]
        for metric in ("macro_f1", "macro_auc", "f1_at_half"):
            assert overall[f"{task.name}, {titles.OVERALL[metric]}"] == [percent(values, metric)]
        assert accuracy[task.name][1] == percent(values, "accuracy")
        assert accuracy[task.name][6] == f"{100 * values['balanced_accuracy']:.1f}"
        labelled = (report["tasks"][task.name].get("labelled", CASES),)
        assert accuracy[task.name][9:] == ([str(*labelled)] if card != MILK10K else [])
    assert ("average" in accuracy) == (len(card.tasks) > 1)
    assert "Table 3" not in text_of(card, report)


def test_no_page_of_another_card_speaks_of_derm7pt(evaluations, drawn):
    for card in ALL:
        table, cases, report = evaluations[card.name]
        comparison = {"first": "a", "second": "b", **compare_runs.compare(table, table, 10, card=card)}
        evaluation, _ = page_of(card, evaluations)
        pictures = drawn[card.name]
        page = html_report.render(evaluation, pictures, comparison)
        words = text_of(card, report, comparison) + page + "".join(one.alternative + one.caption for one in pictures)
        for word in ("7-point", "8 tasks", "eight tasks", "published"):
            assert word not in words
        assert ("elanoma" in words) == ("melanoma" in card.targets or card == MILK10K)
        assert [one.name for one in pictures] == [
            *("confusion", "roc", "precision_recall", "reliability"),
            *(name for one in card.targets for name in (f"{one}_roc", f"{one}_decision_curve")),
            "errors",
        ]
        links = set(re.findall(r'href="#([^"]+)"', page))
        assert links <= set(re.findall(r'id="([^"]+)"', page))


def test_a_target_has_a_section_with_its_own_numbers(evaluations, drawn):
    report = evaluations["ward"][2]
    page = html_report.render(page_of(WARD, evaluations)[0], drawn["ward"])
    section = page.split('<section id="target-malignant">')[1].split("</section>")[0]
    assert "<h2>Malignant or not</h2>" in section
    assert "probability beside the risk, whose score comes from the predicted criteria.</p>" in section
    part = report["targets"]["malignant"]
    caption = f"Sensitivity for malignant in percent, {part['positives']} of {part['cases']} cases"
    assert caption in section
    assert percent(part["scores"]["risk_of_labels"], "auc") in section
    assert "classifier&#39;s probability of malignant" in section
    other = page.split('<section id="target-melanoma">')[1].split("</section>")[0]
    assert "<p>The classifier's own probability.</p>" in other
    assert "classifier&#39;s probability of MEL" in other
    assert 'href="#target-malignant">malignant</a>' in page


def test_names_of_a_card_are_no_markup(evaluations, drawn):
    text = cards.to_yaml(WARD).replace("  malignant:", "  malignant:\n    title: <b>bad</b>", 1)
    card = cards.parse(text.replace("  risk:\n", "  risk:\n    checklist: <i>list</i>\n", 1), "ward")
    page = html_report.render(page_of(card, evaluations)[0], drawn["ward"])
    assert "&lt;b&gt;bad&lt;/b&gt;" in page and "&lt;i&gt;list&lt;/i&gt;" in page
    assert "<b>bad" not in page and "<i>list" not in page


def test_subgroups_have_a_column_for_each_target(evaluations):
    table = tables.subgroup_table(evaluations["ward"][2], WARD)
    counts = ["cases of malignant", "cases of melanoma"]
    measured = ["accuracy of the 3 tasks", "DX accuracy", "AUC of malignant", "AUC of melanoma"]
    assert list(table.headings) == ["subgroup", "cases", *counts, *measured]
    rows = {(row["variable"], row["value"]): row for row in evaluations["ward"][2]["subgroups"]}
    shown = cells(table)["sex: female"]
    row = rows["sex", "female"]
    assert shown[:3] == [str(row[name]) for name in ("cases", "malignant_cases", "melanoma_cases")]
    assert shown[3:5] == [percent(row, "accuracy"), percent(row, "main_accuracy")]
    assert "age: unknown" in cells(table)
    assert tables.subgroup_table(evaluations["partly"][2], PARTLY).rows == []
    one = tables.subgroup_table(evaluations["milk10k"][2], MILK10K)
    assert list(one.headings)[2:] == [*counts[::-1], "DIAG accuracy", "AUC of melanoma", "AUC of malignant"]
    rows = {(row["variable"], row["value"]): row for row in evaluations["milk10k"][2]["subgroups"]}
    shown = cells(one)["skin tone: 0"]
    assert shown[3] == percent(rows["skin_tone_class", "0"], "main_accuracy")


def test_a_comparison_shows_the_headline_first():
    first, second = random_table(CASES, 4, 2.0, WARD), random_table(CASES, 4, 0.2, WARD)
    second = second.assign(**{f"{task.name}_true": first[f"{task.name}_true"] for task in WARD.tasks})
    comparison = {"first": "a", "second": "b", **compare_runs.compare(first, second, 50, card=WARD)}
    table = tables.comparison_table(comparison, WARD)
    change = comparison["tasks"]["DX"]["balanced_accuracy"]
    assert list(table.rows[0].cells[:3]) == [
        titles.headline(WARD),
        *(f"{100 * change[name]:.1f}" for name in ("first", "second")),
    ]
    assert [row.cells[0] for row in table.rows[1:]] == ["ULC", "NET", "DX", "average"]
    assert "Holm: p corrected for the 3 tasks" in table.note


@pytest.mark.usefixtures("undrawn_pictures")
def test_a_task_without_labels_is_said_in_tables_and_figures():
    table, cases, report = evaluated(PARTLY, random_table(CASES, 5, 1.0, PARTLY).assign(TWO_true=""))
    row = cells(tables.accuracy_table(report, PARTLY))["TWO"]
    assert [row[1], row[3], row[-1]] == ["–", "–", "0"]
    assert row[2] == ""
    assert "nan" not in text_of(PARTLY, report)
    said = [text.get_text() for axes in reliability.draw_reliability(report, PARTLY).axes for text in axes.texts]
    assert "no case has a label" in said
    legend = curves.draw_roc(table, report, PARTLY).axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["NO: no case", "YES: no case"]
    assert confusion.counts_of(table, PARTLY.tasks[1]).sum() == 0
    page = html_report.render(
        page_of(PARTLY, {"partly": (table, cases, report)})[0], write.draw_all(table, report, cases, card=PARTLY)
    )
    assert ">nan" not in page and '"nan' not in page


@pytest.mark.parametrize(
    ("card", "width", "height", "shown"), [(MILK10K, 6.4, 4.4, 1), (WARD, 6.4, 5.5, 3), (PARTLY, 6.4, 2.75, 2)]
)
def test_confusion_panels_of_any_number_of_tasks(card, width, height, shown, evaluations):
    table = evaluations[card.name][0]
    figure = confusion.draw_confusion(table, card)
    assert figure.get_size_inches() == pytest.approx((width, height))
    drawn = [axes for axes in figure.axes if axes.axison]
    assert len(drawn) == shown
    for axes, task in zip(drawn, card.tasks, strict=True):
        known = table[table[f"{task.name}_true"] != ""]
        expected = pd.crosstab(known[f"{task.name}_true"], known[f"{task.name}_pred"])
        expected = expected.reindex(index=task.classes, columns=task.classes, fill_value=0)
        assert axes.get_title(loc="left") == f"{task.name}: {task.title}"
        counts = [int(text.get_text().split("\n")[0]) for text in axes.texts if "\n" in text.get_text()]
        assert counts == expected[expected.sum(axis=1) > 0].to_numpy().ravel().tolist()


def test_long_names_of_classes_do_not_run_into_each_other():
    for task in (*MILK10K.tasks, PARTLY.tasks[0]):
        long = replace(task, classes=tuple(f"{name}_of_some_length" for name in task.classes))
        card = PARTLY.model_copy(update={"questions": ()})
        card.__dict__["tasks"] = (long,)
        (axes,) = confusion.draw_confusion(random_table(30, 1, card=card), card).axes
        figure_style.to_png(axes.figure)
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {30.0}
    short = confusion.draw_confusion(random_table(30, 1, card=MILK10K), MILK10K).axes[0]
    assert {label.get_rotation() for label in short.get_xticklabels()} == {0.0}


def test_one_small_task_has_half_a_page_and_a_large_one_a_row_of_its_own():
    one = panels.per_task(lambda *_: None, PARTLY.tasks[:1], 2.0)
    assert one.get_size_inches() == pytest.approx((3.2, 2.0))
    mixed = panels.per_task(lambda *_: None, (*PARTLY.tasks, MILK10K.tasks[0]), 2.0)
    assert mixed.get_size_inches() == pytest.approx((6.4, 2 + 2 + panels.TALL))
    assert len(mixed.axes) == 3


def test_lines_of_many_classes_are_all_different():
    assert len({figure_style.class_line(number) for number in range(25)}) == 25
    assert [figure_style.class_line(number)[0] for number in range(5)] == list(figure_style.CLASS_COLOURS)


def test_a_legend_of_eleven_classes_covers_no_curve(evaluations):
    table, _, report = evaluations["milk10k"]
    for draw in (curves.draw_roc, curves.draw_precision_recall):
        figure = draw(table, report, MILK10K)
        figure_style.to_png(figure)
        (axes,) = figure.axes
        legend, square = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert len(axes.get_legend().get_texts()) == 11
        assert legend.x0 > square.x1
        assert legend.x1 <= figure.bbox.x1


def test_curves_of_a_target_are_of_the_known_cases(evaluations):
    table, _, report = evaluations["ward"]
    lines = target.draw_target_roc(table, WARD, "malignant").axes[0].lines[1:]
    names = ["classifier's probability of malignant", "risk, predicted criteria", "expected risk", "risk of the labels"]
    assert [line.get_label().split(", AUC")[0] for line in lines] == names
    for line, values in zip(lines, report["targets"]["malignant"]["scores"].values(), strict=True):
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(values["auc"])
    drawn = {line.get_label(): line for line in decision.draw_decision_curve(report, WARD, "malignant").axes[0].lines}
    curve = report["targets"]["malignant"]["decision_curve"]["risk_rule"]
    assert list(drawn["risk of the predicted criteria at least 3"].get_ydata()) == curve
    none = target.draw_target_roc(table.assign(DX_true="NEV"), WARD, "melanoma").axes[0]
    assert [text.get_text() for text in none.texts] == ["no case is of melanoma"]


def test_curves_of_a_task_are_of_the_cases_with_a_label(evaluations):
    table, _, report = evaluations["partly"]
    for axes, task in zip(curves.draw_roc(table, report, PARTLY).axes, PARTLY.tasks, strict=True):
        values = report["tasks"][task.name]["classes"].values()
        for line, row in zip(axes.lines[1:], values, strict=True):
            assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(row["auc"])


def test_an_unknown_label_is_no_error_of_the_gallery(evaluations):
    table = evaluations["partly"][0]
    shown = gallery.most_confident_errors(table, PARTLY.tasks[0], len(table))
    known = table[table["ONE_true"] != ""]
    assert len(known) < len(table)
    assert len(shown) == (known["ONE_true"] != known["ONE_pred"]).sum()
    assert all(mistake.truth >= 0 for mistake in shown)


def test_the_training_curve_is_of_the_headlines_task():
    history = pd.DataFrame(
        {"epoch": [0, 1], "accuracy": [0.9, 0.9], "val_accuracy": [0.9, 0.8], "accuracy_DX": [0.2, 0.3]}
        | {"val_accuracy_DX": [0.1, 0.25], "loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    )
    axes = training.draw_training(history, WARD).axes[0]
    assert axes.get_title(loc="left") == "accuracy of DX"
    assert axes.lines[2].get_label() == "best: 0.250, epoch 1"
    axes = training.draw_training(history, PARTLY).axes[0]
    assert axes.get_title(loc="left") == "accuracy, mean of the 2 tasks"
    assert axes.lines[2].get_label() == "best: 0.900, epoch 0"


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.name)
def test_figures_of_any_card_are_pictures(card, drawn):
    for one in drawn[card.name]:
        with Image.open(io.BytesIO(one.png)) as picture:
            assert min(picture.size) > 200


def test_the_gallery_says_what_it_shows(drawn):
    captions = {name: pictures[-1].caption for name, pictures in drawn.items()}
    begin = "The wrong predictions with the highest probability: eight of the"
    assert captions["milk10k"].startswith(f"{begin} diagnosis; left the clinical")
    assert captions["ward"].startswith(f"{begin} finding, then one of each criterion; left")
    assert captions["partly"].startswith(f"{begin} ONE, then one of each other task; left")
