"""Answers that are drawn, to cases with the diagnoses of Derm7pt's test split, for measurements of statistics.

Of each case and task there are logits that all trainings share (prior, label, the case itself) and noise of each
training by itself: two trainings agree in four of five diagnoses, DIAG is right in three of four.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from amfam_tf.evaluation import predictions
from amfam_tf.tasks import DERM7PT, DIAGNOSIS, TASKS

DIAGNOSES = (16, 219, 101, 40, 19)
"""Cases of BCC, NEV, MEL, MISC, SK."""
PRIOR, SKILL, OF_CASE, OF_TRAINING = 0.7, 1.9, 1.0, 0.7
"""Weight of the logarithm of the prevalence, logit of the label, and standard deviations of the noise."""


def prevalences(diagnoses: Sequence[int] = DIAGNOSES) -> dict[str, np.ndarray]:
    """Returns the share of each class by task: of DIAG as given, of n other classes as n to 1."""
    found = {task.name: np.arange(len(task.classes), 0, -1.0) for task in TASKS}
    found[DIAGNOSIS.name] = np.array(diagnoses, np.float64)
    return {name: weights / weights.sum() for name, weights in found.items()}


def labels(
    random: np.random.Generator, cases: int | None = None, diagnoses: Sequence[int] = DIAGNOSES
) -> dict[str, np.ndarray]:
    """Returns class numbers by task; with `cases` all are drawn, without it there are as many of each diagnosis."""
    drawn = cases or sum(diagnoses)
    found = {name: random.choice(len(shares), drawn, p=shares) for name, shares in prevalences(diagnoses).items()}
    if cases is None:
        found[DIAGNOSIS.name] = np.repeat(np.arange(len(diagnoses)), diagnoses)
    return found


def trainings(
    random: np.random.Generator,
    of_cases: Mapping[str, np.ndarray],
    count: int = 1,
    lowered: Sequence[Mapping[str, float]] = (),
    skill: float = SKILL,
    diagnoses: Sequence[int] = DIAGNOSES,
) -> list[pd.DataFrame]:
    """Returns the predictions table of each training.

    Args:
        random: of all draws.
        of_cases: labels, int [N] by task.
        count: of the trainings.
        lowered: for each, by how much the logit of a diagnosis is lower than it should be.
        skill: logit of the label.
        diagnoses: whose prevalences the trainings know.
    """
    given: list[dict[str, np.ndarray]] = [{} for _ in range(count)]
    for task in TASKS:
        truth = np.eye(len(task.classes))[of_cases[task.name]]
        shared = PRIOR * np.log(prevalences(diagnoses)[task.name]) + skill * truth
        shared = shared + OF_CASE * random.normal(size=truth.shape)
        for number, probabilities in enumerate(given):
            logits = shared + OF_TRAINING * random.normal(size=truth.shape)
            for name, amount in lowered[number].items() if task == DIAGNOSIS and lowered else ():
                logits[:, task.classes.index(name)] -= amount
            raised = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities[task.name] = raised / raised.sum(axis=1, keepdims=True)
    numbers = np.arange(len(of_cases[DIAGNOSIS.name]))
    return [predictions.to_frame(numbers, of_cases, probabilities, DERM7PT) for probabilities in given]
