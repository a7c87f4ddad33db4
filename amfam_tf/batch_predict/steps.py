"""The steps of batch prediction on Apache Beam: read the pairs of a shard, predict, write its file.

A runner that joins the steps, as the embedded one does, lets a shard pass through them batch by batch: its file is
there as soon as its last pair is answered, and memory does not grow with the pairs. Another runner may hand the answers
of a shard to several workers: they are then collected by shard, and its file is written in the end.

Imports Beam: only to be imported where it is known to be installed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.ml.inference.base import ModelHandler
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from amfam_tf.batch_predict import shard_file
from amfam_tf.batch_predict.decoding import batches
from amfam_tf.batch_predict.model import ExportedVersion, LoadedVersion, load_shared
from amfam_tf.batch_predict.pair import DecodedPair, End, PredictedPair
from amfam_tf.batch_predict.plan import PredictTask
from amfam_tf.card.schema import MODALITIES, DataCard

NOT_FINITE = "the model's answer is no finite number: {}"


class ReadPairs(beam.DoFn):
    """A shard's task to lists of its pairs, a batch each, and at last its end.

    Args:
        version: whose preparation to use.
        batch_size: pairs of a batch.
        threads: pictures that are decoded at a time.
    """

    def __init__(self, version: ExportedVersion, batch_size: int, threads: int) -> None:
        self._path, self._batch_size, self._threads = str(version.path), batch_size, threads

    def setup(self) -> None:
        """Loads the version, unless this process has it."""
        self._version = load_shared(self._path)
        self._pool = ThreadPoolExecutor(self._threads)

    def process(self, task: PredictTask) -> Iterator[list[DecodedPair] | list[End]]:
        """Gives the batches of a shard."""
        yield from batches(task, self._version, self._batch_size, self._pool)

    def teardown(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)


class VersionHandler(ModelHandler[DecodedPair | End, PredictedPair | End, LoadedVersion]):
    """Asks an exported version, for Beam's RunInference; batches come as they are to be asked.

    Args:
        version: whom to ask.
    """

    def __init__(self, version: ExportedVersion) -> None:
        super().__init__()
        self._path, self._card = str(version.path), version.card

    def load_model(self) -> LoadedVersion:
        """Returns the version, loaded once in a process."""
        return load_shared(self._path)

    def run_inference(
        self,
        batch: Sequence[DecodedPair | End],
        model: LoadedVersion,
        inference_args: Mapping[str, Any] | None = None,
    ) -> list[PredictedPair | End]:
        """Returns an answer for each pair; one with an error is not asked about, the end of a shard stays as it is."""
        del inference_args
        asked = _squares(batch)
        metadata = [pair.metadata for pair in batch if isinstance(pair, DecodedPair) and pair.squares is not None]
        outputs: dict[str, np.ndarray] = {}
        if asked:
            stacked = {name: np.stack([squares[name] for squares in asked]) for name in MODALITIES}
            outputs = model.predict(stacked, metadata)
        rows = iter(range(len(asked)))
        return [
            item
            if isinstance(item, End)
            else _answer(item, outputs, None if item.squares is None else next(rows), self._card)
            for item in batch
        ]

    def get_num_bytes(self, batch: Sequence[DecodedPair | End]) -> int:
        """Returns the bytes of the squares of a batch."""
        return sum(square.nbytes for squares in _squares(batch) for square in squares.values())


def _squares(batch: Sequence[DecodedPair | End]) -> list[Mapping[str, np.ndarray]]:
    """Returns the squares of the pairs that can be asked about."""
    return [pair.squares for pair in batch if isinstance(pair, DecodedPair) and pair.squares is not None]


def _answer(pair: DecodedPair, outputs: Mapping[str, np.ndarray], row: int | None, card: DataCard) -> PredictedPair:
    names = (*(task.name for task in card.tasks), *shard_file.derived(card))
    values = None if row is None else {name: outputs[name][row] for name in names}
    error = pair.error
    broken = [] if values is None else [task.name for task in card.tasks if not np.isfinite(values[task.name]).all()]
    if broken:
        values, error = None, NOT_FINITE.format(", ".join(broken))
    return PredictedPair(pair.shard, pair.position, pair.case_num, values, error, pair.number)


class WriteShards(beam.DoFn):
    """Answers to files of shards; those of a shard that is not complete in one bundle go on, as (shard, answers).

    Args:
        paths: file of each shard, by its number.
        version: who answered.
    """

    def __init__(self, paths: Mapping[int, str], version: ExportedVersion) -> None:
        self._paths, self._version = dict(paths), version

    def start_bundle(self) -> None:
        """Begins without answers: those of an earlier bundle are written or handed on."""
        self._items: dict[int, list[PredictedPair | End]] = defaultdict(list)
        self._ends: dict[int, int] = {}

    def process(self, item: PredictedPair | End) -> None:
        """Keeps an answer; writes a shard's file when all is there."""
        items = self._items[item.shard]
        items.append(item)
        if isinstance(item, End):
            self._ends[item.shard] = item.pairs
        if self._ends.get(item.shard) == len(items) - 1:
            write_items(self._paths[item.shard], self._items.pop(item.shard), self._version)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Hands on what is not complete."""
        window = GlobalWindow()
        for shard, items in self._items.items():
            yield WindowedValue((shard, items), window.max_timestamp(), (window,))


class WriteCollected(beam.DoFn):
    """(shard, lists of answers) of a shard whose answers came in several bundles, to its file.

    Args:
        paths: file of each shard, by its number.
        version: who answered.
    """

    def __init__(self, paths: Mapping[int, str], version: ExportedVersion) -> None:
        self._paths, self._version = dict(paths), version

    def process(self, collected: tuple[int, Iterable[list[PredictedPair | End]]]) -> None:
        """Writes the file of a shard whose answers came in several bundles."""
        shard, lists = collected
        write_items(self._paths[shard], [item for items in lists for item in items], self._version)


def write_items(path: str, items: Iterable[PredictedPair | End], version: ExportedVersion) -> None:
    """Writes the file of a shard from its answers and its end.

    Raises:
        DataError: it cannot be written.
        ValueError: not all answers are there; the engine has lost some.
    """
    answers = [item for item in items if isinstance(item, PredictedPair)]
    ends = [item.pairs for item in items if isinstance(item, End)]
    if ends != [len(answers)]:
        raise ValueError(f"{path}: {len(answers)} answers, expected as many as {ends} says")
    shard_file.write_shard(path, answers, version.name, version.number, version.fingerprint, version.card)
