"""Many pairs: requests no longer than a server takes, one bad pair at its place, and what is asked again."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
import tensorflow as tf
from asked_servers import LOCALHOST, embedded_server, grpc_server
from exported_runs import encoded_pairs
from tensorflow_serving.apis import predict_pb2

from amfam_tf.cli.query import query
from amfam_tf.cli.serve import serve
from amfam_tf.client import transport, wire
from amfam_tf.client.client import Answer, Client, Pair
from amfam_tf.client.transport import Connection, GrpcTransport, RestTransport
from amfam_tf.errors import DataError, QueryError, UserError
from amfam_tf.limits import MAX_MESSAGE_BYTES
from amfam_tf.server import ServerOptions
from amfam_tf.tasks import MODALITIES, TASKS


def response(values: list[bytes]):
    """Returns an answer whose 7-point scores are the numbers that the clinical pictures are."""
    proto = predict_pb2.PredictResponse()
    count = len(values)
    outputs = {task.name: np.zeros((count, len(task.classes)), np.float32) for task in TASKS}
    outputs["melanoma_probability"] = np.zeros(count, np.float32)
    outputs["seven_point_score"] = np.array([int(value.split()[0]) for value in values], np.int32)
    for name, value in outputs.items():
        proto.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return wire.PredictResponse.FromString(proto.SerializeToString())


class Asked:
    """A Predict that notes what it is asked and refuses some of it."""

    def __init__(self, most: int = 1000, bad: tuple[bytes, ...] = ()):
        self.most, self.bad = most, bad
        self.requests: list[list[bytes]] = []
        self.bytes: list[int] = []

    def __call__(self, request, context):
        values = {entry.key: list(entry.value.string_val) for entry in request.inputs}
        self.requests.append(values["clinical"])
        self.bytes.append(request.ByteSize())
        if len(values["clinical"]) > self.most:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "more than the budget of a request")
        for name in MODALITIES:
            for row, value in enumerate(values[name]):
                if value in self.bad:
                    context.abort(
                        grpc.StatusCode.INVALID_ARGUMENT, f"input {name}, index {row}: the picture is damaged"
                    )
        return response(values["clinical"])


def pair(number: int, size: int = 0) -> Pair:
    return Pair(f"{number} ".encode() + b"x" * size, b"y" * (size or 1), (f"{number}a.jpg", f"{number}b.jpg"))


def scores(answers: list[Answer]) -> list[int]:
    return [answer.seven_point_score for answer in answers]


def test_requests_are_cut_by_bytes_and_by_count():
    asked = Asked()
    with grpc_server(asked) as address, Client(Connection(address, max_message_bytes=10_000)) as client:
        pairs = [pair(n, 1900) for n in range(5)] + [pair(n) for n in range(5, 10)]
        assert scores(list(client.answer_many(pairs, batch_size=4))) == list(range(10))
    assert [len(request) for request in asked.requests] == [2, 2, 4, 2]
    assert max(asked.bytes) <= 10_000


def test_a_pair_over_the_limit_is_named_with_the_limit_and_never_sent():
    asked = Asked()
    with grpc_server(asked) as address, Client(Connection(address, max_message_bytes=10_000)) as client:
        found = list(client.answer_many([pair(0), pair(1, 5000), pair(2)]))
        assert str(found[1]) == (
            "1a.jpg + 1b.jpg: takes 11130 bytes in a request; the limit is 10000: see --max-message-bytes"
        )
        assert scores([found[0], found[2]]) == [0, 2]
        with pytest.raises(DataError, match=r"^1a.jpg \+ 1b.jpg: takes 11130 bytes"):
            client.explain(pair(1, 5000))
    assert asked.requests == [[b"0 ", b"2 "]]


def test_a_file_over_the_limit_is_not_even_read(tmp_path):
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(20 * 2**30)  # takes no room on the disk
    (tmp_path / "small.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=r"huge.jpg: it has 20,480 MiB, and at most 256 are read"):
        Pair.read(tmp_path / "small.jpg", tmp_path / "huge.jpg")
    with pytest.raises(DataError, match=r"cannot read '.*\\x00': embedded null byte"):
        Pair.read(tmp_path / "small.jpg", f"{tmp_path}/\0")


@pytest.mark.parametrize("model", ["amfam", "ü" * 50])
@pytest.mark.parametrize("sizes", [(), (0,), (1, 2, 3), (1000, 50_000), (1,) * 3000])
def test_the_length_of_a_request_is_known_before_it_is_made(sizes, model):
    files = [bytes(size) for size in sizes]
    inputs = {"clinical": files, "dermoscopic": files, "task": [b"DIAG"], "class_name": [b""]}
    request = wire.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, "serving_default"
    request.model_spec.version.value = 2**40
    for name, values in inputs.items():
        request.inputs.add(key=name, value=wire.string_tensor(values))
    sent = {GrpcTransport: request.ByteSize()}

    class Kept(RestTransport):
        def _attempt(self, body, _):
            sent[RestTransport] = len(body)
            return {"outputs": {}}

    connection = Connection("h:1", model)
    Kept(connection).predict("serving_default", inputs)
    for kind, size in sent.items():
        bound = kind(connection).request_bytes(inputs)
        assert size <= bound <= size + 1024 + 8 * len(model) + 32 * (2 * len(sizes) + 2)


@pytest.fixture(scope="module")
def served(version):
    with embedded_server(version.path.parent, "lesions") as addresses:
        yield addresses


def test_the_limit_is_one():
    defaults = {parameter.name: parameter.default for verb in (serve, query) for parameter in verb.params}
    limits = (ServerOptions(model_base_path="m").max_message_bytes, Connection().max_message_bytes)
    assert {*limits, defaults["max_message_bytes"]} == {MAX_MESSAGE_BYTES}


@pytest.mark.parametrize("rest", [False, True])
def test_the_default_client_and_the_default_server_have_one_limit(served, rest):
    """Eight pairs of pictures that together are over the server's limit: as real files, with zeros after their end."""
    files = encoded_pairs(8)
    padded = {name: [value + bytes(5_000_000) for value in values] for name, values in files.items()}
    pairs = [Pair(clinical, dermoscopic) for clinical, dermoscopic in zip(*padded.values(), strict=True)]
    assert sum(len(value) for values in padded.values() for value in values) > MAX_MESSAGE_BYTES
    address = served.rest if rest else served.grpc
    with Client(Connection(address, "lesions", timeout=300), rest) as client:
        assert len(list(client.predict_many(pairs))) == 8
    # A client with another limit gets the server's refusal, which says whose limit it is.
    large = Pair(padded["clinical"][0] + bytes(MAX_MESSAGE_BYTES), padded["dermoscopic"][0])
    connection = Connection(address, "lesions", timeout=300, max_message_bytes=2**30)
    with (
        Client(connection, rest) as client,
        pytest.raises(QueryError, match=r"see --max-message-bytes of the server"),
    ):
        client.predict(large)


