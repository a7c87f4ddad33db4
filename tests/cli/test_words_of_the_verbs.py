"""The tables of check, ingest, methods, paper, query and lineage: each number under its heading and in its row."""

import csv
import io
import itertools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import reading
from rich.console import Console

from amfam_tf.cli import main, methods
from amfam_tf.client import card
from amfam_tf.client.client import Answer
from amfam_tf.errors import ExportError
from amfam_tf.evaluation import paper, paper_tables
from amfam_tf.models import describe
from amfam_tf.models.describe import Cost, Description
from amfam_tf.release import lineage, served
from amfam_tf.report.count_table import count_table
from amfam_tf.report.table import Table
from amfam_tf.report.terminal import to_rich
from amfam_tf.tasks import CRITERIA, TASKS

EARLIER = Path(__file__).parent.parent / "release" / "earlier" / "lesions"
"""The folder of a model with version 1."""


def printed(*shown, framed: bool = True) -> str:
    """Returns what a wide terminal shows."""
    console = Console(file=io.StringIO(), width=300, highlight=False)
    for one in shown:
        console.print(to_rich(one, framed) if isinstance(one, Table) else one)
    return console.file.getvalue()


def words_of_lines(text: str) -> list[str]:
    """Returns the lines without their blanks; the line below the headings is none."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip(" ─")]


# check and ingest


def test_counts_of_each_class_and_split_are_under_their_split():
    numbers = itertools.count(101)
    splits = {split: next(numbers) for split in ("train", "validate", "test")}
    rows = [
        {"task": task.name, "class": name, "total": next(numbers)} | {split: next(numbers) for split in splits}
        for task in TASKS
        for name in task.classes
    ]
    (grid,) = reading.terminal_grids(printed(count_table("1,234 cases", 1234, splits, rows, TASKS))).values()
    assert grid.caption == "1,234 cases"
    assert grid.headings == ["class", "train", "validate", "test", "all"]
    assert grid.rows[0] == ["cases", *map(str, splits.values()), "1234"]
    titles = [title for task in TASKS for title in task.class_titles]
    for cells, row, title in zip(grid.rows[1:], rows, titles, strict=True):
        numbers = [str(row[name]) for name in ("train", "validate", "test", "total")]
        assert cells == [f"{row['task']} {row['class']}, {title}", *numbers]


# methods


FOUND = [
    Description("one", "the first", "paper A", Cost("net A", 64, 1_230_000, 450_000, 7_218_227_968), None),
    Description("two", "the second", "paper B", Cost("net B", 96, 34_560_000, 7_890_000, 123_450_000), None),
    Description("three", "the third", "paper C", None, "does not [fit]"),
]


def test_costs_of_each_method_are_under_their_heading():
    lines = words_of_lines(printed(methods._costs(FOUND), framed=False))
    assert lines == [
        "method backbone image parameters served multiply-adds",
        "one net A 64 1.23 M 0.45 M 7,218 M",
        "two net B 96 34.6 M 7.89 M 123.5 M",
        "three - - - - -",
    ]
    lines = words_of_lines(printed(methods._descriptions(FOUND), framed=False))
    assert lines == [
        "method what it is source",
        "one the first paper A",
        "two the second paper B",
        "three the third paper C",
    ]


def test_methods_are_described_then_costed_and_problems_are_said_below(monkeypatch, capsys):
    monkeypatch.setattr(describe, "describe_methods", lambda _: iter(FOUND))
    assert main.main(["methods"]) == 0
    lines = words_of_lines(capsys.readouterr().out)
    assert [line.split()[0] for line in lines] == ["method", "one", "two", "three"] * 2 + ["three:"]
    assert (lines[1], lines[5]) == ("one the first paper A", "one net A 64 1.23 M 0.45 M 7,218 M")
    assert lines[-1] == "three: does not [fit]"
    assert main.main(["methods", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [asdict(one) for one in FOUND]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *[(0, "0.00 M"), (9_876_543, "9.88 M"), (10_000_000, "10.0 M"), (999_900_000, "999.9 M")],
        (1_000_000_000, "1,000 M"),
    ],
)
def test_counts_have_about_three_digits(count, text):
    assert methods._short(count) == text


# paper


def one_decimal(value: float) -> str:
    return "-" if value != value else f"{value:.1f}"


@pytest.fixture(scope="module")
def terminal():
    """Returns the tables of `amfam-tf paper`."""
    with pytest.MonkeyPatch.context() as patch:
        import contextlib

        patch.setenv("COLUMNS", "400")
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream):
            assert main.main(["paper"]) == 0
    return reading.terminal_grids(stream.getvalue())


@pytest.fixture(scope="module")
def markdown():
    """Returns the tables of docs/published_tables.md by the text above each."""
    return list(reading.markdown_grids(paper_tables.document()).values())


def test_published_averages_are_corrected_as_printed(terminal, markdown):
    expected = [
        [str(row["table"]), row["method"]]
        + [
            f"{one_decimal(row[metric])} ({one_decimal(row[f'{metric}_as_printed'])})"
            for metric in ("sensitivity", "specificity", "precision", "auc")
        ]
        for row in paper.averages().to_dict("records")
    ]
    headings = ["table", "method", "sensitivity", "specificity", "precision", "AUC"]
    for grid in (terminal["Averages over classes in %: corrected (as printed)"], markdown[2]):
        assert grid.headings == headings
        assert grid.rows == expected
    (ours,) = [row for row in expected if row[:2] == ["4", "AMFAM"]]
    # By hand, from the erratum: what is printed as sensitivity is the precision.
    assert ours[2].split()[0] == one_decimal(paper.published_values("amfam")["paper_diagnosis"]["sensitivity"] * 100)


def test_mistyped_cells_have_printed_and_corrected_at_their_place(terminal, markdown):
    headings = ["table", "method", "column", "class", "printed", "corrected", "mistake"]
    expected = [
        [str(row["table"]), row["method"], row["column"], f"{row['task']} {row['class']}"]
        + [one_decimal(row["printed"]), one_decimal(row["corrected"]), row["kind"]]
        for row in paper.typing_errors().to_dict("records")
    ]
    assert expected and all(row[4] != row[5] for row in expected)
    for grid in (terminal["Cells that cannot be right"], markdown[1]):
        assert grid.headings == headings
        assert grid.rows == expected


def test_readings_have_both_errors_at_their_place(terminal, markdown):
    frame = paper.readings()
    grids = terminal["How the printed rows have to be read"], markdown[0]
    headings = ["table", "method", "Sen., Prec.", "error*", "error**", "Spec. agrees with", "rows that differ"]
    assert grids[0].headings == grids[1].headings == headings
    rows = iter(zip(grids[0].rows, grids[1].rows, strict=True))
    for (place, method), group in frame.groupby(["table", "method"], sort=False):
        in_terminal, in_markdown = next(rows)
        assert in_terminal == in_markdown
        errors = [
            f"{(group[column] - group['accuracy_printed']).abs().max():.2f}"
            for column in ("accuracy_if_prec_is_recall", "accuracy_if_sen_is_recall")
        ]
        assert in_terminal[:2] == [str(place), method]
        assert in_terminal[3:5] == errors
        agreeing = f"NPV {group['spec_is_npv'].sum()}, specificity {group['spec_is_specificity'].sum()} of"
        assert in_terminal[5].startswith(agreeing)
        if [str(place), method] == ["4", "AMFAM"]:
            assert in_terminal[2] == "exchanged" and float(errors[0]) < 0.2 < float(errors[1])


def test_classes_of_the_markdown_are_the_corrected_ones(markdown):
    frame = paper.corrected_classes()
    diagnosis, criteria = markdown[3], markdown[4]
    assert diagnosis.headings == ["table", "method", "metric", "BCC", "NEV", "MEL", "MISC", "SK"]
    titles = {"sensitivity": "sensitivity", "specificity": "specificity", "precision": "precision", "AUC": "auc"}
    values = frame.set_index(["table", "method", "class"])
    for row in diagnosis.rows:
        for name, cell in zip(diagnosis.headings[3:], row[3:], strict=True):
            assert cell == one_decimal(values.loc[(int(row[0]), row[1], name), titles[row[2]]])
    assert criteria.headings == ["task", "class", "cases", *titles]
    ours = frame[(frame["table"] == 3) & (frame["method"] == "AMFAM")].set_index(["task", "class"])
    assert len(criteria.rows) == len(ours) == 19
    for row in criteria.rows:
        found = ours.loc[(row[0], row[1])]
        assert row[2:] == [str(found["support"]), *(one_decimal(found[metric]) for metric in titles.values())]


def test_claims_have_printed_corrected_and_verdict_at_their_place(terminal, markdown):
    expected = [[claim.claim, claim.printed, claim.corrected, claim.verdict, claim.reason] for claim in paper.claims()]
    grid = terminal["What is left of the claims"]
    assert grid.headings == ["claim", "as printed", "corrected", "verdict"]
    assert grid.rows == [row[:4] for row in expected]
    assert markdown[5].headings == ["claim", "as printed", "corrected", "verdict", "reason"]
    assert [[" ".join(cell.split()) for cell in row] for row in markdown[5].rows] == [
        [" ".join(cell.split()) for cell in row] for row in expected
    ]


# query


def answer() -> Answer:
    """Returns an answer of which no two probabilities are printed alike."""
    for seed in itertools.count():
        weights = {
            task.name: np.random.default_rng([seed, number]).random(len(task.classes))
            for number, task in enumerate(TASKS)
        }
        rows = {name: tuple(row / row.sum()) for name, row in weights.items()}
        if len({f"{100 * value:.1f}" for row in rows.values() for value in row}) == 24:
            break
    return Answer(rows, {"melanoma": 0.1234}, {"seven_point_score": 7}, "lesions", 5)


def test_every_number_of_the_card_is_at_its_place():
    one = answer()
    shown = [f"{100 * value:.1f}" for row in one.probabilities.values() for value in row]
    assert len(set(shown)) == len(shown)
    console = Console(file=io.StringIO(), width=200, highlight=False)
    card.print_card(one, ("left.jpg", "right.jpg"), console)
    lines = console.file.getvalue().splitlines()
    assert lines[0].rstrip() == "left.jpg + right.jpg   (lesions, version 5)"
    ranked = sorted(zip(one.probabilities["DIAG"], TASKS[0].classes, TASKS[0].class_titles, strict=True), reverse=True)
    for line, (value, name, title) in zip(lines[1:6], ranked, strict=True):
        assert " ".join(line.split()) == f"{name} {title} {100 * value:.1f} % {'█' * round(30 * value)}".strip()
    assert lines[6].split() == ["criterion", "finding", "probability", "points"]
    points = {("PN", 2): 2, ("BWV", 1): 2, ("VS", 2): 2, ("PIG", 2): 1, ("STR", 2): 1, ("DaG", 2): 1, ("RS", 1): 1}
    for line, task in zip(lines[7:14], CRITERIA, strict=True):
        number = int(np.argmax(one.probabilities[task.name]))
        value = one.probabilities[task.name][number]
        expected = f"{task.title} {task.class_titles[number]} {100 * value:.1f} % {points.get((task.name, number), 0)}"
        assert " ".join(line.split()) == expected
    assert lines[14].startswith("7-point score 7 of 10: suspicious by the original rule (3 or more); suspicious by the")


def test_every_column_of_the_table_of_answers_is_its_own():
    one = answer()
    stream = io.StringIO()
    row = card.to_row(one, ("left.jpg", "right.jpg"))
    writer = csv.DictWriter(stream, list(row))
    writer.writeheader()
    writer.writerow(row)
    (read,) = csv.DictReader(io.StringIO(stream.getvalue()))
    assert (read["clinical"], read["dermoscopic"]) == ("left.jpg", "right.jpg")
    assert (read["model"], read["version"], read["seven_point_score"]) == ("lesions", "5", "7")
    assert float(read["melanoma_probability"]) == 0.1234
    content = card.to_json(one, ("left.jpg", "right.jpg"))
    for task in TASKS:
        values = dict(zip(task.classes, one.probabilities[task.name], strict=True))
        best = max(values, key=values.get)
        assert read[f"{task.name}_pred"] == best == content["tasks"][task.name]["class"]
        assert {name: float(read[f"{task.name}_{name}"]) for name in task.classes} == values
        assert content["tasks"][task.name]["probabilities"] == values


# lineage


def test_lines_of_a_lineage_are_of_their_step(tmp_path):
    names = ("ExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "Trainer", "Evaluator", "InfraValidator")
    steps = {
        name: {
            "began": f"began {number}",
            "seconds": 10.0 + number,
            "decision": f"decision {number}",
            "fingerprint": f"{number}" * 8,
            "configuration": {"method": f"method {number}"},
            "code": {"amfam_tf": f"0.{number}", "commit": f"c{number}"},
            "details": {"source": f"source {number}", "notes": [f"note {number}"]},
        }
        for number, name in enumerate(names)
    }
    rollbacks = [{"time": "noon", "from": 8, "to": 6, "reason": "worse", "withdrawn": []}]
    content = {"pushed": "today", "rollbacks": rollbacks, "steps": steps}
    lines = list(lineage.describe(served.Served(tmp_path / "lesions" / "9", 9, "f", content)))
    assert lines[0] == "lesions/9, pushed today; all files are as they were pushed"
    assert lines[1] == "roll-back noon from version 8 to the content of version 6: worse"
    assert lines[2] == "data: source 0, decision 0; records 00000000"
    assert lines[3].startswith("configuration: method 4, ")
    assert lines[4] == "code: amfam-tf 0.4, commit c4"
    assert lines[5:12] == [
        f"{name} (began {number}, {10 + number} s): decision {number}" for number, name in enumerate(names)
    ]
    assert lines[12] == "note: note 5"


def lay(base: Path, number: int, rollbacks: list[dict]) -> None:
    """Writes the lineage of a version."""
    path = base / str(number) / served.LINEAGE_FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rollbacks": rollbacks, "steps": {}}), encoding="utf-8")


def test_a_candidate_that_was_withdrawn_is_told_with_version_time_and_reason(tmp_path):
    assert lineage.withdrawal(tmp_path, "cc") is None
    lay(tmp_path, 1, [])
    (tmp_path / "2").mkdir()  # pushed by no release
    first = {"from": 3, "time": "at noon", "reason": "worse", "withdrawn": ["aa", "bb"]}
    second = {"from": 5, "time": "at night", "reason": "slow", "withdrawn": ["cc"]}
    lay(tmp_path, 4, [first])
    lay(tmp_path, 6, [first, second])
    assert lineage.withdrawal(tmp_path, "bb") == "withdrawn with version 3 on at noon (worse)"
    assert lineage.withdrawal(tmp_path, "cc") == "withdrawn with version 5 on at night (slow)"
    assert lineage.withdrawal(tmp_path, "dd") is None
    assert lineage.withdrawal(tmp_path, None) is None


def test_a_version_is_found_by_its_own_folder_or_as_the_latest_of_its_model(tmp_path, monkeypatch):
    for folder in (EARLIER, EARLIER / "1"):
        assert lineage.find(folder).name == "lesions/1"
    with pytest.raises(ExportError, match="is damaged or not from amfam-tf export: it has no metadata.json"):
        lineage.find(tmp_path)
    for number in (2, 10):
        lay(tmp_path, number, [])
    monkeypatch.setattr(served, "read", lambda path: served.Served(path, 1, "f", served.read_lineage(path)))
    assert lineage.find(tmp_path).folder == tmp_path / "10"
    (tmp_path / "11").mkdir()
    with pytest.raises(ExportError, match=r"11 has no lineage\.json: it was not pushed by amfam-tf release"):
        lineage.find(tmp_path)
