"""Proxies of the environment: never on the way to this machine, and named where a server is reached through one."""

import contextlib
import os
import socket
import socketserver
import threading

import pytest
from asked_servers import LOCALHOST, grpc_server
from test_client import PAIR, response

from amfam_tf.client import proxies
from amfam_tf.client.client import Client
from amfam_tf.client.transport import Connection
from amfam_tf.errors import QueryError

REMOTE = "models.invalid:8500"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@contextlib.contextmanager
def proxy(target: str | None = None):
    """Runs an HTTP proxy whose every tunnel ends at `target`; without one it refuses. Yields its port and its calls."""
    calls: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            calls.append(self.rfile.readline().decode().split()[1])
            while self.rfile.readline().strip():
                pass
            if target is None:
                self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                return
            host, port = target.split(":")
            with socket.create_connection((host, int(port))) as onward:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(onward, self.connection))
                back.start()
                pump(self.connection, onward)
                back.join()

    server = socketserver.ThreadingTCPServer((LOCALHOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1], calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("host", [LOCALHOST, "localhost"])
@pytest.mark.parametrize("variable", proxies.READ_BY_GRPC)
def test_this_machine_is_never_asked_through_a_proxy(host, variable, monkeypatch):
    with proxy() as (port, calls), grpc_server(lambda *_: response()) as address:
        monkeypatch.setenv(variable, f"http://{LOCALHOST}:{port}")
        with Client(address.replace(LOCALHOST, host)) as client:
            assert client.predict(PAIR).version == 7
            assert client.proxy is None
    assert calls == []


def test_another_machine_is_asked_through_the_proxy_and_that_is_known(monkeypatch):
    with grpc_server(lambda *_: response()) as address, proxy(address) as (port, calls):
        monkeypatch.setenv("http_proxy", f"http://me:secret@{LOCALHOST}:{port}/")
        with Client(REMOTE) as client:
            assert client.predict(PAIR).version == 7
            assert client.proxy == f"http_proxy=http://{LOCALHOST}:{port}"
    assert calls == [REMOTE]


def test_a_failure_through_a_proxy_names_it_without_its_password(monkeypatch):
    with proxy() as (port, calls):
        monkeypatch.setenv("https_proxy", f"http://me:secret@{LOCALHOST}:{port}")
        with Client(Connection(REMOTE, attempts=1)) as client, pytest.raises(QueryError) as caught:
            client.predict(PAIR)
    assert calls == [REMOTE]
    assert f"(through the proxy of https_proxy=http://{LOCALHOST}:{port}: no_proxy names" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_answer_in_time_through_a_proxy_names_it_too(monkeypatch):
    with socket.create_server((LOCALHOST, 0)) as silent:
        place = f"http://{LOCALHOST}:{silent.getsockname()[1]}"
        monkeypatch.setenv("grpc_proxy", place)
        with Client(Connection(REMOTE, attempts=1, timeout=0.3)) as client, pytest.raises(QueryError) as caught:
            client.predict(PAIR)
    assert f"grpc_proxy={place}" in str(caught.value)


def test_rest_is_direct_and_says_so(monkeypatch):
    with proxy() as (port, calls):
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://me:secret@{LOCALHOST}:{port}")
        connection = Connection("models.invalid:8501", attempts=1)
        with Client(connection, rest=True) as client, pytest.raises(QueryError) as caught:
            client.predict(PAIR)
    assert str(caught.value).endswith(
        f"(directly: the proxy of http_proxy=http://{LOCALHOST}:{port} is not used for it)"
    )
    assert calls == []


@pytest.mark.parametrize(
    ("variables", "address", "proxy", "unused"),
    [
        ({}, REMOTE, None, None),
        ({"http_proxy": "http://p:1"}, REMOTE, "http_proxy=http://p:1", None),
        ({"http_proxy": "http://p:1", "https_proxy": "http://q:1"}, REMOTE, "https_proxy=http://q:1", None),
        ({"http_proxy": "http://p:1", "grpc_proxy": ""}, REMOTE, None, "http_proxy=http://p:1"),
        ({"https_proxy": "https://p:1"}, REMOTE, None, "https_proxy=https://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, REMOTE, None, "HTTP_PROXY=http://p:1"),
        ({"ALL_PROXY": "socks5://u:w@p:1"}, REMOTE, None, "ALL_PROXY=socks5://p:1"),
        ({"http_proxy": "p:1"}, REMOTE, None, "http_proxy=(no URL)"),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, REMOTE, None, None),
        ({"http_proxy": "http://p:1", "no_proxy": "a, .invalid"}, REMOTE, None, None),
        ({"http_proxy": "http://p:1", "NO_PROXY": "models.invalid:8500"}, REMOTE, None, None),
        ({"http_proxy": "http://p:1", "no_proxy": "valid"}, REMOTE, "http_proxy=http://p:1", None),
        ({"http_proxy": "http://p:1", "no_grpc_proxy": "x", "no_proxy": "*"}, REMOTE, "http_proxy=http://p:1", None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"}, "10.1.2.3:1", None, None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.9.8.7/8"}, "10.1.2.3:1", None, None),
        ({"http_proxy": "http://p:1", "no_proxy": "10.0.0.0/8"}, "11.1.2.3:1", "http_proxy=http://p:1", None),
        ({"http_proxy": "http://p:1", "no_proxy": "fd00::/8"}, "[fd00::1]:1", None, None),
        ({"http_proxy": "http://p:1"}, "127.0.0.1:1", None, None),
        ({"http_proxy": "http://p:1"}, "[::1]:1", None, None),
        ({"http_proxy": "http://p:1"}, "unix:/tmp/x", None, None),
    ],
)
def test_routes(variables, address, proxy, unused, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxies.route_to(address) == proxies.Route(proxy, unused)
    assert proxies.channel_options(proxies.Route(proxy, unused)) == ([] if proxy else [("grpc.enable_http_proxy", 0)])
