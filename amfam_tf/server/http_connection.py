"""One connection of the REST server: uvicorn's protocol on h11, with limits on time and memory and JSON errors."""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import grpc
import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from amfam_tf.server.admission import Admission
from amfam_tf.server.lingering_transport import LingeringTransport
from amfam_tf.server.rest import Reply, RestApi, error_reply
from amfam_tf.server.rest_limits import BodyBudget, RestLimits
from amfam_tf.server.status import ServingError, invalid_argument
from amfam_tf.server.strict_http import StrictConnection, too_long

REQUEST_TIMEOUT = 408
_CLOSE = (b"connection", b"close")


@dataclass
class Service:
    """What the connections of a server share.

    Attributes:
        pool: threads that answer.
        draining: whether every answer is the last of its connection.
    """

    api: RestApi
    admission: Admission
    pool: Executor
    budget: BodyBudget
    limits: RestLimits
    draining: bool = False


class HttpConnection(H11Protocol):
    """Reads requests, has them answered in the pool, writes the answers.

    Args:
        service: shared by all connections; the other arguments are uvicorn's.
    """

    conn: StrictConnection
    transport: LingeringTransport

    def __init__(self, service: Service, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._service = service
        self._limits = service.limits
        self._head_timer: asyncio.TimerHandle | None = None
        self._turned_away = False
        self._is_reading_body = False
        self.conn = StrictConnection(service.api.max_message_bytes)
        self.app = self._answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Begins to wait for a request, or turns the client away."""
        if len(self.connections) >= self._limits.connections:
            self._turned_away = True
            reply = error_reply(f"too many connections: this server takes {self._limits.connections}", 429)
            event = h11.Response(status_code=429, headers=_headers(reply, close=True), reason=STATUS_PHRASES[429])
            transport.write(self.conn.send(event) + reply.body)
            transport.close()
            return
        # The protocol hears when the last byte is on its way, not only when few are left.
        transport.set_write_buffer_limits(high=0)
        lingering = LingeringTransport(
            transport, self.loop, lambda: self._is_reading_body, self._has_more_to_say, self._limits.discard_seconds
        )
        super().connection_made(lingering)
        self.timeout_keep_alive_task = self.loop.call_later(self._limits.idle_seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what waits for the client."""
        if self._turned_away:
            return
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_head_timer()
        self.transport.forget()

    def data_received(self, data: bytes) -> None:
        """Takes the client's bytes, or drops them once the connection is to end."""
        if not self.transport.is_closing():
            super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio reads it
        """Answers what has arrived: a client that has ended its side may still listen."""
        if self.transport.is_closing():
            return False
        self.conn.receive_data(b"")
        self.handle_events()
        return True

    def handle_events(self) -> None:
        """Handles what has arrived; then waits for the rest of a head, or closes after the last answer."""
        super().handle_events()
        if self.transport.is_closing():
            self._stop_head_timer()
        elif self.conn.their_state is h11.CLOSED and not self._is_busy():
            self.transport.close()
        elif not (self.conn.their_state is h11.IDLE and self.conn.has_input):
            self._stop_head_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_seconds, self._end_slow_head)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP request; uvicorn's `msg` says less than the parser does."""
        del msg
        self._refuse(*self.conn.failure)

    def shutdown(self) -> None:
        """Closes the connection, after the request in flight if there is one."""
        if not self.transport.is_closing():
            super().shutdown()

    def abort(self) -> None:
        """Closes the connection at once."""
        self.transport.abort()

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_more_to_say(self) -> bool:
        """Says whether the client has not ended its request, so that it may not listen yet."""
        return self.conn.has_input or self.conn.their_state in (h11.SEND_BODY, h11.ERROR)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_slow_head(self) -> None:
        self._refuse(REQUEST_TIMEOUT, f"the headers did not arrive within {self._limits.head_seconds:g} s")

    def _refuse(self, status: int, message: str) -> None:
        """Answers without the API, frees what the request holds and closes."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reply = error_reply(message, status)
            headers = [*self.server_state.default_headers, *_headers(reply, close=True)]
            events = (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES[status]),
                h11.Data(data=reply.body),
                h11.EndOfMessage(),
            )
            self.transport.write(b"".join(self.conn.send(event) for event in events))
        if self._is_busy():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request; this is the application that uvicorn runs."""
        held: list[int] = []
        self._service.admission.call_opened()
        try:
            close = False
            try:
                self._is_reading_body = True
                body = await self._read_body(scope["headers"], receive, held)
            except ServingError as error:
                reply, close = error_reply(error.message, error.http_status), True
            except TimeoutError:
                reply, close = error_reply("the body did not arrive in time", REQUEST_TIMEOUT), True
            finally:
                self._is_reading_body = False
            if not close:
                if body is None:
                    return
                target = scope["raw_path"].decode("ascii")
                answer = self._service.api.answer
                reply = await self.loop.run_in_executor(self._service.pool, answer, scope["method"], target, body)
            await self._send(reply, close, send)
        except asyncio.CancelledError:
            # The server ends and has closed the connection. uvicorn would log the cancellation as a failure.
            return
        finally:
            self._service.budget.give_back(sum(held))
            self._service.admission.call_closed()

    async def _read_body(
        self, headers: list[tuple[bytes, bytes]], receive: Any, held: list[int]
    ) -> bytes | bytearray | None:
        """Returns the request's body, None if the client has gone.

        Args:
            held: takes the numbers of bytes that the budget has counted.

        Raises:
            ServingError: it is encoded, too long, or too much together with those of other requests.
            TimeoutError: it arrives too slowly.
        """
        limit, budget = self._service.api.max_message_bytes, self._service.budget
        declared = _declared_length(headers)
        if declared > limit:
            raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, too_long(limit))
        budget.check(declared)
        body: bytes | bytearray = b""
        started = self.loop.time()
        async with asyncio.timeout(self._limits.silence_seconds) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                piece = message["body"]
                if len(body) + len(piece) > limit:
                    raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, too_long(limit))
                budget.take(len(piece))
                held.append(len(piece))
                if not message["more_body"] and not body:
                    return piece
                body = body or bytearray()
                body += piece
                if not message["more_body"]:
                    return body
                slowest = started + len(body) / self._limits.slowest_bytes_per_second
                deadline.reschedule(min(self.loop.time(), slowest) + self._limits.silence_seconds)

    async def _send(self, reply: Reply, close: bool, send: Any) -> None:
        """Sends an answer and returns when the system has all of it, or the client does not take it."""
        close = close or self._service.draining or not self.cycle.keep_alive
        start = {"type": "http.response.start", "status": reply.status, "headers": _headers(reply, close)}
        await self._flushed()
        self.transport.hold()
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})
        self.transport.send_held()
        await self._flushed()

    async def _flushed(self) -> None:
        """Waits until the write buffer is empty; ends the connection if it does not shrink for a while."""
        while left := self.transport.unsent_bytes():
            try:
                async with asyncio.timeout(self._limits.silence_seconds):
                    await self.flow.drain()
            except TimeoutError:
                if self.transport.unsent_bytes() >= left:
                    self.transport.abort()
                    return


def _headers(reply: Reply, close: bool) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"content-type", reply.media_type.encode("ascii")),
        (b"content-length", b"%d" % len(reply.body)),
    ]
    return [*headers, _CLOSE] if close else headers


def _declared_length(headers: list[tuple[bytes, bytes]]) -> int:
    """Returns the Content-Length, 0 if there is none.

    Raises:
        ServingError: the body is encoded.
    """
    for name, value in headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise invalid_argument(f"Content-Encoding {value.decode('latin-1')} is not supported")
    return next((int(value) for name, value in headers if name == b"content-length"), 0)
