"""SIGTERM, as a scheduler or `docker stop` sends it, ends a verb as Ctrl-C does: in good order, with its own status."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

HANDLED = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
FIRST_STATUS = 128
"""The exit status is this and the number of the signal, as a shell has it: 130 for Ctrl-C, 143 for SIGTERM."""
SOON_SECONDS = 0.05
TOGETHER_SECONDS = 1.0
"""Signals so close to each other are one: `timeout`, for one, sends SIGTERM to the process and to its group."""


class Interruption:
    """What has interrupted this process.

    Attributes:
        number: the first signal; None if there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._when = 0.0
        self._report = sys.unraisablehook

    @property
    def status(self) -> int:
        """The exit status that says so."""
        return FIRST_STATUS + (self.number or signal.SIGINT)

    def describe(self) -> str:
        """Returns the words for the last line."""
        name = "" if self.number in (None, signal.SIGINT) else f" by {signal.Signals(self.number).name}"
        return f"interrupted{name}"

    def handle(self, number: int, _: Any) -> NoReturn | None:
        """Raises KeyboardInterrupt for the first signal; a second one ends the process at once."""
        if self.number is None:
            self.number, self._when = number, time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._when >= TOGETHER_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        return None

    def raise_again(self, lost: Any) -> None:
        """Lets an interruption that came where no exception gets out (`__del__`, a callback) come once more, soon."""
        if self.number is None or not isinstance(lost.exc_value, KeyboardInterrupt):
            self._report(lost)
            return
        signal.signal(signal.SIGALRM, self._interrupt)
        signal.setitimer(signal.ITIMER_REAL, SOON_SECONDS)

    @staticmethod
    def _interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handles the signals until the body ends; one that is ignored (nohup) stays so."""
    found = Interruption()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in HANDLED:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, found.handle)
        before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
    hook, sys.unraisablehook = sys.unraisablehook, found.raise_again
    try:
        yield found
    finally:
        sys.unraisablehook = hook
        if before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
