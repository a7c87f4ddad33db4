"""Hostile names through the whole command, on terminals of several encodings: one line each, no traceback."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest
from releases import META, TinyRelease

from amfam_tf.cli import main as command_line
from amfam_tf.errors import QueryError

HOSTILE = "\x1b[2J\x9b\u202e\u200b[/red]"
SHOWN = "\\x1b[2J\\x9b\\u202e\\u200b[/red]"


def run(*words, **environment) -> subprocess.CompletedProcess:
    """Runs the command in a process of its own; nothing of this one's locale."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    command = [sys.executable, "-m", "amfam_tf", *map(str, words)]
    return subprocess.run(command, capture_output=True, env=kept | environment, check=False)


class Terminal:
    """Standard output and error in an encoding, opened as Python opens them; the verb runs in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, encoding: str, errors: str = "strict") -> None:
        self.encoding = encoding
        self.streams = {
            "stdout": io.TextIOWrapper(io.BytesIO(), encoding, errors),
            "stderr": io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace"),
        }
        for name, stream in self.streams.items():
            patch.setattr(sys, name, stream)

    def run(self, *words) -> tuple[int, str, str]:
        """Returns the status, and the text of both streams."""
        status = command_line.main([str(word) for word in words])
        texts = []
        for stream in self.streams.values():
            stream.flush()
            texts.append(stream.buffer.getvalue().decode(self.encoding))
        return status, *texts


def acting(text: str) -> set[str]:
    """Returns the characters of an output that a terminal might obey."""
    return {character for character in text if character != "\n" and not character.isprintable()}


@pytest.fixture
def hostile(tmp_path):
    """A data set of which one row names a picture that is not there, hostile, and of which all else is sound."""
    release = TinyRelease()
    release.meta.loc[3, "clinic"] = f"NEL/{HOSTILE}\nproblem: forged.jpg"
    release.meta.loc[4, "clinic"] = "NEL/\u00e4\u0151.jpg"
    return release.write(tmp_path / f"release {HOSTILE}")


def test_check_prints_a_hostile_release_line_by_line(hostile, capsys):
    assert command_line.main(["check", str(hostile)]) == 1
    out, err = capsys.readouterr()
    assert acting(out) == acting(err) == set()
    assert SHOWN in out.replace("\n", "")
    (line,) = [line for line in out.splitlines() if f"{META} row 3" in line]
    assert "problem: forged.jpg" in line
    assert not [line for line in out.splitlines() if line.startswith("problem: forged")]


def test_check_as_json_is_ascii_with_the_same_content(hostile, capsys):
    assert command_line.main(["check", str(hostile), "--json"]) == 1
    out = capsys.readouterr().out
    assert acting(out) == set()
    assert json.loads(out)["release"] == str(hostile)


@pytest.mark.parametrize(
    "words",
    [
        ["check", f"no {HOSTILE}\nfolder"],
        [f"verb{HOSTILE}\n"],
        ["check", ".", f"--{HOSTILE}"],
        ["config", "show", "--set", f"{HOSTILE}=1\n"],
        ["config", "show", "--preset", f"{HOSTILE}\n"],
        ["query", f"{HOSTILE}.csv"],
    ],
)
def test_errors_of_the_command_line_are_shown_too(words, capsys):
    assert command_line.main(words) in (1, 2)
    captured = capsys.readouterr()
    assert acting(captured.out + captured.err) == set()


def test_the_words_of_a_server_are_one_line(monkeypatch, tmp_path, capsys):
    from amfam_tf.client import client

    class Lying:
        def __init__(self, *_):
            raise QueryError(f"the server says: {HOSTILE}\nerror: forged")

    monkeypatch.setattr(client, "Client", Lying)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    words = ["query", "--clinical", str(tmp_path / "a.jpg"), "--dermoscopic", str(tmp_path / "b.jpg")]
    assert command_line.main(words) == 1
    assert capsys.readouterr().err == f"error: the server says: {SHOWN}\\nerror: forged\n"


def assert_report(status: int, out: str, err: str, encoding: str, letters: str) -> None:
    """Checks what `check` says about the hostile data set on a terminal of that encoding."""
    assert status == 1, err
    assert "unexpected" not in err
    assert f"'NEL/{letters}.jpg' names no file" in out
    assert ("\u250f" in out) == (encoding == "utf-8")  # rich's box


@pytest.mark.parametrize(
    ("encoding", "letters"),
    [
        ("ascii", "\\xe4\\u0151"),
        ("latin-1", "\u00e4\\u0151"),
        ("cp1252", "\u00e4\\u0151"),
        ("utf-8", "\u00e4\u0151"),
    ],
)
def test_check_ends_with_its_report_on_any_terminal(hostile, monkeypatch, encoding, letters):
    found = Terminal(monkeypatch, encoding).run("check", hostile)
    monkeypatch.undo()
    assert_report(*found, encoding, letters)


def test_check_ends_with_its_report_in_the_locale_c(hostile):
    done = run("check", hostile, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    out, err = done.stdout.decode("ascii"), done.stderr.decode("ascii")
    assert_report(done.returncode, out, err, "ascii", "\\xe4\\u0151")


@pytest.mark.parametrize("words", [("methods", "--help"), ("paper",), ("paper", "--markdown"), ("env",)])
def test_our_own_letters_end_no_verb(words, monkeypatch):
    status, _, err = Terminal(monkeypatch, "ascii").run(*words)
    monkeypatch.undo()
    assert status == 0, err


def test_our_own_letters_end_no_process():
    done = run("methods", "--help", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    done.stdout.decode("ascii")


def test_a_users_choice_for_unknown_letters_is_kept(hostile, monkeypatch):
    _, out, _ = Terminal(monkeypatch, "ascii", "replace").run("check", hostile)
    monkeypatch.undo()
    assert "'NEL/??.jpg'" in out


def test_a_csv_in_a_file_has_the_names_as_they_are(monkeypatch, capsys):
    from amfam_tf.cli.query import _print_csv
    from amfam_tf.client.client import Answer
    from amfam_tf.tasks import TASKS

    probabilities = {task.name: (1.0,) + (0.0,) * (len(task.classes) - 1) for task in TASKS}
    answer = Answer(probabilities, {"melanoma": 0.0}, {"seven_point_score": 0}, "amfam", 1)
    names = (f"{HOSTILE}.jpg", "b.jpg")
    _print_csv([(answer, names)], lambda: answer.card)
    assert next(csv.DictReader(capsys.readouterr().out.splitlines()))["clinical"] == names[0]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _print_csv([(answer, names)], lambda: answer.card)
    assert next(csv.DictReader(capsys.readouterr().out.splitlines()))["clinical"] == f"{SHOWN}.jpg"
