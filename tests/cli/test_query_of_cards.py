"""`amfam-tf query` prints what the card of the served version has: any tasks, targets and scores, or none."""

import csv
import io
import itertools
import json

import numpy as np
import pytest
from asked_servers import embedded_server
from exported_runs import encoded_pairs
from rich.console import Console
from small_pairs import HOSPITAL

from amfam_tf.card import cards
from amfam_tf.card.served import ServedCard
from amfam_tf.cli import main as command_line
from amfam_tf.cli.query import _print_csv
from amfam_tf.client import card as printing
from amfam_tf.client.client import Answer
from amfam_tf.errors import DataError, QueryError
from amfam_tf.report.notice import RESEARCH_ONLY

NAMES = ("left.jpg", "right.jpg")
MILK = ServedCard.of(cards.packaged("milk10k"))
SCORES = """scores:
  risk: {title: risk score, points: {DX: {MEL: 2}, ULC: {yes: 1}}, thresholds: {high: 2}, suggests: melanoma}
  worry: {points: {ULC: {no: -1, yes: 3}}, thresholds: {some: 1, much: 3}}
"""


def hospital(old: str = "", new: str = "") -> ServedCard:
    assert old in HOSPITAL
    return ServedCard.of(cards.parse(HOSPITAL.replace(old, new, 1), "hospital"))


RISK = "scores: {risk: {points: {DX: {MEL: 2}, ULC: {yes: 1}}, thresholds: {high: 2}, suggests: melanoma}}\n"
DIAGNOSIS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.6, 0.08, 0.03, 0.01)


def milk_answer() -> Answer:
    return Answer({"DIAG": DIAGNOSIS}, {"melanoma": 0.6, "malignant": 0.73}, {}, "lesions", 3, MILK)


def hospital_answer(card: ServedCard | None = None, **scores: int) -> Answer:
    rows = {"DX": (0.875, 0.125), "ULC": (0.3, 0.7)}
    targets = {"melanoma": 0.875}
    return Answer(rows, targets, scores or {"risk": 3}, "lesions", None, card or hospital())


def printed(answer: Answer) -> list[str]:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    printing.print_card(answer, NAMES, console)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_one_task_of_eleven_classes_has_bars_and_targets_and_no_score():
    lines = printed(milk_answer())
    assert lines[0] == "left.jpg + right.jpg (lesions, version 3)"
    assert lines[1] == f"MEL melanoma 60.0 % {'█' * 18}"
    assert lines[2].startswith("NV melanocytic nevus 8.0 %")
    assert len({line.split()[0] for line in lines[1:12]}) == 11
    assert lines[12:] == ["melanoma: 60.0 %", "malignant: 73.0 %", RESEARCH_ONLY]


def test_a_score_has_its_title_range_and_verdict():
    lines = printed(hospital_answer())
    assert lines[0] == "left.jpg + right.jpg (lesions)"
    assert lines[1:3] == [f"MEL MEL 87.5 % {'█' * 26}", f"NEV naevus 12.5 % {'█' * 4}"]
    assert lines[3:5] == ["task finding probability points", "ULC yes 70.0 % 1"]
    assert lines[5:] == ["risk 3 of 3: suspicious by the high rule (2 or more)", RESEARCH_ONLY]
    assert printed(hospital_answer(risk=1))[5] == "risk 1 of 3: not suspicious by the high rule (2 or more)"


def test_several_scores_have_their_points_and_each_its_verdict():
    card = hospital(RISK, SCORES)
    lines = printed(hospital_answer(card, risk=3, worry=-1))
    assert lines[3:5] == ["criterion finding probability points, risk score points, worry", "ULC yes 70.0 % 1 3"]
    assert lines[5:7] == [
        "risk score 3 of 3: suspicious by the high rule (2 or more)",
        "worry -1 of -1 to 3: some not reached (1 or more); much not reached (3 or more)",
    ]
    assert "worry 3 of -1 to 3: some reached (1 or more); much reached (3 or more)" in printed(
        hospital_answer(card, risk=3, worry=3)
    )


def test_a_task_that_no_score_counts_has_no_points():
    size = "  - {name: SIZ, column: Groesse, classes: [{name: S}, {name: L}]}\ntargets:"
    card = hospital("targets:", size)
    rows = {"DX": (0.875, 0.125), "ULC": (0.3, 0.7), "SIZ": (0.9, 0.1)}
    lines = printed(Answer(rows, {"melanoma": 0.875}, {"risk": 3}, "lesions", 1, card))
    assert lines[4:6] == ["ULC yes 70.0 % 1", "SIZ S 90.0 %"]


def test_without_score_and_target_there_is_no_word_of_them():
    card = hospital(f"targets: {{melanoma: {{task: DX, classes: [MEL]}}}}\n{RISK}", "")
    lines = printed(Answer({"DX": (0.9, 0.1), "ULC": (0.3, 0.7)}, {}, {}, "lesions", 1, card))
    assert lines[3:] == ["task finding probability", "ULC yes 70.0 %", RESEARCH_ONLY]


