"""An ensemble is the mean of its members' probabilities: exactly, with one of them, after saving, and folded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_runs import small_network
from scipy.special import softmax
from small import SMALL_FOR_ANY, random_batch
from toy_method import TOY

from amfam_tf import models
from amfam_tf.explain.grad_cam import PREDICTED, grad_cam
from amfam_tf.export.export import folded_network
from amfam_tf.models.ensemble import Ensemble, mean_answer
from amfam_tf.models.finite import describe_broken_weights
from amfam_tf.tasks import MODALITIES, TASKS

pytestmark = pytest.mark.usefixtures("tiny_backbone")
CASES = 3
"""As many as most tasks have classes: what is one number for each case could be taken for one of each class."""


@pytest.fixture(scope="module")
def pair():
    return {name: value for name, value in random_batch(CASES).items() if name in MODALITIES}


def network(method, seed=0):
    return small_network(method=method, seed=seed, sizes=SMALL_FOR_ANY)


@pytest.fixture
def members(monkeypatch):
    monkeypatch.setitem(models.METHODS, "toy", TOY)
    return [network("toy", seed) for seed in range(3)]


def probabilities(outputs, task):
    return softmax(np.asarray(outputs[task.name], np.float64), axis=-1)


def test_the_answer_is_the_mean_of_the_members_probabilities(members, pair, tmp_path):
    ensemble = Ensemble.of(members)
    outputs, alone = ensemble(pair), [member(pair) for member in members]
    for task in TASKS:
        mean = np.mean([probabilities(one, task) for one in alone], axis=0)
        np.testing.assert_allclose(probabilities(outputs, task), mean, atol=1e-6)
    ensemble.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for name, value in loaded(pair).items():
        np.testing.assert_array_equal(value, outputs[name])
    assert [member.name for member in loaded.members] == ["member_0", "member_1", "member_2"]
    folded = folded_network(loaded)(pair)
    for task in TASKS:
        np.testing.assert_allclose(probabilities(folded, task), probabilities(outputs, task), atol=1e-5)


@pytest.mark.parametrize(("count", "tolerance"), [(1, 0), (3, 1e-5)])
def test_one_member_or_equal_ones_answer_as_they_do_alone(pair, count, tolerance):
    first = network("concat")
    ensemble, alone = Ensemble.of([first] * count), first(pair)
    outputs = ensemble(pair)
    for task in TASKS:
        np.testing.assert_allclose(outputs[task.name], alone[task.name], rtol=0, atol=tolerance)
    question = tf.zeros(CASES, tf.int32), tf.fill([CASES], PREDICTED)
    tensors = {name: tf.constant(value) for name, value in pair.items()}
    maps, expected = (
        grad_cam(model.explanation_model(), tensors, *question, 32, TASKS)[0] for model in (ensemble, first)
    )
    for name in MODALITIES:
        assert expected[name].numpy().max() == pytest.approx(1)
        np.testing.assert_allclose(maps[name], expected[name], atol=max(tolerance, 1e-6))


def test_of_two_that_disagree_by_hand():
    """0.9 and 0.2 are 0.55 on average, whatever the logits have in common."""
    logits = [np.log([[0.9, 0.1]]) + 7, np.log([[0.2, 0.8]]) - 3]
    outputs = mean_answer([{"A": keras.ops.convert_to_tensor(value, "float32")} for value in logits])
    np.testing.assert_allclose(softmax(np.asarray(outputs["A"], np.float64), -1), [[0.55, 0.45]], atol=1e-6)


def test_what_speaks_for_a_class_is_the_members_by_their_share_of_it():
    """Of the first class' probability 0.9 and 0.2 of 1.1 are theirs; r (e_c - p_m) + p_m / M is the gradient."""
    logits = [tf.Variable(np.log([[0.9, 0.1]]), dtype=tf.float32), tf.Variable(np.log([[0.2, 0.8]]), dtype=tf.float32)]
    with tf.GradientTape() as tape:
        chosen = mean_answer([{"A": value} for value in logits])["A"][0, 0]
    first, second = tape.gradient(chosen, logits)
    for found, share, own in ((first, 0.9 / 1.1, (0.9, 0.1)), (second, 0.2 / 1.1, (0.2, 0.8))):
        expected = share * (np.array([1, 0]) - own) + 0.5 * np.array(own)
        np.testing.assert_allclose(found[0], expected, atol=1e-6)


def test_a_weight_that_is_no_number_is_found_in_any_member(members):
    for number in range(2):
        ensemble = Ensemble.of(members[:2])
        assert describe_broken_weights(ensemble, TASKS) is None
        broken = ensemble.members[number].parts["C"][0].bias
        broken.assign(np.full(broken.shape, np.nan))
        assert f"16 of 32 values of {broken.path} are no finite numbers" in describe_broken_weights(ensemble, TASKS)


def test_a_picture_may_be_missing_where_all_members_can_do_without(pair):
    clinical, dermoscopic = network("clinical-only"), network("dermoscopic-only", 1)
    alone = Ensemble.of([clinical, network("clinical-only", 2)])
    assert alone.model_config.modalities == ("clinical",)
    given = {"clinical": pair["clinical"]}
    answer, both = alone.inference_model(("clinical",))(given), alone(pair)
    np.testing.assert_array_equal(answer["DIAG"], both["DIAG"])
    mixed = Ensemble.of([dermoscopic, clinical])
    assert mixed.model_config.modalities == MODALITIES
    assert {key for key in mixed.output if key.startswith("features_")} == {
        "features_dermoscopic_0",
        "features_clinical_1",
    }
    with pytest.raises(ValueError, match="member_0 needs the dermoscopic image"):
        mixed.inference_model(("clinical",))
