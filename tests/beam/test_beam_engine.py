"""Running Beam pipelines: quietly, with any number of processes, and with the user's errors coming through."""

import os
import signal
import subprocess
import sys

import pytest

from amfam_tf.beam import engine as beam_engine
from amfam_tf.beam import workers as beam_workers
from amfam_tf.beam.workers import DEAD, watched_workers
from amfam_tf.environment import usable_cores
from amfam_tf.errors import ConfigError, DataError, EngineError


def fail_on(number: int, error: Exception):
    """Returns the function of a step that raises for one element."""

    def step(value: int) -> int:
        if value == number:
            raise error
        return value

    return step


def build(step):
    import apache_beam as beam

    return lambda pipeline: pipeline | beam.Create(range(4)) | beam.Reshuffle() | beam.Map(step)


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (DataError("case 3: bad file x"), DataError, "case 3: bad file x"),
        (ValueError("first\nlast"), EngineError, "the pipeline failed: last"),
        (ValueError(), EngineError, "the pipeline failed: ValueError"),
    ],
)
def test_an_error_of_a_step_is_one_line_without_beams_words(raised, expected, message, capfd):
    beam_engine.find_beam()
    with pytest.raises(expected) as caught:
        beam_engine.run_pipeline(build(fail_on(3, raised)))
    assert str(caught.value) == message
    assert capfd.readouterr() == ("", "")


def test_an_error_in_another_process_is_the_same_error(capfd):
    beam_engine.find_beam()
    step = fail_on(3, DataError("case 3: bad file x"))
    with pytest.raises(DataError) as caught:
        beam_engine.run_pipeline(build(step), ["--direct_num_workers=2"])
    assert str(caught.value) == "case 3: bad file x"
    assert capfd.readouterr() == ("", "")


def test_a_worker_process_that_is_killed_is_told_in_one_line(capfd):
    def die(value: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return value

    beam_engine.find_beam()
    with pytest.raises(EngineError) as caught:
        beam_engine.run_pipeline(build(die), ["--direct_num_workers=2"])
    assert str(caught.value) == "a worker process ended early: ended by signal SIGKILL (often: out of memory)"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended by signal SIGKILL (often: out of memory)"),
        ("import sys; print('a library is too old'); sys.exit(1)", "a library is too old"),
        ("", "ended with status 0 and said nothing"),
    ],
)
def test_workers_that_end_before_they_come_to_ask_are_one_line_with_their_last_words(
    code, words, tmp_path, monkeypatch, capfd
):
    beam_engine.find_beam()
    (tmp_path / "early_end.py").write_text(code)
    monkeypatch.setattr(beam_workers, "WORKER", "early_end")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError) as caught:
        beam_engine.run_pipeline(build(abs), ["--direct_num_workers=2"])
    assert str(caught.value) == f"a worker process ended early: {words}"
    assert capfd.readouterr() == ("", "")


def test_workers_take_no_module_from_the_current_folder_and_no_proxy_to_this_machine(tmp_path, monkeypatch):
    """Both made several workers wait, or be waited for, for ever."""
    beam_engine.find_beam()
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong random.py')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    out = tmp_path / "out"
    out.mkdir()

    def note(value: int) -> None:
        (out / str(value)).touch()

    beam_engine.run_pipeline(build(note), ["--direct_num_workers=2"])
    assert sorted(path.name for path in out.iterdir()) == ["0", "1", "2", "3"]
    assert "no_grpc_proxy" not in os.environ


HELD = """
import os, signal, sys
from amfam_tf.beam import engine as beam_engine

beam_engine.find_beam()
import apache_beam as beam

path = sys.argv[1]

def hold(value):
    # Open for as long as this process is there.
    os.write(os.open(path, os.O_WRONLY), b"x")
    while True:
        signal.sigtimedwait([], 1000)

beam_engine.run_pipeline(
    lambda pipeline: pipeline | beam.Create(range(2)) | beam.Reshuffle() | beam.Map(hold), ["--direct_num_workers=2"]
)
"""


def test_workers_do_not_outlive_a_parent_that_is_killed(tmp_path):
    line = tmp_path / "line"
    os.mkfifo(line)
    parent = subprocess.Popen([sys.executable, "-c", HELD, line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with line.open("rb", buffering=0) as held:
        assert held.read(1) == b"x"
        parent.kill()
        parent.wait()
        while held.read(1):
            pass  # the other worker may have come as far, too; at the end nobody holds the line


def test_what_a_worker_is_asked_before_and_after_its_silent_end_is_answered(tmp_path):
    beam_engine.find_beam()
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import ControlConnection

    with watched_workers(tmp_path, []):
        connection = ControlConnection()
        before = connection.push(beam_fn_api_pb2.InstructionRequest())
        connection.set_input(iter([]))  # ends without an error
        assert DEAD in before.get(timeout=10).error
        assert DEAD in connection.push(beam_fn_api_pb2.InstructionRequest()).get(timeout=10).error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--direct_num_workers=two"], "argument --direct_num_workers: invalid int value: 'two'"),
        (["--no_such_option=3"], "there is none named 'no_such_option'"),
        (["word"], "there is none named 'word'"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(arguments, message):
    with pytest.raises(ConfigError) as caught:
        beam_engine.run_pipeline(lambda _: pytest.fail("built all the same"), arguments)
    assert str(caught.value) == f"Beam's options: {message}"


def test_the_number_of_processes_is_known_unless_another_engine_counts_them():
    assert beam_engine.worker_count([]) == 1
    assert beam_engine.worker_count(["--direct_num_workers=3"]) == 3
    assert beam_engine.worker_count(["--direct_num_workers=0"]) == usable_cores()
    assert beam_engine.worker_count(["--runner=FlinkRunner", "--flink_master=here"]) is None


def test_without_beam_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(EngineError, match=r"pip install amfam-tf\[beam\]"):
        beam_engine.find_beam()
