"""Runs with metadata: signatures take the columns and make the same numbers of them as training and evaluation do."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from clinic import CARD, COLUMNS, INPUTS, METHOD, TEXT, write_clinic
from exported_runs import write_run
from small import SMALL_FOR_ANY
from tiny_backbone import TINY_INCEPTION

from amfam_tf.card import cards, inputs, metadata_values, served
from amfam_tf.card.served import ServedCard
from amfam_tf.data import cases, records
from amfam_tf.errors import ExportError, RunError
from amfam_tf.evaluation import calibration
from amfam_tf.evaluation.run import predict_cases
from amfam_tf.export import metadata_inputs, samples, source, version_files
from amfam_tf.export.export import export_run, folded_network
from amfam_tf.export.onnx_file import write_onnx
from amfam_tf.export.verify import verify
from amfam_tf.models.backbones import BACKBONES
from amfam_tf.runs.finished import FinishedRun
from amfam_tf.tasks import DERM7PT, MODALITIES

PICKED = {name: CARD.metadata[name] for name in COLUMNS}


@pytest.fixture(scope="module")
def model(clinic):
    return tf.saved_model.load(str(clinic.path))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return cases.read(write_clinic(tmp_path_factory.mktemp("data") / "clinic"))


def given(frame) -> dict[str, tf.Tensor]:
    """Returns the columns of cases as the signatures take them."""
    numbers = {name: [float(value or "nan") for value in frame[name]] for name in ("age", "dose")}
    values = {name: list(frame[name]) for name in ("sex", "class")} | numbers
    kinds = {True: tf.string, False: tf.float32}
    return {
        metadata_values.input_name(name): tf.constant(one, kinds[isinstance(one[0], str)])
        for name, one in values.items()
    }


def files(frame) -> dict[str, tf.Tensor]:
    return {name: tf.constant([Path(path).read_bytes() for path in frame[name]]) for name in MODALITIES}


@pytest.mark.usefixtures("tiny_backbone")
def test_answers_are_those_of_evaluation_also_where_values_are_unknown(clinic, model, data):
    run = FinishedRun.open(clinic.run)
    raw = predict_cases(run.inference_model(), data.cases, run.config, card=CARD)
    expected = calibration.apply(raw, {"DX": 3.0, "ULC": 4.0}, CARD)
    frame = data.cases
    assert {name: int((frame[name] == "").sum()) for name in COLUMNS} == {"sex": 2, "age": 2, "class": 2, "dose": 3}
    found = {"serving_default": model.signatures["serving_default"](**files(frame), **given(frame))}
    pictures = {name: [tf.io.decode_png(one).numpy() for one in value.numpy()] for name, value in files(frame).items()}
    stacked = {name: tf.constant(np.stack(value)) for name, value in pictures.items()}
    found["predict_images"] = model.signatures["predict_images"](**stacked, **given(frame))
    serialised = [
        records.serialise(case, {name: Path(case[name]).read_bytes() for name in MODALITIES}, CARD)
        for case in frame.to_dict("records")
    ]
    found["predict_examples"] = model.signatures["predict_examples"](examples=tf.constant(serialised))
    nothing = tf.constant([""] * len(frame))
    found["explain"] = model.signatures["explain"](**files(frame), **given(frame), task=nothing, class_name=nothing)
    for signature, answer in found.items():
        for task in CARD.tasks:
            wanted = expected[[f"{task.name}_{name}" for name in task.classes]].to_numpy()
            np.testing.assert_allclose(answer[task.name], wanted, rtol=0, atol=1e-5, err_msg=signature)
    # Otherwise nothing has been shown.
    unknown = {
        name: tf.fill([len(frame)], tf.constant("" if one.dtype == tf.string else np.nan, one.dtype))
        for name, one in given(frame).items()
    }
    for name in INPUTS:
        other = model.signatures["serving_default"](**files(frame), **{**given(frame), name: unknown[name]})
        assert np.abs(other["DX"] - found["serving_default"]["DX"]).max() > 1e-4, name


def encoded(texts: dict[str, list[str]]) -> np.ndarray:
    return metadata_inputs.encode_texts(PICKED, {name: tf.constant(value) for name, value in texts.items()}).numpy()


def test_numbers_are_those_of_training_whatever_is_written():
    raw = {
        "sex": ["w", "W", "female", "m", "male", "?", ""],
        "age": ["54", "54,25", " 54.3 ", "0", "110", "", "+1.1e1"],
        "class": ["none", "some", "", "none", "some", "", "none"],
        "dose": ["2024.123456", "0.7", "-1", "2500", "", "1999,9999", ".9"],
    }
    read = {
        name: [metadata_values.given(name, PICKED[name], value) for value in values] for name, values in raw.items()
    }
    assert read["sex"] == ["female", "female", "female", "male", "male", "", ""]
    assert read["dose"] == ["2024.12", "0.7", "", "2500", "", "2000", "0.9"]
    rows = [{"case_num": 0, **dict(zip(read, values, strict=True))} for values in zip(*read.values(), strict=True)]
    expected = inputs.encode(inputs.inputs_of(CARD, COLUMNS), rows)
    np.testing.assert_array_equal(encoded(raw), expected)
    numbers = {
        metadata_values.input_name(name): tf.constant([float(value or "nan") for value in read[name]], tf.float32)
        for name in ("age", "dose")
    }
    texts = {metadata_values.input_name(name): tf.constant(raw[name]) for name in ("sex", "class")}
    np.testing.assert_array_equal(metadata_inputs.encode(PICKED, numbers | texts), expected)
    # What stands for unknown in the card does so as a number too.
    minus = numbers | {"dose": tf.constant([-1.0] * 7, tf.float32)}
    assert metadata_inputs.encode(PICKED, minus | texts).numpy()[:, -2:].tolist() == [[0, 1]] * 7
    assert inputs.width(inputs.inputs_of(CARD, COLUMNS)) == metadata_inputs.width(PICKED) == 8


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sex", "f", "input sex, index 1: the value f is none of: female (w, W), male (m)"),
        ("sex", "Female", "input sex, index 1: the value Female is none of: female (w, W), male (m)"),
        ("sex", " w", "input sex, index 1: the value  w is none of: female (w, W), male (m)"),
        ("metadata_class", "much", "input metadata_class, index 1: the value much is none of: none, some"),
        ("age", 110.5, "input age, index 1: the value 110.5 is no number from 0 to 110"),
        ("age", -0.5, "input age, index 1: the value -0.5 is no number from 0 to 110"),
        ("dose", 0.69999, "input dose, index 1: the value 0.69999 is no number from 0.7 to 2500"),
        ("dose", float("inf"), "input dose, index 1: the value inf is no number from 0.7 to 2500"),
    ],
)
def test_a_value_that_the_card_does_not_know_is_named(model, data, name, value, said):
    frame = data.cases.iloc[:3]
    wrong = given(frame)[name].numpy()
    wrong[1] = value.encode() if isinstance(value, str) else value
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        model.signatures["serving_default"](**files(frame), **{**given(frame), name: tf.constant(wrong)})
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "text"), [("age", "old"), ("age", "1_0"), ("age", "0" * 39 + "1"), ("age", "nan"), ("sex", "f")]
)
def test_a_text_of_an_example_that_the_card_does_not_know_is_named(name, text):
    texts = {"sex": ["w", "m"], "age": ["1", "2"], "class": ["", ""], "dose": ["", ""]} | {name: ["", text]}
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        encoded(texts)
    allowed = "no number from 0 to 110" if name == "age" else "none of: female (w, W), male (m)"
    assert f"input {name}, index 1: the value {text} is {allowed}" in caught.value.message


@pytest.mark.parametrize("signature", ["serving_default", "predict_images", "explain"])
def test_inputs_of_different_lengths_are_refused(model, data, signature):
    frame = data.cases.iloc[:2]
    pictures = files(frame)
    if signature == "predict_images":
        pictures = {name: tf.stack([tf.io.decode_png(one) for one in value]) for name, value in pictures.items()}
    asked = {"task": tf.constant(["", ""]), "class_name": tf.constant(["", ""])} if signature == "explain" else {}
    for name in INPUTS:
        short = given(frame) | {name: given(frame)[name][:1]}
        with pytest.raises(tf.errors.InvalidArgumentError, match="must have the same length"):
            model.signatures[signature](**pictures, **asked, **short)


def test_no_case_gives_no_answer(model):
    empty = {name: tf.zeros([0], tf.string) for name in MODALITIES}
    empty |= {name: tf.zeros([0], kind) for name, (kind, _) in metadata_inputs.specs(PICKED).items()}
    assert model.signatures["serving_default"](**empty)["DX"].shape == (0, 2)


def test_signatures_and_descriptions_name_the_columns(clinic, model):
    strings = dict.fromkeys(("clinical", "dermoscopic", "sex", "metadata_class"), tf.string)
    own = strings | {"age": tf.float32, "dose": tf.float32}
    expected = {
        "serving_default": own,
        "predict_images": own | {"clinical": tf.uint8, "dermoscopic": tf.uint8},
        "predict_examples": {"examples": tf.string},
        "explain": own | {"task": tf.string, "class_name": tf.string},
        "describe": {"anything": tf.string},
    }
    for signature, wanted in expected.items():
        _, taken = model.signatures[signature].structured_input_signature
        assert {name: one.dtype for name, one in taken.items()} == wanted
    text = model.signatures["describe"](anything=tf.constant([""]))["card"].numpy()[0]
    assert json.loads(text)["metadata"]["class"] == {
        "input_name": "metadata_class",
        "values": ["none", "some"],
        "missing": [""],
    }
    told = ServedCard.from_json(text)
    assert told == ServedCard.of(CARD, COLUMNS)
    assert list(told.metadata) == list(COLUMNS)
    assert told.metadata["sex"].raw_values == {"female": ("w", "W"), "male": ("m",)}
    assert (told.metadata["sex"].follows_from, told.metadata["dose"].range) == ("DX", (0.7, 2500.0))
    content = verify(clinic.path)
    assert {name: one["input_name"] for name, one in content["metadata"].items()} == dict(
        zip(COLUMNS, INPUTS, strict=True)
    )
    assert content["metadata"]["age"] == {"input_name": "age", "range": [0.0, 110.0], "missing": [""]}
    stated = content["signatures"]["serving_default"]["inputs"]
    assert stated["age"] == {"type": "float32", "shape": [None], "content": "0 to 110; NaN: unknown"}
    said = "one of female, male, or a raw value of the card; an empty string: unknown"
    assert stated["sex"] == {"type": "string", "shape": [None], "content": said}
    assert len(content["training"]["notes"]) == 1
    assert content["training"]["notes"][0].startswith("the network is given sex, decided from the diagnosis: ")


def test_warm_up_requests_have_a_known_and_an_unknown_case(clinic):
    requests = {request.model_spec.signature_name: request for request, _ in samples.read_samples(clinic.path)}
    asked = {name: tf.make_ndarray(value) for name, value in requests["serving_default"].inputs.items()}
    assert asked["sex"].tolist() == [b"female", b""]
    np.testing.assert_array_equal(asked["age"], np.float32([55, np.nan]))
    examples = [
        tf.train.Example.FromString(one).features.feature
        for one in tf.make_ndarray(requests["predict_examples"].inputs["examples"])
    ]
    assert [set(one) for one in examples] == [{*MODALITIES, *COLUMNS}, set(MODALITIES)]


def test_verify_finds_other_metadata(clinic, tmp_path):
    copy = shutil.copytree(clinic.path, tmp_path / "1")
    path = copy / version_files.METADATA_FILE
    content = json.loads(path.read_text())
    del content["metadata"]["age"]
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match="the signature describe does not tell the card of the version, hospital$"):
        verify(copy)


@pytest.mark.usefixtures("tiny_backbone")
def test_best_weights_of_an_unfinished_run_take_the_metadata_of_its_card(tmp_path):
    options = {"method": "embeddingnet", "card": CARD, "sizes": SMALL_FOR_ANY, "finished": False}
    network = write_run(tmp_path / "run", *METHOD, **options)
    found = source.read_source(tmp_path / "run", allow_unfinished=True)
    assert list(found.columns) == list(COLUMNS)
    assert found.network.metadata == inputs.inputs_of(CARD, COLUMNS)
    for ours, theirs in zip(found.network.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("tiny_backbone")
def test_a_network_of_other_metadata_than_the_card_is_refused(clinic, tmp_path):
    run = shutil.copytree(clinic.run, tmp_path / "run")
    card = run / cards.FILE
    card.write_text(card.read_text().replace("110.0", "120.0"))
    with pytest.raises(RunError, match=r"takes sex, age, class, dose with other values or ranges than the card of "):
        source.read_source(run)


@pytest.mark.usefixtures("tiny_backbone")
def test_a_text_that_means_two_things_is_refused(tmp_path):
    text = TEXT.replace("female: [w, W]", "female: [w, male]")
    options = {"method": "embeddingnet", "card": cards.parse(text, "clinic"), "sizes": SMALL_FOR_ANY}
    write_run(tmp_path / "run", *METHOD, **options)
    with pytest.raises(ExportError) as caught:
        export_run(tmp_path / "run", tmp_path / "models")
    assert str(caught.value) == (
        "card hospital: metadata.sex.values: male is also a raw value of something else, so that clients could not say "
        "which is meant: name it otherwise, and fit again"
    )
    assert not (tmp_path / "models").exists()


def test_a_card_without_metadata_travels_as_before():
    assert "metadata" not in json.loads(served.to_json(CARD))
    assert ServedCard.of(CARD).metadata == {}


@pytest.mark.usefixtures("tiny_backbone")
def test_bfloat16_does_not_round_the_numbers_before_they_are_standardised(clinic, data):
    """A dose of 2024 is 2016 in bfloat16, a third of the deviation here."""
    of_run = source.read_source(clinic.run)
    folded = {precision: folded_network(of_run.network, precision) for precision in ("float32", "bfloat16")}
    layers = {precision: one.get_layer("standardise_metadata") for precision, one in folded.items()}
    vectors = np.zeros((2, 8), np.float32)
    vectors[:, 6] = 2024.0, 2016.0
    for layer in layers.values():
        layer.mean.assign(np.float32([0, 0, 0, 0, 0, 0, 2000, 0]))
        layer.deviation.assign(np.float32([1, 1, 1, 1, 1, 1, 24, 1]))
        np.testing.assert_allclose(np.float32(layer(vectors))[:, 6], [1.0, 2 / 3], rtol=0.01)
    given = inputs.encode(inputs.inputs_of(CARD, COLUMNS), data.cases[["case_num", *COLUMNS]].to_dict("records"))
    exact, rounded = (np.float32(layer(given)) for layer in layers.values())
    np.testing.assert_allclose(rounded, exact, rtol=0.01, atol=1e-6)


@pytest.mark.usefixtures("tiny_backbone")
def test_the_onnx_file_is_given_the_numbers_of_the_metadata(clinic, model, data, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install amfam-tf[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install amfam-tf[onnx]")
    of_run = source.read_source(clinic.run)
    write_onnx(folded_network(of_run.network), of_run, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    frame = data.cases
    squares = {name: np.random.default_rng(7).integers(0, 256, (10, 64, 64, 3), np.uint8) for name in MODALITIES}
    vectors = inputs.encode(inputs.inputs_of(CARD, COLUMNS), frame[["case_num", *COLUMNS]].to_dict("records"))
    (found,) = session.run(["DX"], {**squares, "metadata": vectors})
    direct = model.signatures["predict_images"](
        **{name: tf.constant(one) for name, one in squares.items()}, **given(frame)
    )
    np.testing.assert_allclose(found, direct["DX"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "kind"), [("inception-combined", "concatenation"), ("amfam", "film"), ("concat", "metablock")]
)
@pytest.mark.usefixtures("tiny_backbone")
def test_derm7pts_one_hots_are_inputs_of_every_method_that_takes_metadata(method, kind, tmp_path, monkeypatch):
    """Its card lies in no folder of a run; the columns have no raw values but their names."""
    monkeypatch.setitem(BACKBONES, "inception_narrow", TINY_INCEPTION)
    overrides = ("model.metadata=[elevation,location,sex]", f"model.metadata_fusion={kind}")
    network = write_run(tmp_path / "run", *overrides, method=method, sizes=SMALL_FOR_ANY)
    exported = export_run(tmp_path / "run", tmp_path / "models")
    assert not [note for note in exported.metadata["training"]["notes"] if "is given" in note]
    assert list(exported.metadata["metadata"]) == ["elevation", "location", "sex"]
    signature = tf.saved_model.load(str(exported.path)).signatures["predict_images"]
    squares = {name: np.random.default_rng(7).integers(0, 256, (2, 64, 64, 3), np.uint8) for name in MODALITIES}
    asked = {"elevation": ["palpable", ""], "location": ["back", "head neck"], "sex": ["male", "female"]}
    rows = [dict(zip(asked, values, strict=True), case_num=0) for values in zip(*asked.values(), strict=True)]
    vectors = inputs.encode(inputs.inputs_of(DERM7PT, list(asked)), rows)
    expected = network({**{name: one / np.float32(255) for name, one in squares.items()}, "metadata": vectors})
    given_texts = {name: tf.constant(values) for name, values in asked.items()}
    found = signature(**{name: tf.constant(one) for name, one in squares.items()}, **given_texts)
    for task in DERM7PT.tasks:
        np.testing.assert_allclose(found[task.name], tf.nn.softmax(expected[task.name]), rtol=0, atol=1e-5)
