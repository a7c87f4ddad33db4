"""Evaluation with a picture left out, and the notes on what a model is given."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from releases import TinyRelease
from small import small_config
from staged_method import STAGED
from untrained_runs import write_run

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.card import inputs
from amfam_tf.cli import main
from amfam_tf.evaluation.run import evaluate_run
from amfam_tf.runs.folder import RunFolder
from amfam_tf.tasks import DERM7PT

pytestmark = pytest.mark.usefixtures("tiny_backbone")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return TinyRelease(pixels=(80, 64)).write(tmp_path_factory.mktemp("data") / "release")


@pytest.fixture(autouse=True)
def staged_method(monkeypatch):
    monkeypatch.setitem(models.METHODS, "staged", STAGED)


@pytest.fixture(scope="module")
def run(release, tmp_path_factory):
    """A run whose method has classifiers on the clinical picture alone, and is given metadata that tell the answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.METHODS, "staged", STAGED)
        path = write_run(tmp_path_factory.mktemp("runs") / "run", release, "staged")
        config = models.resolve(
            small_config("training.batch_size=2", "model.metadata=[sex, management]", method="staged")
        )
        (path / "config.yaml").write_text(configuration.dump(config), encoding="utf-8")
        models.create("staged", config).save(path / "model.keras")
    return path


@pytest.fixture(scope="module")
def both(run, release):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.METHODS, "staged", STAGED)
        evaluation = evaluate_run(run, release)
        return evaluation, (evaluation.folder / "metrics.json").read_bytes()


@pytest.mark.usefixtures("undrawn")
def test_one_picture_has_a_folder_of_its_own_and_leaves_the_whole_evaluation_alone(run, release, both, capsys):
    whole, content = both
    calibration = (run / "calibration.json").read_bytes()
    words = ["evaluate", str(run), "--data", str(release), "--modalities", "clinical"]
    assert main.main(words) == 0
    printed = capsys.readouterr().out
    folder = run / "evaluation/test-clinical"
    assert folder == RunFolder(run).evaluation("test", ("clinical",)) != whole.folder == run / "evaluation/test"
    assert {"predictions.csv", "metrics.json", "report.html"} <= {item.name for item in folder.iterdir()}
    assert (whole.folder / "metrics.json").read_bytes() == content
    assert (run / "calibration.json").read_bytes() == calibration
    report = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert report["modalities"] == ["clinical"]
    assert whole.report["modalities"] == ["clinical", "dermoscopic"]
    assert "the model was not given the dermoscopic picture" in report["notes"]
    assert "no temperature is applied" in report["notes"]
    assert "note: the model was not given the dermoscopic picture" in printed
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "test, clinical picture alone" in page
    assert "not given the dermoscopic picture" in page
    assert "decided from the diagnosis" in page
    assert report["published"]["comparable"] is False


def test_the_picture_that_is_left_out_does_not_matter_and_the_other_does(run, release, tmp_path):
    def probabilities(**colours):
        data = tmp_path / "-".join(colours)
        changed = TinyRelease(pixels=(80, 64)).write(data)
        for column in colours.values():
            for name in pd.read_csv(changed / "meta/meta.csv")[column]:
                Image.new("RGB", (80, 64), (200, 30, 60)).save(changed / "images" / name, "JPEG")
        return evaluate_run(run, changed, modalities=("clinical",)).table.select_dtypes(float).to_numpy()

    same, other = probabilities(dermoscopic="derm"), probabilities(clinical="clinic")
    expected = evaluate_run(run, release, modalities=("clinical",)).table.select_dtypes(float).to_numpy()
    assert expected.shape[1] >= 24
    np.testing.assert_array_equal(same, expected)
    assert not np.allclose(other, expected)


def test_a_method_that_needs_both_pictures_says_so_in_one_line(release, tmp_path, capsys):
    run = write_run(tmp_path / "run", release, "concat")
    assert main.main(["evaluate", str(run), "--data", str(release), "--modalities", "dermoscopic"]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "cannot be evaluated with the dermoscopic picture alone: concat needs the clinical image" in lines[0]
    assert not (run / "evaluation").exists()


@pytest.mark.usefixtures("undrawn")
def test_another_run_is_compared_with_the_same_picture_left_out(run, release, tmp_path, capsys):
    other = write_run(tmp_path / "other", release, "clinical-only")
    words = ["evaluate", str(run), "--data", str(release), "--modalities", "clinical", "--against", str(other)]
    assert main.main(words) == 0
    capsys.readouterr()
    assert (other / "evaluation/test-clinical/predictions.csv").is_file()
    assert not (other / "evaluation/test").exists()
    assert (run / "evaluation/test-clinical/against_other.json").is_file()


def test_metadata_that_follow_from_the_diagnosis_are_noted_once(both):
    evaluation, _ = both
    warning = inputs.warning(DERM7PT, ("sex", "management"))
    assert warning.startswith("the network is given management, decided from the diagnosis")
    assert evaluation.notes.count(warning) == 1
    assert json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))["notes"].count(warning) == 1
    assert inputs.warning(DERM7PT, ("elevation", "location", "sex")) is None
