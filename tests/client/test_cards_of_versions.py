"""Versions tell what their tasks, classes, targets and scores are: answers follow from it, over gRPC and REST."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from asked_servers import embedded_server
from exported_runs import encoded_pairs
from small_pairs import HOSPITAL
from tensorflow_serving.apis import predict_pb2

from amfam_tf.card import cards, served
from amfam_tf.card.served import ServedCard
from amfam_tf.client import wire
from amfam_tf.client.client import Client, Pair
from amfam_tf.client.transport import Connection, Refused
from amfam_tf.errors import QueryError

CARDS = {"milk10k": cards.packaged("milk10k"), "hospital": cards.parse(HOSPITAL, "hospital")}
PAIR = Pair(b"first file", b"second file", ("A.jpg", "B.jpg"))


def pairs(count: int) -> list[Pair]:
    return [Pair(*both) for both in zip(*encoded_pairs(count).values(), strict=True)]


@pytest.fixture(scope="module", params=CARDS)
def of_card(other_versions, request):
    """A server of a version of another card."""
    version = other_versions[request.param]
    with embedded_server(version.path.parent, "lesions") as addresses:
        yield types.SimpleNamespace(name=request.param, addresses=addresses, version=version)


@pytest.fixture(scope="module", params=["grpc", "rest"])
def client(of_card, request):
    connection = Connection(getattr(of_card.addresses, request.param), "lesions")
    with Client(connection, rest=request.param == "rest") as client:
        yield client


def test_an_answer_has_the_names_of_the_card_and_the_numbers_of_a_direct_call(client, of_card):
    card = CARDS[of_card.name]
    model = tf.saved_model.load(str(of_card.version.path))
    inputs = {name: tf.constant(value) for name, value in encoded_pairs(3).items()}
    direct = model.signatures["serving_default"](**inputs)
    for row, answer in enumerate(client.predict_many(pairs(3), batch_size=2)):
        assert list(answer.probabilities) == [task.name for task in card.tasks]
        for task in card.tasks:
            np.testing.assert_allclose(answer.probabilities[task.name], direct[task.name][row], atol=1e-5)
            assert answer.classes[task.name] == task.classes[int(np.argmax(direct[task.name][row]))]
        assert list(answer.targets) == list(card.targets)
        for name, value in answer.targets.items():
            assert value == pytest.approx(float(direct[f"{name}_probability"][row]), abs=1e-5)
        assert answer.scores == {name: int(direct[name][row]) for name in card.scores}
        assert answer.melanoma_probability == answer.targets["melanoma"]
        assert answer.card == ServedCard.of(card)
        with pytest.raises(AttributeError, match=r"^model lesions is of \w+, which has no seven_point_score: see "):
            _ = answer.seven_point_score


def test_rules_of_a_score_are_those_of_the_card(client, of_card):
    answer = client.predict(pairs(1)[0])
    if of_card.name == "milk10k":
        assert (answer.reached, answer.suspicious) == ({}, {})
    else:
        assert answer.reached == {"risk": {"high": answer.scores["risk"] >= 2}}
        assert answer.suspicious == answer.reached["risk"]


def test_explain_takes_the_questions_of_the_card(client, of_card):
    main = CARDS[of_card.name].main_task
    found = client.explain(pairs(1)[0], main.name, main.classes[1])
    assert found.answer.card == ServedCard.of(CARDS[of_card.name])
    assert found.maps["clinical"].shape == found.images["clinical"].shape[:2]
    with pytest.raises(QueryError, match=r"^the task or class to explain must be one of \w+(, ULC)?: PN$"):
        client.explain(pairs(1)[0], "PN")


class Server:
    """Answers of versions that a test makes up; `asked` has the signatures and versions asked for."""

    def __init__(self, **cards_of_versions: str | None):
        self.cards = {int(name[1:]): card for name, card in cards_of_versions.items()}
        self.latest = max(self.cards)
        self.asked: list[tuple[str, int | None]] = []

    def __call__(self, request, _):
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        self.asked.append((spec.signature_name, version))
        return self.answer(spec.signature_name, self.latest if version is None else version)

    def answer(self, signature: str, version: int):
        if version not in self.cards:
            text = f"Servable not found for request: Specific(amfam, {version})"
            raise Refused(f"refused: NOT_FOUND: {text}", "NOT_FOUND", text)
        card = self.cards[version]
        if signature == "describe" and card is None:
            text = 'Serving signature key "describe" not found.'
            raise Refused(text, "FAILED_PRECONDITION", text)
        proto = predict_pb2.PredictResponse()
        proto.model_spec.version.value = version
        outputs = {"card": np.array([card], object)} if signature == "describe" else self.outputs(card)
        for name, value in outputs.items():
            proto.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return wire.PredictResponse.FromString(proto.SerializeToString())

    def outputs(self, text: str | None) -> dict[str, np.ndarray]:
        """Returns an answer for one pair in which the first class of each task is certain."""
        card = ServedCard.of(cards.packaged("derm7pt")) if text is None else ServedCard.from_json(text)
        found = {task.name: np.eye(len(task.classes), dtype=np.float32)[:1] for task in card.tasks}
        found |= {served.output_of_target(name): np.float32([0.25]) for name in card.targets}
        return found | {name: np.int32([1]) for name in card.scores}


@pytest.fixture
def asking(monkeypatch):
    """Returns the function that gives a client of a made-up server."""

    def make(server: Server) -> Client:
        client = Client(Connection("localhost:1"))
        monkeypatch.setattr(client._transport, "_attempt", server)
        return client

    return make


MILK, RISK = (served.to_json(CARDS[name]) for name in CARDS)
EXCHANGED = RISK.replace('"MEL"', '"XXX"').replace('"NEV"', '"MEL"').replace('"XXX"', '"NEV"')


def test_a_version_is_asked_once_and_by_its_number(asking):
    server = Server(v1=RISK, v2=MILK)
    client = asking(server)
    for _ in range(3):
        assert client.predict(PAIR).classes == {"DIAG": "AKIEC"}
    server.latest = 1
    assert client.predict(PAIR).classes == {"DX": "MEL", "ULC": "no"}
    server.latest = 2
    assert client.predict(PAIR).classes == {"DIAG": "AKIEC"}
    assert [version for name, version in server.asked if name == "describe"] == [2, 1]


def test_exchanged_classes_of_the_next_version_get_their_own_names(asking):
    server = Server(v1=RISK)
    client = asking(server)
    assert client.predict(PAIR).classes["DX"] == "MEL"
    server.cards[2], server.latest = EXCHANGED, 2
    assert client.predict(PAIR).classes["DX"] == "NEV"


def test_a_version_without_a_card_is_of_derm7pt(asking):
    answer = asking(Server(v7=None)).predict(PAIR)
    assert answer.classes["DIAG"] == "BCC"
    assert (answer.melanoma_probability, answer.seven_point_score) == (0.25, 1)
    assert answer.suspicious == {"original": False, "revised": True}


def test_a_pair_is_asked_again_if_its_version_has_been_unloaded_before_it_told_its_card(asking):
    server = Server(v1=RISK, v2=MILK)
    gone = []

    def answer(request, seconds):
        if request.model_spec.signature_name == "describe" and not gone:
            gone.append(server.cards.pop(2))
            found = server(request, seconds)
        else:
            server.latest = max(server.cards)
            found = server(request, seconds)
        return found

    client = asking(answer)
    found = client.predict(PAIR)
    assert (found.version, found.classes["DX"]) == (1, "MEL")
    assert [name for name, _ in server.asked] == ["serving_default", "describe", "serving_default", "describe"]


def test_a_card_that_is_never_there_is_the_servers_refusal(asking):
    server = Server(v1=RISK)

    def answer(request, seconds):
        if request.model_spec.signature_name == "describe":
            return Server(v2=RISK).answer("describe", 1)
        return server(request, seconds)

    with pytest.raises(QueryError, match=r"NOT_FOUND: Servable not found for request: Specific\(amfam, 1\)"):
        asking(answer).predict(PAIR)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("{", "does not tell its tasks by describe: the served card cannot be read: JSONDecodeError"),
        (RISK.replace('"format":1', '"format":9'), "the served card is of format 9, this program reads 1"),
    ],
)
def test_a_card_that_cannot_be_read_is_one_line(asking, told, said):
    server = Server(v1=told)
    server.outputs = lambda _: {"x": np.float32([1])}
    with pytest.raises(QueryError) as caught:
        asking(server).predict(PAIR)
    assert str(caught.value).startswith("model amfam at localhost:1 does not tell its tasks by describe: ")
    assert said in str(caught.value)


def test_an_answer_that_does_not_fit_the_card_is_said(asking):
    server = Server(v1=RISK)
    whole = server.outputs(RISK)
    for name, value in {"ULC": np.float32([[1, 0, 0]]), "risk": np.int32([[1]]), "melanoma_probability": None}.items():
        changed = {key: one for key, one in (whole | {name: value}).items() if one is not None}
        server.outputs = lambda _, changed=changed: changed
        with pytest.raises(QueryError, match=rf"is no lesion model: its answer has no {name} of shape \(1,( 2)?\)$"):
            asking(server).predict(PAIR)


def test_over_rest_a_card_is_asked_for_again_when_an_answer_does_not_fit(monkeypatch):
    told, asked = [RISK], []
    client = Client(Connection("localhost:1"), rest=True)

    def attempt(body, _):
        name = json.loads(body)["signature_name"]
        asked.append(name)
        found = {"card": [told[0]], "tasks": [[]]} if name == "describe" else Server(v1=None).outputs(told[0])
        return {"outputs": {key: np.asarray(value).tolist() for key, value in found.items()}}

    monkeypatch.setattr(client._transport, "_attempt", attempt)
    assert client.predict(PAIR).classes == {"DX": "MEL", "ULC": "no"}
    told[0] = MILK
    assert [client.predict(PAIR).classes for _ in range(2)] == [{"DIAG": "AKIEC"}] * 2
    assert asked.count("describe") == 2


@pytest.mark.parametrize("rest", [False, True])
def test_a_version_of_before_told_by_a_real_server_is_of_derm7pt(tmp_path, rest):
    """The text with which a server refuses a signature that is not there differs by way."""
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2.0 * x, "z": x}, input_signature=[tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "models" / "1"), signatures={"serving_default": module.double})
    with (
        embedded_server(tmp_path / "models", "amfam") as addresses,
        Client(Connection(addresses.rest if rest else addresses.grpc), rest=rest) as client,
    ):
        assert client.card() == served.legacy()
        assert client.card(1) == served.legacy()
        with pytest.raises(QueryError, match=r"refused: (404 Not Found|NOT_FOUND): Servable not found"):
            client.card(2)
