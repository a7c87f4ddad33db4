"""Signals: the first one ends a verb in good order, with the status that says which; a second one at once."""

import os
import signal
import subprocess
import sys
import threading

import click
import pytest

from amfam_tf.cli import main as command_line
from amfam_tf.cli import signals


@pytest.fixture
def restored():
    """Puts the handlers of signals back."""
    before = {number: signal.getsignal(number) for number in signals.HANDLED}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def verb(monkeypatch):
    """Puts a function in the place of the verb `env`, or of another one."""

    def put(function, name="env"):
        command = click.Command(name, callback=function)
        monkeypatch.setattr(f"amfam_tf.cli.{name}.{name}", command)

    return put


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "interrupted by SIGTERM"),
        (signal.SIGHUP, 129, "interrupted by SIGHUP"),
    ],
)
def test_the_first_signal_ends_in_good_order(number, status, line, verb, capsys):
    # A shell that starts the tests in the background lets them ignore SIGINT; what a user starts does not.
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    before = [signal.getsignal(one) for one in signals.HANDLED]
    closed = []

    def interrupted():
        try:
            os.kill(os.getpid(), number)
        finally:
            closed.append(True)

    verb(interrupted)
    assert command_line.main(["env"]) == status
    assert capsys.readouterr().err == f"{line}\n"
    assert closed == [True]
    assert [signal.getsignal(one) for one in signals.HANDLED] == before


def test_a_verb_that_can_be_gone_on_with_says_so(verb, capsys):
    verb(lambda: os.kill(os.getpid(), signal.SIGTERM), "fit")
    assert command_line.main(["fit"]) == 143
    assert capsys.readouterr().err == "interrupted by SIGTERM: the same command goes on from there\n"


def test_what_foreign_code_makes_of_a_signal_is_the_signal(verb, capsys):
    """An extension in C that is interrupted between two calls of its own loses the exception and ends in another."""

    def interrupted():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise SystemError("Objects/listobject.c:338: bad argument to internal function") from None

    verb(interrupted, "fit")
    assert command_line.main(["fit"]) == 143
    assert capsys.readouterr().err == "interrupted by SIGTERM: the same command goes on from there\n"


@pytest.mark.usefixtures("restored")
def test_a_signal_where_no_exception_gets_out_is_not_lost(verb, capsys):
    """Python only prints what is raised in a finaliser, wherever in a long fit one happens to run."""

    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    reached = []

    def interrupted():
        dying = Dying()
        del dying
        reached.append(True)
        threading.Event().wait(60)

    hook, alarm = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    verb(interrupted)
    assert command_line.main(["env"]) == 143
    assert reached == [True]
    assert capsys.readouterr().err == "interrupted by SIGTERM\n"
    assert (sys.unraisablehook, signal.getsignal(signal.SIGALRM)) == (hook, alarm)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_other_exceptions_of_finalisers_are_told_as_ever(verb, monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Broken:
        def __del__(self):
            raise ValueError("in a finaliser")

    verb(lambda: Broken() and None)
    assert command_line.main(["env"]) == 0
    assert [str(one.exc_value) for one in told] == ["in a finaliser"]


def test_two_signals_at_once_are_one(verb):
    closed = []

    def interrupted():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            closed.append(True)

    verb(interrupted)
    assert command_line.main(["env"]) == 143
    assert closed == [True]


SECOND = """
import os, signal, sys
from amfam_tf.cli import signals
signals.TOGETHER_SECONDS = 0
with signals.interruptible():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        print("closing", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        print("closed", flush=True)
"""


def test_a_second_signal_ends_at_once():
    done = subprocess.run([sys.executable, "-c", SECOND], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "closing\n", "")


def test_what_nohup_ignores_stays_ignored(verb):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        verb(lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert command_line.main(["env"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_may_call_the_command_line(verb):
    verb(lambda: None)
    found = []
    thread = threading.Thread(target=lambda: found.append(command_line.main(["env"])))
    thread.start()
    thread.join()
    assert found == [0]
