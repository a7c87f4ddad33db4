"""What a release reuses, what it runs again, what it refuses, and what it leaves on disk."""

import json
import shutil

import numpy as np
import pytest
import stand_ins

from amfam_tf.errors import DataError
from amfam_tf.files import publish
from amfam_tf.ingest.schema import build_schema, to_text
from amfam_tf.release import example_gen, served
from amfam_tf.release.pipeline import STEPS
from amfam_tf.release.step import RefusedError, ReleaseError
from amfam_tf.tasks import DERM7PT

NAMES = [step.name for step in STEPS]


def reused(results) -> list[str]:
    return [name for name, result in results.items() if result.reused]


def test_first_release_pushes_version_1_with_the_record_of_every_step(release_quickly, tmp_path):
    results, lines = release_quickly()
    assert list(results) == NAMES
    assert reused(results) == []
    version = served.read(tmp_path / "models" / "lesions" / "1")
    assert version.number == 1
    assert list(version.lineage["steps"]) == NAMES[:-1]
    for name, record in version.lineage["steps"].items():
        assert {"inputs", "outputs", "fingerprint", "began", "ended", "seconds", "decision", "code"} <= record.keys()
        step = next(step for step in STEPS if step.name == name)
        assert list(record["inputs"]) == list(step.inputs)
        for before, reference in record["inputs"].items():
            assert reference["fingerprint"] == version.lineage["steps"][before]["fingerprint"]
        assert record["outputs"]
    assert "first release: nothing is served to compare with" in results["Evaluator"].record["decision"]
    assert lines[-1] == f"Pusher: pushed as {tmp_path / 'models' / 'lesions' / '1'}"


def test_the_same_release_again_reuses_every_result_and_pushes_nothing(release_quickly, tmp_path):
    release_quickly()
    results, _ = release_quickly()
    assert reused(results) == NAMES[:-1]
    assert results["Pusher"].record["decision"] == "lesions/1 is this candidate already: nothing to push"
    assert publish.versions(tmp_path / "models" / "lesions") == [1]


def test_lineage_of_the_work_folder_says_how_it_ended(release_quickly, tmp_path):
    release_quickly()
    content = json.loads((tmp_path / "work" / "lineage.json").read_text())
    assert content["status"] == "finished"
    assert [step["step"] for step in content["steps"]] == NAMES
    assert all((tmp_path / "work" / step["folder"] / "step.json").is_file() for step in content["steps"])
    with pytest.raises(RefusedError):
        release_quickly(at_least=0.9)
    content = json.loads((tmp_path / "work" / "lineage.json").read_text())
    assert (content["status"], content["step"]) == ("refused", None)
    assert [step["reused"] for step in content["steps"]] == [True] * 3 + [False]


def test_another_threshold_trains_nothing_again(release_quickly):
    release_quickly()
    results, _ = release_quickly(at_least=0.41)
    assert reused(results) == [*NAMES[:3], "InfraValidator"]


def test_another_training_is_compared_with_what_is_served_and_becomes_the_next_version(release_quickly, tmp_path):
    release_quickly()
    results, _ = release_quickly(seed=3)
    assert reused(results) == ["ExampleGen", "ExampleValidator"]
    assert results["Evaluator"].record["details"]["served"]["version"] == 1
    assert "no significant loss against lesions/1" in results["Evaluator"].record["decision"]
    assert publish.versions(tmp_path / "models" / "lesions") == [1, 2]