def test_what_is_too_much_for_the_server_is_asked_in_halves():
    asked = Asked(most=2)
    with grpc_server(asked) as address, Client(address) as client:
        assert scores(list(client.answer_many(map(pair, range(7)), batch_size=7))) == list(range(7))
    assert [len(request) for request in asked.requests] == [7, 3, 1, 2, 4, 2, 2]


def test_a_pair_that_is_too_much_alone_is_an_error_at_its_place():
    asked = Asked(most=0)
    with grpc_server(asked) as address, Client(address) as client:
        found = list(client.answer_many([pair(0), pair(1)]))
    message = f"{address} refused: RESOURCE_EXHAUSTED: more than the budget of a request"
    assert [str(error) for error in found] == [message, message]
    assert [len(request) for request in asked.requests] == [2, 1, 1]


def test_bad_pictures_are_errors_at_their_places_and_all_others_are_answered():
    asked = Asked(bad=(b"1 ", b"4 ", b"5 ", b"bad"))
    pairs = [pair(number) for number in range(6)]
    pairs[2] = Pair(b"2 ", b"bad", ("2a.jpg", "2b.jpg"))
    unread = DataError("cannot read 9a.jpg: Permission denied")
    with grpc_server(asked) as address, Client(address) as client:
        found = list(client.answer_many([*pairs[:3], unread, *pairs[3:]], batch_size=3))
    assert [str(answer) if isinstance(answer, UserError) else answer.seven_point_score for answer in found] == [
        0,
        "1a.jpg: the picture is damaged",
        "2b.jpg: the picture is damaged",
        str(unread),
        3,
        "4a.jpg: the picture is damaged",
        "5a.jpg: the picture is damaged",
    ]


