"""`amfam-tf evaluate` as a user runs it: the tables, the JSON, the files, the errors."""

import json
import sys
from pathlib import Path

import pytest
from releases import TinyRelease

sys.path.append(str(Path(__file__).parents[1] / "evaluation"))

from small_runs import write_run  # noqa: E402

from amfam_tf.cli import main  # noqa: E402


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Returns the folder of a tiny release."""
    return TinyRelease().write(tmp_path_factory.mktemp("data") / "release")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, release):
    """Returns a finished run on that release."""
    return write_run(tmp_path_factory.mktemp("runs") / "run", release)


def test_tables_and_files(finished, release, capsys):
    assert main.main(["evaluate", str(finished), "--data", str(release)]) == 0
    printed = capsys.readouterr().out
    content = json.loads((finished / "evaluation/test/metrics.json").read_text(encoding="utf-8"))
    for task, values in content["tasks"].items():
        line = next(line for line in printed.splitlines() if f" {task} " in line)
        low, high = (f"{100 * bound:.1f}" for bound in values["accuracy_ci95"])
        assert f"{100 * values['accuracy']:.1f} ({low}–{high})" in line
        assert f"{100 * content['published']['accuracy'][task]:.1f}" in line
    assert "training split" in printed
    assert "AMFAM in the paper, corrected by arithmetic; published for Derm7pt; these are other data" in " ".join(
        printed.split()
    )
    assert "too small" in printed
    assert "not a medical device" in printed
    assert (finished / "evaluation/test/predictions.csv").is_file()


@pytest.mark.usefixtures("undrawn")
def test_json_is_the_file_and_notes_go_to_stderr(finished, release, capsys):
    assert main.main(["evaluate", str(finished), "--data", str(release), "--split", "validate", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == (finished / "evaluation/validate/metrics.json").read_text(encoding="utf-8")
    assert "note: no case of the split validate has" in captured.err


@pytest.mark.usefixtures("undrawn")
def test_comparison_of_a_run_with_itself_finds_nothing(finished, release, capsys):
    words = ["evaluate", str(finished), "--data", str(release), "--against", str(finished), "--no-calibrate"]
    assert main.main(words) == 0
    printed = capsys.readouterr().out
    name = f"{finished.parent.name}/run"
    assert f"{name} minus {name}, 3 cases" in printed
    assert "+0.0 (+0.0 to +0.0)" in printed
    assert "no temperature is applied" in printed
    assert (finished / f"evaluation/test/against_{finished.parent.name}_run.json").is_file()


def test_run_that_has_not_finished_is_one_line_and_status_1(finished, release, capsys, tmp_path):
    (tmp_path / "config.yaml").write_text((finished / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert main.main(["evaluate", str(tmp_path), "--data", str(release)]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "has not finished training" in lines[0]


def test_wrong_usage_is_status_2(release, tmp_path, capsys):
    assert main.main(["evaluate", str(tmp_path / "absent"), "--data", str(release)]) == 2
    assert main.main(["evaluate", str(tmp_path), "--data", str(release), "--split", "dev"]) == 2
    capsys.readouterr()
