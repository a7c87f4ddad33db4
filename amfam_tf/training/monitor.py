"""What an epoch is judged by: `training.monitor`, its name in the logs and in words, and its value."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from amfam_tf.card.schema import DataCard
from amfam_tf.errors import DataError
from amfam_tf.report.rates import Answers, mean_of_defined

MONITORED = "val_accuracy"
LOSS = "val_loss"
RATES: Mapping[str, str] = MappingProxyType({"balanced_accuracy": "sensitivity", "macro_f1": "f1", "auc": "auc"})
"""What needs the answers to all cases -> the rate whose mean over the classes it is."""
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "val_accuracy": "mean validation accuracy",
        "val_loss": "validation loss",
        "val_balanced_accuracy": "mean validation balanced accuracy",
        "val_macro_f1": "mean validation macro F1",
        "val_auc": "mean validation macro AUC",
    }
)


def monitored(card: DataCard, monitor: str = "headline") -> str:
    """Returns the logged validation value that an epoch is judged by.

    "headline" is the accuracy of the headline's task, or the mean over the tasks: a mean may be high while the one that
    matters has not been learned.
    """
    if monitor != "headline":
        return f"val_{monitor}"
    task = card.headline_task
    return MONITORED if task is None else f"{MONITORED}_{task.name}"


def measure_of(card: DataCard, monitor: str = "headline") -> str:
    """Returns what the best epoch is chosen by, in words."""
    return in_words(monitored(card, monitor))


def in_words(logged: str) -> str:
    """Returns a value of `monitored` in words."""
    return WORDS.get(logged) or f"validation accuracy of {logged.removeprefix(MONITORED + '_')}"


def name_in_records(monitor: str) -> str:
    """Returns the key under which the value of the best epoch is recorded."""
    return f"best_validation_{'accuracy' if monitor == 'headline' else monitor}"


def measure(monitor: str, labels: Mapping[str, np.ndarray], probabilities: Mapping[str, np.ndarray]) -> float:
    """Returns a measure of RATES: of a task the mean over the classes where the rate is defined, then over the tasks.

    It is what `amfam_tf.evaluation.metrics` measures: average.balanced_accuracy, average.macro.f1, average.macro.auc.

    Args:
        monitor: a key of RATES.
        labels: for each task, class numbers, int [N]; below 0 where nobody knows.
        probabilities: for each task, [N, classes].

    Returns:
        In [0, 1]; NaN where it is defined for no class.
    """
    means = []
    for task, numbers in labels.items():
        known = numbers >= 0
        answers, counts = Answers.of(numbers[known], probabilities[task][known]), np.ones((1, int(known.sum())))
        means.append(mean_of_defined(answers.rates(counts, answers.confusion(counts))[RATES[monitor]]))
    return float(mean_of_defined(np.stack(means, axis=1))[0])


def check_measurable(monitor: str, labels: Mapping[str, np.ndarray], classes: Mapping[str, int]) -> None:
    """Checks that validation cases with these labels can be measured, whatever is answered.

    Args:
        monitor: `training.monitor`.
        labels: for each task, class numbers, int [N]; below 0 where nobody knows.
        classes: of each task.

    Raises:
        DataError: they cannot.
    """
    even = {task: np.full((len(numbers), classes[task]), 1 / classes[task]) for task, numbers in labels.items()}
    if monitor in RATES and np.isnan(measure(monitor, labels, even)):
        needed = "cases with and without a class" if monitor == "auc" else "a case with a label"
        raise DataError(f"training.monitor={monitor} needs {needed} in split validate: set another one")
