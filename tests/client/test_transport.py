"""The parts of the client that need no server: defaults, waits, what a request and a channel are told, what is read."""

import http.client
import socket
import ssl
from pathlib import Path

import grpc
import numpy as np
import pytest
from asked_servers import NO_DESCRIPTION
from test_client import PAIR, response

from amfam_tf.client import transport, wire
from amfam_tf.client.client import Answer, Client, Pair
from amfam_tf.client.transport import Connection, GrpcTransport, RestTransport
from amfam_tf.errors import DataError, QueryError
from amfam_tf.tasks import TASKS


@pytest.fixture
def clock(monkeypatch):
    """Stops the clock: only waiting moves it. Returns the waits; each is as long as it may be by chance."""
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    def longest(*bounds: float) -> float:
        assert bounds == (0.5, 1)
        return bounds[1]

    monkeypatch.setattr(transport.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(transport.time, "sleep", sleep)
    monkeypatch.setattr(transport.random, "uniform", longest)
    return waits


def unavailable(seconds: float) -> None:
    raise transport.Unavailable(f"no, with {seconds:g} s left")


def test_waits_double_up_to_five_seconds(clock):
    with pytest.raises(QueryError, match=r"^x:1 is unavailable after 9 attempts: no, with 78.8 s left$"):
        transport.with_attempts(unavailable, Connection("x:1", timeout=100, attempts=9))
    assert clock == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5, 5])


@pytest.mark.parametrize(("timeout", "waits"), [(0.2, []), (0.21, [0.2])])
def test_nobody_waits_until_the_time_is_over(clock, timeout, waits):
    attempts = f"{len(waits) + 1} attempt{'s' if waits else ''}"
    with pytest.raises(QueryError, match=rf"^x:1 is unavailable after {attempts}: no"):
        transport.with_attempts(unavailable, Connection("x:1", timeout=timeout))
    assert clock == waits


@pytest.mark.usefixtures("clock")
def test_five_attempts_and_thirty_seconds_unless_said_otherwise():
    left = []

    def attempt(seconds: float) -> None:
        left.append(seconds)
        unavailable(seconds)

    with pytest.raises(QueryError, match="after 5 attempts"):
        transport.with_attempts(attempt, Connection("x:1"))
    assert left == pytest.approx([30, 29.8, 29.4, 28.6, 27])


def test_an_answer_ends_the_attempts(clock):
    answers = iter([transport.Unavailable("no"), "yes"])

    def attempt(_: float) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert transport.with_attempts(attempt, Connection("x:1")) == "yes"
    assert clock == [0.2]


def test_defaults_of_a_connection():
    connection = Connection()
    assert (connection.server, connection.model, connection.version) == ("localhost:8500", "amfam", None)
    assert not connection.tls and not connection.is_encrypted
    with pytest.raises(QueryError, match="write localhost:8501$"):
        RestTransport(Connection("localhost"))
    with pytest.raises(QueryError, match="write localhost:8500$"):
        GrpcTransport(Connection("localhost"))


@pytest.mark.parametrize("changes", [{"tls": True}, *({name: Path("x")} for name in ("ca", "certificate", "key"))])
def test_each_file_of_tls_encrypts(changes):
    assert Connection(**changes).is_encrypted


@pytest.mark.parametrize("rest", [False, True])
def test_tls_files_that_cannot_be_used(rest, tmp_path):
    (tmp_path / "no.pem").write_text("text")
    message = "cannot use the TLS files: " if rest else "cannot read .*none.pem: No such file or directory"
    with pytest.raises(QueryError, match=message):
        Client(Connection("h:1", ca=tmp_path / ("no.pem" if rest else "none.pem")), rest)


