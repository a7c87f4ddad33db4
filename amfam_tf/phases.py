"""Where the time of a command goes: a recorder of named phases, from the start of the process.

Each moment belongs to one phase, the innermost that is open, so that the phases sum to the whole. Only the standard
library: the recorder starts before anything large is imported.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

IMPORTED = time.perf_counter()
START = "start of Python and the command line"
OTHER = "other"
SHORTEST = 0.005
"""What was open already and took less than this is not told."""


@dataclass(frozen=True)
class PhaseRow:
    """One phase.

    Attributes:
        name: of the phase.
        seconds: in all, without the phases opened inside it.
        times: how often it was opened.
        first_step: whether the seconds are before the end of the first training step, or after it.
    """

    name: str
    seconds: float
    times: int
    first_step: bool


class Recorder:
    """Counts the seconds of phases; begins with the process where the system says when that was (Linux), else with the
    import of this module.

    Args:
        clock: gives seconds.
        age: of the process at the call, seconds; by default as the system says.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, age: float | None = None):
        self._clock = clock
        self._age = process_age() if age is None else age
        self._began = self._since = clock() - self._age
        self._open = [START]
        self._parts: list[dict[str, list[float]]] = [{START: [0.0, 1]}, {}]
        self._part = 0
        self.first_step: float | None = None
        """Seconds from the start of the process to the end of the first training step."""
        self._first_step_processor: float | None = None

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """The seconds of the body belong to a phase, other than those of phases opened inside it."""
        self.open(name)
        try:
            yield
        finally:
            self.close()

    def open(self, name: str) -> None:
        """Opens a phase, until `close`."""
        self._count()
        if self._open == [START]:
            self._open = [OTHER]
        self._open.append(name)
        self._parts[self._part].setdefault(name, [0.0, 0])[1] += 1

    def close(self) -> None:
        """Closes the innermost phase."""
        self._count()
        self._open.pop()

    def timed(self, name: str, function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
        """Returns the function with its calls counted as a phase."""

        @functools.wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
            with self.phase(name):
                return function(*args, **kwargs)

        return call

    def mark_first_step(self) -> None:
        """The first training step is done; the same phases are counted anew from here on."""
        self._count()
        self._part = 1
        self.first_step = self._since - self._began
        self._first_step_processor = time.process_time()

    def rows(self) -> list[PhaseRow]:
        """Returns the phases up to the first step, then those after it, each in the order of its first opening."""
        self._count()
        return [
            PhaseRow(name, seconds, int(times), first_step=not part)
            for part, phases in enumerate(self._parts)
            for name, (seconds, times) in phases.items()
            if times or seconds >= SHORTEST
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as plain values; without a training step, all phases count as before it."""
        rows = self.rows()
        parts = {"until_first_step": True, "after_first_step": False}
        return {
            "first_step_seconds": self.first_step,
            "first_step_processor_seconds": self._first_step_processor,
            "total_seconds": self._since - self._began,
            **{key: _plain([row for row in rows if row.first_step == before]) for key, before in parts.items()},
        }

    def _count(self) -> None:
        """Gives the time since the last call to the phase that was open."""
        now = self._clock()
        self._parts[self._part].setdefault(self._open[-1], [0.0, 0])[0] += now - self._since
        self._since = now


def _plain(rows: Sequence[PhaseRow]) -> list[dict[str, Any]]:
    return [{"phase": row.name, "seconds": round(row.seconds, 3), "times": row.times} for row in rows]


class Off(Recorder):
    """A recorder for who does not measure: its phases cost nothing and are not kept."""

    def __init__(self) -> None:
        self.first_step = None

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Does nothing."""
        del name
        yield

    def timed(self, name: str, function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
        """Returns the function itself."""
        del name
        return function


OFF = Off()


def process_age() -> float:
    """Returns how long this process has been running, seconds, to 10 ms; outside Linux since this module's import."""
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.perf_counter() - IMPORTED
    # Behind the name of the program, which may hold blanks, the start is the 20th field.
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def lines(content: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Returns rows of a table, (phase, seconds, times), of what `Recorder.to_dict` returned."""
    found: list[tuple[str, str, str]] = []
    first = content["first_step_seconds"]
    for key in ("until_first_step", "after_first_step"):
        found += [(row["phase"], f"{row['seconds']:.2f}", str(row["times"] or "")) for row in content[key]]
        if key == "until_first_step" and first is not None:
            found.append(("FIRST STEP DONE", f"{first:.2f}", ""))
    return [*found, ("ALL", f"{content['total_seconds']:.2f}", "")]
