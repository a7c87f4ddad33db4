"""A step's code is what it imports, on all levels; a change elsewhere leaves its results as they are."""

import pytest

from amfam_tf.release import code
from amfam_tf.release.pipeline import STEPS


def test_training_does_not_depend_on_evaluation_ingest_serving_or_the_command_line():
    found = code.imported_by("amfam_tf.release.trainer")
    assert {"amfam_tf.training.trainer", "amfam_tf.models.amfam", "amfam_tf.data.augment", "amfam_tf.config"} <= found
    for part in ("evaluation", "ingest", "cli", "explain", "serving.export", "serving.server", "pipelines"):
        assert not [name for name in found if name.startswith(f"amfam_tf.{part}")]


@pytest.mark.parametrize(
    ("step", "module"),
    [
        ("ExampleGen", "amfam_tf.ingest.pipeline"),
        ("ExampleGen", "amfam_tf.ingest.picture"),
        ("Evaluator", "amfam_tf.evaluation.intervals"),
        ("Evaluator", "amfam_tf.release.losses"),
        ("InfraValidator", "amfam_tf.export.fold"),
        ("InfraValidator", "amfam_tf.server.predict"),
    ],
)
def test_what_makes_a_result_counts(step, module):
    chosen = next(one for one in STEPS if one.name == step)
    names = frozenset().union(*map(code.imported_by, (chosen.module, *chosen.also)))
    assert module in names


def test_the_fingerprint_changes_with_a_source_and_not_with_the_commit(monkeypatch):
    before = code.describe("amfam_tf.release.losses")
    monkeypatch.setattr(code, "_commit", lambda: "another")
    assert code.identity(code.describe("amfam_tf.release.losses")) == code.identity(before)
    real = code.sha256
    monkeypatch.setattr(code, "sha256", lambda path: "new" if path.name == "intervals.py" else real(path))
    assert code.describe("amfam_tf.release.losses")["modules"] != before["modules"]
    monkeypatch.setattr(code, "sha256", lambda path: "new" if path.name == "trainer.py" else real(path))
    assert code.describe("amfam_tf.release.losses")["modules"] == before["modules"]
