"""How many requests may be in the server, and whether any still is."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from amfam_tf.server.status import ServingError


class Admission:
    """Counts predictions against a limit, and all calls whose answer is not fully sent yet.

    Args:
        limit: predictions that run or wait at a time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._predictions = threading.BoundedSemaphore(limit)
        self._open_calls = 0
        self._changed = threading.Condition()

    @contextmanager
    def prediction(self) -> Iterator[None]:
        """Holds one of the places for predictions.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, at once, if all are taken.
        """
        if not self._predictions.acquire(blocking=False):
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"too many requests: {self._limit} predictions are in flight, the most that this server takes; "
                "try again later",
            )
        try:
            yield
        finally:
            self._predictions.release()

    def call_opened(self) -> None:
        """Notes that a call is open, until `call_closed`."""
        with self._changed:
            self._open_calls += 1

    def call_closed(self) -> None:
        """Notes that the answer of a call is sent, or that nobody wants it any more."""
        with self._changed:
            self._open_calls -= 1
            self._changed.notify_all()

    def wait_idle(self, timeout_seconds: float) -> bool:
        """Waits until no call is open; returns whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open_calls == 0, timeout_seconds)
