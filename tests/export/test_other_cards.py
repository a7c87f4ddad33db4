"""Versions of other data sets: outputs, signatures and files follow from the card."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from exported_runs import encoded_pairs, write_run
from small import IMAGE_SIZE
from small_pairs import HOSPITAL

from amfam_tf.card import cards, served
from amfam_tf.errors import ExportError, RunError
from amfam_tf.export import samples, source, version_files
from amfam_tf.export.export import folded_network
from amfam_tf.export.onnx_file import write_onnx
from amfam_tf.export.signature_names import SIGNATURES
from amfam_tf.export.signatures import outputs_of
from amfam_tf.export.verify import verify
from amfam_tf.tasks import MODALITIES

HOSPITAL_CARD = cards.parse(HOSPITAL, "hospital")
CARDS = {"milk10k": cards.packaged("milk10k"), "hospital": HOSPITAL_CARD}
OUTPUTS = {
    "milk10k": {"DIAG", "melanoma_probability", "malignant_probability"},
    "hospital": {"DX", "ULC", "melanoma_probability", "risk"},
}


@pytest.fixture(scope="module")
def models(other_versions):
    return {name: tf.saved_model.load(str(version.path)) for name, version in other_versions.items()}


def squares(count: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {name: random.integers(0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8) for name in MODALITIES}


def answers_of(version, name: str, pictures: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the calibrated probabilities of the unfolded network."""
    logits = version.network.inference_model()({key: value / np.float32(255) for key, value in pictures.items()})
    tasks = enumerate(CARDS[name].tasks)
    return {task.name: tf.nn.softmax(logits[task.name] / (3.0 + number)).numpy() for number, task in tasks}


@pytest.mark.parametrize("name", CARDS)
def test_outputs_are_those_of_the_card_and_calibrated(models, other_versions, name):
    pictures = squares(12)
    found = models[name].signatures["predict_images"](**{key: tf.constant(value) for key, value in pictures.items()})
    assert found.keys() == OUTPUTS[name]
    for task, expected in answers_of(other_versions[name], name, pictures).items():
        np.testing.assert_allclose(found[task], expected, rtol=0, atol=1e-4)
    for signature in ("serving_default", "predict_examples"):
        assert models[name].signatures[signature].structured_outputs.keys() == OUTPUTS[name]


def test_a_target_is_the_sum_of_its_classes(models):
    inputs = {key: tf.constant(value) for key, value in squares(12).items()}
    found = models["milk10k"].signatures["predict_images"](**inputs)
    diagnosis = found["DIAG"].numpy()
    np.testing.assert_array_equal(found["melanoma_probability"], diagnosis[:, 7])
    # AKIEC, BCC, MAL_OTH, MEL, SCCKA
    np.testing.assert_allclose(found["malignant_probability"], diagnosis[:, [0, 1, 6, 7, 9]].sum(axis=1), rtol=1e-6)


def test_a_score_adds_the_points_of_the_most_probable_classes(models):
    inputs = {key: tf.constant(value) for key, value in squares(12).items()}
    served_answer = models["hospital"].signatures["predict_images"](**inputs)
    logits = {"DX": [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], "ULC": [[0.0, 1.0], [1.0, 0.0]] * 2}
    drawn = outputs_of(
        {key: tf.constant(value) for key, value in logits.items()}, {"DX": 2.0, "ULC": 3.0}, CARDS["hospital"]
    )
    assert drawn["risk"].numpy().tolist() == [3, 2, 1, 0]
    for found in (served_answer, drawn):
        melanoma = found["DX"].numpy().argmax(axis=1) == 0
        ulcer = found["ULC"].numpy().argmax(axis=1) == 1
        assert found["risk"].dtype == tf.int32
        np.testing.assert_array_equal(found["risk"], 2 * melanoma + ulcer)


@pytest.mark.parametrize("name", CARDS)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_describe_says_the_card_in_each_row(models, name, count):
    card = CARDS[name]
    found = models[name].signatures["describe"](anything=tf.constant([b"?"] * count, tf.string))
    tasks = [task.name.encode() for task in card.tasks]
    most = max(len(task.classes) for task in card.tasks)
    classes = [[*(name.encode() for name in task.classes), *[b""] * (most - len(task.classes))] for task in card.tasks]
    assert found["card"].numpy().tolist() == [served.to_json(card).encode()] * count
    assert found["tasks"].numpy().tolist() == [tasks] * count
    assert found["classes"].numpy().tolist() == [classes] * count
    assert found["targets"].numpy().tolist() == [[target.encode() for target in card.targets]] * count
    assert found["scores"].numpy().tolist() == [[score.encode() for score in card.scores]] * count
    assert found["scores"].shape == (count, len(card.scores))
    # So that servers may merge requests.
    assert {value.shape[0] for value in models[name].signatures["describe"].structured_outputs.values()} == {None}


@pytest.mark.parametrize(
    ("name", "task", "class_name", "said"),
    [
        ("milk10k", "PN", "", "input task, index 0 must be one of DIAG: PN"),
        ("hospital", "DIAG", "", "input task, index 0 must be one of DX, ULC: DIAG"),
        ("hospital", "ULC", "MEL", "input class_name, index 0 must be a class of that task: MEL"),
    ],
)
def test_explain_knows_the_questions_of_the_card(models, name, task, class_name, said):
    explain = models[name].signatures["explain"]
    pairs = {key: tf.constant(value) for key, value in encoded_pairs(1).items()}
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        explain(**pairs, task=tf.constant([task]), class_name=tf.constant([class_name]))
    assert said in caught.value.message


