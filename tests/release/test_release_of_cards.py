"""Releases of data with a card: eleven classes of one task, and two tasks with labels that nobody knows."""

import json
import re

import numpy as np
import pytest
import toy_method
from small_pairs import COMPLETE_HOSPITAL, write_complete_hospital, write_milk10k

from amfam_tf.card import cards
from amfam_tf.errors import ConfigError
from amfam_tf.evaluation import html_report, predictions
from amfam_tf.evaluation.report import build_report
from amfam_tf.export import export, version_files
from amfam_tf.models import registry
from amfam_tf.release import configuration, losses, pipeline, record, trainer
from amfam_tf.release.metric_places import metric_places
from amfam_tf.training.monitor import monitored

CARDS = {"milk10k": cards.packaged("milk10k"), "hospital": cards.parse(COMPLETE_HOSPITAL, "card")}


def table_of(card, cases=40, seed=0):
    """Returns drawn predictions; one in four labels that may be unknown is."""
    random = np.random.default_rng(seed)
    labels, probabilities = {}, {}
    for task in card.tasks:
        numbers = np.arange(cases) % len(task.classes)
        labels[task.name] = np.where(random.random(cases) < 0.25, -1, numbers) if task.missing else numbers
        weights = random.random((cases, len(task.classes)))
        probabilities[task.name] = weights / weights.sum(axis=1, keepdims=True)
    return predictions.to_frame(np.arange(cases), labels, probabilities, card)


def places(node, path=()):
    """Yields the places of a report that have an interval."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from places(value, (*path, key))
        elif key.endswith("_ci95"):
            yield ".".join((*path, key.removesuffix("_ci95")))


@pytest.mark.parametrize("name", CARDS)
def test_thresholds_can_be_on_what_a_report_has_with_an_interval(name):
    card = CARDS[name]
    found = set(places(build_report(table_of(card), "test", card=card)))
    assert set(metric_places(card)) <= found
    assert {place for place in found if place.startswith(("average", "tasks"))} <= set(metric_places(card))


@pytest.mark.parametrize("name", CARDS)
def test_losses_are_of_the_tasks_and_targets_and_leave_unknown_labels_out(name):
    card = CARDS[name]
    first, second = table_of(card), table_of(card, seed=1)
    for task in card.tasks:
        second[f"{task.name}_true"] = first[f"{task.name}_true"]
    cases = first[["case_num"]].assign(sex=["female", "male"] * 20, group=np.arange(40) // 2)
    rows = losses.find_losses(first, second, cases, ("sex",), 0.05, card)
    accuracies = {"milk10k": ["accuracy"], "hospital": ["accuracy", "DX_accuracy"]}[name]
    targets = {"milk10k": ["melanoma", "malignant"], "hospital": ["melanoma"]}[name]
    tested = ("sensitivity", "specificity", "auc")
    quantities = [row["quantity"] for row in rows if row["value"] == "all"]
    assert quantities == accuracies + [f"{target}_{measure}" for target in targets for measure in tested]
    right, known = 0, 0
    for task in card.tasks:
        labelled = predictions.labelled(first, task)
        right += int((predictions.predicted_labels(first, task) == predictions.true_labels(first, task)).sum())
        known += int(labelled.sum())
    assert rows[0]["candidate"] == pytest.approx(right / known)


def test_the_trainer_tells_the_measure_of_the_best_epoch():
    """That of the headline's task, or the mean over the tasks."""
    assert trainer.measure_of(CARDS["milk10k"]) == "validation accuracy of DIAG"
    assert trainer.measure_of(CARDS["hospital"]) == "mean validation accuracy"
    told = {name: monitored(card) for name, card in CARDS.items()}
    assert told == {"milk10k": "val_accuracy_DIAG", "hospital": "val_accuracy"}


def test_what_a_card_does_not_have_is_refused_before_anything_is_done(tmp_path):
    milk = write_milk10k(tmp_path / "milk")
    with pytest.raises(ConfigError, match=r"no tasks.PN.accuracy with .* or tasks.DIAG.classes.MEL.auc"):
        configuration.parse(toy_method.config_text(tmp_path, milk, "tasks.PN.accuracy"), "release.yaml")
    text = toy_method.config_text(tmp_path, milk, "tasks.DIAG.f1_at_half")
    with pytest.raises(ConfigError, match=r"blessing.subgroups\[0\] must be one of sex, site, skin_tone_class"):
        configuration.parse(text.replace("blessing:\n", "blessing:\n  subgroups: [location]\n"), "release.yaml")
    assert configuration.parse(text, "release.yaml").blessing.subgroups_of(CARDS["milk10k"]) == (
        *("sex", "site", "skin_tone_class"),
    )


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(registry.METHODS, "toy", toy_method.TOY)
    monkeypatch.setattr(html_report, "write_report", lambda *_: [])
    monkeypatch.setattr(export, "verify", lambda _: None)


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(("name", "metric"), [("milk10k", "tasks.DIAG.f1_at_half"), ("hospital", "average.accuracy")])
def test_a_second_release_is_held_against_the_first(name, metric, tmp_path):
    """The network of the hospital is given its metadata, by server, canaries and the comparison with the served one."""
    more = ('"model.metadata=[age,sex]"',) if name == "hospital" else ()
    data = tmp_path / "data"
    if name == "milk10k":
        write_milk10k(data, 44)
    else:
        write_complete_hospital(data)
    for seed in (0, 1):
        text = toy_method.config_text(tmp_path, data, metric, 0, seed, significance=0.0001, canaries=2, more=more)
        results = pipeline.run(configuration.parse(text, "release.yaml"), print)
    released = tmp_path / "models" / "lesions" / "2"
    assert version_files.read_card(released) == CARDS[name]
    assert list(version_files.read_metadata(released).get("metadata", {})) == (["age", "sex"] if more else [])
    measure = "validation accuracy of DIAG" if name == "milk10k" else "mean validation accuracy"
    assert re.search(rf" epochs, best {measure} [01]\.\d{{4}}$", record.read(results["Trainer"].folder)["decision"])
    decision = json.loads((results["Evaluator"].folder / "blessing.json").read_text())
    assert decision["blessed"] and decision["thresholds"][0]["metric"] == metric
    assert decision["served"] is not None
    assert {row["variable"] for row in decision["losses"]} <= {"all", "sex", "site", "skin_tone_class"}
    assert json.loads((results["ExampleValidator"].folder / "findings.json").read_text())["reasons"] == []