def test_rest_checks_certificates_against_the_authority_that_is_named(monkeypatch):
    asked = []

    class Context:
        def load_cert_chain(self, *files):
            asked.append(files)

    monkeypatch.setattr(ssl, "create_default_context", lambda **options: asked.append(options) or Context())
    files = {"ca": Path("ca.pem"), "certificate": Path("own.pem"), "key": Path("own.key")}
    RestTransport(Connection("h:1", **files))
    assert asked == [{"cafile": files["ca"]}, (files["certificate"], files["key"])]
    RestTransport(Connection("h:1", ca=files["ca"]))
    assert asked[2:] == [{"cafile": files["ca"]}]


def test_a_channel_takes_long_answers_sends_all_and_forgets_failures_soon(monkeypatch):
    opened = []
    insecure = grpc.insecure_channel
    monkeypatch.setattr(grpc, "insecure_channel", lambda *arguments: opened.append(arguments) or insecure(*arguments))
    GrpcTransport(Connection("localhost:1")).close()
    ((address, options),) = opened
    assert address == "localhost:1"
    assert dict(options) == {
        "grpc.max_receive_message_length": 256 * 2**20,
        "grpc.max_send_message_length": -1,
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.max_reconnect_backoff_ms": 200,
        "grpc.enable_http_proxy": 0,
    }


class Canned(RestTransport):
    """REST without a server: what it would send is kept, what it gets is given."""

    def __init__(self, connection: Connection, status: int = 200, content: bytes = b'{"outputs": {}}'):
        super().__init__(connection)
        self.sent: list[tuple[bytes, float]] = []
        self._given = status, content

    def _exchange(self, body, seconds):
        self.sent.append((body, seconds))

        class Response:
            status, reason = self._given[0], "Reason"

        return Response, self._given[1]


def test_what_rest_sends():
    canned = Canned(Connection("h:1", "a/b c", version=3), content=b'{"outputs": {"DIAG": [[0.25, 0.75]]}}')
    outputs, version = canned.predict("explain", {"clinical": [b"\xff\x00"], "task": [b"DIAG"], "class_name": [b"MEL"]})
    assert canned._path == "/v1/models/a%2Fb%20c/versions/3:predict"
    assert Canned(Connection("h:1", "m"))._path == "/v1/models/m:predict"
    ((body, seconds),) = canned.sent
    assert body == (
        b'{"signature_name": "explain", '
        b'"inputs": {"clinical": [{"b64": "/wA="}], "task": ["DIAG"], "class_name": ["MEL"]}}'
    )
    assert 0 < seconds <= 30
    assert version == 3
    np.testing.assert_array_equal(outputs["DIAG"], [[0.25, 0.75]])


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (400, b'{"error": "two\\nlines"}', "h:1 refused: 400 Reason: two lines"),
        (400, b"[]", "h:1 refused: 400 Reason: "),
        (413, b'{"error": "longer than 10 bytes"}', "longer than 10 bytes: see --max-message-bytes of the server"),
        (413, b'{"error": "CLIENT: longer than 10 bytes"}', "CLIENT: longer than 10 bytes"),
        (201, b"{}", "h:1 refused: 201 Reason: "),
        (503, b"{}", "h:1 is unavailable after 1 attempt: Reason"),
        (500, b"<html>", "h:1 gave no JSON (status 500): is it a REST port?"),
    ],
)
def test_what_rest_says_of_a_refusal(status, content, message):
    with pytest.raises(QueryError) as caught:
        Canned(Connection("h:1", attempts=1), status, content).predict("serving_default", {})
    assert str(caught.value).endswith(message)


