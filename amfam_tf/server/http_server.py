"""The REST port: uvicorn in a thread of its own."""

import asyncio
import functools
import logging
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import uvicorn

from amfam_tf.server.admission import Admission
from amfam_tf.server.http_connection import HttpConnection, Service
from amfam_tf.server.rest import RestApi
from amfam_tf.server.rest_limits import BodyBudget, RestLimits

BUDGET_OF_LONGEST_BODIES = 8
"""Bodies of the longest kind that all connections may hold together: 512 MiB by default."""
BACKLOG = 128

_log = logging.getLogger(__name__)


class RestServer:
    """Listens, and hands every request to the API.

    Args:
        address: name or number of an interface, of IPv4 or IPv6; "::" takes both.
        threads: requests that are answered at a time.

    Attributes:
        port: that it listens on.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(
        self,
        api: RestApi,
        admission: Admission,
        address: str,
        port: int,
        threads: int,
        limits: RestLimits | None = None,
    ) -> None:
        self._listener = listen(address, port)
        self.port: int = self._listener.getsockname()[1]
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        budget = BodyBudget(BUDGET_OF_LONGEST_BODIES * api.max_message_bytes)
        self._service = Service(api, admission, self._pool, budget, limits or RestLimits())
        self._server = _Uvicorn(_config(self._service))
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="rest-loop", daemon=True)
        self._thread.start()
        self._server.listening.result()

    def body_bytes(self) -> int:
        """Returns the bytes that the bodies of all requests take now."""
        return self._service.budget.taken

    def stop_accepting(self) -> None:
        """Closes the port; requests in flight go on, and their connections close after them."""
        closed: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._close_port, closed)
        closed.result()

    def close(self) -> None:
        """Closes the connections that are still open."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            _log.debug("The REST server has ended")
        except BaseException as error:
            if self._server.listening.done():
                _log.exception("The REST server has failed")
            else:
                self._server.listening.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        # Outside the main thread uvicorn leaves the signals alone.
        await self._server.serve(sockets=[self._listener])

    def _close_port(self, closed: "Future[None]") -> None:
        self._service.draining = True
        for server in self._server.servers:
            server.close()
        for connection in list(self._server.server_state.connections):
            connection.shutdown()
        closed.set_result(None)

    def _end(self) -> None:
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, HttpConnection):
                connection.abort()
        # After the connections have heard of their end.
        if self._task is not None:
            self._loop.call_soon(self._task.cancel)


class _Uvicorn(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening: Future[None] = Future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set_result(None)


def _config(service: Service) -> uvicorn.Config:
    """Returns uvicorn's configuration: h11 only, no signals, no lifespan, errors alone in the log."""
    return uvicorn.Config(
        _never_called,
        http=functools.partial(HttpConnection, service),  # type: ignore[arg-type]  # it calls any callable
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.ERROR,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("server", "amfam-tf")],
        workers=1,
        backlog=BACKLOG,
        timeout_keep_alive=service.limits.idle_seconds,  # type: ignore[arg-type]  # it takes parts of a second
    )


async def _never_called(scope: Any, receive: Any, send: Any) -> None:
    """Stands where uvicorn wants an application: each connection brings its own."""
    del scope, receive, send
    raise AssertionError("connections answer themselves")


def listen(address: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Args:
        address: as in RestServer; an IPv6 address may stand in brackets.

    Raises:
        OSError: no such address, or it is in use.
    """
    infos = socket.getaddrinfo(address.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, place = min(infos, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, place[0] != "::")
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
