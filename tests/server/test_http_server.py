"""The REST port's HTTP, byte by byte: what is refused, what is read, what clients may take, and its end.

The API behind it is a stand-in that knows no models.
"""

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from server_tools import LOCALHOST

from amfam_tf.server import rest_limits
from amfam_tf.server.http_server import BUDGET_OF_LONGEST_BODIES, RestServer
from amfam_tf.server.rest import Reply
from amfam_tf.server.rest_limits import RestLimits

KIBIBYTE = 1024
LONGEST = 64 * KIBIBYTE
BUDGET = BUDGET_OF_LONGEST_BODIES * LONGEST
HOST = b"Host: h\r\n"
GOOD = b"GET /good HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /p HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


class Api:
    """Says what it was asked; requests for /held wait until the gate is open, /large answers 64 MiB."""

    max_message_bytes = LONGEST

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        self.asked.append((method, target, bytes(body)))
        if target == "/held":
            self.entered.release()
            assert self.gate.wait(60)
        if target == "/large":
            return Reply(bytes(64 * KIBIBYTE * KIBIBYTE))
        return Reply(json.dumps([method, target, len(body)]).encode())


class Calls:
    """Counts the calls that are open, as the server's admission does."""

    def __init__(self) -> None:
        self._open = 0
        self._changed = threading.Condition()

    def call_opened(self) -> None:
        self._add(1)

    def call_closed(self) -> None:
        self._add(-1)

    def _add(self, count: int) -> None:
        with self._changed:
            self._open += count
            self._changed.notify_all()

    def await_open(self, count: int) -> None:
        """Returns when so many calls are open."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._open == count, 60), self._open


class Rest:
    """A server and connections to it."""

    def __init__(self, address: str = LOCALHOST, **limits: float) -> None:
        self.api, self.calls, self.address = Api(), Calls(), address
        self.server = RestServer(self.api, self.calls, address, 0, 8, RestLimits(**limits))

    @contextlib.contextmanager
    def connection(self, sent: bytes = b"") -> Iterator[socket.socket]:
        with socket.create_connection((self.address, self.server.port), timeout=60) as connection:
            connection.sendall(sent)
            yield connection

    def exchange(self, sent: bytes) -> list["Answer"]:
        """Returns the answers to what is sent, up to the server's end of the connection."""
        with self.connection(sent) as connection:
            return answers(read_to_end(connection))

    def close(self) -> None:
        self.api.gate.set()
        self.server.stop_accepting()
        self.server.close()


class Answer:
    """Status, lower-case headers and body of one answer."""

    def __init__(self, head: bytes) -> None:
        lines = head.decode("ascii").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        self.body = b""

    @property
    def error(self) -> str:
        document = json.loads(self.body)
        assert list(document) == ["error"]
        return document["error"]


