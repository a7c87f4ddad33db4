"""A value that a method does not read is refused; which ones it reads is seen by watching it being built."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small import small_config

from amfam_tf import config as configuration
from amfam_tf.config import LossConfig, ModelConfig
from amfam_tf.config.schema import OF_METHODS
from amfam_tf.errors import ConfigError
from amfam_tf.models import METHODS, refuse_unread
from amfam_tf.models.backbones import INCEPTION
from amfam_tf.models.reads import PARTICULAR, PARTS, read_keys
from amfam_tf.models.registry import resolve
from amfam_tf.tasks import TASKS
from amfam_tf.training.class_losses.table import CLASS_LOSSES

READ_BY_THE_TRAINING = {"model.reversal_schedule", "model.batch_norm"}
WATCHED = {field.name for field in dataclasses.fields(ModelConfig)}


class WatchedConfig(ModelConfig):
    """Notes the names of the values that are read, once it is told to."""

    def __getattribute__(self, name):
        notes = object.__getattribute__(self, "__dict__").get("notes")
        if notes is not None and name in WATCHED:
            notes.add(f"model.{name}")
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"inception-unbalanced", "inception-balanced"}))
def test_what_is_said_to_be_read_is_read_while_the_network_is_built(method):
    config = resolve(small_config("data.image_size=75" if "inception" in method else "seed=0", method=method))
    watched = WatchedConfig(**{name: getattr(config.model, name) for name in WATCHED})
    read: set[str] = set()
    object.__setattr__(watched, "notes", read)
    METHODS[method].network(config=watched, image_size=config.data.image_size, tasks=TASKS)
    said = {key for key in read_keys(config) if key.startswith("model.")}
    assert (read & PARTICULAR) - PARTS == said - PARTS - READ_BY_THE_TRAINING
    assert bool(read & PARTS) == bool(said & PARTS)


def asked(*overrides, method):
    return [configuration.load("tiny", overrides, {"method": method})]


@pytest.mark.parametrize(
    ("method", "override", "reason"),
    [
        ("hccnn", "model.decoder_scales=[4, 4, 2]", "method hccnn as configured does not read it"),
        ("concat", "model.attention=linear", "method concat sets it to none itself"),
        ("concat", "model.reconstruction=true", "method concat sets it to false itself"),
        ("concat", "loss.adversarial=0.3", "method concat as configured does not read it"),
        ("concat-recon", "model.stop_attention_gradient=true", "method concat-recon as configured does not read it"),
        ("amfam", "model.embedding_units=[8]", "method amfam as configured does not read it"),
        ("amfam", "data.cases_per_label=2", "method amfam as configured does not read it"),
        ("hccnn", "loss.margin=0.3", "method hccnn as configured does not read it"),
        ("clinical-only", "model.batch_statistics=per_modality", "method clinical-only as configured does not read it"),
        ("triplenet", "model.modality_dropout=0.2", "method triplenet sets it to 0.0 itself"),
        ("probe", "training.epochs=3", "method probe sets it to 1 itself"),
        ("probe", "training.patience=3", "method probe as configured does not read it"),
        ("probe", "optimizer.learning_rate=0.1", "method probe as configured does not read it"),
        ("probe", "augmentation.pad=3", "method probe as configured does not read it"),
        ("probe", "loss.label_smoothing=0.1", "method probe as configured does not read it"),
        ("probe", "loss.teacher=run", "method probe sets it to null itself"),
        ("metadata-only", "loss.distillation=0.3", "method metadata-only as configured does not read it"),
        ("hccnn", "loss.distillation=0.3", "method hccnn as configured does not read it"),
        ("hccnn", "loss.distillation_temperature=3", "method hccnn as configured does not read it"),
        ("hccnn", "loss.teacher_answers=out_of_fold", "method hccnn as configured does not read it"),
        ("probe", "model.classifier_units=8", "method probe as configured does not read it"),
        ("probe", "model.reconstruction=true", "method probe sets it to false itself"),
        ("probe", "model.average_flips=true", "method probe sets it to false itself"),
        ("metadata-only", "model.average_flips=true", "method metadata-only sets it to false itself"),
        ("probe", "data.sampling=balanced", "method probe sets it to shuffled itself"),
        ("metadata-only", "model.backbone=resnet18", "method metadata-only as configured does not read it"),
    ],
)
def test_a_value_of_no_use_is_refused_by_key_and_method(method, override, reason):
    key = override.partition("=")[0]
    with pytest.raises(ConfigError) as caught:
        refuse_unread(asked(override, method=method), [key])
    assert str(caught.value) == f"{key} would be of no use: {reason}: leave it out"


@pytest.mark.parametrize(
    ("method", "override"),
    [
        ("hccnn", "model.classifier_units=8"),
        ("concat", "model.adversarial=false"),
        ("hccnn", "model.adversarial=false"),
        ("concat-recon", "model.decoder_scales=[4, 2, 2]"),
        ("amfam", "model.attention_activations=[relu, relu, tanh]"),
        ("embeddingnet", "model.embedding_units=[8]"),
        ("embeddingnet", "training.pretraining_epochs=2"),
        ("inception-balanced", "data.cases_per_label=2"),
        ("inception-combined", "model.backbone=resnet14_narrow"),
        ("inception-combined", "model.fuse_predictions=mean"),
        ("probe", "model.modalities=[dermoscopic, clinical]"),
        ("probe", "training.batch_size=2"),
        ("probe", "model.backbone=resnet18"),
        ("metadata-only", "model.metadata=[sex]"),
        ("hccnn", "optimizer.learning_rate=0.1"),
        ("amfam", "model.modality_dropout=0.2"),
        ("embeddingnet", "model.modality_dropout=0.2"),
    ],
)
def test_a_value_that_is_read_is_taken(method, override):
    refuse_unread(asked("data.image_size=128", override, method=method), [override.partition("=")[0]])


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_loss_for_rare_classes_takes_its_own_values_and_no_others(name):
    """Told by what the loss computes: the values that change it, of those that are its own by name."""
    labels, logits = tf.constant([0, 2]), tf.constant([[1.0, 0.5, 0.0], [0.0, 2.0, 1.0]])
    counts = tf.constant([9.0, 5.0, 2.0])
    plain = LossConfig(classification=name)
    changed = {"adjustment": 0.5, "focusing": 1.0, "effective_samples": 0.5, "margin": 0.25}
    changed |= {"focusing_others": 1.0, "shift": 0.5}
    read = {
        key
        for key, value in changed.items()
        if not np.array_equal(
            CLASS_LOSSES[name](labels, logits, counts, plain),
            CLASS_LOSSES[name](labels, logits, counts, dataclasses.replace(plain, **{key: value})),
        )
    }
    said = read_keys(small_config(f"loss.classification={name}"))
    assert {f"loss.{key}" for key in read} == said & {f"loss.{key}" for key in changed}


def test_of_several_methods_one_has_to_read_it():
    override = "model.decoder_scales=[4, 2, 2]"
    both = [*asked(override, method="hccnn"), *asked(override, method="amfam")]
    refuse_unread(both, ["model.decoder_scales"])
    with pytest.raises(ConfigError, match=r"^model.decoder_scales .* hccnn .* \(nor would the others\): leave it out$"):
        refuse_unread([*both[:1], *asked(override, method="concat")], ["model.decoder_scales"])


def test_what_a_method_may_set_or_not_read_is_listed_with_the_schema():
    set_by_methods = {
        f"{section}.{name}" for one in METHODS.values() for section in one.changes for name in one.changes[section]
    }
    assert PARTICULAR | set_by_methods <= OF_METHODS


@pytest.mark.parametrize("method", METHODS)
def test_files_that_were_written_complete_are_taken_with_every_method(method, tmp_path):
    file = tmp_path / "config.yaml"
    for preset in configuration.preset_names():
        shown = configuration.load(preset, (), {"method": method})
        if preset == "laptop" and METHODS[method].families == (INCEPTION,):
            with pytest.raises(ConfigError, match="set one of inception_v3, inception_narrow"):
                resolve(shown)
            continue
        for written in (shown, resolve(shown)):
            file.write_text(configuration.dump(written), encoding="utf-8")
            refuse_unread([configuration.read(file)], configuration.asked_keys(file))
