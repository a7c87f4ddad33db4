"""`amfam-tf batch-predict`: what it passes on, what it prints, and errors in one line; see also tests/batch_predict."""

from pathlib import Path

import pytest

from amfam_tf.batch_predict import pipeline
from amfam_tf.batch_predict.report import BatchReport
from amfam_tf.cli import main as command_line

REPORT = BatchReport(
    out=Path("/out"),
    model="amfam",
    version=3,
    pairs=3000,
    errors=2,
    first_error="clinical picture x.jpg cannot be read: No such file",
    shards=12,
    done_before=5,
    predicted=1500,
    seconds=100.0,
)


@pytest.fixture
def asked(monkeypatch) -> list:
    """The calls of the pipeline, which is not run."""
    calls = []

    def run(*arguments, **named):
        calls.append((arguments, named))
        return REPORT

    monkeypatch.setattr(pipeline, "run", run)
    return calls


def test_what_was_done_is_printed_with_rate_errors_and_purpose(asked, tmp_path, capsys):
    words = ["batch-predict", "pairs.csv", "--version", str(tmp_path), "--out", "out"]
    assert command_line.main(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "done before: 5 of 12 shards",
        "amfam version 3: 1,500 pairs in 100.0 s, 15.00 pairs/s with loading",
        "written: /out: 3,000 pairs, 2 errors, 12 files",
        "note: a pair without an answer has the reason in the column error, e.g. "
        "clinical picture x.jpg cannot be read: No such file",
        "A research tool, not a medical device: no number here says anything about a patient.",
    ]
    named = {"images": None, "shards": None, "batch_size": pipeline.BATCH_SIZE, "beam_arguments": ()}
    assert asked == [(("pairs.csv", str(tmp_path), "out"), named)]


def test_workers_and_the_words_after_two_dashes_go_to_beam(asked, tmp_path):
    words = ["batch-predict", "x", "--version", str(tmp_path), "--out", "out", "--workers", "3", "--batch-size=8"]
    assert command_line.main([*words, "--images", "i", "--shards=5", "--", "--job_name=a", "--experiments", "b"]) == 0
    ((_, named),) = asked
    assert named["beam_arguments"] == ("--direct_num_workers=3", "--job_name=a", "--experiments", "b")
    assert (named["images"], named["shards"], named["batch_size"]) == ("i", 5, 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.csv"], "error: nowhere.csv does not exist: a CSV of pairs, a data set (images/ and meta/, or "),
        (["x.csv", "--", "--no_such=1"], "error: Beam's options: there is none named 'no_such'"),
        (["x.csv", "--workers=2", "--", "--runner=FlinkRunner"], "error: --workers counts processes of this machine: "),
    ],
)
def test_an_error_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert command_line.main(["batch-predict", "--version", "model", "--out", "out", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