def read_to_end(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(1 << 20):
        data += piece
    return data


def answers(data: bytes, head_only: bool = False) -> list[Answer]:
    """Returns the answers that bytes consist of, nothing before, between or after them."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end
        answer = Answer(head)
        if answer.status >= 200 and not head_only:
            length = int(answer.headers["content-length"])
            answer.body, data = data[:length], data[length:]
            assert len(answer.body) == length
        found.append(answer)
    return found


def read_answer(connection: socket.socket) -> Answer:
    """Returns the next answer of a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(1)
    answer = Answer(data[:-4])
    while answer.status >= 200 and len(answer.body) < int(answer.headers["content-length"]):
        answer.body += connection.recv(1)
    return answer


@pytest.fixture(scope="module")
def rest() -> Iterator[Rest]:
    """A server whose limits no test reaches."""
    server = Rest()
    yield server
    server.close()


@contextlib.contextmanager
def limited(**limits: float) -> Iterator[Rest]:
    """A server of its own."""
    server = Rest(**limits)
    try:
        yield server
    finally:
        server.close()


def post(*headers: bytes, body: bytes = b"12345") -> bytes:
    return POST + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


def get(*headers: bytes) -> bytes:
    return b"GET /g HTTP/1.1\r\n" + HOST + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


TWO_LENGTHS = "more than one header says where the body ends"
NO_LINE = "no request line of HTTP/1.1 or HTTP/1.0"
ILLEGAL = "illegal header line"
NO_SIZE = "the length of a chunk is not a number"
REFUSED = {
    "two equal lengths": (post(b"Content-Length: 5", b"Content-Length: 5"), 400, TWO_LENGTHS),
    "two lengths": (post(b"Content-Length: 5", b"content-length: 6"), 400, TWO_LENGTHS),
    "a list of equal lengths": (post(b"Content-Length: 5, 5"), 400, "Content-Length is not one number"),
    "a list of lengths": (post(b"Content-Length: 5,6"), 400, "Content-Length"),
    "length and coding": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, TWO_LENGTHS),
    "coding and length": (post(b"transfer-encoding: chunked", b"content-length: 5"), 400, TWO_LENGTHS),
    "two codings": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400, TWO_LENGTHS),
    "a list of codings": (post(b"Transfer-Encoding: gzip, chunked"), 400, "Only Transfer-Encoding: chunked"),
    "an unknown coding": (post(b"Transfer-Encoding: xchunked"), 400, "Only Transfer-Encoding: chunked"),
    "coding identity": (post(b"Transfer-Encoding: identity", b""), 400, "Only Transfer-Encoding: chunked"),
    "an empty coding": (post(b"Transfer-Encoding:"), 400, "Only Transfer-Encoding: chunked"),
    "a hidden coding": (post(b"Transfer-Encoding: \x0bchunked"), 400, "cannot stand there"),
    "a coding in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        "HTTP/1.0 has no Transfer-Encoding",
    ),
    "a negative length": (post(b"Content-Length: -5"), 400, "bad Content-Length"),
    "a signed length": (post(b"Content-Length: +5"), 400, "bad Content-Length"),
    "a hexadecimal length": (post(b"Content-Length: 0x5"), 400, "bad Content-Length"),
    "an underscored length": (post(b"Content-Length: 0_5"), 400, "bad Content-Length"),
    "an empty length": (post(b"Content-Length:"), 400, "bad Content-Length"),
    "a length of 5,000 digits": (post(b"Content-Length: " + b"1" * 5000), 400, "bad Content-Length"),
    "a space before the colon": (post(b"Content-Length : 5"), 400, ILLEGAL),
    "a tab before the colon": (post(b"Content-Length\t: 5"), 400, ILLEGAL),
    "a header without a name": (post(b": 5"), 400, ILLEGAL),
    "a header without a colon": (post(b"Content-Length"), 400, ILLEGAL),
    "a folded header": (get(b"A: 1", b" 2"), 400, "cannot stand there"),
    "a folded length": (post(b"Content-Length:", b"\t5"), 400, "cannot stand there"),
    "a folded request line": (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400, "cannot stand there"),
    "a bare LF after a header": (b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", 400, "cannot stand there"),
    "bare LFs alone": (b"GET / HTTP/1.1\nHost: h\n\n", 400, NO_LINE),
    "a bare LF at the end": (b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400, "cannot stand there"),
    "a bare CR in a header": (get(b"A: 1\rB: 2"), 400, "cannot stand there"),
    "a bare CR in the request line": (b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "a NUL in a header": (get(b"A: 1\x002"), 400, "cannot stand there"),
    "a NUL in a header's name": (get(b"A\x00: 1"), 400, "cannot stand there"),
    "an escape in a header": (get(b"A: \x1b[31m"), 400, "cannot stand there"),
    "a NUL in the path": (b"GET /\x00 HTTP/1.1\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
    "two hosts": (get(b"Host: other"), 400, "Host"),
    "HTTP/0.9": (b"GET /good\r\n", 400, NO_LINE),
    "HTTP/0.9 with a version": (b"GET /good HTTP/0.9\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "HTTP/1.2": (b"GET /good HTTP/1.2\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "HTTP/11": (b"GET /good HTTP/11\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "http in lower case": (b"GET /good http/1.1\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 400, NO_LINE),
    "a hello of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, NO_LINE),
    "a hello of SSL 2": (b"\x80\x2e\x01\x00\x02\x00\x15", 400, NO_LINE),
    "other protocols": (b"\x00\x00\x00\x08\x04\xd2\x16\x2f", 400, NO_LINE),
    "two spaces": (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400, NO_LINE),
    "a space at the start": (b" GET / HTTP/1.1\r\n", 400, NO_LINE),
    "an empty line at the start": (b"\r\n" + GOOD, 400, NO_LINE),
    "letters that are not ASCII": ("GET /größe HTTP/1.1\r\n".encode() + HOST + b"\r\n", 400, NO_LINE),
    "a method that is none": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "illegal request line"),
    "a tunnel": (b"CONNECT h:80 HTTP/1.1\r\n" + HOST + b"\r\n\x16\x03\x01", 400, "CONNECT is for proxies"),
    "a long path": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "too long"),
    "a path without an end": (b"GET /" + b"a" * 70_000, 414, "too long"),
    "a long header": (get(b"A: " + b"a" * 70_000), 431, "too long"),
    "a header without an end": (b"GET / HTTP/1.1\r\nA: " + b"a" * 70_000, 431, "too long"),
    "many headers": (get(*(b"A: b" for _ in range(100))), 431, "too many headers"),
    "a chunk without a length": (CHUNKED + b"\r\n12345\r\n", 400, NO_SIZE),
    "a chunk of zz": (CHUNKED + b"zz\r\n", 400, NO_SIZE),
    "a chunk of -5": (CHUNKED + b"-5\r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a chunk of +5": (CHUNKED + b"+5\r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a chunk of 0x5": (CHUNKED + b"0x5\r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a space before a chunk's length": (CHUNKED + b" 5\r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a space after a chunk's length": (CHUNKED + b"5 \r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a bare LF after a chunk's length": (CHUNKED + b"5\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a bare LF in an extension": (CHUNKED + b"5;\n\r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a bare CR in an extension": (CHUNKED + b"5;\rX\r\n12345\r\n0\r\n\r\n", 400, NO_SIZE),
    "a chunk's length of 17 digits": (CHUNKED + b"00000000000000005\r\n12345\r\n", 400, NO_SIZE),
    "a long extension": (CHUNKED + b"5;" + b"a" * 5000 + b"\r\n12345\r\n", 400, "extensions are too long"),
    "many extensions": (CHUNKED + b"1;a=b\r\nx\r\n" * 2000, 400, "extensions are too long"),
    "a chunk longer than it says": (CHUNKED + b"4\r\n12345\r\n0\r\n\r\n", 400, "malformed chunk footer"),
    "a chunk shorter than it says": (CHUNKED + b"6\r\n12345\r\n0\r\n\r\n", 400, "malformed chunk footer"),
    "a bare LF after a chunk": (CHUNKED + b"5\r\n12345\n0\r\n\r\n", 400, "malformed chunk footer"),
    "a bare LF after the last chunk": (CHUNKED + b"0\r\n\n", 400, "cannot stand there"),
    "a folded trailer": (CHUNKED + b"0\r\nA: 1\r\n 2\r\n\r\n", 400, "cannot stand there"),
    "a trailer that is none": (CHUNKED + b"0\r\nA : 1\r\n\r\n", 400, ILLEGAL),
    "a chunk over the limit": (CHUNKED + b"FFFFFFFFFFFFFFFF\r\n", 429, f"the request is longer than {LONGEST} bytes"),
    "a body over the limit": (
        post(b"Content-Length: %d" % (LONGEST + 1)),
        429,
        f"the request is longer than {LONGEST} bytes",
    ),
    "chunks over the limit": (
        CHUNKED + (b"8000\r\n" + b"a" * 0x8000 + b"\r\n") * 2 + b"1\r\na\r\n0\r\n\r\n",
        429,
        f"the request is longer than {LONGEST} bytes",
    ),
    "a zipped body": (post(b"Content-Length: 5", b"Content-Encoding: gzip"), 400, "Content-Encoding gzip is not"),
    "an encoding beside identity": (
        post(b"Content-Encoding: identity", b"Content-Encoding: br", b"Content-Length: 5"),
        400,
        "Content-Encoding br is not",
    ),
}


@pytest.mark.parametrize("before", [b"", GOOD], ids=["first", "second"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    rest: Rest, caplog: pytest.LogCaptureFixture, kind: str, before: bytes
) -> None:
    sent, status, text = REFUSED[kind]
    rest.api.asked.clear()
    # What follows a request that is refused must not be taken for a second one.
    with caplog.at_level(logging.INFO):
        *good, answer = rest.exchange(before + sent + GOOD)
    assert [one.status for one in good] == [200] * bool(before)
    assert answer.status == status
    assert text in answer.error
    assert (answer.headers["connection"], answer.headers["content-type"]) == ("close", "application/json")
    assert rest.api.asked == [("GET", "/good", b"")] * bool(before)
    rest.calls.await_open(0)
    assert rest.server.body_bytes() == 0
    assert not caplog.records


READ = {
    "no body": (GOOD, ["GET", "/good", 0]),
    "a body": (post(b"Content-Length: 5"), ["POST", "/p", 5]),
    "no length": (post(body=b""), ["POST", "/p", 0]),
    "the longest body": (post(b"Content-Length: %d" % LONGEST, body=b"a" * LONGEST), ["POST", "/p", LONGEST]),
    "chunks": (CHUNKED + b"5\r\n12345\r\n000A\r\n1234567890\r\n0\r\n\r\n", ["POST", "/p", 15]),
    "chunks of one byte": (CHUNKED + b"1\r\nx\r\n" * 1000 + b"0\r\n\r\n", ["POST", "/p", 1000]),
    "an extension": (CHUNKED + b'5;name="a b"\r\n12345\r\n0\r\n\r\n', ["POST", "/p", 5]),
    "a trailer": (CHUNKED + b"5\r\n12345\r\n0\r\nA: b\r\n\r\n", ["POST", "/p", 5]),
    "coding in capitals": (POST + b"TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n", ["POST", "/p", 0]),
    "encoding identity": (post(b"Content-Length: 5", b"Content-Encoding: identity"), ["POST", "/p", 5]),
    "99 headers": (get(*(b"A: b" for _ in range(98))), ["GET", "/g", 0]),
    "a path of 60,000": (b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", ["GET", "/" + "a" * 60_000, 0]),
    "an offer to change the protocol": (
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        ["GET", "/g", 0],
    ),
    "any method": (b"BREW / HTTP/1.1\r\n" + HOST + b"\r\n", ["BREW", "/", 0]),
}


@pytest.mark.parametrize("kind", READ)
def test_what_is_a_request_is_answered_and_the_connection_kept(rest: Rest, kind: str) -> None:
    sent, said = READ[kind]
    with rest.connection(sent) as connection:
        for _ in range(2):
            answer = read_answer(connection)
            assert (answer.status, json.loads(answer.body)) == (200, said)
            assert "connection" not in answer.headers
            assert answer.headers["server"] == "amfam-tf"
            connection.sendall(sent)
        connection.sendall(GOOD)
        assert [read_answer(connection).status for _ in range(2)] == [200, 200]


def test_requests_may_come_in_single_bytes_or_many_at_once(rest: Rest) -> None:
    single = post(b"Content-Length: 5")
    with rest.connection() as connection:
        for byte in single:
            connection.sendall(bytes([byte]))
        assert json.loads(read_answer(connection).body) == ["POST", "/p", 5]
    last = get(b"Connection: close")
    many = [json.loads(answer.body) for answer in rest.exchange((single + GOOD) * 50 + last)]
    assert many == [["POST", "/p", 5], ["GET", "/good", 0]] * 50 + [["GET", "/g", 0]]


@pytest.mark.parametrize(
    "sent",
    [
        get(b"Connection: close"),
        get(b"Connection: keep-alive, CLOSE"),
        b"GET /g HTTP/1.0\r\n\r\n",
        b"GET /g HTTP/1.0\r\n" + HOST + b"\r\n",
    ],
)
def test_a_client_that_wants_one_answer_gets_one(rest: Rest, sent: bytes) -> None:
    (answer,) = rest.exchange(sent)
    assert (answer.status, json.loads(answer.body)) == (200, ["GET", "/g", 0])
    assert answer.headers["connection"] == "close"


def test_a_client_may_end_its_side_and_listen(rest: Rest) -> None:
    for sent, statuses in (
        (GOOD, [200]),
        (GOOD * 3, [200] * 3),
        (b"", []),
        (b"GET / HT", [400]),
        (GOOD + b"GET / HTTP/1.1\r\n", [200, 400]),
        (post(b"Content-Length: 6"), [400]),
        (CHUNKED + b"6\r\n12345", [400]),
    ):
        with rest.connection(sent) as connection:
            connection.shutdown(socket.SHUT_WR)
            found = answers(read_to_end(connection))
        assert [answer.status for answer in found] == statuses
    assert "received 5 bytes, expected 6" in answers(_half_closed(rest, post(b"Content-Length: 6")))[0].error
    rest.calls.await_open(0)
    assert rest.server.body_bytes() == 0


def _half_closed(rest: Rest, sent: bytes) -> bytes:
    with rest.connection(sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def test_head_has_the_length_and_no_body_and_keeps_the_connection(rest: Rest) -> None:
    head = b"HEAD /good HTTP/1.1\r\n" + HOST + b"\r\n"
    found = answers(rest_bytes(rest, head * 2 + b"HEAD /good HTTP/1.0\r\n\r\n"), head_only=True)
    assert [answer.status for answer in found] == [200] * 3
    assert [answer.headers["content-length"] for answer in found] == [str(len(b'["HEAD", "/good", 0]'))] * 3
    with rest.connection(head) as connection:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(1)
        connection.sendall(GOOD)
        assert json.loads(read_answer(connection).body) == ["GET", "/good", 0]


def rest_bytes(rest: Rest, sent: bytes) -> bytes:
    with rest.connection(sent) as connection:
        return read_to_end(connection)


def test_expect_100_continue(rest: Rest) -> None:
    with rest.connection(post(b"Content-Length: 5", b"Expect: 100-continue", body=b"")) as connection:
        assert read_answer(connection).status == 100
        connection.sendall(b"12345")
        assert json.loads(read_answer(connection).body) == ["POST", "/p", 5]
    refused = post(b"Content-Length: 100000000", b"Expect: 100-continue", body=b"")
    assert [answer.status for answer in rest.exchange(refused)] == [429]


def test_many_send_all_before_they_listen(rest: Rest) -> None:
    """A body over the limit is read and dropped, or the client would see a reset instead of the reason."""
    size = 256 * LONGEST
    with rest.connection(post(b"Content-Length: %d" % size, body=bytes(size))) as connection:
        (answer,) = answers(read_to_end(connection))
    assert (answer.status, answer.error) == (429, f"the request is longer than {LONGEST} bytes")


def test_bodies_take_their_budget_and_no_more(rest: Rest) -> None:
    unfinished = post(b"Content-Length: %d" % LONGEST, body=bytes(LONGEST - 1))
    with contextlib.ExitStack() as stack:
        holding = [stack.enter_context(rest.connection(unfinished)) for _ in range(BUDGET_OF_LONGEST_BODIES)]
        await_held(rest, BUDGET - BUDGET_OF_LONGEST_BODIES)
        announced = post(b"Content-Length: %d" % LONGEST, body=b"")
        for sent in (announced, unfinished, CHUNKED + b"9\r\n123456789\r\n"):
            (answer,) = rest.exchange(sent)
            assert (answer.status, answer.headers["connection"]) == (429, "close")
            assert answer.error == (
                f"too many bytes: the bodies of all requests may take {BUDGET} bytes together; try again later"
            )
        assert rest.exchange(get(b"Connection: close"))[0].status == 200
        holding[0].sendall(b"a")
        assert json.loads(read_answer(holding[0]).body) == ["POST", "/p", LONGEST]
        await_held(rest, BUDGET - BUDGET_OF_LONGEST_BODIES - (LONGEST - 1))
        holding[1].close()
        await_held(rest, BUDGET - BUDGET_OF_LONGEST_BODIES - 2 * (LONGEST - 1))
    await_held(rest, 0)
    rest.calls.await_open(0)


def test_the_system_gets_the_memory_of_many_bodies_back(monkeypatch: pytest.MonkeyPatch) -> None:
    trims = []
    monkeypatch.setattr(rest_limits, "trim_soon", lambda: trims.append(1))
    budget = rest_limits.BodyBudget(2 * rest_limits.WORTH_TRIMMING_BYTES)
    for count, expected in ((rest_limits.WORTH_TRIMMING_BYTES - 1, 0), (1, 1), (1, 1)):
        budget.take(count)
        budget.give_back(count)
        assert len(trims) == expected


def await_held(rest: Rest, count: int) -> None:
    """Returns when the bodies of all requests take so many bytes."""
    waiting = threading.Event()
    for _ in range(6000):
        if rest.server.body_bytes() == count:
            return
        waiting.wait(0.01)
    raise AssertionError(f"{rest.server.body_bytes()} bytes are held, not {count}")


def test_bodies_count_until_they_are_answered() -> None:
    held = b"POST /held HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % LONGEST + bytes(LONGEST)
    with limited() as rest, contextlib.ExitStack() as stack:
        holding = [stack.enter_context(rest.connection(held)) for _ in range(BUDGET_OF_LONGEST_BODIES)]
        for _ in holding:
            assert rest.api.entered.acquire(timeout=60)
        assert rest.exchange(post(b"Content-Length: 1", body=b"a"))[0].status == 429
        rest.api.gate.set()
        assert [read_answer(connection).status for connection in holding] == [200] * len(holding)
        await_held(rest, 0)


def test_slow_clients_are_ended() -> None:
    with limited(head_seconds=0.2, silence_seconds=0.2, idle_seconds=0.2) as rest:
        assert rest.exchange(b"") == []
        assert [answer.status for answer in rest.exchange(GOOD)] == [200]
        for sent, text in (
            (b"GET / HTTP/1.1\r\nA: ", "the headers did not arrive within 0.2 s"),
            (post(b"Content-Length: 6"), "the body did not arrive in time"),
            (CHUNKED + b"6\r\n12345", "the body did not arrive in time"),
        ):
            (answer,) = rest.exchange(sent)
            assert (answer.status, answer.error) == (408, text)
        rest.calls.await_open(0)
        assert rest.server.body_bytes() == 0


@pytest.mark.parametrize(
    ("start", "drop", "text"),
    [
        (b"GET / HTTP/1.1\r\nA: ", b"a", "the headers did not arrive within 0.3 s"),
        (post(b"Content-Length: 60000", body=b""), b"a", "the body did not arrive in time"),
    ],
    ids=["head", "body"],
)
def test_drops_that_keep_coming_do_not_keep_a_connection(start: bytes, drop: bytes, text: str) -> None:
    limits = {"head_seconds": 0.3, "silence_seconds": 0.3, "slowest_bytes_per_second": 1000.0}
    with limited(**limits) as rest, rest.connection(start) as connection:
        connection.settimeout(0.02)
        data = b""
        while not data:
            connection.sendall(drop)
            with contextlib.suppress(TimeoutError):
                data = connection.recv(1 << 16)
        connection.settimeout(60)
        (answer,) = answers(data + read_to_end(connection))
        assert (answer.status, answer.error) == (408, text)


def test_a_client_that_does_not_take_its_answer_is_ended() -> None:
    with limited(silence_seconds=0.2) as rest, rest.connection(b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n"):
        rest.calls.await_open(1)
        rest.calls.await_open(0)


def test_a_refused_body_is_not_taken_while_an_answer_is_not() -> None:
    size = 1 << 28
    sent = b"GET /large HTTP/1.1\r\n" + HOST + b"\r\n" + post(b"Content-Length: %d" % size, body=b"")
    with limited() as rest, rest.connection(sent) as connection:
        rest.calls.await_open(2)
        connection.settimeout(2)
        # The server holds its refusal back until the first answer is taken; the system's buffers take some megabytes.
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(size))
        (kept,) = rest.server._server.server_state.connections
        assert len(kept.cycle.body) < 1 << 20


def test_a_client_that_goes_leaves_nothing_behind() -> None:
    with limited() as rest:
        for sent in (b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n", post(b"Content-Length: 6")):
            with rest.connection(sent) as connection:
                rest.calls.await_open(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            rest.api.gate.set()
            rest.calls.await_open(0)
            assert rest.server.body_bytes() == 0


def test_connections_over_the_number_are_turned_away() -> None:
    with limited(connections=2) as rest, rest.connection(GOOD) as first, rest.connection(GOOD) as second:
        assert [read_answer(connection).status for connection in (first, second)] == [200, 200]
        with rest.connection() as third:
            (answer,) = answers(read_to_end(third))
        assert (answer.status, answer.error) == (429, "too many connections: this server takes 2")
        first.close()
        while rest.exchange(get(b"Connection: close"))[0].status == 429:
            pass


def test_the_end_waits_for_answers_and_closes_the_rest() -> None:
    with limited() as rest, rest.connection(GOOD) as idle, rest.connection(b"GET / HT") as begun:
        assert read_answer(idle).status == 200
        held = b"POST /held HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n"
        with rest.connection(held + b"a") as unfinished, rest.connection(held + b"ab") as busy:
            assert rest.api.entered.acquire(timeout=60)
            rest.calls.await_open(2)
            rest.server.stop_accepting()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((LOCALHOST, rest.server.port), timeout=60)
            assert (read_to_end(idle), read_to_end(begun)) == (b"", b"")
            unfinished.sendall(b"b")
            rest.api.gate.set()
            for connection in (unfinished, busy):
                (answer,) = answers(read_to_end(connection))
                assert (answer.status, json.loads(answer.body)) == (200, ["POST", "/held", 2])
                assert answer.headers["connection"] == "close"
        rest.calls.await_open(0)


def test_the_end_does_not_wait_for_an_answer_that_does_not_come(caplog: pytest.LogCaptureFixture) -> None:
    rest = Rest()
    with rest.connection(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n") as connection:
        assert rest.api.entered.acquire(timeout=60)
        rest.server.stop_accepting()
        rest.server.close()
        with contextlib.suppress(ConnectionResetError):
            assert read_to_end(connection) == b""
    rest.calls.await_open(0)
    rest.api.gate.set()
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_answers_run_beside_each_other(rest: Rest) -> None:
    rest.api.gate.clear()
    with rest.connection(b"GET /held HTTP/1.1\r\n" + HOST + b"\r\n") as held:
        assert rest.api.entered.acquire(timeout=60)
        with ThreadPoolExecutor(20) as pool:
            sent = get(b"Connection: close")
            assert [found[0].status for found in pool.map(rest.exchange, [sent] * 40)] == [200] * 40
        rest.api.gate.set()
        assert read_answer(held).status == 200


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("address", ["::1", "::"])
def test_addresses_of_ipv6(address: str) -> None:
    rest = Rest(address)
    rest.address = "::1"
    assert rest.exchange(get(b"Connection: close"))[0].status == 200
    if address == "::":
        rest.address = LOCALHOST
        assert rest.exchange(get(b"Connection: close"))[0].status == 200
    rest.close()


def test_addresses_that_cannot_be_used_are_system_errors(rest: Rest) -> None:
    for address, port, text in (
        (LOCALHOST, rest.server.port, "Address already in use"),
        ("192.0.2.1", 0, "Cannot assign requested address"),
        ("no-such-host.invalid", 0, ""),
    ):
        with pytest.raises(OSError) as error:
            RestServer(rest.api, rest.calls, address, port, 1)
        assert error.value.strerror
        assert text in error.value.strerror
