"""The linear probe: exactly the same answer however a picture is flipped, one backbone, frozen, one picture or two."""

import numpy as np
import pytest
from small import SMALL_FOR_ANY, make_weights_all_different, random_batch, small_config

from amfam_tf import models
from amfam_tf.tasks import MODALITIES, TASKS

pytestmark = pytest.mark.usefixtures("tiny_backbone")
CHANNELS = 16
FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
"""Axes of a batch of pictures that a flip turns round; said here, so that none can be left out there."""


@pytest.fixture(scope="module")
def network(tiny_backbone):  # noqa: ARG001
    created = models.create("probe", small_config(method="probe", sizes=SMALL_FOR_ANY))
    make_weights_all_different(created)
    return created


def pair(cases=3, seed=0):
    return {name: random_batch(cases, seed)[name] for name in MODALITIES}


@pytest.mark.parametrize("clinical", FLIPS[1:])
@pytest.mark.parametrize("dermoscopic", FLIPS)
def test_the_answer_does_not_depend_on_how_a_picture_is_flipped(network, clinical, dermoscopic):
    given = pair()
    flipped = {
        "clinical": np.flip(given["clinical"], clinical),
        "dermoscopic": np.flip(given["dermoscopic"], dermoscopic),
    }
    answers, others = ({key: value.numpy() for key, value in network(one).items()} for one in (given, flipped))
    for task in TASKS:
        scale = float(np.abs(answers[task.name]).max())
        np.testing.assert_allclose(others[task.name], answers[task.name], rtol=0, atol=2e-6 * scale)
    maps = np.flip(answers["features_clinical"], clinical)
    np.testing.assert_allclose(others["features_clinical"], maps, rtol=0, atol=1e-6 * maps.max())


def test_the_vector_is_the_mean_over_flips_of_pooled_features(network):
    (backbone,) = network.parts["G"]
    given = pair()
    parts = []
    for name in MODALITIES:
        pooled = [np.mean(backbone(np.flip(given[name], axes)), axis=(1, 2)) for axes in FLIPS]
        assert np.abs(pooled[0] - pooled[1]).max() > 1e-3 * np.abs(pooled[0]).max(), "the backbone sees a flip"
        parts.append(np.mean(pooled, axis=0))
    expected = np.concatenate(parts, axis=1)
    head = network.linear.heads["DIAG"]
    np.testing.assert_allclose(network(given)["DIAG"], head(expected), rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_one_picture_is_enough_and_the_other_one_is_not_looked_at():
    config = small_config(
        "model.modalities=[dermoscopic]", "model.adversarial=false", method="probe", sizes=SMALL_FOR_ANY
    )
    network = models.create("probe", config)
    make_weights_all_different(network)
    assert network.linear.vector.shape == (None, CHANNELS)
    given = pair()
    answers, others = network(given), network(given | {"clinical": pair(seed=1)["clinical"]})
    for task in TASKS:
        np.testing.assert_array_equal(answers[task.name], others[task.name])
    served = network.inference_model(("dermoscopic",))
    np.testing.assert_array_equal(served({"dermoscopic": given["dermoscopic"]})["DIAG"], answers["DIAG"])


def test_training_mode_changes_nothing(network):
    """Batch norm of a frozen backbone takes no statistics of a batch."""
    given = pair()
    before = [variable.numpy() for variable in network.variables]
    np.testing.assert_array_equal(network(given, training=True)["DIAG"], network(given, training=False)["DIAG"])
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
