"""Roll-back: the old content under a new number, in one command; written down, and not undone by the next release."""

import json
import shutil
from pathlib import Path

import pytest
import stand_ins
import yaml

from amfam_tf.cli.main import main
from amfam_tf.errors import ExportError
from amfam_tf.files import publish
from amfam_tf.release import lineage, served
from amfam_tf.release.rollback import roll_back
from amfam_tf.release.step import RefusedError


@pytest.fixture
def base(tmp_path) -> Path:
    return tmp_path / "models" / "lesions"


@pytest.fixture
def two_versions(release_quickly, base):
    """Versions 1 and 2, of the seeds 1 and 2."""
    release_quickly(seed=1)
    release_quickly(seed=2)
    assert publish.versions(base) == [1, 2]


def files_of(folder: Path) -> dict[str, bytes]:
    """Returns the content of a version but for the two files that hold its number and history."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in {"metadata.json", "lineage.json"}
    }


@pytest.mark.usefixtures("two_versions")
def test_the_version_before_is_published_under_the_next_number(base, capsys):
    assert main(["rollback", str(base), "--reason", "worse on site"]) == 0
    assert capsys.readouterr().out == f"rolled back: {base / '3'} has the content of version 1\n"
    assert publish.versions(base) == [1, 2, 3]
    assert files_of(base / "3") == files_of(base / "1")
    found = served.read(base / "3")
    assert found.number == 3
    (rollback,) = found.lineage["rollbacks"]
    assert (rollback["from"], rollback["to"], rollback["reason"]) == (2, 1, "worse on site")
    assert found.lineage["steps"] == served.read(base / "1").lineage["steps"]
    assert {item.name for item in base.iterdir()} == {publish.LOCK, "1", "2", "3"}


@pytest.mark.usefixtures("two_versions")
def test_what_was_rolled_back_is_not_released_again_unless_that_is_wanted(base, release_quickly):
    roll_back(base, reason="worse on site")
    with pytest.raises(RefusedError, match=r"this candidate was withdrawn with version 2 on .* \(worse on site\)"):
        release_quickly(seed=2)
    assert publish.versions(base) == [1, 2, 3]
    release_quickly(seed=2, more="push: {allow_withdrawn: true}\n")
    assert files_of(base / "4") == files_of(base / "2")


@pytest.mark.usefixtures("two_versions")
def test_the_release_of_the_version_that_is_served_again_pushes_nothing(base, release_quickly):
    roll_back(base)
    results, _ = release_quickly(seed=1)
    assert results["Pusher"].record["decision"] == "lesions/3 is this candidate already: nothing to push"


@pytest.mark.usefixtures("two_versions")
def test_a_second_roll_back_does_not_bring_back_what_the_first_one_withdrew(base, release_quickly):
    roll_back(base)
    with pytest.raises(ExportError, match="has no older version of another content: name one with --to"):
        roll_back(base)
    release_quickly(seed=3)
    assert roll_back(base) == (base / "5", 3)
    assert roll_back(base, to=2) == (base / "6", 2)


@pytest.mark.usefixtures("two_versions")
def test_what_cannot_be_rolled_back_to(base, capsys):
    for words, message in (
        (["--to", "7"], f"{base} has no version 7: it has 1, 2"),
        (["--to", "2"], f"{base / '2'} has the content of version 2: it is served already"),
    ):
        assert main(["rollback", str(base), *words]) == 1
        assert capsys.readouterr().err == f"error: {message}\n"
    (base / "1" / "saved_model.pb").write_text("half")
    assert main(["rollback", str(base), "--to", "1"]) == 1
    assert f"{base / '1'} is damaged: saved_model.pb has" in capsys.readouterr().err
    assert {item.name for item in base.iterdir()} == {publish.LOCK, "1", "2"}
    with pytest.raises(ExportError, match="has no version: there is nothing to roll back"):
        roll_back(base.parent / "none")


def test_versions_that_no_release_has_pushed_can_be_rolled_back_too(base, capsys):
    for number in (1, 2):
        stand_ins.write_pieces(base / str(number) / "saved_model.pb", f"graph {number}")
        stand_ins.write_metadata(base / str(number), "lesions", {"average": {"accuracy": 0.5}})
    roll_back(base)
    assert files_of(base / "3") == files_of(base / "1")
    assert served.read(base / "3").lineage["steps"] == {}
    assert main(["lineage", str(base)]) == 0
    assert "to the content of version 1: no reason given" in capsys.readouterr().out
    assert main(["lineage", str(base / "1")]) == 1
    assert "it was not pushed by amfam-tf release" in capsys.readouterr().err


@pytest.mark.usefixtures("two_versions")
def test_lineage_tells_data_configuration_and_code(base, tmp_path, tiny_source, capsys):
    assert main(["lineage", str(base / "1")]) == 0
    told = capsys.readouterr().out
    steps = served.read(base / "1").lineage["steps"]
    ingested = "12 cases ingested (6 train, 3 validate, 3 test), 0 left out"
    assert f"data: {tiny_source}, {ingested}; records {steps['ExampleGen']['fingerprint']}" in told
    assert "configuration: amfam, " in told
    assert "code: amfam-tf 0.1.0, commit " in told
    assert "not a medical device" in told
    assert main(["lineage", str(base), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["steps"]["Trainer"]["configuration"]["seed"] == 2
    assert content["steps"]["Evaluator"]["details"]["served"]["version"] == 1
    shutil.copytree(base, tmp_path / "elsewhere")
    assert lineage.find(tmp_path / "elsewhere").lineage == content


def test_one_line_and_status_1_for_a_refusal(quick, tmp_path, tiny_source, capsys):  # noqa: ARG001
    file = tmp_path / "release.yaml"
    file.write_text(stand_ins.config_text(tmp_path, tiny_source, at_least=0.9))
    assert main(["release", "--config", str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("error: Evaluator: not blessed: average.accuracy: the 95 % interval 0.4500 to 0.5500")
    assert not (tmp_path / "models").exists()
    content = yaml.safe_load(file.read_text())
    content["blessing"]["thresholds"][0]["at_least"] = 0.4
    file.write_text(yaml.safe_dump(content))
    assert main(["release", "--config", str(file), "--dry-run"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "served now: nothing, this is a first release"
    assert [line.partition(": ")[2][:6] for line in shown[1:4]] == ["reused"] * 3
    assert shown[4:] == [
        "Evaluator: would run",
        "InfraValidator: would run, or be reused if what comes before brings what it brought before",
        "Pusher: runs always",
        "dry run: nothing was run and nothing was written",
    ]
    assert not (tmp_path / "models").exists()
    assert main(["release", "--config", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "note: first release: nothing is served to compare with" in shown
    assert "A research tool, not a medical device" in shown
