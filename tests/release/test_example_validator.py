"""What makes data too bad to train on, and how a step that refuses ends on its own, as in another orchestrator."""

import json

import pytest
import stand_ins

from amfam_tf.ingest.schema import build_schema, to_text
from amfam_tf.release import example_gen, record
from amfam_tf.release.component import run_component
from amfam_tf.release.example_validator import schema_differences, small_splits, unknown_values
from amfam_tf.release.pipeline import STEPS
from amfam_tf.release.step import RefusedError, ReleaseError
from amfam_tf.tasks import DERM7PT, METADATA

LEAKAGE = {"kind": "leakage", "message": "2 pictures are in train and in test", "severity": "problem"}
NOTE = {"kind": "absent_class", "message": "no case in test of BCC", "severity": "note"}


@pytest.fixture
def validate(quick, tmp_path, tiny_source, monkeypatch):  # noqa: ARG001
    """Returns the function that runs the data's steps one by one, on data with these anomalies."""

    def run(anomalies, more=""):
        def ingest(data, records):
            counts = stand_ins.ingest(data, records)
            (records / "anomalies.json").write_text(json.dumps({"anomalies": anomalies, "duplicates": []}))
            return counts

        monkeypatch.setattr(example_gen, "_ingest", ingest)
        text = stand_ins.config_text(tmp_path, tiny_source, more=more)
        folders = {}
        for step in STEPS[:2]:
            folders[step.name] = tmp_path / "artifacts" / step.name
            run_component(step, text, {name: folders[name] for name in step.inputs}, folders[step.name], print)
        return record.read(folders["ExampleValidator"])

    return run


def test_a_problem_is_refused_and_the_findings_are_kept(validate, tmp_path):
    out = tmp_path / "artifacts" / "ExampleValidator"
    with pytest.raises(RefusedError) as caught:
        validate([NOTE, LEAKAGE])
    reason = "leakage: 2 pictures are in train and in test"
    assert str(caught.value) == f"ExampleValidator: data refused: {reason} (kept: {out})"
    assert json.loads((out / "findings.json").read_text()) == {"reasons": [reason], "anomalies": [NOTE, LEAKAGE]}
    assert record.read(out)["accepted"] is False


def test_a_problem_that_is_allowed_is_written_down(validate):
    found = validate([NOTE, LEAKAGE], more="validation: {allow: [leakage]}\n")
    assert found["decision"] == "data accepted: 1 notes, 1 allowed problems"


def test_a_schema_under_version_control_decides(validate, tmp_path):
    schema = build_schema(DERM7PT)
    schema.feature.add(name="iris_colour", type=1)
    (tmp_path / "schema.pbtxt").write_text(to_text(schema))
    with pytest.raises(RefusedError, match="schema: the records have no feature iris_colour"):
        validate([], more=f"validation: {{schema: {tmp_path / 'schema.pbtxt'}}}\n")


def test_a_folder_without_a_record_is_no_input(tmp_path):
    (tmp_path / "examples").mkdir()
    step = next(step for step in STEPS if step.name == "ExampleValidator")
    with pytest.raises(ReleaseError, match="step.json cannot be read: remove .* to have the step run again"):
        run_component(
            step, stand_ins.config_text(tmp_path, tmp_path), {"ExampleGen": tmp_path / "examples"}, tmp_path, print
        )


def test_splits_with_too_few_cases():
    splits = {"train": 100, "validate": 99, "test": 0}
    assert small_splits(splits, 1) == ["split test has 0 cases, fewer than 1"]
    assert len(small_splits(splits, 100)) == 2


def test_differences_of_a_schema():
    assert list(schema_differences(build_schema(DERM7PT), DERM7PT)) == []
    schema = build_schema(DERM7PT)
    schema.feature[0].type = 2
    del schema.feature[1]
    assert sorted(schema_differences(schema, DERM7PT)) == [
        "feature clinical is of another type",
        "the records have a feature dermoscopic that it does not know",
    ]


def test_values_that_a_schema_does_not_know():
    schema = build_schema(DERM7PT)
    counts = {
        column: {value: {"train": 1, "test": 1} for value in (*values, "")} for column, values in METADATA.items()
    }
    assert list(unknown_values(schema, {"metadata": counts}, DERM7PT)) == []
    domain = next(domain for domain in schema.string_domain if domain.name == "location")
    domain.value.remove("acral")
    assert list(unknown_values(schema, {"metadata": counts}, DERM7PT)) == [
        "2 cases have location 'acral', which is not in its domain"
    ]
