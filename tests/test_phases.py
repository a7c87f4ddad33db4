"""The recorder of phases: sums, nesting, the two parts, and that it costs nothing when off."""

import contextlib
import time
from pathlib import Path

import pytest

from amfam_tf import phases
from amfam_tf.phases import OFF, OTHER, START, Recorder


class Clock:
    """A clock that moves only when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds


@pytest.fixture
def clock():
    return Clock()


def seconds_of(recorder):
    return {(row.name, row.first_step): (row.seconds, row.times) for row in recorder.rows()}


def test_each_moment_belongs_to_the_innermost_phase(clock):
    recorder = Recorder(clock, age=2.0)
    clock.pass_by(1)
    with recorder.phase("outer"):
        clock.pass_by(3)
        with recorder.phase("inner"):
            clock.pass_by(5)
        clock.pass_by(7)
    clock.pass_by(11)
    with recorder.phase("inner"):
        clock.pass_by(13)
    assert seconds_of(recorder) == {
        (START, True): (3.0, 1),
        ("outer", True): (10.0, 1),
        ("inner", True): (18.0, 2),
        (OTHER, True): (11.0, 0),
    }
    assert recorder.to_dict()["total_seconds"] == 42.0


def test_the_first_step_divides_phases_in_two_parts(clock):
    recorder = Recorder(clock, age=0.0)
    with recorder.phase("steps"):
        clock.pass_by(4)
        recorder.mark_first_step()
        clock.pass_by(6)
    assert seconds_of(recorder) == {(START, True): (0.0, 1), ("steps", True): (4.0, 1), ("steps", False): (6.0, 0)}
    content = recorder.to_dict()
    assert content["first_step_seconds"] == 4.0
    assert 0 < content["first_step_processor_seconds"] <= time.process_time()
    assert phases.lines(recorder.to_dict()) == [
        (START, "0.00", "1"),
        ("steps", "4.00", "1"),
        ("FIRST STEP DONE", "4.00", ""),
        ("steps", "6.00", ""),
        ("ALL", "10.00", ""),
    ]


def test_a_phase_ends_with_an_error_too(clock):
    recorder = Recorder(clock, age=0.0)
    with contextlib.suppress(KeyError), recorder.phase("fails"):
        clock.pass_by(1)
        raise KeyError
    clock.pass_by(2)
    assert seconds_of(recorder)["fails", True] == (1.0, 1)
    assert seconds_of(recorder)[OTHER, True] == (2.0, 0)


def test_timed_function_gives_what_the_function_gives(clock):
    recorder = Recorder(clock, age=0.0)

    def wait(seconds, factor=1):
        clock.pass_by(seconds)
        return seconds * factor

    timed = recorder.timed("waiting", wait)
    assert [timed(2), timed(3, factor=2)] == [2, 6]
    assert timed.__name__ == "wait"
    assert seconds_of(recorder)["waiting", True] == (5.0, 2)


def test_off_is_the_function_itself_and_no_phase():
    def function():
        raise AssertionError

    assert OFF.timed("name", function) is function
    with OFF.phase("name"):
        pass
    assert OFF.first_step is None


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="the system does not tell when a process began")
def test_age_of_the_process_grows():
    first = phases.process_age()
    assert 0 <= first <= phases.process_age()
