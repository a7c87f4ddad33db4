"""Every number of the terminal and of report.html is that of metrics.json under its heading and in its row.

The results are made so that no two printed values are the same (tests/different.py): two exchanged columns, rows, ends
of an interval or splits are seen. The headings and places here are typed, not taken from the code.
"""

import contextlib
import io
import re
from dataclasses import replace
from types import SimpleNamespace

import different
import numpy as np
import pytest
import reading

from amfam_tf.cli import evaluate
from amfam_tf.evaluation import html_report, intervals
from amfam_tf.evaluation.checklists import GUIDELINES, TARGET
from amfam_tf.evaluation.figures.write import FigureFile, draw_all
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT, SPLITS, TASKS

AVERAGES = {
    "19 classes of the criteria (Table 3)": "paper_criteria",
    "5 classes of DIAG (Tables 4, 7)": "paper_diagnosis",
    "8 tasks, each over its classes": "macro",
}
SCORES = {
    "classifier's probability of MEL": "melanoma_probability",
    "7-point score, predicted criteria": "seven_point_score",
    "expected 7-point score": "expected_seven_point_score",
    "7-point score of the labels": "seven_point_score_of_labels",
}
OF_A_CLASS = {
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "AUC": "auc",
    "F1": "f1",
    "average precision": "average_precision",
}
PAPER = ("sensitivity", "specificity", "precision", "AUC")
SUBGROUP = {
    "accuracy of the 8 tasks": "accuracy",
    "DIAG accuracy": "diagnosis_accuracy",
    "AUC of melanoma": "melanoma_auc",
}
TASK_NAMES = ("DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Returns results with all values different."""
    return different.of_evaluation(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def report(results):
    """Returns their metrics.json."""
    return results.evaluation.report


@pytest.fixture(scope="module")
def terminal(results):
    """Returns the tables of the terminal, by title, and the whole text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "300")
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            evaluate.print_evaluation(results.evaluation, results.comparison, [])
    return reading.terminal_grids(stream.getvalue()), stream.getvalue()


@pytest.fixture(scope="module")
def page(results):
    """Returns the tables of report.html, by caption, and its words by tag."""
    names = ("confusion", "roc", "precision_recall", "reliability", "melanoma_roc", "decision_curve", "errors")
    pictures = [FigureFile(name, f"title of {name}", f"caption of {name}", f"words of {name}", b"") for name in names]
    return reading.html_page(html_report.render(results.evaluation, pictures, results.comparison))


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def ranged(values, name: str) -> str:
    """Returns "value (low–high)" in percent."""
    low, high = values[f"{name}_ci95" if name else "ci95"]
    assert low < high
    return f"{percent(values[name or 'value'])} ({percent(low)}–{percent(high)})"


def test_no_two_printed_values_are_the_same(report, results):
    printed = {key: part for key, part in report.items() if key not in different.NOT_SHOWN}
    shares, numbers, counts = [], [], []
    for value in different.leaves(printed):
        if isinstance(value, int):
            counts.append(value)
        else:
            (numbers if value > 1 else shares).append(value)
    assert len(counts) == len(set(counts)) > 30
    assert len(numbers) == len({f"{value:.2f}" for value in numbers}) > 40
    shown = [f"{100 * value:.1f}" for value in shares if value == round(value, 3)]
    assert len(shown) == len(set(shown)) > 700
    compared = [
        row["accuracy"] | {"ci95": None, "low": row["accuracy"]["ci95"][0], "high": row["accuracy"]["ci95"][1]}
        for row in results.comparison["tasks"].values()
    ]
    values = [f"{value:.3f}" for row in compared for value in row.values() if isinstance(value, float)]
    assert len(values) == len(set(values)) > 50


# The terminal


def test_accuracies_of_the_terminal(terminal, report):
    grid = terminal[0][f"Accuracy in percent, {report['cases']} cases of the split test"]
    assert grid.headings == [
        *("task", "", "accuracy (95 %)", "majority", "class", "gain", "balanced", "kappa", "ECE", "published*"),
    ]
    assert grid.names() == [*TASK_NAMES, "average"]
    base = report["majority_baseline"]["train"]
    for task, cells in zip(TASKS, grid.rows, strict=False):
        values, most = report["tasks"][task.name], base["tasks"][task.name]
        assert cells[1] == task.title
        assert cells[2:] == [
            ranged(values, "accuracy"),
            percent(most["accuracy"]),
            most["class"],
            points(values["accuracy"] - most["accuracy"]),
            percent(values["balanced_accuracy"]),
            f"{values['kappa']:.2f}",
            percent(report["calibration"]["tasks"][task.name]["expected_calibration_error"]),
            percent(report["published"]["accuracy"][task.name]),
        ]
    average = report["average"]
    assert grid.rows[-1][1:] == [
        "of the 8 tasks",
        ranged(average, "accuracy"),
        percent(base["average"]),
        "",
        points(average["accuracy"] - base["average"]),
        percent(average["balanced_accuracy"]),
        f"{average['kappa']:.2f}",
        "",
        percent(report["published"]["accuracy"]["average"]),
    ]
    words = " ".join(terminal[1].split())
    assert "ECE: expected calibration error." in words
    assert "always the most frequent class of the training split" in words


def averages(report) -> list[list[str]]:
    """Returns the rows of the averages."""
    expected = []
    for title, key in AVERAGES.items():
        values, published = report["average"][key], report["published"].get(key)
        expected.append([title, *(ranged(values, OF_A_CLASS[heading]) for heading in PAPER)])
        if published:
            expected.append(["published*", *(percent(published[OF_A_CLASS[heading]]) for heading in PAPER)])
    assert len(expected) == 5
    return expected


def test_averages_of_the_terminal(terminal, report):
    grid = terminal[0]["Averages over classes in percent"]
    assert grid.headings == ["average over", *PAPER]
    assert grid.rows == averages(report)


def test_areas_of_the_terminal(terminal, report):
    grid = terminal[0]["One class against the rest, in percent (95 %)"]
    assert grid.headings == ["class", "", "cases", "AUC"]
    expected = []
    for task in TASKS:
        rows = report["tasks"][task.name]["classes"]
        for name, title in zip(task.classes, task.class_titles, strict=True):
            expected.append([f"{task.name} {name}", title, str(rows[name]["support"]), ranged(rows[name], "auc")])
    assert grid.rows == expected


def test_melanoma_of_the_terminal(terminal, report):
    melanoma = report["melanoma"]
    caption = f"Sensitivity for melanoma in percent, {melanoma['melanomas']} melanomas in {melanoma['cases']} cases"
    grid = terminal[0][caption]
    assert grid.headings == ["score", "AUC (95 %)", *(f"at {place} % specificity" for place in (80, 90, 95))]
    assert grid.names() == list(SCORES)
    for cells in grid.rows:
        values = melanoma["scores"][SCORES[cells[0]]]
        assert cells[1] == ranged(values, "auc")
        assert cells[2:] == [ranged(row, "") for row in values["sensitivity_at_specificity"]]


def subgroups(report) -> list[list[str]]:
    """Returns the rows of the subgroups."""
    small = [row for row in report["subgroups"] if row["too_small"]]
    assert small and len(small) < len(report["subgroups"])
    expected = []
    for row in report["subgroups"]:
        values = [ranged(row, key) for key in SUBGROUP.values()]
        cells = [f"{row['variable'].rpartition('_')[2]}: {row['value']}", str(row["cases"]), str(row["melanomas"])]
        expected.append([*cells, *(["under 10 cases: too small", "", ""] if row["too_small"] else values)])
    return expected


def test_subgroups_of_the_terminal(terminal, report):
    grid = terminal[0]["Subgroups in percent (95 %)"]
    assert grid.headings == ["subgroup", "cases", "melanomas", *SUBGROUP]
    assert grid.rows == subgroups(report)


def test_comparison_of_the_terminal(terminal, results):
    found = results.comparison
    grid = terminal[0][f"Accuracy of one run minus another run, {found['cases']} cases, in points"]
    first = ["task", "one run", "another run", "difference (95 %)"]
    assert grid.headings == [*first, "only 1st right", "only 2nd right", "p, McNemar", "p, Holm"]
    assert grid.rows == comparison(found)


def comparison(found) -> list[list[str]]:
    """Returns the rows of the comparison of two runs."""
    expected = []
    for name in (*TASK_NAMES, "average"):
        row = (found["average"] if name == "average" else found["tasks"][name])["accuracy"]
        low, high = map(points, row["ci95"])
        cells = [name, percent(row["first"]), percent(row["second"]), f"{points(row['difference'])} ({low} to {high})"]
        tests = ["", "", "", ""]
        if name != "average":
            tests = [str(row["only_first_right"]), str(row["only_second_right"])]
            tests += [f"{row['mcnemar_exact_p']:.3f}", f"{row['mcnemar_holm_p']:.3f}"]
        expected.append(cells + tests)
    return expected


def test_notes_and_files_of_the_terminal(terminal, results):
    lines = terminal[1].splitlines()
    folder = results.evaluation.run / "evaluation" / "test"
    begin = lines.index("note: the first thing to know")
    assert lines[begin:] == [
        "note: the first thing to know",
        "note: the second thing to know",
        f"written: {folder}/predictions.csv",
        f"written: {folder}/metrics.json",
        f"written: {folder}/against_another run.json",
        "A research tool, not a medical device: no number here says anything about a patient.",
    ]


# report.html


def test_heading_of_the_page(page, report):
    assert page[1]["title"] == ["run of many values, test split: evaluation"]
    assert page[1]["h1"] == ["Evaluation of run of many values"]
    assert f"Method amfam on the {report['cases']} cases of the split test" in page[1]["p"]
    assert {"the first thing to know", "the second thing to know"} <= set(page[1]["li"])


def test_numbers_to_read_first(page, report):
    keys = dict(zip(page[1]["dt"], zip(page[1]["dd"][::2], page[1]["dd"][1::2], strict=True), strict=True))
    assert list(keys) == ["Accuracy, average of the 8 tasks", "Accuracy of the diagnosis", "AUC of melanoma"]
    base, scores = report["majority_baseline"]["train"], report["melanoma"]["scores"]
    most = base["tasks"]["DIAG"]
    expected = [
        (report["average"], "accuracy", f"majority class of the training split: {percent(base['average'])}"),
        (report["tasks"]["DIAG"], "accuracy", f"always {most['class']}: {percent(most['accuracy'])}"),
        (
            scores["melanoma_probability"],
            "auc",
            f"7-point score of the predicted criteria: {percent(scores['seven_point_score']['auc'])}",
        ),
    ]
    for (value, aside), (values, name, beside) in zip(keys.values(), expected, strict=True):
        assert value == f"{percent(values[name])}%"
        low, high = values[f"{name}_ci95"]
        assert aside == f"95 % interval {percent(low)}–{percent(high)}\n{beside}"


def test_accuracies_of_the_page(page, report):
    grid = page[0][f"Accuracy in percent, {report['cases']} cases of the split test"]
    assert grid.headings == [
        *("task", "", "accuracy (95 %)", "0 to 100 %", "majority", "gain", "balanced", "kappa", "published*"),
    ]
    assert grid.names() == [*TASK_NAMES, "average"]
    base = report["majority_baseline"]["train"]
    parts = {name: (report["tasks"][name], base["tasks"][name]["accuracy"]) for name in TASK_NAMES}
    for name, (values, most) in (parts | {"average": (report["average"], base["average"])}).items():
        assert grid.cell(name, "accuracy (95 %)") == ranged(values, "accuracy")
        assert grid.cell(name, "majority") == percent(most)
        assert grid.cell(name, "gain") == points(values["accuracy"] - most)
        assert grid.cell(name, "balanced") == percent(values["balanced_accuracy"])
        assert grid.cell(name, "kappa") == f"{values['kappa']:.2f}"
        assert grid.cell(name, "published*") == percent(report["published"]["accuracy"][name])
    assert [cells[1] for cells in grid.rows[:-1]] == [task.title for task in TASKS]
    assert any(
        "Majority, the upright mark where it is drawn: always the most frequent class of the training" in p
        for p in page[1]["p"]
    )


def test_classes_of_the_page(page, report):
    grid = page[0]["One class against the rest, in percent (95 %)"]
    assert grid.headings == ["class", "", "cases", *OF_A_CLASS]
    assert grid.names() == [f"{task.name} {name}" for task in TASKS for name in task.classes]
    for task in TASKS:
        for name, title in zip(task.classes, task.class_titles, strict=True):
            row = report["tasks"][task.name]["classes"][name]
            assert grid.cell(f"{task.name} {name}", "") == title
            assert grid.cell(f"{task.name} {name}", "cases") == str(row["support"])
            for heading, key in OF_A_CLASS.items():
                assert grid.cell(f"{task.name} {name}", heading) == ranged(row, key)


def test_averages_of_the_page(page, report):
    grid = page[0]["Averages over classes in percent"]
    assert grid.headings == ["average over", *PAPER]
    assert grid.rows == averages(report)


def test_calibration_of_the_page(page, report):
    grid, found = page[0]["Calibration"], report["calibration"]
    assert grid.headings == [
        *("task", "temperature", "ECE in %, before", "after", "Brier score, before", "after", "log loss, before"),
        "after",
    ]
    assert grid.names() == list(TASK_NAMES)
    for name in TASK_NAMES:
        before, after = found["before"]["tasks"][name], found["tasks"][name]
        assert grid.cell(name, "temperature") == f"{found['temperatures'][name]:.2f}"
        assert grid.cell(name, "ECE in %, before") == percent(before["expected_calibration_error"])
        assert grid.cell(name, "after", 0) == percent(after["expected_calibration_error"])
        assert grid.cell(name, "Brier score, before") == f"{before['brier_score']:.2f}"
        assert grid.cell(name, "after", 1) == f"{after['brier_score']:.2f}"
        assert grid.cell(name, "log loss, before") == f"{before['log_loss']:.2f}"
        assert grid.cell(name, "after", 2) == f"{after['log_loss']:.2f}"


@pytest.mark.parametrize(
    ("caption", "measure", "other"),
    [
        ("Sensitivity for melanoma in percent", "sensitivity_at_specificity", "specificity"),
        ("Specificity for melanoma in percent", "specificity_at_sensitivity", "sensitivity"),
    ],
)
def test_melanoma_of_the_page(page, report, caption, measure, other):
    found = report["melanoma"]
    grid = page[0][f"{caption}, {found['melanomas']} melanomas in {found['cases']} cases"]
    assert grid.headings == ["score", "AUC (95 %)", *(f"at {place} % {other}" for place in (80, 90, 95))]
    assert grid.names() == list(SCORES)
    for cells in grid.rows:
        values = report["melanoma"]["scores"][SCORES[cells[0]]]
        assert cells[1:] == [ranged(values, "auc"), *(ranged(row, "") for row in values[measure])]


def test_rules_of_the_page(page, report):
    grid = page[0]["Rules for melanoma in percent"]
    assert grid.headings == ["rule", "sensitivity (95 %)", "specificity (95 %)"]
    assert grid.names() == [
        "predicted diagnosis is MEL",
        "7-point score of the predicted criteria at least 3 (original rule)",
        "7-point score of the labels at least 3 (original rule)",
        "7-point score of the predicted criteria at least 1 (revised rule)",
        "7-point score of the labels at least 1 (revised rule)",
    ]
    for cells, row in zip(grid.rows, report["melanoma"]["rules"], strict=True):
        assert cells == [row["rule"], ranged(row, "sensitivity"), ranged(row, "specificity")]


def test_subgroups_of_the_page(page, report):
    grid = page[0]["Subgroups in percent (95 %)"]
    assert grid.headings == ["subgroup", "cases", "melanomas", *SUBGROUP]
    assert grid.rows == subgroups(report)


def test_counts_of_the_page(page, results):
    grid, release = page[0]["Cases of each class"], results.release
    assert grid.headings == ["class", "train", "validate", "test", "all"]
    assert SPLITS == ("train", "validate", "test")
    sizes = {split: int((release["split"] == split).sum()) for split in SPLITS}
    assert len(set(sizes.values())) > 1
    assert grid.rows[0] == ["cases", *map(str, sizes.values()), str(len(release))]
    rows = iter(grid.rows[1:])
    for task in TASKS:
        for number, (name, title) in enumerate(zip(task.classes, task.class_titles, strict=True)):
            having = release[release[task.name] == number]
            counts = [str(int((having["split"] == split).sum())) for split in SPLITS]
            assert next(rows) == [f"{task.name} {name}, {title}", *counts, str(len(having))]


def test_comparison_of_the_page(page, results):
    found = results.comparison
    grid = page[0][f"Accuracy of one run minus another run, {found['cases']} cases, in points"]
    assert grid.headings == ["task", "one run", "another run", "difference (95 %)", "p, McNemar", "p, Holm"]
    assert grid.rows == [[*cells[:4], *cells[6:]] for cells in comparison(found)]


def test_plots_beside_the_accuracies_are_the_values(results, report):
    text = html_report.render(results.evaluation, _no_pictures(), None)
    plots = re.findall(
        r'class="mark" d="M([\d.]+) 1V13"/><path class="bar" d="M([\d.]+) 7H([\d.]+)"/><circle cx="([\d.]+)"', text
    )
    base = report["majority_baseline"]["train"]
    rows = [(report["tasks"][name], base["tasks"][name]["accuracy"]) for name in TASK_NAMES]
    expected = [
        [most, *values["accuracy_ci95"], values["accuracy"]]
        for values, most in [*rows, (report["average"], base["average"])]
    ]
    np.testing.assert_allclose(np.array(plots, float) / 140, expected, atol=0.001)


def test_the_page_and_its_figures_are_written_beside_the_numbers(results, tmp_path, monkeypatch):
    """All figures are there, those of the training too if the run has a history."""
    run, told, figures = tmp_path / "run", {}, [replace(one, png=one.name.encode()) for one in _no_pictures()]
    evaluation = replace(results.evaluation, run=run)
    network = SimpleNamespace(name="the run's network")
    monkeypatch.setattr(
        html_report.FinishedRun, "open", lambda path: SimpleNamespace(network=network, folder=RunFolder(path))
    )
    monkeypatch.setattr(
        html_report.write, "draw_all", lambda *given, **named: told.update(named, given=given) or figures
    )
    folder = run / "evaluation" / "test"
    assert html_report.write_report(evaluation, results.comparison) == [folder / "figures", folder / "report.html"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page == html_report.render(evaluation, figures, results.comparison)
    written = {path.name: path.read_text() for path in (folder / "figures").iterdir()}
    assert written == {f"{one.name}.png": one.name for one in figures}
    assert told["given"] == (evaluation.table, evaluation.report, evaluation.cases)
    assert (told["network"], told["config"], told["history"]) == (network, evaluation.config, None)
    (run / "history.csv").write_text("epoch,loss\n0,2.5\n1,1.5\n", encoding="utf-8")
    html_report.write_report(evaluation)
    assert told["history"].to_dict("list") == {"epoch": [0, 1], "loss": [2.5, 1.5]}


def _no_pictures() -> list[FigureFile]:
    names = ("confusion", "roc", "precision_recall", "reliability", "melanoma_roc", "decision_curve", "errors")
    return [FigureFile(name, "", "", "", b"") for name in names]


@pytest.fixture(scope="module")
def pictures(results):
    """Returns the figures, drawn once."""
    return draw_all(results.evaluation.table, results.evaluation.report, results.evaluation.cases, card=DERM7PT)


def test_each_figure_of_the_page_is_the_one_of_its_heading(results, pictures):
    evaluation = results.evaluation
    assert len({picture.png for picture in pictures}) == len(pictures)
    text = html_report.render(evaluation, pictures)
    for picture in pictures:
        if picture.name == "errors":
            continue
        found = re.search(rf'<figure id="figure-{picture.name}">(.*?)</figure>', text, re.DOTALL).group(1)
        assert f"<h3>{picture.title}</h3>" in found
        assert html_report.data_uri(picture.png, "png") in found
        assert picture.caption.split("'")[0] in found
    titles = [picture.title for picture in pictures]
    assert titles == [
        *("Confusion matrices", "ROC curves", "Precision and recall", "Reliability", "ROC curves for melanoma"),
        *("Decision curve", "Most confident errors"),
    ]


def test_words_that_stand_for_a_figure_have_its_numbers(pictures, report):
    named = {one.name: one for one in pictures}
    classes = report["tasks"]["DIAG"]["classes"]
    for name, metric in (("confusion", "sensitivity"), ("roc", "auc"), ("precision_recall", "average_precision")):
        values = ", ".join(f"{label} {row[metric]:.2f}" for label, row in classes.items())
        assert named[name].alternative.endswith(f"{values}.")


def test_methods_and_configuration_of_the_page(page, report):
    assert any(intervals.method(DERM7PT) in text for text in page[1]["p"])
    for name, text in report["averages_over"].items():
        assert f"{name.replace('_', ' ')}: {text}" in page[1]["li"]
    for guideline, items in GUIDELINES.items():
        grid = page[0][guideline]
        assert grid.headings == ["item", "asks for", "where"]
        for cells, item in zip(grid.rows, items, strict=True):
            assert cells[:2] == [item.number, item.topic]
            open_here = item.section in (None, "figure-training", "figure-network")
            section = "melanoma" if item.section == TARGET else str(item.section).removeprefix("figure-")
            assert cells[2] == ("not answered here" if open_here else section)
