"""One release of drawn cases: ingest, fit, evaluation, export, a real server, push.

To save time the network is a toy, the figures of the report are not drawn, and export does not ask what the server is
asked anyway.
"""

import json

import numpy as np
import pytest
import toy_method

from amfam_tf.data import records
from amfam_tf.evaluation import html_report, predictions
from amfam_tf.export import export
from amfam_tf.models import registry
from amfam_tf.release import configuration, pipeline, served
from amfam_tf.release.served_predictions import predict_served
from amfam_tf.tasks import DERM7PT, TASKS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def released(tmp_path_factory, drawn):
    """The results of the steps, and the folder of the version."""
    folder = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.METHODS, "toy", toy_method.TOY)
        patch.setattr(html_report, "write_report", lambda *_: [])
        patch.setattr(export, "verify", lambda _: None)
        config = configuration.parse(toy_method.config_text(folder, drawn), "release.yaml")
        results = pipeline.run(config, print)
    return results, folder / "models" / "lesions" / "1"


def test_the_server_answers_samples_of_all_signatures_and_canaries_as_stored(released):
    results, _ = released
    content = json.loads((results["InfraValidator"].folder / "answers.json").read_text())
    asked = {row["of"] for row in content["answers"]}
    assert {
        f"sample of {name}" for name in ("serving_default", "predict_images", "predict_examples", "explain", "describe")
    } < asked
    assert len([of for of in asked if of.startswith("case ")]) == 3
    assert max(row["largest"] for row in content["answers"] if row["of"].startswith("case ")) < 1e-4
    assert content["wrong"] == []


def test_the_version_holds_the_measured_run_and_its_lineage(released):
    results, folder = released
    version = served.read(folder)
    metadata = json.loads((folder / "assets.extra" / "metadata.json").read_text())
    assert metadata["version"] == 1
    assert metadata["configuration"]["method"] == "toy"
    evaluated = results["Evaluator"].folder / "run"
    assert metadata["metrics"]["test"] == json.loads((evaluated / "evaluation/test/metrics.json").read_text())
    assert (
        metadata["data"]["data_fingerprint"]
        == json.loads((evaluated / "environment.json").read_text())["data_fingerprint"]
    )
    assert version.lineage["steps"]["Trainer"]["configuration"]["training"]["epochs"] == 1


def test_the_served_version_says_of_the_cases_what_evaluate_has_measured(released):
    results, folder = released
    cases = records.read_records(results["ExampleGen"].folder / "records")
    cases = cases[cases["split"] == "test"].reset_index(drop=True)
    found = predict_served(folder, cases, DERM7PT)
    stored = predictions.read(results["Evaluator"].folder / "run/evaluation/test/predictions.csv", cases, card=DERM7PT)
    assert list(found["case_num"]) == list(stored["case_num"])
    for task in TASKS:
        difference = predictions.task_probabilities(found, task) - predictions.task_probabilities(stored, task)
        assert np.abs(difference).max() < 1e-5
        assert (predictions.true_labels(found, task) == predictions.true_labels(stored, task)).all()
