"""Versions that a release of an earlier program has pushed: one with steps that there are no longer."""

import shutil
from pathlib import Path

import pytest

from amfam_tf.cli.main import main
from amfam_tf.files import publish
from amfam_tf.release import lineage, served
from amfam_tf.release.rollback import roll_back

EARLIER = Path(__file__).parent / "earlier" / "lesions"
"""As pushed by the program at the commit that its lineage names, with the stand-ins of these tests."""
FORMER_STEPS = [
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Trainer",
    "Evaluator",
    "InfraValidator",
]


@pytest.fixture
def models(tmp_path) -> Path:
    """The folder of a model whose version 1 was pushed earlier."""
    return Path(shutil.copytree(EARLIER, tmp_path / "models" / "lesions"))


def test_its_lineage_tells_every_step(models, capsys):
    assert list(lineage.find(models).lineage["steps"]) == FORMER_STEPS
    assert main(["lineage", str(models)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lesions/1, pushed 2026-11-29T17:08:14+00:00; all files are as they were pushed"
    assert lines[1].startswith("data: source, 12 cases ingested, 0 left out; records 87ded894afc2")
    assert lines[5] == (
        "StatisticsGen (2026-11-29T17:07:59+00:00, 0 s): statistics of 12 cases: 6 train, 3 validate, 3 test"
    )


def test_the_same_release_again_knows_it(models, release_quickly):
    results, _ = release_quickly()
    assert results["Pusher"].record["decision"] == "lesions/1 is this candidate already: nothing to push"
    assert publish.versions(models) == [1]


def test_a_candidate_is_compared_with_it_and_it_can_be_rolled_back_to(models, release_quickly):
    results, _ = release_quickly(seed=3)
    assert "no significant loss against lesions/1" in results["Evaluator"].record["decision"]
    assert publish.versions(models) == [1, 2]
    folder, number = roll_back(models)
    assert (folder, number) == (models / "3", 1)
    assert served.read(folder).fingerprint == served.read(models / "1").fingerprint
    assert list(served.read(folder).lineage["steps"]) == FORMER_STEPS
