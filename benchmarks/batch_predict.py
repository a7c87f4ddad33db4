"""Pairs per second of batch prediction and of the direct batched call, in turns (A B A B ...), and their ratio.

    python -m benchmarks.batch_predict                   preset paper, random weights, drawn pictures
    python -m benchmarks.batch_predict --version saved_models/amfam --data DATA
    python -m benchmarks.batch_predict --small           smallest sizes; seconds

Both sides read the same picture files with the version loaded before: the direct side gives their bytes to the
signature serving_default, a batch at a time, and keeps the outputs; the other side is the whole of
`amfam_tf.pipelines.batch_predict.run`, from the manifest to the last Parquet file. With --workers it also starts its
processes, each of which loads the version: that is in its time, and needs many pairs to pay.
"""

import csv
import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd
import tensorflow as tf

from amfam_tf.batch_predict import pipeline
from amfam_tf.batch_predict.model import describe_version, load_shared
from amfam_tf.data.derm7pt import read_release
from amfam_tf.evaluation.predictions import probability_columns
from amfam_tf.tasks import MODALITIES, TASKS
from benchmarks import turns
from benchmarks.inference import SMALL
from benchmarks.tensorflow_inference import Inference

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
DIRECT, BATCH = "direct batched call", "batch-predict"
DRAWN = 24
TOLERANCE = 1e-5


@click.command()
@click.option("--version", type=FOLDER, help="An exported version, or the folder of a model.")
@click.option("--data", type=FOLDER, help="A data set whose pictures to ask about.")
@click.option("--small", is_flag=True, help="Smallest sizes: to try the command, not to measure.")
@click.option(
    "--pairs", default=96, show_default=True, help="Pairs of one turn; the data set is repeated if it has fewer."
)
@click.option("--batch-size", default=pipeline.BATCH_SIZE, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.option("--turns", "count", default=3, show_default=True, help="Turns of each side; their median counts.")
def main(
    version: Path | None, data: Path | None, small: bool, pairs: int, batch_size: int, workers: int, count: int
) -> None:
    """Print pairs per second of both sides, their ratio, and how far their answers are apart."""
    if (version is None) != (data is None):
        raise click.UsageError("--version and --data go together")
    click.echo(turns.machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if version is None:
            version, data = make_version(folder, SMALL if small else ())
        table = write_table(data, folder / "pairs.csv", pairs)
        sides = Sides(version, table, folder / "out", batch_size, workers)
        difference = sides.warm_up()
        rates = turns.take_turns({DIRECT: sides.direct_rate, BATCH: sides.batch_rate}, count)
    report(rates, difference, pairs, batch_size, workers)


def make_version(folder: Path, overrides: tuple[str, ...]) -> tuple[Path, Path]:
    """Returns an exported version with random weights and a drawn data set."""
    maker, run, data = Inference(), folder / "run", folder / "release"
    maker.make_run(str(run), list(overrides), str(data), DRAWN)
    return Path(maker.export(str(run), str(folder / "models" / "amfam"), "float32", None)), data


def write_table(data: Path, path: Path, pairs: int) -> Path:
    """Writes a CSV of so many pairs of a data set's pictures, repeated as often as it takes."""
    cases = read_release(data)
    places = itertools.cycle(cases[list(MODALITIES)].itertuples(index=False))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case_num", *MODALITIES])
        writer.writerows([number, *pair] for number, pair in enumerate(itertools.islice(places, pairs)))
    return path


class Sides:
    """Both ways to answer the same pairs.

    Args:
        version: folder of the version or the model.
        table: CSV of pairs.
        out: folder of results, made anew each time.
        batch_size: pairs of one call.
        workers: processes of the batch prediction.
    """

    def __init__(self, version: Path, table: Path, out: Path, batch_size: int, workers: int) -> None:
        self._path, self._table, self._out = describe_version(version).path, table, out
        self._batch_size, self._workers = batch_size, workers
        # Held here, so that batch prediction in this process does not load it again.
        self._loaded = load_shared(str(self._path))
        self._model = tf.saved_model.load(str(self._path))
        pairs = pd.read_csv(table)
        self._files = list(pairs[list(MODALITIES)].itertuples(index=False))

    def warm_up(self) -> float:
        """Runs both sides once; returns the largest difference of a probability."""
        direct = self.direct()
        self.batch()
        columns = [name for task in TASKS for name in probability_columns(task)]
        batch = pd.read_parquet(self._out)[columns].to_numpy()
        return float(np.abs(direct - batch).max())

    def direct(self) -> np.ndarray:
        """Returns the probabilities of all tasks, [N, 24], of the direct call."""
        function = self._model.signatures["serving_default"]
        answers = []
        for start in range(0, len(self._files), self._batch_size):
            batch = self._files[start : start + self._batch_size]
            files = zip(*([Path(path).read_bytes() for path in pair] for pair in batch), strict=True)
            outputs = function(
                **{name: tf.constant(contents) for name, contents in zip(MODALITIES, files, strict=True)}
            )
            answers.append(np.concatenate([outputs[task.name].numpy() for task in TASKS], axis=1))
        return np.concatenate(answers)

    def batch(self) -> None:
        """Predicts all pairs into a new folder."""
        shutil.rmtree(self._out, ignore_errors=True)
        arguments = [f"--direct_num_workers={self._workers}"]
        pipeline.run(
            str(self._table), str(self._path), str(self._out), batch_size=self._batch_size, beam_arguments=arguments
        )

    def direct_rate(self) -> float:
        """Returns pairs per second of the direct call."""
        return self._rate(self.direct)

    def batch_rate(self) -> float:
        """Returns pairs per second of batch prediction."""
        return self._rate(self.batch)

    def _rate(self, call: Callable[[], object]) -> float:
        return len(self._files) / turns.seconds_of(call)


def report(rates: dict[str, list[float]], difference: float, pairs: int, batch_size: int, workers: int) -> None:
    """Prints the table.

    Raises:
        click.ClickException: the answers of the sides differ.
    """
    medians = turns.medians(rates)
    click.echo(f"{pairs} pairs a turn, batches of {batch_size}, workers: {workers}; {turns.load()}")
    rows = [
        [
            name,
            f"{medians[name]:.2f}",
            f"{min(values):.2f} to {max(values):.2f}",
            f"{medians[name] / medians[DIRECT]:.3f}",
        ]
        for name, values in rates.items()
    ]
    click.echo(turns.table(["side", "pairs/s", "range", "ratio"], rows))
    click.echo(f"largest difference of a probability: {difference:.1e}")
    if not difference <= TOLERANCE:
        raise click.ClickException(f"the sides give other answers: {difference:.1e}")


if __name__ == "__main__":
    main()
