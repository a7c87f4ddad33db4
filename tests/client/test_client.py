"""The client: the wire format, retries and deadlines, and the same answers over gRPC, REST and a direct call."""

import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import pytest
import tensorflow as tf
from asked_servers import LOCALHOST, embedded_server, free_port, grpc_server
from exported_runs import MAX_PIXELS, encoded, encoded_pairs, random_picture
from google.protobuf.descriptor import FieldDescriptor
from tensorflow_serving.apis import predict_pb2

from amfam_tf.client import transport, wire
from amfam_tf.client.client import Answer, Client, Pair
from amfam_tf.client.transport import Connection
from amfam_tf.errors import DataError, QueryError
from amfam_tf.tasks import MODALITIES, TASKS

PAIR = Pair(b"first file", b"second file", ("A.jpg", "B.jpg"))


@pytest.fixture(scope="module")
def served(version):
    with embedded_server(version.path.parent, "lesions") as addresses:
        yield addresses


@pytest.fixture(scope="module", params=["grpc", "rest"])
def client(served, request):
    connection = Connection(getattr(served, request.param), "lesions")
    with Client(connection, rest=request.param == "rest") as client:
        yield client


def pairs(count: int) -> list[Pair]:
    files = encoded_pairs(count)
    return [Pair(clinical, dermoscopic) for clinical, dermoscopic in zip(*files.values(), strict=True)]


def response(version: int = 7, **changes: tf.Tensor) -> object:
    """Returns an answer for one pair, each task's first class certain, as the real classes write it."""
    proto = predict_pb2.PredictResponse()
    proto.model_spec.version.value = version
    outputs = {task.name: np.eye(len(task.classes), dtype=np.float32)[:1] for task in TASKS}
    outputs |= {"melanoma_probability": np.float32([0.25]), "seven_point_score": np.int32([2])}
    for name, value in (outputs | changes).items():
        proto.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return wire.PredictResponse.FromString(proto.SerializeToString())


def assert_is_part_of(ours, theirs) -> None:
    """Compares two message descriptors: each of our fields is one of theirs; an enum counts as int32."""
    for field in ours.fields:
        other = theirs.fields_by_name[field.name]
        kind = FieldDescriptor.TYPE_INT32 if other.type == FieldDescriptor.TYPE_ENUM else other.type
        assert (field.number, field.type, field.is_repeated) == (other.number, kind, other.is_repeated), field.name
        if field.message_type:
            assert_is_part_of(field.message_type, other.message_type)


@pytest.mark.parametrize("name", ["PredictRequest", "PredictResponse"])
def test_the_messages_are_those_of_tensorflow_serving(name):
    assert_is_part_of(getattr(wire, name).DESCRIPTOR, getattr(predict_pb2, name).DESCRIPTOR)


def test_the_service_is_that_of_tensorflow_serving():
    from tensorflow_serving.apis import prediction_service_pb2

    method = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].methods_by_name["Predict"]
    assert f"/{method.containing_service.full_name}/{method.name}" == wire.PREDICT_METHOD


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.uint8])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (4, 1)])
@pytest.mark.parametrize("typed", [True, False])
def test_arrays_are_read_from_both_kinds_of_fields(kind, shape, typed):
    array = np.random.default_rng(0).integers(0, 200, shape).astype(kind)
    proto = tf.make_tensor_proto(array)
    if typed:
        proto.ClearField("tensor_content")
        field = proto.float_val if kind is np.float32 else proto.int_val
        del field[:]
        field.extend(array.ravel().tolist())
    found = wire.to_array(wire.Tensor.FromString(proto.SerializeToString()))
    assert found.dtype == kind
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (4, 1)])
def test_texts_are_read_as_bytes(shape):
    texts = np.empty(shape, object)
    texts.flat = [b"text", "größer".encode(), b"", b"\xff", b"a", b"a"][: texts.size]
    found = wire.to_array(wire.Tensor.FromString(tf.make_tensor_proto(texts, tf.string).SerializeToString()))
    assert (found.dtype, found.shape) == (object, shape)
    assert found.tolist() == texts.tolist()


def test_left_out_repetitions_are_the_last_value():
    proto = wire.Tensor(dtype=1, float_val=[3, 5])
    proto.tensor_shape.dim.add(size=4)
    assert wire.to_array(proto).tolist() == [3, 5, 5, 5]


def test_strings_are_written_as_tensorflow_does():
    ours = wire.string_tensor([b"a", b"\xff\x00"]).SerializeToString()
    assert tf.make_ndarray(tf.make_tensor_proto([b"a", b"\xff\x00"])).tolist() == [b"a", b"\xff\x00"]
    theirs = type(tf.make_tensor_proto(0)).FromString(ours)
    assert tf.make_ndarray(theirs).tolist() == [b"a", b"\xff\x00"]


