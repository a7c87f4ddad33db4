"""`fit --profile`: phases of a real fit, the same result as without; pictures are hashed once, with or without."""

import json

import numpy as np
from click.testing import CliRunner
from small import SMALL_FOR_ANY
from tiny_backbone import TINY_BACKBONE

import amfam_tf.data.cases as cases
from amfam_tf.cli.fit import fit
from amfam_tf.models import backbones
from amfam_tf.training import profile

OVERRIDES = (*SMALL_FOR_ANY, "training.epochs=2", "training.batch_size=8", "training.picture_every=1")


def run_fit(release, run, *options):
    words = [f"--set={override}" for override in OVERRIDES]
    given = ["--data", str(release), "--run", str(run), "--preset", "tiny", "--method", "concat"]
    result = CliRunner().invoke(fit, [*given, *words, *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_profile_of_a_fit(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(backbones.BACKBONES, "resnet14_narrow", TINY_BACKBONE)
    plain, profiled = tmp_path / "plain", tmp_path / "profiled"
    hashed = []
    fingerprint = cases.data_fingerprint
    monkeypatch.setattr(
        cases, "data_fingerprint", lambda frame, *card: hashed.append(len(frame)) or fingerprint(frame, *card)
    )
    run_fit(drawn, plain)
    assert hashed == [40], "the pictures are hashed once, also for the temperatures"
    assert (plain / "calibration.json").is_file()
    assert not (plain / "profile.json").exists()

    output = run_fit(drawn, profiled, "--profile")
    content = json.loads((profiled / "profile.json").read_text())
    before = {row["phase"]: row["times"] for row in content["until_first_step"]}
    after = {row["phase"]: row["times"] for row in content["after_first_step"]}
    assert before[profile.TRACE] == before[profile.FIRST] == before["hashing the pictures"] == 1
    assert {"building the network", "making the input", "reading the tables", profile.STEPS} <= set(before)
    assert {
        profile.VALIDATION: 2,
        "checkpoints": 2,
        "pictures": 2,
        "fitting the temperatures": 1,
    }.items() <= after.items()
    every = [row["seconds"] for key in ("until_first_step", "after_first_step") for row in content[key]]
    np.testing.assert_allclose(sum(every), content["total_seconds"], atol=0.01 * len(every))
    assert 0 < content["first_step_seconds"] < content["total_seconds"]
    assert "FIRST STEP DONE" in output
    assert "profile.json" in output

    assert (plain / "history.csv").read_bytes() == (profiled / "history.csv").read_bytes()
    fitted = [json.loads((run / "calibration.json").read_text()) for run in (plain, profiled)]
    assert fitted[0]["temperatures"] == fitted[1]["temperatures"]
    assert fitted[0]["log_loss"] == fitted[1]["log_loss"]


def test_a_dry_run_has_no_profile(drawn):
    result = CliRunner().invoke(fit, ["--data", str(drawn), "--dry-run", "--profile"])
    assert result.exit_code == 2
    assert "--dry-run trains nothing" in result.output
