"""Three data sets that are not Derm7pt go through every verb: eleven classes, three tasks and patients, gaps in labels.

All by the command line and in this process, the fits of a comparison too; only the server has one of its own. To save
time there is one for each data set, the one that the release tries its candidate on, the network is a toy, and figures
are composed and not drawn.
"""

import json
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import toy_method
from dying import Killed, die_at_write
from other_cards import MILK10K, PARTLY, WARD
from recycled_trainers import recycled_trainers

from amfam_tf.card import cards
from amfam_tf.cli import main
from amfam_tf.client import child
from amfam_tf.comparison import children, worker
from amfam_tf.data.cases import read
from amfam_tf.evaluation import figure_style, predictions
from amfam_tf.export import export, version_files
from amfam_tf.models import registry
from amfam_tf.runs.finished import FinishedRun

pytestmark = pytest.mark.slow
CASES = {"milk10k": 48, "ward": 40, "partly": 40}
UNKNOWN = 0.4
"""Share of the labels of `partly`."""
EPOCHS = 2
SMALL = ("--preset=tiny", *(f"--set={value}" for value in (*toy_method.SMALL, f"training.epochs={EPOCHS}")))


def typed(*words):
    """Returns what a command prints; it must end well."""
    with redirect_stdout(StringIO()) as out:
        status = main.main([str(word) for word in words])
    assert status == 0, (words, out.getvalue())
    return out.getvalue()


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def metric(tree, place):
    """Returns the number of a report at a place with dots."""
    for key in place.split("."):
        tree = tree[key]
    return tree


@pytest.fixture(params=[MILK10K, WARD, PARTLY], ids=lambda card: card.name)
def journey(request, tmp_path, monkeypatch):
    """A card, how many cases to draw for it, and the folder for all that is made with it."""
    monkeypatch.setitem(registry.METHODS, "toy", toy_method.TOY)
    monkeypatch.setattr(figure_style, "to_png", lambda *_: b"")
    monkeypatch.setattr(children, "run_jobs", run_here)
    # What it asks for, the server of the release is asked too.
    monkeypatch.setattr(export, "verify", lambda _: None)
    monkeypatch.chdir(tmp_path)
    with recycled_trainers():
        yield SimpleNamespace(card=request.param, cases=CASES[request.param.name], folder=tmp_path)


def run_here(jobs, logs, **_):
    """Stands for `children.run_jobs`: does the work of each child in this process."""
    del logs
    for job in jobs:
        assert worker.main([job.command[-1]]) == 0
    return {}


def test_it_goes_through_every_verb(journey, monkeypatch):
    data = draw(journey)
    check(journey, data)
    fit_and_resume(journey, data, monkeypatch)
    table = evaluate(journey, data)
    compare(journey)
    asked = case_to_ask(data, table)
    predict_many(journey, asked)
    answers = release_and_query(journey, asked, monkeypatch)
    judge_answers(journey, asked, *answers)


def draw(journey):
    """Draws and reads the data: a group is in one split, and as many labels are unknown as asked for."""
    card = journey.card
    how = ("--out", "data", "--cases", journey.cases, "--size", "64x64", "--workers", "1")
    if card is MILK10K:
        typed("synth", "--layout", card.name, *how)
    else:
        (journey.folder / "card.yaml").write_text(cards.to_yaml(card), encoding="utf-8")
        typed("synth", "--card", "card.yaml", *how, "--unknown", UNKNOWN if card is PARTLY else 0.1)
    found = read("data")
    assert (found.card, len(found.cases)) == (card, journey.cases)
    assert found.cases.groupby("group")["split"].nunique().max() == 1
    assert (found.cases["group"].nunique() < journey.cases) == (card is WARD)
    unknown = {task.name: int((found.cases[task.name] < 0).sum()) for task in card.tasks if task.missing}
    assert unknown == {"milk10k": {}, "ward": {"ULC": 4}, "partly": {"ONE": 16, "TWO": 16}}[card.name]
    return found


def check(journey, data):
    """Every class and every unknown label is counted as it stands in the tables."""
    report = json.loads(typed("check", "data", "--json"))
    assert (report["ok"], report["cases"]) == (True, journey.cases)
    told = {(row["task"], row["class"]): row["total"] for row in report["counts"]}
    for task in journey.card.tasks:
        numbers = data.cases[task.name]
        for number, name in enumerate(task.classes):
            assert told.pop((task.name, name)) == (numbers == number).sum() > 0
        if (numbers < 0).any():
            assert told.pop((task.name, "")) == (numbers < 0).sum()
    assert told == {}
    shown = typed("check", "data")
    assert "0 problems" in shown and all(title in shown for task in journey.card.tasks for title in task.class_titles)


def fit_and_resume(journey, data, monkeypatch):
    """Unknown labels are told; a fit that is interrupted goes on, and its run has the card."""
    words = ("fit", "--data", "data", "--run", "run", "--method", "toy", *SMALL)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        die_at_write(patch, "epoch-0001.weights.h5")
        typed(*words)
    printed = typed(*words)
    assert f"resuming after epoch 1 of {EPOCHS}" in printed
    for task in journey.card.tasks:
        known = {split: (rows[task.name] >= 0).sum() for split, rows in data.cases.groupby("split")}
        assert (f"cases with a label of {task.name}: {known['train']} of " in printed) == bool(task.missing)
    run = FinishedRun.open(journey.folder / "run")
    assert run.card == journey.card and run.network.tasks == journey.card.tasks


