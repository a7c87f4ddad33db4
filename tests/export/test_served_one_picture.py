"""A version that answers for one picture or both: its signatures, what it tells, and what clients make of it."""

import contextlib
import json

import numpy as np
import pytest
import tensorflow as tf
from asked_servers import embedded_server
from exported_runs import encoded_pairs, write_run
from small import IMAGE_SIZE, SMALL_FOR_ANY
from tiny_backbone import TINY_BACKBONE

from amfam_tf.batch_predict.decoding import prepare
from amfam_tf.batch_predict.model import LoadedVersion, describe_version
from amfam_tf.batch_predict.source import open_source
from amfam_tf.card.served import ServedCard
from amfam_tf.cli import main as command_line
from amfam_tf.client.client import Client, Pair
from amfam_tf.client.transport import Connection
from amfam_tf.errors import DataError
from amfam_tf.export.export import export_run, folded_network
from amfam_tf.export.onnx_file import write_onnx
from amfam_tf.export.source import read_source
from amfam_tf.export.verify import verify
from amfam_tf.models.backbones import BACKBONES
from amfam_tf.tasks import DERM7PT, MODALITIES, TASKS

NOTHING = (
    r"input clinical, index 1: the picture is missing \(empty, or black throughout\), and so is dermoscopic: give one"
)


@contextlib.contextmanager
def tiny_backbone():
    """Only here and there: `version`, which others share, has the usual one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES, "resnet14_narrow", TINY_BACKBONE)
        yield


@pytest.fixture(scope="module")
def network_and_version(tmp_path_factory):
    root = tmp_path_factory.mktemp("one")
    with tiny_backbone():
        network = write_run(root / "run", "model.modality_dropout=0.3", method="concat", sizes=SMALL_FOR_ANY)
        return network, export_run(root / "run", root / "models" / "lesions").path


@pytest.fixture(scope="module")
def network(network_and_version):
    return network_and_version[0]


@pytest.fixture(scope="module")
def path(network_and_version):
    return network_and_version[1]


@pytest.fixture(scope="module")
def model(path):
    return tf.saved_model.load(str(path))


@pytest.fixture(scope="module")
def address(path):
    with embedded_server(path.parent, "lesions") as found:
        yield found


def files(*missing: tuple[int, str], count: int = 3) -> dict[str, list[bytes]]:
    """Returns picture files, those of (row, modality) empty."""
    pairs = encoded_pairs(count)
    for row, name in missing:
        pairs[name][row] = b""
    return pairs


def example(pair: dict[str, bytes]) -> bytes:
    lists = {name: tf.train.BytesList(value=[content]) for name, content in pair.items()}
    features = {name: tf.train.Feature(bytes_list=value) for name, value in lists.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def ask(model, signature: str, **inputs) -> dict[str, np.ndarray]:
    found = model.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in found.items()}


def alone(network, name: str, squares: np.ndarray) -> np.ndarray:
    """Returns the network's probabilities of the diagnosis for one picture alone, uint8 [B, S, S, 3]."""
    logits = network.inference_model((name,))({name: tf.constant(squares, tf.float32) / 255}, training=False)
    return tf.nn.softmax(logits["DIAG"]).numpy()


def test_an_empty_string_is_no_picture_and_rows_do_not_mix(model, network):
    given = files((0, "clinical"), (2, "dermoscopic"))
    found = ask(model, "serving_default", **given)
    whole = ask(model, "explain", **given, task=[""] * 3, class_name=[""] * 3)
    for row, missing, there in ((0, "clinical", "dermoscopic"), (2, "dermoscopic", "clinical")):
        assert not whole[f"{missing}_image"][row].any()
        assert not whole[f"{missing}_map"][row].any()
        expected = alone(network, there, whole[f"{there}_image"][row : row + 1])
        np.testing.assert_allclose(found["DIAG"][row], expected[0], atol=1e-4)
    both = ask(model, "serving_default", **files())
    np.testing.assert_allclose(found["DIAG"][1], both["DIAG"][1], atol=1e-6)
    assert np.abs(found["DIAG"][[0, 2]] - both["DIAG"][[0, 2]]).max() > 1e-3
    np.testing.assert_allclose(whole["DIAG"], found["DIAG"], atol=1e-5)


