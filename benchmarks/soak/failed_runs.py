"""What a run that fails leaves in the process, with and without a deadline, alone and in a batch.

    python -m benchmarks.soak.failed_runs VERSION

TensorFlow 2.21 puts the rendezvous of each run that it aborts into a list (`LocalRendezvous::StartAbort`) that nothing
in its libraries ever empties. Only a run without a deadline and without a batch has none that it could put there.
"""

import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import numpy as np
import tensorflow as tf

from amfam_tf.server.batching import BatchingOptions
from amfam_tf.server.servable import NO_TIMEOUT, Servable
from benchmarks.soak.watched import allocated_bytes

DEADLINE_MS = 60_000
NO_PICTURE = b"no picture"


@click.command(help=__doc__)
@click.argument("version", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--runs", default=1000, show_default=True)
def main(version: Path, runs: int) -> None:
    """Prints bytes a run, a line each."""
    for batching in (None, BatchingOptions(max_batch_size=8)):
        servable = Servable(version, batching)
        for timeout_ms in (NO_TIMEOUT, DEADLINE_MS):
            how = "in a batch, then alone" if batching else "alone"
            limit = "with a deadline" if timeout_ms else "without one"
            click.echo(f"{how}, {limit}: {_left(partial(_fail, servable, timeout_ms), runs):.0f} bytes a run")
        servable.close()


def _fail(servable: Servable, timeout_ms: int) -> None:
    signature = "serving_default"
    names = servable.signatures[signature].inputs
    try:
        servable.run(signature, {name: np.array([NO_PICTURE], object) for name in names}, ["DIAG"], timeout_ms)
    except tf.errors.InvalidArgumentError:
        return
    raise click.ClickException("what is no picture was answered")


def _left(run: Callable[[], None], runs: int) -> float:
    """Returns how many bytes more are allocated after each of some runs, when some have run before."""
    for _ in range(runs // 10):
        run()
    gc.collect()
    before = allocated_bytes()
    for _ in range(runs):
        run()
    gc.collect()
    return (allocated_bytes() - before) / runs


if __name__ == "__main__":
    main()
