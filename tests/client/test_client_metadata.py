"""Models that take metadata, asked over gRPC and REST: what is given, what is not, what cannot be."""

import json
import math
import types
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from asked_servers import embedded_server
from clinic import CARD, COLUMNS
from exported_runs import encoded_pairs
from tensorflow_serving.apis import predict_pb2

from amfam_tf.card import cards, served
from amfam_tf.card.served import ServedCard
from amfam_tf.client import wire
from amfam_tf.client.client import Client, Pair
from amfam_tf.client.transport import Connection, Refused
from amfam_tf.errors import DataError, QueryError
from amfam_tf.server.batching import BatchingOptions
from amfam_tf.server.servable import Servable

TOLD = {"sex": "w", "age": "54,3", "class": "some", "dose": 2024.123}
AS_INPUTS = {"sex": "female", "age": 54.3, "metadata_class": "some", "dose": 2024.12}
UNKNOWN = {"sex": "", "age": math.nan, "metadata_class": "", "dose": math.nan}


def pairs(count: int) -> list[Pair]:
    return [
        Pair(*both, (f"{number}.png", f"{number}.jpg"))
        for number, both in enumerate(zip(*encoded_pairs(count).values(), strict=True))
    ]


@pytest.fixture(scope="module")
def addresses(clinic):
    with embedded_server(clinic.path.parent, "lesions") as found:
        yield found


@pytest.fixture(scope="module")
def direct(clinic):
    """Returns the answer of the signature itself to the first pair."""
    model = tf.saved_model.load(str(clinic.path))

    def ask(signature: str = "serving_default", **given: str | float) -> dict[str, np.ndarray]:
        inputs = {name: tf.constant(value) for name, value in encoded_pairs(1).items()}
        inputs |= {name: tf.constant([value]) for name, value in given.items()}
        return {name: value.numpy()[0] for name, value in model.signatures[signature](**inputs).items()}

    return ask


@pytest.fixture(scope="module", params=["grpc", "rest"])
def client(addresses, request):
    connection = Connection(getattr(addresses, request.param), "lesions")
    with Client(connection, rest=request.param == "rest") as client:
        yield client


def test_what_is_given_is_what_the_signature_gets(client, direct):
    (pair,) = pairs(1)
    told, nothing = client.predict(pair, metadata=TOLD), client.predict(pair)
    np.testing.assert_allclose(told.probabilities["DX"], direct(**AS_INPUTS)["DX"], atol=1e-6)
    np.testing.assert_allclose(nothing.probabilities["DX"], direct(**UNKNOWN)["DX"], atol=1e-6)
    assert abs(told.probabilities["DX"][0] - nothing.probabilities["DX"][0]) > 1e-4
    assert told.metadata == {"sex": "female", "age": "54.3", "class": "some", "dose": "2024.12"}
    assert nothing.metadata == dict.fromkeys(COLUMNS, "")
    assert client.card() == told.card == ServedCard.of(CARD, COLUMNS)
    partly = client.predict(pair, metadata={"age": 54.3, "sex": "", "dose": None, "class": math.nan})
    assert partly.metadata == {"sex": "", "age": "54.3", "class": "", "dose": ""}
    np.testing.assert_allclose(partly.probabilities["DX"], direct(**UNKNOWN | {"age": 54.3})["DX"], atol=1e-6)


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_who_has_been_told_nothing_yet_gives_what_the_model_takes_all_the_same(addresses, direct, transport):
    with Client(Connection(getattr(addresses, transport), "lesions"), rest=transport == "rest") as client:
        found = client.predict(pairs(1)[0])
    np.testing.assert_allclose(found.probabilities["DX"], direct(**UNKNOWN)["DX"], atol=1e-6)
    assert found.metadata == dict.fromkeys(COLUMNS, "")