def tls_error(**attributes: str) -> ssl.SSLError:
    """Returns an error as the ssl module raises it, with attributes that it sets itself."""
    error = ssl.SSLError(1, "words")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def test_a_request_without_time_left_is_still_one():
    canned = Canned(Connection("h:1"))
    canned._attempt(b"", -1.0)
    canned._attempt(b"", 0.5)
    assert [seconds for _, seconds in canned.sent] == [1e-3, 0.5]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError("gone"), "h:1 is unavailable after 1 attempt: gone"),
        (ConnectionError(), "h:1 is unavailable after 1 attempt: ConnectionError"),
        (TimeoutError(), "h:1 gave no answer within 30 s: see --timeout"),
        (tls_error(reason="WRONG_VERSION_NUMBER"), "h:1: no TLS connection: WRONG_VERSION_NUMBER"),
        (tls_error(reason="X", verify_message="expired"), "h:1: no TLS connection: expired"),
        (http.client.BadStatusLine("x"), "h:1 does not answer in HTTP: is it a REST port?"),
    ],
)
def test_what_goes_wrong_below_rest(error, message):
    class Broken(RestTransport):
        def _exchange(self, *_):
            raise error

    with pytest.raises(QueryError) as caught:
        Broken(Connection("h:1", attempts=1)).predict("serving_default", {})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("written", "found"),
    [(b"HTTP/1.1 413 Long\r\nContent-Length: 2\r\n\r\n{}", (413, b"{}")), (b"", None), (b"nothing\r\n", None)],
)
def test_what_a_server_says_before_it_has_read_all_is_not_lost(monkeypatch, written, found):
    near, far = socket.socketpair()
    far.sendall(written)
    far.close()

    class Cut(http.client.HTTPConnection):
        def request(self, *_):
            self.sock = near
            raise BrokenPipeError("cut")

    monkeypatch.setattr(http.client, "HTTPConnection", Cut)
    rest = RestTransport(Connection("h:1"))
    if found is None:
        with pytest.raises(BrokenPipeError, match="cut"):
            rest._exchange(b"body", 5.0)
    else:
        answer, content = rest._exchange(b"body", 5.0)
        assert (answer.status, content) == found
    near.close()


def tensor(kind: int, *shape: int, **values: object) -> object:
    found = wire.Tensor(dtype=kind, **values)
    for size in shape:
        found.tensor_shape.dim.add(size=size)
    return found


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (tensor(2, 1), "cannot read a tensor of TensorFlow's data type 2"),
        (tensor(1, 2, float_val=[1, 2, 3]), "cannot reshape array of size 3 into shape"),
        (tensor(1, 2), "cannot reshape array of size 0 into shape"),
        (tensor(1, 3, tensor_content=bytes(8)), "cannot reshape array of size 2 into shape"),
    ],
)
def test_an_answer_that_cannot_be_read_is_said(wrong, message):
    with pytest.raises(ValueError, match=message):
        wire.to_array(wrong)
    answer = wire.PredictResponse()
    answer.outputs.add(key="DIAG", value=wrong)
    client = GrpcTransport(Connection("localhost:1"))
    client._attempt = lambda *_: answer
    with pytest.raises(QueryError, match=f"^localhost:1 gave an answer that cannot be read: {message}"):
        client.predict("serving_default", {})
    client.close()


@pytest.fixture
def told(monkeypatch):
    """Returns the function that gives a client whose server answers so, or refuses with these details."""

    def make(answer: object) -> Client:
        client = Client(Connection("localhost:1", "lesions"))

        def attempt(request, _):
            if request.model_spec.signature_name == "describe":
                raise transport.Refused(NO_DESCRIPTION, "FAILED_PRECONDITION", NO_DESCRIPTION)
            if isinstance(answer, str):
                raise transport.Refused(f"refused: {answer}", "INVALID_ARGUMENT", answer)
            return answer

        monkeypatch.setattr(client._transport, "_attempt", attempt)
        return client

    return make


def test_answers_that_are_no_numbers_are_none(told):
    wrong = np.full((1, len(TASKS[0].classes)), np.nan, np.float32)
    with told(response(**{TASKS[0].name: wrong})) as client, pytest.raises(QueryError) as caught:
        client.predict(PAIR)
    assert str(caught.value) == (
        "the answers of model lesions at localhost:1 are no finite numbers: DIAG for 1 of 1 pairs; the served version "
        "has diverged: serve another one"
    )


