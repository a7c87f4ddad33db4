"""What a soak has seen: every request with its outcome, every fault, the process's memory and descriptors over time."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["right", "wrong", "refused", "lost", "failed"]
"""right: the expected answer, or the expected refusal of a bad request; wrong: another answer; refused: busy, asked to
come back; lost: no answer while the server was being ended by us; failed: an error that nobody had reason for."""


@dataclass(frozen=True)
class Request:
    """One request of the traffic.

    Attributes:
        kind: which sort.
        good: whether an answer was due; else a refusal was.
        started: seconds since the soak's start.
        seconds: until the answer.
        outcome: see `Outcome`.
        detail: what was wrong, "" otherwise.
    """

    kind: str
    good: bool
    started: float
    seconds: float
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class Sample:
    """The server's process at one time.

    Attributes:
        at: seconds since the soak's start.
        life: number of the process, from 0: a kill begins the next.
        megabytes: resident memory, 10^6 bytes.
        descriptors: open files and sockets.
        threads: of the process.
        allocated: memory in use, 10^6 bytes; None where the allocator cannot tell.
    """

    at: float
    life: int
    megabytes: float
    descriptors: int
    threads: int
    allocated: float | None = None


@dataclass
class Log:
    """Everything seen so far; its methods may be called from any thread."""

    begun: float = field(default_factory=time.monotonic)
    requests: list[Request] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    faults: Counter = field(default_factory=Counter)
    swaps: list[tuple[float, float]] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _down_since: float | None = None

    def now(self) -> float:
        """Returns the seconds since the start."""
        return time.monotonic() - self.begun

    def add(self, request: Request) -> None:
        """Notes a request."""
        with self._lock:
            self.requests.append(request)

    def note(self, fault: str) -> None:
        """Counts an injected fault."""
        with self._lock:
            self.faults[fault] += 1

    def complain(self, problem: str) -> None:
        """Notes what should not be."""
        with self._lock:
            self.problems.append(f"{self.now():.1f} s: {problem}")

    def down(self) -> None:
        """Notes that the server is being ended."""
        with self._lock:
            self._down_since = self.now()

    def up(self) -> None:
        """Notes that it answers again."""
        with self._lock:
            self.outages.append((self._down_since, self.now()))
            self._down_since = None

    def was_down(self, started: float, ended: float) -> bool:
        """Says whether the server was down at any time of an interval."""
        with self._lock:
            spans = [*self.outages, *([(self._down_since, ended)] if self._down_since is not None else [])]
        return any(begin <= ended and started <= end for begin, end in spans)
