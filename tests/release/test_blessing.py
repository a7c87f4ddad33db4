"""The rule: lower ends of intervals against thresholds, and no significant loss."""

import pytest

from amfam_tf.errors import ConfigError
from amfam_tf.release.blessing import judge
from amfam_tf.release.configuration import Threshold
from amfam_tf.tasks import DERM7PT

REPORT = {
    "average": {"accuracy": 0.8, "accuracy_ci95": [0.75, 0.85], "cases": 7},
    "tasks": {"DIAG": {"classes": {"MEL": {"auc": None, "auc_ci95": [None, None]}}}},
}
LOSS = {
    "quantity": "melanoma_auc",
    "variable": "sex",
    "value": "male",
    "cases": 57,
    "candidate": 0.7,
    "served": 0.8,
    "corrected_p": 0.0123,
    "loss": True,
}


@pytest.mark.parametrize(("at_least", "blessed"), [(0.74, True), (0.75, True), (0.76, False), (0.8, False)])
def test_the_lower_end_of_the_interval_has_to_reach_the_threshold(at_least, blessed):
    decision = judge(REPORT, [Threshold("average.accuracy", at_least)], None, card=DERM7PT)
    assert decision.blessed is blessed
    if not blessed:
        assert decision.reasons == (f"average.accuracy: the 95 % interval 0.7500 to 0.8500 begins below {at_least:g}",)


def test_an_undefined_metric_reaches_no_threshold():
    decision = judge(REPORT, [Threshold("tasks.DIAG.classes.MEL.auc", 0.0)], None, card=DERM7PT)
    assert decision.reasons == (
        "tasks.DIAG.classes.MEL.auc has no 95 % interval in this split, so it does not reach 0",
    )


@pytest.mark.parametrize("metric", ["average.accuracies", "average.cases", "average", "tasks.PN.accuracy", "split.x"])
def test_a_metric_without_interval_is_an_error_and_no_refusal(metric):
    with pytest.raises(ConfigError, match=f"metrics.json has no {metric} with a 95 % interval"):
        judge(REPORT, [Threshold(metric, 0.1)], None, card=DERM7PT)


def test_one_significant_loss_is_enough():
    thresholds = [Threshold("average.accuracy", 0.7)]
    assert judge(REPORT, thresholds, [LOSS | {"loss": False}], card=DERM7PT).blessed
    assert judge(REPORT, thresholds, [LOSS | {"loss": False}, LOSS], card=DERM7PT).reasons == (
        "melanoma_auc for sex male is 0.7000, the served version has 0.8000 on the same 57 cases (p = 0.012)",
    )