@pytest.mark.parametrize(
    ("details", "error", "message"),
    [
        ("input clinical, index 0: the picture is damaged", DataError, "A.jpg: the picture is damaged"),
        ("[input dermoscopic, index 0: the picture is damaged] more", DataError, "B.jpg: the picture is damaged"),
        # Not of this request.
        ("input clinical, index 1: the picture is damaged", QueryError, None),
        ("input other, index 0: the picture is damaged", QueryError, None),
    ],
)
def test_only_a_picture_of_the_request_is_called_by_its_name(told, details, error, message):
    with told(details) as client, pytest.raises(error) as caught:
        client.predict(PAIR)
    assert str(caught.value) == (message or f"refused: {details}")


def test_an_explanation_of_another_exporter_is_said(told):
    with (
        told(response()) as client,
        pytest.raises(
            QueryError, match=r"^model lesions gives no clinical_image: it was not exported by this package$"
        ),
    ):
        client.explain(PAIR)


def test_an_explanation_is_the_first_row(told):
    images = {f"{name}_image": np.full((1, 4, 4, 3), 7.0, np.float32) for name in ("clinical", "dermoscopic")}
    maps = {f"{name}_map": np.full((1, 4, 4), 0.5, np.float32) for name in ("clinical", "dermoscopic")}
    with told(response(**images, **maps)) as client:
        found = client.explain(PAIR, "PN", "ATP")
    for name in ("clinical", "dermoscopic"):
        assert (found.images[name].shape, found.images[name].dtype, found.images[name].max()) == (
            (4, 4, 3),
            np.uint8,
            7,
        )
        assert (found.maps[name].shape, found.maps[name].dtype, found.maps[name].min()) == ((4, 4), np.float32, 0.5)
    assert (found.answer.version, found.answer.seven_point_score) == (7, 2)


@pytest.mark.parametrize(("score", "original", "revised"), [(0, False, False), (1, False, True), (3, True, True)])
def test_the_threshold_of_a_rule_is_reached_at_it(score, original, revised):
    answer = Answer({}, {}, {"seven_point_score": score}, "m", None)
    assert answer.suspicious == {"original": original, "revised": revised}


def test_eight_pairs_are_one_request_unless_said_otherwise(told):
    asked = []
    with told(response()) as client:
        client._predict_batch = lambda pairs: asked.append(len(pairs)) or [QueryError("x")] * len(pairs)
        assert len(list(client.answer_many([PAIR] * 17))) == 17
        assert len(list(client.answer_many([PAIR] * 3, batch_size=1))) == 3
    assert asked == [8, 8, 1, 1, 1, 1]


@pytest.mark.parametrize(("less", "requests"), [(0, [2, 1]), (1, [1, 1, 1])])
def test_a_request_may_be_exactly_as_long_as_the_limit(less, requests):
    pairs = [Pair(b"x" * 100, b"y" * 50)] * 3
    limit = Client("localhost:1")._request_bytes(pairs[:2])
    asked = []
    with Client(Connection("localhost:1", max_message_bytes=limit - less)) as client:
        client._predict_batch = lambda batch: asked.append(len(batch)) or [QueryError("x")] * len(batch)
        assert len(list(client.answer_many(pairs))) == 3
    assert asked == requests


@pytest.mark.parametrize(("less", "sent"), [(0, True), (1, False)])
def test_a_pair_may_be_exactly_as_long_as_the_limit(less, sent):
    pair = Pair(b"x" * 100, b"y" * 50, ("a.jpg", "b.jpg"))
    size = Client("localhost:1")._request_bytes([pair])
    asked = []
    with Client(Connection("localhost:1", max_message_bytes=size - less)) as client:
        client._predict_batch = lambda batch: asked.append(len(batch)) or [QueryError("x")]
        (found,) = client.answer_many([pair])
    assert asked == ([1] if sent else [])
    if not sent:
        assert str(found) == (
            f"a.jpg + b.jpg: takes {size} bytes in a request; the limit is {size - 1}: see --max-message-bytes"
        )
