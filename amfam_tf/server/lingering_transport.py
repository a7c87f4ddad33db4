"""What uvicorn writes and reads through: answers in one piece, and an end that does not take the last one away."""

import asyncio
from collections.abc import Callable
from typing import Any


class LingeringTransport(asyncio.Transport):
    """A transport that closes late if the client still sends: most clients listen only after they have sent all.

    A socket that is closed with bytes unread takes the answer away from the client as well.

    Args:
        is_body_awaited: whether what arrives is the body of a request, and taken at once: reading does not pause then.
        has_more_to_say: whether the client is in the middle of a request.
        discard_seconds: for which the rest of it is read and dropped.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        is_body_awaited: Callable[[], bool],
        has_more_to_say: Callable[[], bool],
        discard_seconds: float,
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._is_body_awaited = is_body_awaited
        self._has_more_to_say = has_more_to_say
        self._discard_seconds = discard_seconds
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._held: list[bytes | bytearray | memoryview] | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Returns what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends bytes, or keeps them for `send_held`."""
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(data)

    def hold(self) -> None:
        """Keeps what is written from now on: head and body of an answer go out together, or cost two turns."""
        self._held = []

    def send_held(self) -> None:
        """Sends what was kept, if anything was."""
        held, self._held = self._held, None
        if held:
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Closes after what is written; after the client's end, or a while, if it is in the middle of a request."""
        if self.is_closing():
            return
        self.send_held()
        self._closing = True
        if not self._has_more_to_say():
            self._transport.close()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        self._timer = self._loop.call_later(self._discard_seconds, self._transport.abort)

    def is_closing(self) -> bool:
        """Says whether the connection is to end."""
        return self._closing or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Stops reading, unless the next bytes are taken or dropped."""
        if not (self.is_closing() or self._is_body_awaited()):
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Takes the next bytes of the client again."""
        self._transport.resume_reading()

    def unsent_bytes(self) -> int:
        """Returns the size of the write buffer."""
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        """Closes at once."""
        self._closing = True
        self._transport.abort()

    def forget(self) -> None:
        """Stops the timer: the connection has ended."""
        if self._timer is not None:
            self._timer.cancel()