def test_the_client_imports_no_tensorflow():
    code = (
        "import sys, amfam_tf.client.client, amfam_tf.client.pairs, amfam_tf.client.card, amfam_tf.cli.query;"
        "print([name for name in sys.modules if name.partition('.')[0] in "
        "('tensorflow', 'keras', 'pandas', 'matplotlib', 'scipy', 'tensorflow_serving')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_request_says_what_was_asked():
    seen = []

    def answer(request, _):
        seen.append(predict_pb2.PredictRequest.FromString(request.SerializeToString()))
        return response()

    with grpc_server(answer) as address, Client(Connection(address, "lesions", version=3)) as client:
        found = client.predict(PAIR)
    spec = seen[0].model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("lesions", 3, "serving_default")
    assert {name: list(tensor.string_val) for name, tensor in seen[0].inputs.items()} == {
        "clinical": [b"first file"],
        "dermoscopic": [b"second file"],
    }
    probabilities = {task.name: (1.0, *[0.0] * (len(task.classes) - 1)) for task in TASKS}
    assert found == Answer(probabilities, {"melanoma": 0.25}, {"seven_point_score": 2}, "lesions", 7)
    assert (found.melanoma_probability, found.seven_point_score) == (0.25, 2)
    assert found.classes == {task.name: task.classes[0] for task in TASKS}
    assert found.suspicious == {"original": False, "revised": True}


def test_pairs_are_sent_in_batches_and_answered_in_order(client):
    asked = pairs(5)
    together = list(client.predict_many(asked, batch_size=2))
    alone = [client.predict(pair) for pair in asked]
    assert len(together) == 5
    for one, other in zip(together, alone, strict=True):
        assert one.seven_point_score == other.seven_point_score
        np.testing.assert_allclose(one.probabilities["DIAG"], other.probabilities["DIAG"], atol=1e-5)
    assert len({answer.melanoma_probability for answer in together}) == 5


def test_answers_are_those_of_a_direct_call(client, loaded, served):
    files = encoded_pairs(2)
    direct = loaded.signatures["serving_default"](**{name: tf.constant(value) for name, value in files.items()})
    for row, answer in enumerate(client.predict_many(pairs(2))):
        for task in TASKS:
            np.testing.assert_allclose(answer.probabilities[task.name], direct[task.name][row], atol=1e-5)
        assert answer.melanoma_probability == pytest.approx(float(direct["melanoma_probability"][row]), abs=1e-5)
        assert answer.seven_point_score == int(direct["seven_point_score"][row])
        assert answer.model == "lesions"
        assert answer.version == (1 if client.connection.server == served.grpc else None)


def test_explanation_is_that_of_a_direct_call(client, loaded):
    files = encoded_pairs(1) | {"task": ["PN"], "class_name": ["ATP"]}
    direct = loaded.signatures["explain"](**{name: tf.constant(value) for name, value in files.items()})
    found = client.explain(pairs(1)[0], "PN", "ATP")
    for name in MODALITIES:
        np.testing.assert_array_equal(found.images[name], direct[f"{name}_image"][0])
        np.testing.assert_allclose(found.maps[name], direct[f"{name}_map"][0], atol=1e-4)
        assert (found.images[name].dtype, found.maps[name].dtype) == (np.uint8, np.float32)
    np.testing.assert_allclose(found.answer.probabilities["PN"], direct["PN"][0], atol=1e-5)


def test_a_bad_picture_is_called_by_its_name(client):
    good = pairs(3)
    large = encoded(np.zeros((200, 200, 3), np.uint8))
    bad = {
        b"text": "the picture is not a JPEG, PNG or BMP file",
        large: f"the picture has more than {MAX_PIXELS} pixels",
        encoded(random_picture(1))[:90]: "the picture is damaged or of a kind that cannot be read",
    }
    for content, reason in bad.items():
        wrong = Pair(good[1].clinical, content, ("fine.jpg", "wrong.jpg"))
        with pytest.raises(DataError) as caught:
            list(client.predict_many([good[0], wrong, good[2]]))
        assert str(caught.value) == f"wrong.jpg: {reason}"


def test_an_unknown_task_or_class_is_one_line(client):
    with pytest.raises(QueryError, match=r"^the task or class to explain must be one of DIAG, PN, .*: NOPE$"):
        client.explain(pairs(1)[0], "NOPE")
    with pytest.raises(QueryError, match=r"^the task or class to explain must be a class of that task: MEL$"):
        client.explain(pairs(1)[0], "PN", "MEL")


@pytest.mark.parametrize("rest", [False, True])
def test_an_unknown_model_is_the_servers_refusal(served, rest):
    address = served.rest if rest else served.grpc
    status = "404 Not Found" if rest else "NOT_FOUND"
    with Client(Connection(address, "moles"), rest) as client, pytest.raises(QueryError) as caught:
        client.predict(PAIR)
    assert str(caught.value) == f"{address} refused: {status}: Servable not found for request: Latest(moles)"


def test_tries_again_while_unavailable(monkeypatch):
    monkeypatch.setattr(transport, "FIRST_WAIT", 0.01)
    calls = []

    def answer(_, context):
        calls.append(time.monotonic())
        if len(calls) < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return response()

    with grpc_server(answer) as address, Client(Connection(address, attempts=3)) as client:
        assert client.predict(PAIR).version == 7
        assert len(calls) == 3
    calls.clear()
    with grpc_server(answer) as address, Client(Connection(address, attempts=2)) as client:
        with pytest.raises(QueryError, match=r"is unavailable after 2 attempts: not yet$"):
            client.predict(PAIR)
        assert len(calls) == 2


def test_a_server_that_starts_meanwhile_is_found():
    port, done = free_port(), threading.Event()

    def serve():
        time.sleep(0.5)
        with grpc_server(lambda *_: response(), port):
            done.wait(20)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with Client(Connection(f"{LOCALHOST}:{port}", attempts=10)) as client:
            assert client.predict(PAIR).version == 7
    finally:
        done.set()
        thread.join()


def test_refusals_are_not_repeated():
    calls = []

    def answer(_, context):
        calls.append(1)
        context.abort(grpc.StatusCode.INTERNAL, "two\nlines")

    with grpc_server(answer) as address, Client(address) as client:
        with pytest.raises(QueryError) as caught:
            client.predict(PAIR)
        assert str(caught.value) == f"{address} refused: INTERNAL: two lines"
    assert len(calls) == 1


def test_waits_grow_and_end_with_the_time(monkeypatch):
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(transport.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(transport.time, "sleep", sleep)
    monkeypatch.setattr(transport.random, "uniform", lambda *bounds: max(bounds))
    left = []

    def attempt(seconds: float) -> None:
        left.append(seconds)
        raise transport.Unavailable("no")

    with pytest.raises(QueryError, match="after 4 attempts: no"):
        transport.with_attempts(attempt, Connection("x:1", timeout=2, attempts=99))
    assert waits == pytest.approx([0.2, 0.4, 0.8])
    assert left == pytest.approx([2, 1.8, 1.4, 0.6])


@pytest.mark.parametrize("rest", [False, True])
def test_the_deadline_is_kept(rest):
    if rest:
        server = ThreadingHTTPServer((LOCALHOST, 0), BaseHTTPRequestHandler, bind_and_activate=True)
        address = f"{LOCALHOST}:{server.server_port}"  # accepts connections and never answers
    began = time.monotonic()
    released = threading.Event()

    def slow(*_):
        released.wait(20)
        return response()

    if rest:
        with server, Client(Connection(address, timeout=0.5), rest=True) as client, pytest.raises(QueryError) as caught:
            client.predict(PAIR)
    else:
        with grpc_server(slow) as address, Client(Connection(address, timeout=0.5)) as client:
            with pytest.raises(QueryError) as caught:
                client.predict(PAIR)
            released.set()
    assert str(caught.value) == f"{address} gave no answer within 0.5 s: see --timeout"
    assert 0.4 < time.monotonic() - began < 15


def test_another_model_is_no_lesion_model():
    with (
        grpc_server(lambda *_: response(PN=np.float32([[1.0]]))) as address,
        Client(Connection(address, "other")) as client,
        pytest.raises(QueryError, match=r"model other .* is no lesion model: its answer has no PN of shape \(1, 3\)"),
    ):
        client.predict(PAIR)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, "<html>", "gave no JSON (status 200): is it a REST port?"),
        (400, json.dumps({"error": "Missing things"}), "refused: 400 Bad Request: Missing things"),
        (503, json.dumps({"error": "later"}), "is unavailable after 2 attempts: later"),
        (504, json.dumps({"error": "Timed out"}), "gave no answer within 30 s: see --timeout"),
    ],
)
def test_rest_errors_are_one_line(status, body, message):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer((LOCALHOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        address = f"{LOCALHOST}:{server.server_port}"
        try:
            with Client(Connection(address, attempts=2), rest=True) as client, pytest.raises(QueryError) as caught:
                client.predict(PAIR)
        finally:
            server.shutdown()
            thread.join()
    assert str(caught.value) == f"{address} {message}"


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "A.jpg").write_bytes(b"x")
    with pytest.raises(DataError, match=rf"^cannot read {tmp_path}/B\.jpg: No such file or directory$"):
        Pair.read(tmp_path / "A.jpg", tmp_path / "B.jpg")
    with pytest.raises(QueryError, match="cannot read .*ca.pem: No such file"):
        Client(Connection(ca=tmp_path / "ca.pem"))