def test_a_list_has_values_of_its_own_and_an_error_at_its_place(client):
    first, second, third, fourth = pairs(4)
    told = [{"age": 40}, {"age": 140}, {}, {"weight": 70}]
    asked = [Pair(one.clinical, one.dermoscopic, one.names, given) for one, given in zip(pairs(4), told, strict=True)]
    answers = list(client.answer_many(asked))
    assert [str(one) for one in answers if isinstance(one, DataError)] == [
        "1.png + 1.jpg: age: the value 140 is no number from 0 to 110",
        "3.png + 3.jpg: model lesions has no metadata 'weight': it takes sex, age, class, dose",
    ]
    alone = client.predict(first, metadata={"age": 40}), client.predict(third)
    for found, expected in zip((answers[0], answers[2]), alone, strict=True):
        np.testing.assert_allclose(found.probabilities["DX"], expected.probabilities["DX"], atol=1e-6)
    with pytest.raises(DataError, match=r"^1.png \+ 1.jpg: sex: the value f is none of: female \(w, W\), male \(m\)$"):
        client.predict(second, metadata={"sex": "f"})
    with pytest.raises(DataError, match=r"^3.png \+ 3.jpg: sex: the value F is none of: "):
        client.explain(Pair(fourth.clinical, fourth.dermoscopic, fourth.names, {"sex": "F"}))


def test_explain_is_told_the_same(client, direct):
    (pair,) = pairs(1)
    found = client.explain(Pair(pair.clinical, pair.dermoscopic, pair.names, TOLD), "ULC", "yes")
    expected = direct("explain", **AS_INPUTS, task="ULC", class_name="yes")
    np.testing.assert_allclose(found.maps["clinical"], expected["clinical_map"], atol=1e-5)
    assert found.answer.metadata["dose"] == "2024.12"


def asked_by_rest(address: str, document: dict) -> dict:
    body = json.dumps({"signature_name": "serving_default", **document}).encode()
    request = urllib.request.Request(f"http://{address}/v1/models/lesions:predict", body)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_rest_takes_rows_and_columns_with_nan_and_whole_numbers(addresses, direct):
    from amfam_tf.client.transport import _json_value

    pictures = {name: _json_value(name, values[0]) for name, values in encoded_pairs(1).items()}
    given = {"sex": "m", "age": 54, "metadata_class": "", "dose": math.nan}
    rows = asked_by_rest(addresses.rest, {"instances": [{**pictures, **given}, {**pictures, **given, "age": 0}]})
    columns = asked_by_rest(addresses.rest, {"inputs": {name: [value] for name, value in (pictures | given).items()}})
    expected = direct(**given | {"age": 54.0})["DX"]
    np.testing.assert_allclose(rows["predictions"][0]["DX"], expected, atol=1e-6)
    np.testing.assert_allclose(columns["outputs"]["DX"][0], expected, atol=1e-6)
    assert rows["predictions"][1]["DX"] != rows["predictions"][0]["DX"]


def test_a_server_that_merges_requests_gives_the_same_and_names_a_wrong_value(clinic, direct):
    servable = Servable(clinic.path, BatchingOptions(max_batch_size=4))
    inputs = {name: np.array(value, object) for name, value in encoded_pairs(1).items()}
    inputs |= {
        name: np.array([value], object if isinstance(value, str) else np.float32) for name, value in AS_INPUTS.items()
    }
    try:
        found = servable.run("serving_default", inputs, ["DX"])["DX"][0]
        np.testing.assert_allclose(found, direct(**AS_INPUTS)["DX"], atol=1e-6)
        with pytest.raises(tf.errors.InvalidArgumentError, match="input sex, index 0: the value f is none of: female"):
            servable.run("serving_default", inputs | {"sex": np.array(["f"], object)}, ["DX"])
    finally:
        servable.close()