def test_a_feature_that_is_empty_or_absent_and_a_black_array_are_no_picture(model):
    given = files((0, "clinical"), (1, "clinical"), count=2)
    expected = ask(model, "serving_default", **given)["DIAG"]
    rows = [dict(zip(MODALITIES, pair, strict=True)) for pair in zip(*given.values(), strict=True)]
    examples = [example(rows[0]), example({"dermoscopic": rows[1]["dermoscopic"]})]
    np.testing.assert_allclose(ask(model, "predict_examples", examples=examples)["DIAG"], expected, atol=1e-6)
    squares = ask(model, "explain", **given, task=[""] * 2, class_name=[""] * 2)
    black = np.zeros((2, IMAGE_SIZE + 5, IMAGE_SIZE, 3), np.uint8)
    found = ask(model, "predict_images", clinical=black, dermoscopic=squares["dermoscopic_image"])
    np.testing.assert_allclose(found["DIAG"], expected, atol=1e-6)


def test_a_row_without_a_picture_is_named(model):
    given = files((1, "clinical"), (1, "dermoscopic"))
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOTHING):
        ask(model, "serving_default", **given)
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOTHING):
        ask(model, "explain", **given, task=[""] * 3, class_name=[""] * 3)
    whole = dict(zip(MODALITIES, (one[0] for one in files().values()), strict=True))
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOTHING):
        ask(model, "predict_examples", examples=[example(whole), example({})])
    squares = np.zeros((2, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    squares[0] = 7
    with pytest.raises(tf.errors.InvalidArgumentError, match=NOTHING):
        ask(model, "predict_images", clinical=squares, dermoscopic=squares)


def test_a_damaged_picture_beside_a_missing_one_is_named_as_ever(model):
    given = files((0, "clinical"))
    given["dermoscopic"][2] = given["dermoscopic"][2][:40]
    with pytest.raises(tf.errors.InvalidArgumentError, match="input dermoscopic, index 2: the picture is damaged"):
        ask(model, "serving_default", **given)


@pytest.mark.parametrize("count", [0, 1])
def test_any_batch(model, count):
    found = ask(model, "predict_images", **dict.fromkeys(MODALITIES, np.ones((count, 40, 50, 3), np.uint8)))
    assert found["DIAG"].shape == (count, 5)


def test_the_version_tells_it_and_one_that_needs_both_does_not(model, path, version):
    told = ask(model, "describe", anything=[""])["card"][0]
    assert ServedCard.from_json(told) == ServedCard.of(DERM7PT, one_picture=True)
    assert ServedCard.from_json(told).one_picture
    assert verify(path)["one_picture"] is True
    assert "one_picture" not in verify(version.path)
    assert not ServedCard.of(DERM7PT).one_picture


def test_a_version_that_needs_both_refuses_an_empty_string_as_ever(loaded):
    with pytest.raises(tf.errors.InvalidArgumentError, match="input clinical, index 0: the picture is not a JPEG"):
        ask(loaded, "serving_default", **files((0, "clinical")))


@pytest.mark.parametrize("transport", ["grpc", "rest"])
def test_the_client_asks_about_one_picture(address, model, transport):
    given = files((0, "clinical"), (1, "dermoscopic"))
    expected = ask(model, "serving_default", **given)["DIAG"]
    pairs = [Pair(*both) for both in zip(*given.values(), strict=True)]
    with Client(Connection(getattr(address, transport), "lesions"), rest=transport == "rest") as client:
        answers = [*client.predict_many(pairs)]
        np.testing.assert_allclose([one.probabilities["DIAG"] for one in answers], expected, atol=1e-6)
        explained = client.explain(pairs[0])
        assert not explained.images["clinical"].any()
        assert explained.maps["dermoscopic"].shape == (IMAGE_SIZE, IMAGE_SIZE)
        with pytest.raises(
            DataError, match="clinical [+] dermoscopic: the picture is missing, and so is the other one"
        ):
            client.predict(Pair(b"", b""))


def write_files(tmp_path):
    for name, (content, *_) in files().items():
        (tmp_path / f"{name}.jpg").write_bytes(content)
    return {name: tmp_path / f"{name}.jpg" for name in MODALITIES}


def test_query_takes_one_picture_and_its_card_says_what_may_be_left_out(address, tmp_path, capsys):
    found = write_files(tmp_path)
    server = ["--server", address.grpc, "--model", "lesions"]
    assert command_line.main(["query", "--dermoscopic", str(found["dermoscopic"]), *server]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{found['dermoscopic']}   (lesions, version 1)")
    assert lines[1] == "answered without the clinical picture"
    words = [f"--{name}={path}" for name, path in found.items()]
    assert command_line.main(["query", *words, *server]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "either picture may be left out"
    table = tmp_path / "pairs.csv"
    table.write_text("clinical,dermoscopic\nclinical.jpg,\n,dermoscopic.jpg\nclinical.jpg,dermoscopic.jpg\n")
    assert command_line.main(["query", str(table), "--json", *server]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [one["clinical"] == "" for one in answers] == [False, True, False]
    assert [one["dermoscopic"] == "" for one in answers] == [True, False, False]
    distributions = [tuple(one["tasks"][TASKS[0].name]["probabilities"].values()) for one in answers]
    assert len(set(distributions)) == 3


def test_a_model_that_needs_both_is_not_asked_about_one(version, tmp_path, capsys):
    found = write_files(tmp_path)
    with embedded_server(version.path.parent, "lesions") as address:
        server = ["--server", address.grpc, "--model", "lesions"]
        assert command_line.main(["query", "--clinical", str(found["clinical"]), *server]) == 1
    expected = f"{found['clinical']}: there is no dermoscopic picture, and model lesions needs both of a pair"
    assert expected in capsys.readouterr().err


def test_an_empty_file_is_a_bad_picture_and_not_a_missing_one(address, tmp_path, capsys):
    found = write_files(tmp_path)
    found["clinical"].write_bytes(b"")
    words = [f"--{name}={path}" for name, path in found.items()]
    assert command_line.main(["query", *words, "--server", address.grpc, "--model", "lesions"]) == 1
    assert capsys.readouterr().err.strip() == f"error: {found['clinical']}: the picture is empty: copy it anew"


def test_batch_prediction_takes_rows_with_one_picture(path, model, tmp_path):
    write_files(tmp_path)
    (tmp_path / "empty.jpg").write_bytes(b"")
    rows = ["0,clinical.jpg,", "1,,dermoscopic.jpg", "2,,", "3,empty.jpg,dermoscopic.jpg"]
    (tmp_path / "pairs.csv").write_text("\n".join(["case_num,clinical,dermoscopic", *rows]))
    known = describe_version(path)
    assert known.one_picture
    found = [*open_source(str(tmp_path / "pairs.csv"), one_picture=known.one_picture).rows()]
    assert [row.error for row in found] == [None, None, "column 'clinical' is empty", None]
    loaded = LoadedVersion(str(path))
    decoded = [prepare(row, loaded, 0, place)[0] for place, row in enumerate(found)]
    refused = f"clinical picture {tmp_path / 'empty.jpg'} cannot be used: the picture is empty: copy it anew"
    assert decoded[3].error == refused
    squares = {name: np.stack([one.squares[name] for one in decoded[:2]]) for name in MODALITIES}
    expected = ask(model, "serving_default", **files((0, "dermoscopic"), (1, "clinical"), count=2))
    first = {name: value[:1] for name, value in squares.items()}
    np.testing.assert_allclose(loaded.predict(first)["DIAG"][0], expected["DIAG"][0], atol=1e-6)
    assert not squares["clinical"][1].any()
    plain = [row.error for row in open_source(str(tmp_path / "pairs.csv")).rows()]
    assert plain[:2] == ["column 'dermoscopic' is empty", "column 'clinical' is empty"]


def test_the_onnx_file_takes_zeros_for_no_picture(path, model, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install amfam-tf[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install amfam-tf[onnx]")
    with tiny_backbone():
        source = read_source(path.parents[2] / "run")
        write_onnx(folded_network(source.network), source, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    shape = (3, IMAGE_SIZE, IMAGE_SIZE, 3)
    squares = {name: np.random.default_rng(0).integers(0, 256, shape, np.uint8) for name in MODALITIES}
    squares["clinical"][0], squares["dermoscopic"][1] = 0, 0
    found = dict(zip([one.name for one in session.get_outputs()], session.run(None, squares), strict=True))
    for name, value in ask(model, "predict_images", **squares).items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4, err_msg=name)


def test_query_without_a_picture_is_a_wrong_use(capsys):
    assert command_line.main(["query"]) == 2
    assert "--clinical, --dermoscopic or both are needed, or PAIRS" in capsys.readouterr().err
