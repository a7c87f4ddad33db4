"""The child process of a grid: `amfam_tf.comparison.worker TASK`, one piece of work, then the end.

TASK is JSON: {"work": a key of WORK, "arguments": {...}}.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from amfam_tf import child_process
from amfam_tf import config as configuration
from amfam_tf.comparison import records
from amfam_tf.errors import UserError
from amfam_tf.text import visible

WARM_UP, REPEATS, BATCH_SIZE = 2, 10, 16
"""Batches before measuring, batches measured, and cases in each."""


def fit_and_evaluate(
    data: str, run: str, config: Mapping[str, Any], split: str, fingerprint: str, card: str | None = None
) -> None:
    """Fits a run, or goes on with it, and evaluates it on a split."""
    from amfam_tf.evaluation.run import evaluate_run
    from amfam_tf.terminal import Terminal
    from amfam_tf.training.run import fit

    given = None if card is None else Path(card)
    fit(Path(data), Path(run), configuration.from_dict(config), Terminal(width=200), card=given)
    evaluate_run(Path(run), Path(data), split, card=given)
    records.record_evaluation(Path(run), split, fingerprint)


def measure(run: str) -> None:
    """Counts the parameters of a run's model and measures how long the classifier takes for a case."""
    import tensorflow as tf

    from amfam_tf import environment
    from amfam_tf.runs.finished import FinishedRun
    from amfam_tf.training.run import count_parameters

    network = FinishedRun.open(Path(run)).network
    served = network.inference_model()
    description = environment.describe()
    content = {
        "parameters": count_parameters(network.trainable_variables),
        "parameters_served": count_parameters(served.trainable_variables),
        "seconds_per_case": seconds_per_case(served),
        "batch_size": BATCH_SIZE,
        "batches": REPEATS,
        "device": "GPU" if tf.config.list_physical_devices("GPU") else "CPU",
        **{key: description[key] for key in ("processor", "cpu_count", "devices")},
    }
    records.write_measurement(Path(run), content)


def seconds_per_case(model: Any) -> float:
    """Returns the median time of a batch divided by its cases, from pictures in memory to logits."""
    import tensorflow as tf

    generator = np.random.default_rng(0)
    batch = {
        name: tf.constant(generator.random((BATCH_SIZE, *tensor.shape[1:]), dtype=np.float32))
        for name, tensor in model.input.items()
    }
    infer = tf.function(lambda inputs: model(inputs, training=False))
    seconds = []
    for _ in range(WARM_UP + REPEATS):
        began = time.perf_counter()
        for output in infer(batch).values():
            output.numpy()  # a GPU answers before it has finished
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[WARM_UP:])) / BATCH_SIZE


WORK: Mapping[str, Callable[..., None]] = MappingProxyType({"fit_and_evaluate": fit_and_evaluate, "measure": measure})


def command(work: str, **arguments: Any) -> list[str]:
    """Returns the command line that does a piece of work.

    Args:
        work: a key of WORK.
        **arguments: of that function, as JSON has them.
    """
    return child_process.command(__name__, [json.dumps({"work": work, "arguments": arguments})])


def main(words: Sequence[str]) -> int:
    """Does the work of a task; returns the exit status. The last line of stderr says what went wrong."""
    task = json.loads(words[0])
    try:
        WORK[task["work"]](**task["arguments"])
    except UserError as error:
        print(visible(f"error: {error}"), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