def test_a_bad_picture_among_real_ones(served):
    files = encoded_pairs(3)
    pairs = [Pair(*both) for both in zip(*files.values(), strict=True)]
    for rest, address in enumerate((served.grpc, served.rest)):
        with Client(Connection(address, "lesions"), bool(rest)) as client:
            good = list(client.answer_many(pairs))
            for bad in (b"", pairs[1].clinical[:60], b"text"):
                spoiled = Pair(bad, pairs[1].dermoscopic, ("broken.jpg", "fine.jpg"))
                found = list(client.answer_many([pairs[0], spoiled, pairs[2]]))
                assert str(found[1]).startswith("broken.jpg: the picture is ")
                for one, other in ((found[0], good[0]), (found[2], good[2])):
                    np.testing.assert_allclose(one.probabilities["DIAG"], other.probabilities["DIAG"], atol=1e-5)


ONCE = [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)]


@pytest.mark.parametrize("code", ONCE, ids=lambda code: code.name)
def test_only_unavailable_is_asked_again(code):
    calls = []

    def answer(_, context):
        calls.append(1)
        context.abort(code, "no")

    with grpc_server(answer) as address, Client(Connection(address, attempts=5)) as client, pytest.raises(QueryError):
        client.predict(pair(0))
    assert len(calls) == 1


def test_unavailable_is_asked_as_often_as_wanted(monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.01)
    calls = []

    def answer(_, context):
        calls.append(1)
        context.abort(grpc.StatusCode.UNAVAILABLE, "no")

    with grpc_server(answer) as address, Client(Connection(address, attempts=4)) as client, pytest.raises(QueryError):
        client.predict(pair(0))
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("status", "count"), [(503, 3), (400, 1), (401, 1), (404, 1), (408, 1), (429, 1), (500, 1), (502, 1), (504, 1)]
)
def test_rest_asks_again_for_503_only(status, count, monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.01)
    assert rest_calls(f"HTTP/1.1 {status} Words\r\nContent-Length: 2\r\n\r\n{{}}".encode()) == count


@pytest.mark.parametrize(("raw", "count"), [(b"not HTTP at all\r\n", 1), (b"", 3)])
def test_what_is_no_http_is_not_asked_again_but_a_lost_connection_is(raw, count, monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.01)
    assert rest_calls(raw) == count


def rest_calls(raw: bytes) -> int:
    """Returns how often a REST client with 3 attempts asks a server that answers with these bytes."""
    calls = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            calls.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.wfile.write(raw)
            self.close_connection = True

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((LOCALHOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            connection = Connection(f"{LOCALHOST}:{server.server_port}", attempts=3)
            with Client(connection, rest=True) as client, pytest.raises(QueryError):
                client.predict(pair(0))
        finally:
            server.shutdown()
            thread.join()
    return len(calls)


@pytest.mark.parametrize("content", [b"[]", b"3", b'{"outputs": 3}', b'{"predictions": []}', b"{}"])
def test_json_without_outputs_is_said(content):
    class Kept(RestTransport):
        def _exchange(self, *_):
            class Response:
                status, reason = 200, "OK"

            return Response, content

    with pytest.raises(QueryError, match="gave JSON without outputs by name: is it a model"):
        Kept(Connection("h:1")).predict("serving_default", {"clinical": [], "dermoscopic": []})
