"""The signatures of a saved model: the pipeline's tensors, the network's numbers, and errors that name the picture."""

import numpy as np
import pandas as pd
import profiled_pictures
import pytest
import tensorflow as tf
from exported_runs import BORDER_CROP, CALIBRATED, MAX_PIXELS, OVERRIDES, encoded, encoded_pairs, random_picture
from PIL import Image
from small import IMAGE_SIZE, small_config

from amfam_tf.data import images, pipeline
from amfam_tf.export.decode import Preparation, prepare_pictures
from amfam_tf.tasks import CRITERIA, DERM7PT, METADATA, MODALITIES, TASKS, seven_point_score, task_names

SIZE = IMAGE_SIZE


DISPLAY_P3 = profiled_pictures.profile(
    profiled_pictures.DISPLAY_P3, profiled_pictures.parametric(3, *profiled_pictures.SRGB_CURVE)
)


def oriented(number: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return encoded(random_picture(3), kind, exif=exif)


def sixteen_bits() -> bytes:
    levels = random_picture(4, (70, 90)).astype(np.uint16) * 257 + 60
    return tf.io.encode_png(levels[..., np.newaxis]).numpy()


FILES = {
    "jpeg": encoded(random_picture(1), "JPEG"),
    "jpeg turned by EXIF": oriented(6),
    "jpeg mirrored by EXIF": oriented(2),
    "grey jpeg": encoded(random_picture(2, (70, 90)), "JPEG"),
    "png": encoded(random_picture(1)),
    "png with alpha": encoded(random_picture(1, (70, 90, 4))),
    "16-bit png": sixteen_bits(),
    "bmp": encoded(random_picture(1), "BMP"),
    "jpeg in Display P3": encoded(random_picture(5), "JPEG", icc_profile=DISPLAY_P3),
    "png in Display P3": encoded(random_picture(5), icc_profile=DISPLAY_P3),
    "png with a damaged profile": encoded(random_picture(5), icc_profile=DISPLAY_P3[:200]),
    "png turned by EXIF": oriented(6, "PNG"),
}


def call(function, **inputs):
    """Calls a signature with lists of bytes or text, or arrays."""
    return function(
        **{
            name: value if isinstance(value, np.ndarray) else tf.constant(value, tf.string)
            for name, value in inputs.items()
        }
    )


def question(pairs: dict[str, list[bytes]], task: str = "", class_name: str = "") -> dict[str, list]:
    count = len(pairs["clinical"])
    return {**pairs, "task": [task] * count, "class_name": [class_name] * count}


def answers_of(network, squares: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the calibrated probabilities of the unfolded network for uint8 squares."""
    scaled = {name: tf.constant(value, tf.float32) / 255 for name, value in squares.items()}
    logits = network.inference_model()(scaled, training=False)
    return {task.name: tf.nn.softmax(logits[task.name] / CALIBRATED[task.name]).numpy() for task in TASKS}


def refusal(function, **inputs) -> str:
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        call(function, **inputs)
    return caught.value.message


def test_bytes_and_the_training_pipeline_give_the_same_tensor(loaded, version, tmp_path):
    paths = {}
    for name, content in FILES.items():
        paths[name] = tmp_path / name.replace(" ", "_")
        paths[name].write_bytes(content)
    order = list(FILES)
    turned = order[::-1]
    cases = pd.DataFrame(
        {"case_num": range(len(order)), **dict.fromkeys(task_names(), 0), **dict.fromkeys(METADATA, "")}
    )
    cases["clinical"], cases["dermoscopic"] = [paths[name] for name in order], [paths[name] for name in turned]
    config = small_config(*OVERRIDES, f"training.batch_size={len(order)}")
    (batch,) = list(pipeline.evaluation_dataset(cases, config, DERM7PT))
    pairs = {"clinical": [FILES[name] for name in order], "dermoscopic": [FILES[name] for name in turned]}
    found = call(loaded.signatures["explain"], **question(pairs))
    for modality in MODALITIES:
        np.testing.assert_array_equal(images.to_unit_range(found[f"{modality}_image"]), batch[modality])
    expected = answers_of(version.network, {name: found[f"{name}_image"].numpy() for name in MODALITIES})
    default = call(loaded.signatures["serving_default"], **pairs)
    for name in task_names():
        np.testing.assert_allclose(default[name], expected[name], rtol=0, atol=1e-4)


def test_probabilities_are_calibrated_and_the_derived_outputs_follow(loaded, version):
    squares = {name: np.random.default_rng(5).integers(0, 256, (6, SIZE, SIZE, 3), np.uint8) for name in MODALITIES}
    squares["dermoscopic"] = squares["dermoscopic"][::-1].copy()
    found = call(loaded.signatures["predict_images"], **squares)
    expected = answers_of(version.network, squares)
    assert found.keys() == {*task_names(), "melanoma_probability", "seven_point_score"}
    for name in task_names():
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-4)
        np.testing.assert_allclose(tf.reduce_sum(found[name], axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found["melanoma_probability"], found["DIAG"][:, 2])
    classes = [{task.name: int(np.argmax(expected[task.name][case])) for task in CRITERIA} for case in range(6)]
    assert found["seven_point_score"].numpy().tolist() == [seven_point_score(labels) for labels in classes]
    assert found["seven_point_score"].dtype == tf.int32


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_batch_size_and_each_case_for_itself(loaded, count):
    pairs = encoded_pairs(3)
    whole = call(loaded.signatures["explain"], **question(pairs))
    part = call(loaded.signatures["explain"], **question({name: value[:count] for name, value in pairs.items()}))
    assert whole.keys() == part.keys()
    for name, value in part.items():
        assert value.shape == (count, *whole[name].shape[1:])
        np.testing.assert_allclose(value, whole[name][:count], rtol=1e-4, atol=1e-5, err_msg=name)
    for name in ("serving_default", "predict_images"):
        inputs = {key: value[:count] for key, value in pairs.items()}
        if name == "predict_images":
            inputs = {key: np.zeros((count, 5, 7, 3), np.uint8) for key in MODALITIES}
        assert call(loaded.signatures[name], **inputs)["DIAG"].shape == (count, 5)


def test_arrays_and_examples_give_what_files_give(loaded):
    pairs = encoded_pairs(2)
    expected = call(loaded.signatures["explain"], **question(pairs))
    squares = {name: expected[f"{name}_image"].numpy() for name in MODALITIES}
    decoded = {name: [images.decode_image(file, MAX_PIXELS) for file in files] for name, files in pairs.items()}
    pixels = {name: np.stack(pictures) for name, pictures in decoded.items()}
    cropped = {
        name: value[:, BORDER_CROP:-BORDER_CROP, BORDER_CROP:-BORDER_CROP].copy() for name, value in pixels.items()
    }
    bytes_lists = [[tf.train.BytesList(value=[pairs[name][case]]) for name in MODALITIES] for case in range(2)]
    features = [
        dict(zip(MODALITIES, (tf.train.Feature(bytes_list=item) for item in pair), strict=True)) for pair in bytes_lists
    ]
    examples = [tf.train.Example(features=tf.train.Features(feature=item)).SerializeToString() for item in features]
    answers = [
        call(loaded.signatures["serving_default"], **pairs),
        call(loaded.signatures["predict_images"], **squares),
        call(loaded.signatures["predict_images"], **cropped),
        call(loaded.signatures["predict_examples"], examples=examples),
    ]
    for answer in answers:
        for name, value in answer.items():
            np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_explanation_is_that_of_the_unfolded_network(loaded, version):
    from amfam_tf.explain.grad_cam import grad_cam

    found = call(loaded.signatures["explain"], **question(encoded_pairs(2), "PN", "ATP"))
    squares = {name: images.to_unit_range(found[f"{name}_image"]) for name in MODALITIES}
    network = version.network.explanation_model()
    maps, _ = grad_cam(network, squares, tf.constant([1, 1]), tf.constant([2, 2]), SIZE, TASKS)
    for name in MODALITIES:
        np.testing.assert_allclose(found[f"{name}_map"], maps[name], rtol=0, atol=1e-3)
        assert float(tf.reduce_max(found[f"{name}_map"])) == 1


def test_empty_task_is_the_diagnosis_and_empty_class_the_predicted_one(loaded):
    pairs = encoded_pairs(1)
    asked = call(loaded.signatures["explain"], **question(pairs))
    predicted = TASKS[0].classes[int(np.argmax(asked["DIAG"][0]))]
    for task, class_name in (("DIAG", ""), ("", predicted), ("DIAG", predicted)):
        same = call(loaded.signatures["explain"], **question(pairs, task, class_name))
        np.testing.assert_array_equal(asked["clinical_map"], same["clinical_map"])
    other = call(loaded.signatures["explain"], **question(pairs, "DIAG", "BCC" if predicted != "BCC" else "SK"))
    assert np.abs(other["clinical_map"] - asked["clinical_map"]).max() > 0.01


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "is not a JPEG, PNG or BMP file"),
        (b"GIF89a" + bytes(100), "is not a JPEG, PNG or BMP file"),
        (FILES["jpeg"][:200], "is damaged or of a kind that cannot be read"),
        (FILES["png"][:-200], "is damaged or of a kind that cannot be read"),
        (FILES["bmp"][:100], "is damaged or of a kind that cannot be read"),
        (encoded(np.zeros((101, 200, 3), np.uint8)), f"has more than {MAX_PIXELS} pixels"),
        (encoded(np.zeros((101, 200, 3), np.uint8), "JPEG"), f"has more than {MAX_PIXELS} pixels"),
        (encoded(np.zeros((101, 200, 3), np.uint8), "BMP"), f"has more than {MAX_PIXELS} pixels"),
        (encoded(np.zeros((6, 90, 3), np.uint8)), "has nothing left after cutting border_crop=3 pixels"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named(loaded, bad, reason):
    for modality, place in (("clinical", 0), ("clinical", 2), ("dermoscopic", 1)):
        pairs = encoded_pairs(3)
        pairs[modality][place] = bad
        message = refusal(loaded.signatures["serving_default"], **pairs)
        assert f"input {modality}, index {place}: the picture {reason}" in message


def test_the_first_bad_picture_is_named(loaded):
    pairs = encoded_pairs(3)
    pairs["clinical"][1] = pairs["clinical"][2] = pairs["dermoscopic"][0] = b"no picture"
    assert "input clinical, index 1:" in refusal(loaded.signatures["serving_default"], **pairs)


def test_a_picture_of_exactly_the_limit_is_taken(loaded):
    files = [encoded(np.zeros((100, 200, 3), np.uint8))]
    assert call(loaded.signatures["serving_default"], clinical=files, dermoscopic=files)["DIAG"].shape == (1, 5)


def test_a_huge_picture_is_refused_before_it_is_decoded(loaded):
    # The header of 60000 x 60000 pixels with no pixels behind it: decoding would fail differently.
    png = bytearray(FILES["png"])
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    message = refusal(loaded.signatures["serving_default"], clinical=[bytes(png)], dermoscopic=[FILES["png"]])
    assert f"input clinical, index 0: the picture has more than {MAX_PIXELS} pixels" in message


@pytest.mark.parametrize("signature", ["serving_default", "predict_images", "explain"])
def test_inputs_of_different_lengths_are_refused(loaded, signature):
    pairs = encoded_pairs(3)
    inputs = {"clinical": pairs["clinical"], "dermoscopic": pairs["dermoscopic"][:1]}
    if signature == "predict_images":
        inputs = {
            name: np.zeros((count, SIZE, SIZE, 3), np.uint8) for name, count in (("clinical", 3), ("dermoscopic", 1))
        }
    if signature == "explain":
        inputs |= {"task": [""] * 3, "class_name": [""] * 3}
    message = refusal(loaded.signatures[signature], **inputs)
    assert "the inputs must have the same length. Received:] [clinical:] [3] [dermoscopic:] [1]" in message


@pytest.mark.parametrize(
    ("task", "class_name", "message"),
    [
        (["", "NOPE"], ["", ""], "input task, index 1 must be one of DIAG, PN, BWV, VS, PIG, STR, DaG, RS: NOPE"),
        (["", "PN"], ["MEL", "MEL"], "input class_name, index 1 must be a class of that task: MEL"),
        (["BWV", ""], ["IR", ""], "input class_name, index 0 must be a class of that task: IR"),
    ],
)
def test_unknown_task_or_class_is_named(loaded, task, class_name, message):
    assert message in refusal(loaded.signatures["explain"], **encoded_pairs(2), task=task, class_name=class_name)


def test_the_two_stages_of_each_signature_are_the_signature(loaded):
    pairs = encoded_pairs(2)
    inputs = {
        "serving_default": pairs,
        "explain": question(pairs, "RS", "PRS"),
        "predict_images": {name: np.full((2, 9, 8, 3), 7, np.uint8) for name in MODALITIES},
    }
    for name, values in inputs.items():
        stages = loaded.batching[name]
        tensors = {key: tf.constant(value) for key, value in values.items()}
        answer = stages.batched(**stages.before(**tensors))
        whole = loaded.signatures[name](**tensors)
        assert answer.keys() == whole.keys()
        for key in whole:
            np.testing.assert_allclose(answer[key], whole[key], atol=1e-6, err_msg=f"{name} {key}")


@pytest.mark.parametrize("crop", [0, 5])
def test_preparation_is_prepare_image(crop):
    files = {"clinical": list(FILES.values()), "dermoscopic": list(FILES.values())[::-1]}
    found = prepare_pictures({key: tf.constant(value) for key, value in files.items()}, Preparation(32, crop, 10**6))
    for key, contents in files.items():
        expected = [images.prepare_image(tf.constant(content), 32, crop, 10**6) for content in contents]
        np.testing.assert_array_equal(found[key], expected)
