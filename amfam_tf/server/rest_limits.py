"""What the clients of the REST port may take of the server's time and memory."""

from dataclasses import dataclass

import grpc

from amfam_tf.server.malloc_trim import trim_soon
from amfam_tf.server.memory import WORTH_TRIMMING_BYTES
from amfam_tf.server.status import ServingError


@dataclass(frozen=True)
class RestLimits:
    """What clients may take of the server.

    Attributes:
        connections: open at a time; more are answered 429.
        idle_seconds: between two requests, and before the first.
        head_seconds: from the first byte of a request to the end of its headers.
        silence_seconds: longest wait for the next bytes of a body, and for a client that does not take its answer.
        slowest_bytes_per_second: of a body on average, after the first `silence_seconds`.
        discard_seconds: for which the rest of a refused request is read and dropped.
    """

    connections: int = 256
    idle_seconds: float = 60
    head_seconds: float = 30
    silence_seconds: float = 60
    slowest_bytes_per_second: float = 4096
    discard_seconds: float = 10


class BodyBudget:
    """Bytes that the bodies of all connections may take together, from their arrival to the answer.

    Used by the event loop's thread alone.

    Attributes:
        taken: bytes that are counted now.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0
        self._freed = 0

    def check(self, count: int) -> None:
        """Raises ServingError, RESOURCE_EXHAUSTED, if there is no room for so many bytes more."""
        if self.taken + count > self._limit:
            raise ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"too many bytes: the bodies of all requests may take {self._limit} bytes together; try again later",
            )

    def take(self, count: int) -> None:
        """Counts bytes that have arrived; raises as `check` does."""
        self.check(count)
        self.taken += count

    def give_back(self, count: int) -> None:
        """Counts bytes that are not needed any more; now and then the system gets them back."""
        self.taken -= count
        self._freed += count
        if self._freed >= WORTH_TRIMMING_BYTES:
            self._freed = 0
            trim_soon()
