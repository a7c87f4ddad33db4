"""External validation by a map: the page's own, of Derm7pt's diagnoses on MILK10k's, and what is left out of it."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from small import small_config
from small_pairs import milk10k_class, write_milk10k
from tiny_backbone import TINY_BACKBONE

from amfam_tf.card import cards, mapping
from amfam_tf.cli import main
from amfam_tf.evaluation import external, predictions
from amfam_tf.files import json_file
from amfam_tf.models import backbones
from amfam_tf.tasks import DERM7PT, DIAGNOSIS
from amfam_tf.training.run import fit

MILK = cards.packaged("milk10k")
PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
(MAP,) = re.findall(r"```yaml\n(tasks:.*?)```", PAGE, re.DOTALL)
LESIONS = 44


@pytest.fixture
def written(tmp_path):
    """Writes a map and returns its path."""

    def write(text=MAP):
        path = tmp_path / "map.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def answers(probabilities):
    """Returns predictions of a run on Derm7pt with these probabilities of the diagnosis."""
    given = np.array(probabilities, float)
    tasks = {task.name: np.full((len(given), len(task.classes)), 1 / len(task.classes)) for task in DERM7PT.tasks}
    unknown = {task.name: np.full(len(given), -1) for task in DERM7PT.tasks}
    return predictions.to_frame(np.arange(len(given)), unknown, tasks | {"DIAG": given}, DERM7PT)


def test_probabilities_are_added_and_scaled_and_labels_follow(written):
    path = written(MAP.replace("SK, title: benign keratinocytic lesion, data: [BKL]", "MAL, run: [SK], data: [AKIEC]"))
    questions = mapping.read(path, DERM7PT, MILK)
    shown = mapping.mapped_card(questions, MILK, path)
    assert [task.name for task in shown.tasks] == ["DIAG"]
    assert shown.tasks[0].classes == ("BCC", "NEV", "MEL", "MAL", "OTH")
    assert set(shown.targets) == {"melanoma"} and not shown.scores and shown.name == "milk10k"
    classes = MILK.tasks[0].classes
    cases = pd.DataFrame({"DIAG": [classes.index(name) for name in ("NV", "VASC", "BKL", "AKIEC")]})
    labels = external.mapped_labels(cases, questions.tasks[0], MILK)
    assert labels.tolist() == [1, 4, -1, 3]
    given = [[0.1, 0.2, 0.3, 0.25, 0.15]] * 4
    table = external.mapped_table(answers(given), {"DIAG": labels}, questions, DERM7PT, shown)
    assert [*DIAGNOSIS.classes] == ["BCC", "NEV", "MEL", "MISC", "SK"]
    np.testing.assert_allclose(predictions.task_probabilities(table, shown.tasks[0])[0], [0.1, 0.2, 0.3, 0.15, 0.25])
    assert [*table["DIAG_true"]] == ["NEV", "OTH", "", "MAL"]


def test_what_a_map_leaves_out_of_the_run_is_scaled_away(written):
    path = written(MAP.replace("      - {name: SK, title: benign keratinocytic lesion, data: [BKL]}\n", ""))
    questions = mapping.read(path, DERM7PT, MILK)
    shown = mapping.mapped_card(questions, MILK, path)
    labels = {"DIAG": np.array([0])}
    table = external.mapped_table(answers([[0.1, 0.2, 0.3, 0.2, 0.2]]), labels, questions, DERM7PT, shown)
    np.testing.assert_allclose(predictions.task_probabilities(table, shown.tasks[0]), [[0.125, 0.25, 0.375, 0.25]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data: [NV]", "data: [NEVUS]", r"tasks\[0\]: task DIAG of milk10k has no class 'NEVUS' \(data\)"),
        ("run: [MISC]", "run: [SK]", r"tasks\[0\]: class SK of derm7pt's DIAG stands 2 times \(run\)"),
        ("name: DIAG\n", "name: DIAG\n    run: DX\n", r"tasks\[0\].run: there is no task 'DX' in derm7pt"),
        ("title: diagnosis", "label: diagnosis", r"tasks\[0\].label: unknown key; known here: name, title, run"),
        ("classes: [MEL]}", "classes: [MELANOMA]}", "targets.melanoma.classes: task DIAG has no class 'MELANOMA'"),
    ],
)
def test_a_map_that_cannot_be_says_where(written, old, new, message):
    assert old in MAP
    path = written(MAP.replace(old, new))
    with pytest.raises(cards.CardError, match=message):
        mapping.mapped_card(mapping.read(path, DERM7PT, MILK), MILK, path)


def test_a_run_on_derm7pt_is_measured_on_milk10k(drawn, written, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    run, milk = tmp_path / "run", write_milk10k(tmp_path / "milk", LESIONS)
    fit(drawn, run, small_config("training.epochs=1", "training.batch_size=8", method="concat"), Console(quiet=True))
    words = ["evaluate", str(run), "--data", str(milk), "--map", str(written())]
    assert main.main(words) == 0
    told = capsys.readouterr().out
    assert "note: trained on derm7pt, measured on milk10k, classes as in " in told
    names = [MILK.tasks[0].classes[milk10k_class(number)] for number in range(LESIONS)]
    left = sum(name not in ("BCC", "NV", "MEL", "BKL", "DF", "VASC") for name in names)
    assert f"note: DIAG: {left} of {LESIONS} cases are in no class of the map: " in told
    folder = run / "evaluation" / "all-on-milk10k"
    report = json_file.read(folder / "metrics.json")
    assert report["tasks"]["DIAG"]["labelled"] == LESIONS - left
    assert report["card"] == "milk10k" and set(report["targets"]) == {"melanoma"}
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "trained on derm7pt, measured on milk10k" in html and "published" not in html
    assert main.main([*words, "--split", "test"]) == 0
    assert (run / "evaluation" / "test-on-milk10k" / "predictions.csv").is_file()
    capsys.readouterr()
    assert main.main([*words, "--no-calibrate"]) == 2
    assert main.main([*words[:4], "--split", "all"]) == 2
    assert main.main(words[:4]) == 1
    assert "evaluate it on data with the same questions" in capsys.readouterr().err