class Versions:
    """A server whose latest version takes `columns` of the clinic; `asked` has the names of the inputs of each call."""

    def __init__(self, *columns: str):
        self.columns = columns
        self.asked: list[list[str]] = []

    def predict(self, signature: str, inputs, version: int | None = None):  # noqa: ARG002
        self.asked.append(sorted(inputs))
        if signature == "describe":
            return {"card": np.array([served.to_json(CARD, self.columns).encode()], object)}, 1
        if set(inputs) != {"clinical", "dermoscopic", *self.columns}:
            text = f"input size does not match signature: {len(inputs)}!={2 + len(self.columns)}"
            raise Refused(f"refused: {text}", "INVALID_ARGUMENT", text)
        rows = len(inputs["clinical"])
        answer = {task.name: np.full((rows, 2), 0.5, np.float32) for task in CARD.tasks}
        return answer | {"melanoma_probability": np.full(rows, 0.5), "risk": np.zeros(rows, np.int32)}, None

    request_bytes = staticmethod(lambda _: 0)
    close = staticmethod(lambda: None)


def client_of(server: Versions) -> Client:
    client = Client("localhost:1")
    client._transport.close()
    client._transport = server
    return client


def test_a_model_without_metadata_takes_none():
    client = client_of(Versions())
    with pytest.raises(DataError) as caught:
        client.predict(pairs(1)[0], metadata={"age": 54})
    assert str(caught.value) == "0.png + 0.jpg: model amfam has no metadata 'age': it takes none"
    assert client.predict(pairs(1)[0]).metadata == {}


def test_a_version_that_takes_other_metadata_is_asked_anew():
    server = Versions()
    client = client_of(server)
    (pair,) = pairs(1)
    assert client.predict(pair).metadata == {}
    server.columns = ("age", "sex")
    assert client.predict(pair).metadata == {"age": "", "sex": ""}
    assert client.predict(pair, metadata={"sex": "m"}).metadata == {"age": "", "sex": "male"}
    server.columns = ("age",)
    answers = list(client.answer_many([pair, Pair(b"a", b"b", ("A", "B"), {"sex": "m"})]))
    assert answers[0].metadata == {"age": ""}
    assert str(answers[1]) == "A + B: model amfam has no metadata 'sex': it takes age"
    pictures = ["clinical", "dermoscopic"]
    assert server.asked == [
        *(pictures, ["anything"]),
        *(pictures, ["anything"], ["age", *pictures, "sex"]),
        ["age", *pictures, "sex"],
        *(["age", *pictures, "sex"], ["anything"], ["age", *pictures]),
    ]


def test_a_model_that_never_keeps_its_metadata_is_one_line():
    server = Versions("age")
    client = client_of(server)
    swapped = server.predict

    def predict(signature, inputs, version=None):
        if signature == "describe":
            server.columns = ("sex", "age") if len(server.columns) == 1 else ("age",)
            return swapped(signature, inputs, version)
        text = "input size does not match signature"
        raise Refused(f"refused: {text}", "INVALID_ARGUMENT", text)

    server.predict = predict
    for ask in (client.predict, client.explain):
        with pytest.raises(QueryError, match="takes other metadata each time that it is asked: name a version$"):
            ask(pairs(1)[0])


def test_a_request_of_numbers_is_within_what_it_is_counted_as():
    connection = Connection("localhost:1", "lesions")
    rows = [-1.2345678e-30, math.nan, 110.0]
    inputs = {"clinical": [b"x"] * 3, "dermoscopic": [b"y"] * 3}
    inputs |= {f"metadata_{'n' * 40}{number}": rows for number in range(30)}
    request = wire.PredictRequest()
    for name, values in inputs.items():
        request.inputs.add(key=name, value=wire.tensor(values))
    with Client(connection) as grpc, Client(connection, rest=True) as rest:
        assert len(request.SerializeToString()) < grpc._transport.request_bytes(inputs)
        columns = {name: [str(value) for value in values] for name, values in inputs.items()}
        assert len(json.dumps({"inputs": columns})) < rest._transport.request_bytes(inputs)
    ours = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(ours.inputs[f"metadata_{'n' * 40}0"]), np.float32(rows))


def test_cards_without_metadata_are_told_as_before():
    assert served.to_json(cards.packaged("derm7pt")).count("metadata") == 0
    assert types.MappingProxyType(dict(ServedCard.of(CARD).metadata)) == {}
