"""Cases with what a teacher answers to them: columns of a frame, and keys of a batch."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd


def answer_key(task: str) -> str:
    """Returns the column, and the key of a batch, of the logarithms of a teacher's probabilities, [classes] a case."""
    return f"teacher.{task}"


def with_answers(cases: pd.DataFrame, answers: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Returns the cases with a teacher's answers beside their labels.

    Args:
        cases: one row per case.
        answers: {task name: logarithms of the probabilities, float32 [cases, classes]}.
    """
    return cases.assign(**{answer_key(name): list(values) for name, values in answers.items()})


def answers_of(cases: pd.DataFrame, tasks: Iterable[str]) -> dict[str, np.ndarray]:
    """Returns {key of a batch: float32 [cases, classes]} of cases with answers; {} of others."""
    keys = [answer_key(name) for name in tasks]
    return {key: np.stack(list(cases[key])).astype(np.float32) for key in keys if key in cases}