def evaluate(journey, data):
    """Measures the tasks, targets and scores of the card, each over the cases with a label; returns the predictions."""
    card = journey.card
    shown = typed("evaluate", "run", "--data", "data")
    folder = journey.folder / "run/evaluation/test"
    report, cases = read_json(folder / "metrics.json"), data.cases[data.cases["split"] == "test"]
    table = predictions.read(folder / "predictions.csv", cases.reset_index(drop=True), card=card)
    assert list(report["tasks"]) == [task.name for task in card.tasks]
    for task in card.tasks:
        right = predictions.predicted_labels(table, task) == predictions.true_labels(table, task)
        labelled = predictions.labelled(table, task)
        assert labelled.sum() == (cases[task.name] >= 0).sum()
        assert report["tasks"][task.name]["accuracy"] == pytest.approx(right[labelled].mean())
        assert task.title in shown
    assert list(report.get("targets", {})) == list(card.targets)
    assert metric(report, card.headline + "_ci95")[0] <= metric(report, card.headline)
    return table


def compare(journey):
    """The comparison's unbroken fit of the same configuration has the weights and numbers of the interrupted one."""
    typed("compare", "--data", "data", "--out", "comparison", "--methods=toy", "--seeds=0", *SMALL)
    (unbroken,) = (path.parent for path in journey.folder.glob("comparison/**/model.keras"))
    runs = [FinishedRun.open(folder) for folder in (journey.folder / "run", unbroken)]
    for first, second in zip(*(run.network.weights for run in runs), strict=True):
        np.testing.assert_array_equal(first, second)
    histories = [run.folder.history_file.read_bytes() for run in runs]
    assert histories[0] == histories[1]
    content, headline = read_json(journey.folder / "comparison/comparison.json"), journey.card.headline
    assert (content["card"], content["headline"]) == (journey.card.name, headline)
    found = content["sections"][0]["methods"]["toy"]["metrics"][headline]["mean"]
    assert found == pytest.approx(metric(read_json(journey.folder / "run/evaluation/test/metrics.json"), headline))


def case_to_ask(data, table):
    """Returns the pictures of the first test case, and what evaluation has predicted for it."""
    row = data.cases.set_index("case_num").loc[table["case_num"][0]]
    tasks = {task.name: predictions.task_probabilities(table, task)[0] for task in data.card.tasks}
    pictures = ("--clinical", row["clinical"], "--dermoscopic", row["dermoscopic"])
    return SimpleNamespace(number=table["case_num"][0], pictures=pictures, tasks=tasks)


def predict_many(journey, asked):
    """An exported version has the card, and a batch over all pairs the answers that evaluation has measured."""
    typed("export", "run", "--out", "models/lesions")
    assert version_files.read_card(journey.folder / "models/lesions/1") == journey.card
    typed("batch-predict", "data", "--version", "models/lesions", "--out", "answers", "--shards", "1")
    (file,) = (journey.folder / "answers").glob("*.parquet")
    frame = pd.read_parquet(file).set_index("case_num")
    assert len(frame) == journey.cases and not frame["error"].any()
    for task in journey.card.tasks:
        row = frame.loc[asked.number, predictions.probability_columns(task)]
        np.testing.assert_allclose(row.to_numpy(float), asked.tasks[task.name], atol=1e-4)
    targets = [f"{name}_probability" for name in journey.card.targets]
    assert {*targets, *journey.card.scores} <= set(frame)


def release_and_query(journey, asked, monkeypatch):
    """A release is held against the exported version and takes its place; returns what its server says of a case."""
    card, folder, serving, answers = journey.card, journey.folder, child.serving, []

    @contextmanager
    def serving_and_asking(words, port, *more):
        with serving(words, port, *more):
            query = ("query", "--server", f"{child.LOCALHOST}:{port}", "--model", "lesions", *asked.pictures)
            answers.extend((typed(*query), json.loads(typed(*query, "--json"))))
            yield

    monkeypatch.setattr(child, "serving", serving_and_asking)
    text = toy_method.config_text(folder, "data", card.headline, 0, significance=0.0001, canaries=2, epochs=EPOCHS)
    (folder / "release.yaml").write_text(text, encoding="utf-8")
    typed("release", "--config", "release.yaml")
    assert version_files.read_card(folder / "models/lesions/2") == card
    (decision,) = (read_json(path) for path in folder.glob("work/steps/Evaluator/*/blessing.json"))
    assert decision["blessed"] and decision["served"]["version"] == 1
    assert [row["metric"] for row in decision["thresholds"]] == [card.headline]
    quantities = {row["quantity"] for row in decision["losses"]}
    main_one = {f"{card.main_task.name}_accuracy"} if len(card.tasks) > 1 else set()
    tested = ("sensitivity", "specificity", "auc")
    assert quantities == {"accuracy", *main_one, *(f"{name}_{measure}" for name in card.targets for measure in tested)}
    return answers


def judge_answers(journey, asked, shown, answer):
    """An answer has the names of the card; a release of an equal fit says what the run's evaluation has measured."""
    card = journey.card
    assert list(answer["tasks"]) == [task.name for task in card.tasks]
    for task in card.tasks:
        found = answer["tasks"][task.name]["probabilities"]
        assert tuple(found) == task.classes
        np.testing.assert_allclose(list(found.values()), asked.tasks[task.name], atol=1e-4)
        assert task.title in shown or task is card.main_task
    assert all(title in shown for title in card.main_task.class_titles)
    targets = {f"{name}_probability" for name in card.targets}
    assert {name for name in answer if name.endswith("_probability")} == targets
    assert set(card.scores) <= set(answer)