def test_a_target_of_another_task_is_told_and_titles_are_no_markup():
    target = "targets: {ulcer: {task: ULC, classes: [yes], title: '[b]ulcer[/b] seen'}}\n"
    card = hospital(f"targets: {{melanoma: {{task: DX, classes: [MEL]}}}}\n{RISK}", target)
    lines = printed(Answer({"DX": (0.9, 0.1), "ULC": (0.3, 0.7)}, {"ulcer": 0.7}, {}, "lesions", 1, card))
    assert lines[5] == "[b]ulcer[/b] seen: 70.0 %"


def test_json_has_what_the_card_has():
    content = printing.to_json(milk_answer(), NAMES)
    assert list(content) == [
        *("clinical", "dermoscopic", "model", "version", "tasks", "melanoma_probability", "malignant_probability"),
        "notice",
    ]
    assert content["tasks"] == {
        "DIAG": {"class": "MEL", "probabilities": dict(zip(MILK.tasks[0].classes, DIAGNOSIS, strict=True))}
    }
    assert content["malignant_probability"] == 0.73
    one = printing.to_json(hospital_answer(), NAMES)
    assert (one["risk"], one["suspicious"]) == (3, {"high": True})
    two = printing.to_json(hospital_answer(hospital(RISK, SCORES), risk=1, worry=2), NAMES)
    assert (two["risk"], two["worry"]) == (1, 2)
    assert two["suspicious"] == {"risk": {"high": False}, "worry": {"some": True, "much": False}}


def test_a_table_has_the_columns_of_the_card(capsys):
    error = DataError("cannot read left.jpg: no")
    _print_csv([(error, NAMES), (hospital_answer(), NAMES)], hospital)
    failed, answered = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert list(failed) == [
        *(
            "clinical",
            "dermoscopic",
            "model",
            "version",
            "DX_pred",
            "DX_MEL",
            "DX_NEV",
            "ULC_pred",
            "ULC_no",
            "ULC_yes",
        ),
        *("melanoma_probability", "risk", "error"),
    ]
    assert (failed["error"], failed["DX_pred"], failed["risk"]) == ("cannot read left.jpg: no", "", "")
    assert (answered["DX_pred"], answered["ULC_yes"], answered["risk"], answered["error"]) == ("MEL", "0.7", "3", "")
    assert answered["version"] == ""


def test_columns_that_change_in_the_middle_are_one_line(capsys):
    with pytest.raises(QueryError) as caught:
        _print_csv([(hospital_answer(), NAMES), (milk_answer(), NAMES)], hospital)
    assert str(caught.value) == (
        "the model has got a version with other columns meanwhile: name one by --model-version"
    )
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of two pairs and one of which a picture is none."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, pair in enumerate(zip(*encoded_pairs(2).values(), strict=True)):
        for name, content in zip(("clinical.png", "dermoscopic.jpg"), pair, strict=True):
            (folder / f"{number}_{name}").write_bytes(content)
    (folder / "2_clinical.png").write_bytes(b"text")
    (folder / "2_dermoscopic.jpg").write_bytes((folder / "1_dermoscopic.jpg").read_bytes())
    return folder


@pytest.mark.parametrize("name", ["milk10k", "hospital"])
def test_a_served_version_of_another_card_is_asked_for_all_forms(other_versions, files, name, tmp_path, capsys):
    card = {"milk10k": MILK, "hospital": hospital()}[name]
    with embedded_server(other_versions[name].path.parent, "lesions") as addresses:
        for words in (["--server", addresses.grpc], ["--rest", "--server", addresses.rest]):
            words = [*words, "--model", "lesions"]
            assert command_line.main(["query", str(files), "--csv", *words]) == 1
            rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
            assert list(rows[0]) == printing.columns(card)
            assert [bool(row["error"]) for row in rows] == [False, False, True]
            for row, task in itertools.product(rows[:2], card.tasks):
                values = [float(row[f"{task.name}_{one}"]) for one in task.classes]
                assert sum(values) == pytest.approx(1, abs=1e-5)
                assert row[f"{task.name}_pred"] == task.classes[int(np.argmax(values))]
            pair = ["--clinical", files / "0_clinical.png", "--dermoscopic", files / "0_dermoscopic.jpg"]
            out = tmp_path / "out.png"
            more = ["--explain", out, "--task", card.tasks[-1].name, "--class", card.tasks[-1].classes[0]]
            assert command_line.main(["query", *map(str, [*pair, *more, "--json", *words])]) == 0
            content = json.loads(capsys.readouterr().out)
            assert list(content["tasks"]) == [task.name for task in card.tasks]
            assert out.stat().st_size > 0
            assert command_line.main(["query", *map(str, [*pair, *words])]) == 0
            text = capsys.readouterr().out
            assert ("risk" in text) == (name == "hospital")
            assert "7-point" not in text
            assert RESEARCH_ONLY in " ".join(text.split())
