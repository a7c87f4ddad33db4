"""Where metrics.json has a metric with a 95 % interval: what a threshold of a release can be on.

Written down and not taken from amfam_tf.evaluation: with it, a change of a metric would make the results of all steps,
which read the configuration, anew. A test compares them with a report.
"""

from amfam_tf.errors import ConfigError
from amfam_tf.tasks import TASKS

OVERALL = ("accuracy", "balanced_accuracy", "kappa")
PAPER_METRICS = ("sensitivity", "specificity", "precision", "auc")
CLASS_METRICS = (*PAPER_METRICS, "f1", "average_precision")
MELANOMA_SCORES = (
    "melanoma_probability",
    "seven_point_score",
    "expected_seven_point_score",
    "seven_point_score_of_labels",
)


def metric_places() -> list[str]:
    """Returns the places, with dots, e.g. "tasks.DIAG.classes.MEL.auc"."""
    averages = {"paper_criteria": PAPER_METRICS, "paper_diagnosis": PAPER_METRICS, "macro": CLASS_METRICS}
    places = [f"average.{name}" for name in OVERALL]
    places += [f"average.{group}.{name}" for group, names in averages.items() for name in names]
    for task in TASKS:
        places += [f"tasks.{task.name}.{name}" for name in OVERALL]
        places += [f"tasks.{task.name}.classes.{label}.{name}" for label in task.classes for name in CLASS_METRICS]
    return places + [f"melanoma.scores.{score}.auc" for score in MELANOMA_SCORES]


def no_such_metric(metric: str) -> ConfigError:
    """Returns the error for a threshold on something else."""
    return ConfigError(
        f"blessing.thresholds: metrics.json has no {metric} with a 95 % interval; "
        "for example average.accuracy or tasks.DIAG.classes.MEL.auc"
    )
