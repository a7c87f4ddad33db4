"""Networks answer the questions that they are given: how many, of how many classes, and after saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small import IMAGE_SIZE, SMALL_FOR_ANY, small_config
from tiny_backbone import TINY_BACKBONE, TINY_INCEPTION, TINY_STAGED_BACKBONE

from amfam_tf import models
from amfam_tf.card import cards
from amfam_tf.card.questions import Task
from amfam_tf.models import backbones
from amfam_tf.tasks import MODALITIES, TASKS
from amfam_tf.training.run import create_trainer

ULCER = Task("ULC", "ulcer", "ulcer", ("no", "yes"), (0, 1), (("no",), ("yes",)), ("no", "yes"))
MILK10K = cards.to_dict(cards.packaged("milk10k"))
ELEVEN = cards.packaged("milk10k").tasks
BOTH = cards.from_dict(
    MILK10K
    | {"tasks": [*MILK10K["tasks"], {"name": "ULC", "column": "ulcer", "classes": [{"name": "no"}, {"name": "yes"}]}]},
    "both questions",
)
METHODS = (
    "amfam",
    "inception-unbalanced",
    "inception-combined",
    "triplenet",
    "embeddingnet",
    "hccnn",
    "probe",
    "metadata-only",
)
"""One of each network."""


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The heads are looked at; how deep what is before them is only takes time."""
    for name, spec in backbones.BACKBONES.items():
        small = TINY_INCEPTION if spec.family == backbones.INCEPTION else TINY_BACKBONE
        monkeypatch.setitem(backbones.BACKBONES, name, small)


def config_of(method, monkeypatch):
    if method in ("triplenet", "hccnn"):
        monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_STAGED_BACKBONE)
    return small_config(method=method) if method == "amfam" else small_config(method=method, sizes=SMALL_FOR_ANY)


def pictures(cases):
    random = np.random.default_rng(0)
    shape = (cases, IMAGE_SIZE, IMAGE_SIZE, 3)
    return {name: random.random(shape).astype(np.float32) for name in MODALITIES}


@pytest.mark.parametrize("method", METHODS)
def test_each_network_has_the_heads_of_its_questions(method, monkeypatch, tmp_path):
    network = models.create(method, config_of(method, monkeypatch), (*ELEVEN, ULCER))
    answers = network(pictures(2))
    assert (answers["DIAG"].shape, answers["ULC"].shape) == ((2, 11), (2, 2))
    assert not {task.name for task in TASKS[1:]} & set(answers)
    assert set(network.inference_model().output) == {"DIAG", "ULC"}
    assert {"DIAG", "ULC"} <= set(network.explanation_model().output)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.tasks == network.tasks == (*ELEVEN, ULCER)
    for name, value in loaded(pictures(2)).items():
        np.testing.assert_array_equal(value, answers[name])


def test_the_order_of_the_questions_is_kept(monkeypatch):
    network = models.create("amfam", config_of("amfam", monkeypatch), (ULCER, *ELEVEN))
    assert [task.name for task in network.tasks] == ["ULC", "DIAG"]
    assert list(network.inference_model().output) == ["ULC", "DIAG"]


def test_a_network_of_derm7pt_is_saved_as_ever(monkeypatch):
    network = models.create("amfam", config_of("amfam", monkeypatch))
    assert network.tasks == TASKS
    assert set(network.get_config()) == {"config", "image_size", "name", "dtype"}
    given = models.create("amfam", config_of("amfam", monkeypatch), TASKS)
    for ours, theirs in zip(network.get_weights(), given.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("method", ["amfam", "embeddingnet"])
def test_a_step_of_other_questions_learns_them_and_logs_each(method, monkeypatch):
    trainer = create_trainer(config_of(method, monkeypatch), 1, BOTH)
    batch = pictures(4) | {"DIAG": np.array([0, 3, 10, 7], np.int32), "ULC": np.array([0, 1, 1, 0], np.int32)}
    logs = trainer.fit(tf.data.Dataset.from_tensors(batch), epochs=1, verbose=0, shuffle=False).history
    assert {"accuracy", "accuracy_DIAG", "accuracy_ULC", "loss"} <= set(logs)
    assert not any(name.endswith("_PN") for name in logs)
    assert logs["accuracy"][0] == pytest.approx((logs["accuracy_DIAG"][0] + logs["accuracy_ULC"][0]) / 2)
    network = trainer.network
    before = [variable.numpy() for variable in network.trainable_variables]
    trainer.fit(tf.data.Dataset.from_tensors(batch), epochs=1, verbose=0, shuffle=False)
    changed = [not np.array_equal(old, new) for old, new in zip(before, network.trainable_variables, strict=True)]
    assert any(changed)


def test_the_loss_is_the_sum_over_the_questions_that_there_are(monkeypatch):
    trainer = create_trainer(config_of("amfam", monkeypatch), 1, BOTH)
    labels = {"DIAG": np.array([0, 3, 10, 7], np.int32), "ULC": np.array([0, 1, 1, 0], np.int32)}
    batch = {name: tf.constant(value) for name, value in (pictures(4) | labels).items()}
    found = trainer.compute_losses(batch, training=False)["classification"]
    outputs = trainer.network({name: batch[name] for name in MODALITIES})
    expected = 0.0
    for name, numbers in labels.items():
        logits = outputs[name].numpy().astype(np.float64)
        shifted = logits - logits.max(axis=1, keepdims=True)
        expected += np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(4), numbers])
    assert float(found) == pytest.approx(expected, rel=1e-5)