def test_a_changed_picture_runs_everything_again(release_quickly, tiny_source, tmp_path):
    source = shutil.copytree(tiny_source, tmp_path / "copy")
    release_quickly(source)
    assert reused(release_quickly(source)[0]) == NAMES[:-1]
    picture = next((source / "images").rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    results, _ = release_quickly(source)
    assert "ExampleGen" not in reused(results)
    assert "Trainer" not in reused(results)


def test_another_anomaly_is_validated_and_trains_nothing_again(release_quickly, monkeypatch, tmp_path):
    release_quickly()

    def ingest(data, records):
        counts = stand_ins.ingest(data, records)
        note = {"kind": "absent_class", "message": "no case in test of BCC", "severity": "note"}
        (records / "anomalies.json").write_text(json.dumps({"anomalies": [note], "duplicates": []}))
        return counts

    monkeypatch.setattr(example_gen, "_ingest", ingest)
    shutil.rmtree(tmp_path / "work" / "steps" / "ExampleGen")
    results, _ = release_quickly()
    assert reused(results) == ["Trainer", "Evaluator", "InfraValidator"]
    assert results["ExampleValidator"].record["decision"] == "data accepted: 1 notes"


def test_another_schema_under_version_control_is_validated_and_trains_nothing_again(release_quickly, tmp_path):
    schema = tmp_path / "schema.pbtxt"
    schema.write_text(to_text(build_schema(DERM7PT)))
    release_quickly(more=f"validation: {{schema: {schema}}}\n")
    schema.write_text("# read by two people\n" + to_text(build_schema(DERM7PT)))
    results, _ = release_quickly(more=f"validation: {{schema: {schema}}}\n")
    assert reused(results) == ["ExampleGen", "Trainer", "Evaluator", "InfraValidator"]
    schema.unlink()
    with pytest.raises(DataError) as caught:
        release_quickly(more=f"validation: {{schema: {schema}}}\n")
    assert str(caught.value) == f"{schema}: cannot be read: No such file or directory"


def test_a_moved_source_is_the_same_source(release_quickly, tiny_source, tmp_path):
    first = release_quickly()[0]["ExampleGen"].record["outside"]
    moved = shutil.copytree(tiny_source, tmp_path / "moved")
    assert release_quickly(moved)[0]["ExampleGen"].record["outside"] == first


def test_a_loss_against_the_served_version_is_refused_in_one_line_and_nothing_is_pushed(release_quickly, tmp_path):
    release_quickly(seed=5)
    with pytest.raises(RefusedError) as caught:
        release_quickly(seed=2)
    kept = next((tmp_path / "work" / "steps" / "Evaluator").glob("*/blessing.json"))
    reason = "accuracy overall is 0.5200, the served version has 0.5500 on the same 3 cases (p = 0.01)"
    assert str(caught.value).startswith(f"Evaluator: not blessed: {reason} (kept: ")
    assert kept.is_file()
    assert publish.versions(tmp_path / "models" / "lesions") == [1]


def test_a_refused_step_is_tried_again(release_quickly, monkeypatch, tmp_path):
    from amfam_tf.errors import QueryError
    from amfam_tf.release import infra_validator

    def fail(*_):
        raise QueryError("the server ended with status 1")

    with monkeypatch.context() as patch:
        patch.setattr(infra_validator, "_ask", fail)
        with pytest.raises(
            RefusedError,
            match="InfraValidator: not served by the embedded server: the server ended with status 1 .kept: ",
        ):
            release_quickly()
    candidates = list((tmp_path / "work" / "steps" / "InfraValidator").glob("*/candidate/lesions/1/saved_model.pb"))
    assert len(candidates) == 1
    assert publish.versions(tmp_path / "models" / "lesions") == []
    results, _ = release_quickly()
    assert reused(results) == NAMES[:4]
    assert publish.versions(tmp_path / "models" / "lesions") == [1]


def test_an_answer_that_differs_is_refused(release_quickly, monkeypatch):
    from amfam_tf.release import infra_validator

    wrong = {"of": "case 7", "output": "BWV", "largest": 0.25, "tolerance": 1e-4}
    monkeypatch.setattr(infra_validator, "_ask", lambda *_: [wrong])
    with pytest.raises(
        RefusedError, match="answers of the embedded server are not the stored ones: case 7: BWV differs by up to 0.25"
    ):
        release_quickly()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_refused_by_task(release_quickly, monkeypatch, value):
    from amfam_tf.release import infra_validator

    class Configured:
        class config:
            class infra:
                precision = "float32"

    stored = {"BWV": np.array([[0.25, 0.75]]), "DIAG": np.array([[0.5, 0.5]])}
    # Even where the stored answer is as broken: a difference of NaN from NaN is no agreement.
    found = {"BWV": np.array([[0.5, 0.5]]), "DIAG": np.array([[0.5, value]])}
    rows = [
        *infra_validator._compare("case 7", found, stored, Configured),
        *infra_validator._compare("case 8", found, found, Configured),
    ]
    monkeypatch.setattr(infra_validator, "_ask", lambda *_: rows)
    with pytest.raises(RefusedError, match="case 7: the answers of DIAG are no finite numbers"):
        release_quickly()


def test_a_result_that_was_changed_is_not_reused(release_quickly, tmp_path):
    results, _ = release_quickly()
    model = results["Trainer"].folder / "run" / "model.keras"
    model.write_text("other weights")
    with pytest.raises(ReleaseError) as caught:
        release_quickly()
    assert str(caught.value) == (
        f"{model} is not what the step has written: remove {results['Trainer'].folder} to have the step run again"
    )
    assert publish.versions(tmp_path / "models" / "lesions") == [1]


def test_two_releases_with_one_work_folder_do_not_meet(release_quickly, tmp_path):
    from amfam_tf.release.local_runner import locked

    with locked(tmp_path / "work"), pytest.raises(ReleaseError, match="another process releases with"):
        release_quickly()


def test_a_version_that_appears_after_the_evaluation_stops_the_push(release_quickly, monkeypatch, tmp_path):
    from amfam_tf.release import infra_validator

    base = tmp_path / "models" / "lesions"

    def ask(work, candidate):
        stand_ins.write_pieces(base / "1" / "saved_model.pb", "of somebody else")
        stand_ins.write_metadata(base / "1", "lesions", {"average": {"accuracy": 0.4}})
        return stand_ins.ask(work, candidate)

    monkeypatch.setattr(infra_validator, "_ask", ask)
    with pytest.raises(RefusedError, match="compared with nothing, and now lesions/1 is served: release again"):
        release_quickly()
    assert publish.versions(base) == [1]
    monkeypatch.setattr(infra_validator, "_ask", stand_ins.ask)
    results, _ = release_quickly()
    assert results["Evaluator"].record["details"]["notes"] == [
        "lesions/1 was not pushed by a release: it may have been trained on cases of this split"
    ]
    assert publish.versions(base) == [1, 2]
