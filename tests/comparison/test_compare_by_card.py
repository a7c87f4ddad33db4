"""A comparison on data with a card of their own: its tasks, its headline, its folds; nothing of Derm7pt."""

import json

import numpy as np
import pandas as pd
import pytest
from grids import FakeRunner, drawn_table
from rich.console import Console
from small import small_config
from small_pairs import write_complete_hospital, write_milk10k

from amfam_tf.cli import main
from amfam_tf.comparison import children
from amfam_tf.comparison.compare import compare
from amfam_tf.data.cases import read
from amfam_tf.errors import ConfigError
from amfam_tf.evaluation import predictions
from amfam_tf.evaluation.metrics import all_metrics

METHODS = ("concat", "amfam")


@pytest.fixture
def ran(monkeypatch):
    """Compares a data set, cheap stand-ins doing the work; returns the runner and the outcome."""

    def run(data, out, seeds=(0,), **options):
        found = read(data)
        runner = FakeRunner(found.cases, card=found.card)
        monkeypatch.setattr(children, "run_jobs", runner)
        how = {"split": "test", "console": Console(quiet=True), **options}
        return runner, compare(data, out, small_config(), METHODS, seeds, **how)[0]

    return run


def read_json(out):
    return json.loads((out / "comparison.json").read_text(encoding="utf-8"))


def test_the_headline_and_the_tasks_are_those_of_the_card(tmp_path, ran):
    data = write_milk10k(tmp_path / "milk", 44)
    ran(data, tmp_path / "out", seeds=(0, 1))
    content = read_json(tmp_path / "out")
    assert (content["card"], content["headline"]) == ("milk10k", "tasks.DIAG.f1_at_half")
    assert "published" not in content
    found = read(data)
    cases = found.cases[found.cases["split"] == "test"].reset_index(drop=True)
    of_seeds = [
        all_metrics(drawn_table(cases, seed, card=found.card), found.card)["tasks"]["DIAG"]["f1_at_half"]
        for seed in (0, 1)
    ]
    metrics = content["sections"][0]["methods"]["concat"]["metrics"]
    assert metrics["tasks.DIAG.f1_at_half"]["mean"] == pytest.approx(np.mean(of_seeds))
    page = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "the 8 tasks" not in page and "PN" not in page and "published" not in page


def test_folds_are_pooled_each_case_by_the_run_that_has_not_seen_it(tmp_path, ran):
    data = write_milk10k(tmp_path / "milk", 44)
    runner, outcome = ran(data, tmp_path / "out", by_fold=True)
    cells = [name for name in runner.ran if not name.endswith("-measure")]
    assert cells == [f"{method}-seed0-fold{fold}" for method in METHODS for fold in range(5)]
    content = read_json(tmp_path / "out")
    assert (content["cases"], content["folds"]) == (44, 5) and outcome.scope == "5 folds"
    found = read(data)
    folder = tmp_path / "out" / "runs"
    tables = [
        predictions.read(folder / f"concat-seed0-fold{fold}" / "evaluation/test/predictions.csv", card=found.card)
        for fold in range(5)
    ]
    pooled = pd.concat(tables, ignore_index=True)
    assert sorted(pooled["case_num"]) == sorted(found.cases["case_num"])
    expected = all_metrics(pooled, found.card)["tasks"]["DIAG"]["accuracy"]
    metrics = content["sections"][0]["methods"]["concat"]["metrics"]
    accuracy = next(values["mean"] for name, values in metrics.items() if name.endswith("accuracy") or name == "DIAG")
    assert accuracy == pytest.approx(expected)
    again, _ = ran(data, tmp_path / "out", by_fold=True)
    assert again.ran == []


def test_labels_that_nobody_knows_are_counted(tmp_path, ran):
    data = write_complete_hospital(tmp_path / "hospital")
    ran(data, tmp_path / "out", by_fold=True)
    assert read_json(tmp_path / "out")["labelled"] == {"DX": 9}


def test_folds_that_there_are_not_are_refused(tmp_path, drawn, ran, capsys):
    with pytest.raises(ConfigError, match=r"--folds: the card derm7pt deals out none \(split.assign.folds\)"):
        ran(drawn, tmp_path / "out", by_fold=True)
    words = ["compare", "--data", str(drawn), "--out", str(tmp_path / "out"), "--folds"]
    assert main.main([*words, "--split", "validate"]) == 2
    assert "leave --split out" in capsys.readouterr().err
    assert main.main([*words, "--set", "data.fold=1"]) != 0
    assert "use --folds" in capsys.readouterr().err