def test_explain_shows_the_main_task_unless_another_one_is_asked_for(models):
    explain = models["hospital"].signatures["explain"]
    pairs = {key: tf.constant(value) for key, value in encoded_pairs(2).items()}

    def maps(task: str, class_name: str) -> np.ndarray:
        return explain(**pairs, task=tf.constant([task] * 2), class_name=tf.constant([class_name] * 2))["clinical_map"]

    np.testing.assert_array_equal(maps("", "NEV"), maps("DX", "NEV"))
    assert np.abs(maps("ULC", "yes") - maps("DX", "NEV")).max() > 0.01


@pytest.mark.parametrize("name", CARDS)
def test_the_card_travels_in_the_version_and_metadata_say_the_same(other_versions, name):
    path, card = other_versions[name].path, CARDS[name]
    assert version_files.read_card(path) == card
    content = verify(path)
    assert "assets.extra/dataset.yaml" in content["files"]
    listed = [(task["name"], [one["name"] for one in task["classes"]]) for task in content["tasks"]]
    assert listed == [(task.name, list(task.classes)) for task in card.tasks]
    assert {key: value for key, value in content["thresholds"].items() if key != "predicted_class"} == {
        key: dict(score.thresholds) for key, score in card.scores.items()
    }
    assert set(content["signatures"]) == set(SIGNATURES)
    asked = content["signatures"]["explain"]["inputs"]["task"]["content"]
    assert asked == f"task name, or an empty string for {card.main_task.name}"
    outputs = content["signatures"]["serving_default"]["outputs"]
    assert outputs.keys() == OUTPUTS[name]
    assert all(value["content"] for value in outputs.values())
    if name == "hospital":
        assert outputs["risk"] == {"type": "int32", "shape": [None], "content": "0 to 3"}
    requests = {request.model_spec.signature_name: request for request, _ in samples.read_samples(path)}
    assert requests.keys() == set(SIGNATURES)
    assert tf.make_ndarray(requests["explain"].inputs["class_name"]).tolist() == [b"MEL"]


def test_verify_finds_another_card(other_versions, tmp_path):
    copy = shutil.copytree(other_versions["hospital"].path, tmp_path / "1")
    path = copy / version_files.METADATA_FILE
    content = json.loads(path.read_text())
    card = copy / version_files.CARD_FILE
    card.write_text(card.read_text().replace("name: NEV", "name: NAE"))
    content["files"] = version_files.file_digests(copy)
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"metadata.json does not fit the output DX$"):
        verify(copy)
    card.write_text(card.read_text().replace("title: naevus", "title: nevus").replace("name: NAE", "name: NEV"))
    content["files"] = version_files.file_digests(copy)
    path.write_text(json.dumps(content))
    with pytest.raises(
        ExportError, match=r"1: the signature describe does not tell the card of the version, hospital$"
    ):
        verify(copy)
    card.write_text("name: hospital\n")
    content["files"] = version_files.file_digests(copy)
    path.write_text(json.dumps(content))
    with pytest.raises(ExportError, match=r"1 is damaged: .*dataset.yaml: cases: is needed"):
        verify(copy)


@pytest.mark.usefixtures("tiny_backbone")
def test_a_network_of_other_questions_than_the_card_is_refused(other_versions, tmp_path):
    run = shutil.copytree(other_versions["hospital"].run, tmp_path / "run")
    card = run / cards.FILE
    card.write_text(card.read_text().replace("name: NEV", "name: NAE"))
    with pytest.raises(RunError) as caught:
        source.read_source(run)
    assert str(caught.value) == (
        f"{run / 'model.keras'} answers DX, ULC, and the card of the run (hospital) has DX, ULC, or other classes: "
        "the folder holds files of two runs; fit again in a new one"
    )


@pytest.mark.usefixtures("tiny_backbone")
def test_best_weights_of_an_unfinished_run_are_those_of_its_card(tmp_path):
    network = write_run(tmp_path / "run", card=HOSPITAL_CARD, finished=False)
    found = source.read_source(tmp_path / "run", allow_unfinished=True)
    assert found.card == HOSPITAL_CARD
    assert found.temperatures == {"DX": 1.0, "ULC": 1.0}
    for ours, theirs in zip(found.network.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.usefixtures("tiny_backbone")
@pytest.mark.parametrize("name", CARDS)
def test_the_onnx_file_has_the_outputs_of_the_card(models, other_versions, name, tmp_path):
    pytest.importorskip("tf2onnx", reason="tf2onnx is not installed: pip install amfam-tf[onnx]")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install amfam-tf[onnx]")
    of_run = source.read_source(other_versions[name].run)
    write_onnx(folded_network(of_run.network), of_run, tmp_path / "model.onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    pictures = squares(3)
    outputs = [output.name for output in session.get_outputs()]
    found = dict(zip(outputs, session.run(None, pictures), strict=True))
    direct = models[name].signatures["predict_images"](**{key: tf.constant(value) for key, value in pictures.items()})
    assert found.keys() == direct.keys() == OUTPUTS[name]
    for key, value in direct.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-4, err_msg=key)
