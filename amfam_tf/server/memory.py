"""The memory that requests may take together: counted before it is taken, and given back to the system afterwards.

Two pools, so that nobody holds one part and waits for another for ever. Small requests run as one piece and take all
they need at once. A long request keeps its inputs and outputs in the same pool, and takes each of its pieces from the
other one, in turns: who has had the fewest pieces is next, so that a request of one large picture waits for one piece
of a request of hundreds.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from amfam_tf.server.malloc_trim import trim_soon
from amfam_tf.server.status import ServingError, deadline_exceeded

PIECE_BYTES = 256 * 2**20
"""Largest piece of a request whose rows can be cut; with it goes how long one piece keeps the processors busy."""
PATIENCE_SECONDS = 1.0
"""How long a small request waits for memory before it is told to try again."""
LOOK_SECONDS = 0.1
"""Between two looks whether anybody still wants the answer."""
WORTH_TRIMMING_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Patience:
    """How long a request may take.

    Attributes:
        end: time by `time.monotonic`, infinite for no limit.
        is_wanted: says whether anybody still waits for the answer.
    """

    end: float = float("inf")
    is_wanted: Callable[[], bool] = lambda: True

    @classmethod
    def of(cls, timeout_ms: int, is_wanted: Callable[[], bool] = lambda: True) -> "Patience":
        """Returns that of a request that just came; 0 ms is no limit."""
        return cls(time.monotonic() + timeout_ms / 1000 if timeout_ms else float("inf"), is_wanted)

    def left_ms(self) -> int:
        """Returns the milliseconds that are left, 0 for no limit.

        Raises:
            ServingError: DEADLINE_EXCEEDED if none is left, CANCELLED if nobody waits any more.
        """
        if not self.is_wanted():
            raise ServingError(grpc.StatusCode.CANCELLED, "the client does not wait any more")
        if self.end == float("inf"):
            return 0
        left = self.end - time.monotonic()
        if left <= 0:
            raise deadline_exceeded()
        return max(1, int(left * 1000))


class MemoryBudget:
    """Memory for all requests of the process.

    Args:
        total_bytes: of all requests in flight.
        request_bytes: of one; at most half of the total, the other half is for the small ones.
        turns: pieces of long requests that run at a time.
    """

    def __init__(self, total_bytes: int, request_bytes: int, turns: int = max(1, (os.cpu_count() or 1) // 2)) -> None:
        self.request_bytes = request_bytes
        self.piece_bytes = min(PIECE_BYTES, request_bytes // 4)
        self._common = total_bytes - request_bytes
        self._common_free = self._common
        self._long_free = request_bytes
        self._turns_free = turns
        self._waiting: list[tuple[int, int]] = []
        self._arrivals = itertools.count()
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, size: int, patience: Patience) -> Iterator[None]:
        """Holds memory of the common pool.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, after a second without enough of it; as `Patience.left_ms`.
        """
        self._check(size, self._common)
        end = min(time.monotonic() + PATIENCE_SECONDS, patience.end)
        with self._changed:
            while self._common_free < size:
                patience.left_ms()
                if time.monotonic() >= end:
                    raise ServingError(
                        grpc.StatusCode.RESOURCE_EXHAUSTED,
                        f"the request takes about {size} bytes of memory, and others have all but "
                        f"{self._common_free} of the {self._common} bytes for requests like it: try again later",
                    )
                self._changed.wait(LOOK_SECONDS)
            self._common_free -= size
        try:
            yield
        finally:
            self._give_back(size)
            if size >= WORTH_TRIMMING_BYTES:
                trim_soon()

    @contextmanager
    def turn(self, size: int, pieces_had: int, patience: Patience) -> Iterator[None]:
        """Holds memory for one piece of a long request, when it is its turn.

        Args:
            pieces_had: pieces of this request that have run.

        Raises:
            ServingError: as `Patience.left_ms`.
        """
        self._check(size, self.request_bytes)
        ticket = (pieces_had, next(self._arrivals))
        with self._changed:
            self._waiting.append(ticket)
            try:
                while not (self._turns_free and self._long_free >= size and min(self._waiting) == ticket):
                    patience.left_ms()
                    self._changed.wait(LOOK_SECONDS)
                self._turns_free -= 1
                self._long_free -= size
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            self._give_back(size, turns=1)

    def check_request(self, size: int, what: str) -> None:
        """Refuses a request that could never run.

        Args:
            what: the request, for the message.

        Raises:
            ServingError: RESOURCE_EXHAUSTED.
        """
        if size > self.request_bytes:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{what} would take about {size} bytes of memory; the limit is {self.request_bytes} "
                "(--max-request-memory-bytes): send fewer or smaller pictures in a request",
            )

    def _check(self, size: int, pool: int) -> None:
        if size > pool:
            self.check_request(max(size, self.request_bytes + 1), "the request")

    def _give_back(self, size: int, turns: int = 0) -> None:
        with self._changed:
            if turns:
                self._long_free += size
                self._turns_free += turns
            else:
                self._common_free += size
            self._changed.notify_all()


MOST_ROWS = 1000
REQUEST_BYTES, TOTAL_BYTES = 2**30, 2**31


@dataclass(frozen=True)
class RequestLimits:
    """What requests may take.

    Attributes:
        most_rows: of one request.
        memory: of one and of all.
    """

    most_rows: int = MOST_ROWS
    memory: MemoryBudget = field(default_factory=lambda: MemoryBudget(TOTAL_BYTES, REQUEST_BYTES))
