"""Whether weights and answers are finite numbers, in arrays."""

from collections.abc import Iterable, Mapping

import numpy as np

from amfam_tf.card.questions import Task

ADVICE = "the training has diverged: fit again with a lower optimizer.learning_rate or with optimizer.clip_norm"


def describe_broken(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Returns how many values of which arrays are no finite numbers, e.g. of variables; None if all are finite."""
    counts = {name: count_broken(values) for name, values in arrays.items()}
    broken = {name: count for name, count in counts.items() if count}
    if not broken:
        return None
    first, count = next(iter(broken.items()))
    more = f" (and more in {len(broken) - 1} other variables)" if len(broken) > 1 else ""
    return f"{count} of {arrays[first].size} values of {first}{more} are no finite numbers"


def count_broken(values: np.ndarray) -> int:
    """Returns how many values of an array are NaN or infinite; 0 where it holds no floats."""
    # The kind of bfloat16 is not that of NumPy's floats.
    if values.dtype.kind in "OSUbiu":
        return 0
    return int(values.size - np.isfinite(values.astype(np.float32, copy=False)).sum())


def broken_tasks(answers: Mapping[str, np.ndarray], tasks: Iterable[Task]) -> dict[str, int]:
    """Returns, by task, for how many cases its answer is no finite number; only tasks with such cases.

    Args:
        answers: by output, [B, ...]; what is no task is left out.
        tasks: of the data.
    """
    found = {}
    for task in tasks:
        values = answers.get(task.name)
        if values is not None:
            rows = ~np.isfinite(np.asarray(values, np.float64).reshape(len(values), -1)).all(axis=1)
            found[task.name] = int(rows.sum())
    return {name: count for name, count in found.items() if count}
