"""`amfam-tf methods`: all of them, at the configured size, offline."""

import dataclasses
import json

import pytest
from small import SMALL, small_config

from amfam_tf.cli import main as command_line
from amfam_tf.models import METHODS, create, describe
from amfam_tf.models.backbones import BACKBONES

SIZES = ["--preset", "tiny", *(word for value in SMALL for word in ("--set", value))]


@pytest.fixture
def two_methods(monkeypatch):
    """Leaves one method of each family in the list."""
    monkeypatch.setattr(describe, "METHODS", {name: METHODS[name] for name in ("amfam", "inception-combined")})


@pytest.mark.usefixtures("two_methods")
def test_json_has_what_the_networks_have(capsys):
    assert command_line.main(["methods", *SIZES, "--json"]) == 0
    amfam, combined = json.loads(capsys.readouterr().out)
    assert (amfam["name"], amfam["source"]) == ("amfam", METHODS["amfam"].source)
    network = create("inception-combined", small_config())
    assert combined["cost"]["backbone"] == "inception_narrow"
    assert combined["cost"]["image_size"] == 64
    assert combined["cost"]["parameters"] == network.count_params()
    assert combined["cost"]["served_parameters"] == network.inference_model().count_params()
    assert combined["cost"]["served_parameters"] < combined["cost"]["parameters"]
    assert amfam["cost"]["multiply_adds"] > 1e6
    assert amfam["problem"] is combined["problem"] is None


@pytest.mark.usefixtures("two_methods")
def test_a_method_that_the_configuration_does_not_fit_says_why(capsys):
    assert command_line.main(["methods", *SIZES, "--set", "model.backbone=resnet18"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["inception-combined", "-"] for line in lines)
    assert any(line.startswith("inception-combined: model.backbone=resnet18 has no counterpart") for line in lines)
    assert any(line.split()[:3] == ["amfam", "resnet18", "64"] for line in lines)


def test_imagenet_weights_are_not_looked_for(monkeypatch, capsys):
    """Preset paper starts from ImageNet; counting must not download anything."""

    def download():
        raise AssertionError("looked for ImageNet weights")

    monkeypatch.setattr(describe, "METHODS", {"concat": METHODS["concat"]})
    offline = dataclasses.replace(BACKBONES["resnet50"].pretrained, fetch=download)
    monkeypatch.setitem(BACKBONES, "resnet50", dataclasses.replace(BACKBONES["resnet50"], pretrained=offline))
    assert command_line.main(["methods", "--preset", "paper", "--set", "data.image_size=64", "--json"]) == 0
    (concat,) = json.loads(capsys.readouterr().out)
    assert concat["cost"]["parameters"] == 40_354_776


def test_registry_is_the_papers_list_and_the_baselines():
    ablations = "clinical-only dermoscopic-only concat concat-recon concat-recon-att-linear concat-recon-att concat-adv"
    compared = "inception-unbalanced inception-balanced inception-combined triplenet embeddingnet hccnn"
    assert list(METHODS) == [*ablations.split(), "amfam", *compared.split(), "probe", "metadata-only"]
    assert all(method.summary.endswith(".") and method.source for method in METHODS.values())
