"""The ablations are AMFAM without the removed parts, to the last parameter."""

import pytest
from small import small_config

from amfam_tf import models

REMOVED = {
    "concat": ("D", "RC", "RD", "AC", "AD"),
    "concat-recon": ("D", "AC", "AD"),
    "concat-recon-att-linear": ("D",),
    "concat-recon-att": ("D",),
    "concat-adv": ("RC", "RD", "AC", "AD"),
}


def counts_of(name):
    network = models.create(name, small_config(method=name))
    parts = {part: sum(layer.count_params() for layer in inside) for part, inside in network.parts.items()}
    assert sum(parts.values()) == network.count_params()
    return parts


@pytest.fixture(scope="module")
def full():
    return counts_of("amfam")


@pytest.mark.parametrize("name", REMOVED)
def test_parameters_differ_by_the_removed_parts(name, full):
    assert counts_of(name) == {part: count for part, count in full.items() if part not in REMOVED[name]}


@pytest.mark.parametrize("name", ["clinical-only", "dermoscopic-only"])
def test_one_image_has_the_same_backbone_and_classifiers_on_half_the_features(name, full):
    """Each of the eight classifiers loses the 512 inputs of its 16 hidden units that came from the other image."""
    assert counts_of(name) == {"G": full["G"], "C": full["C"] - 8 * 512 * 16}
