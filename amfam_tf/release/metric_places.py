"""Where metrics.json has a metric with a 95 % interval: what a threshold of a release can be on.

Written down and not taken from amfam_tf.evaluation: with it, a change of a metric would make the results of all steps,
which read the configuration, anew. A test compares them with a report.
"""

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.card.served import output_of_target
from amfam_tf.errors import ConfigError

OVERALL = ("accuracy", "balanced_accuracy", "kappa")
MORE_OVERALL = ("macro_f1", "macro_auc", "f1_at_half")
"""Of other cards than Derm7pt's."""
PAPER_METRICS = ("sensitivity", "specificity", "precision", "auc")
CLASS_METRICS = (*PAPER_METRICS, "f1", "average_precision")
PAPER_AVERAGES = ("paper_criteria", "paper_diagnosis")
"""Of files about data without a card."""


def metric_places(card: DataCard) -> list[str]:
    """Returns the places, with dots, e.g. "tasks.DIAG.classes.MEL.auc".

    Args:
        card: of the data.
    """
    older = cards.is_derm7pt(card)
    overall = OVERALL if older else (*OVERALL, *MORE_OVERALL)
    averages = {**dict.fromkeys(PAPER_AVERAGES if older else (), PAPER_METRICS), "macro": CLASS_METRICS}
    places = [f"average.{name}" for name in overall]
    places += [f"average.{group}.{name}" for group, names in averages.items() for name in names]
    for task in card.tasks:
        places += [f"tasks.{task.name}.{name}" for name in overall]
        places += [f"tasks.{task.name}.classes.{label}.{name}" for label in task.classes for name in CLASS_METRICS]
    for target in card.targets:
        section = target if older else f"targets.{target}"
        scores = [text for name in card.scores for text in (name, f"expected_{name}", f"{name}_of_labels")]
        for score in (output_of_target(target), *(scores if older else ())):
            places.append(f"{section}.scores.{score}.auc")
    return places


def no_such_metric(metric: str, card: DataCard) -> ConfigError:
    """Returns the error for a threshold on something else."""
    task = card.main_task
    return ConfigError(
        f"blessing.thresholds: metrics.json has no {metric} with a 95 % interval; "
        f"for example average.accuracy or tasks.{task.name}.classes.{card.example_class}.auc"
    )
