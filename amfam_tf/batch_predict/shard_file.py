"""A Parquet file of a shard: one row per case, in order; of several pairs the mean of their probabilities.

| column | type | content |
| --- | --- | --- |
| case_num | int64 | |
| <TASK>_pred of each task | string | the most probable class; null if there is an error |
| <TASK>_<CLASS> of each class | float32 | probability in [0, 1]; null if there is an error |
| <target>_probability of each target | float32 | the sum over its classes; likewise |
| the name of each score | int32 | its points; likewise |
| model, model_version | string, int64 | who was asked |
| error | string | null, or one line that names file and reason |

The columns of a task stand together, as in predictions.csv. The file's own metadata say how many pairs and errors it
has, which version answered, and that this is no medical device. Same pairs and answers, same bytes. Needs the extra
`beam`, for pyarrow.
"""

import dataclasses
import importlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from amfam_tf.batch_predict.pair import PredictedPair
from amfam_tf.card.schema import DataCard
from amfam_tf.card.served import output_of_target
from amfam_tf.errors import DataError, EngineError, one_line
from amfam_tf.evaluation.predictions import CASE, probability_columns
from amfam_tf.files.writing import writing
from amfam_tf.report.notice import RESEARCH_ONLY

MODEL, MODEL_VERSION, ERROR = "model", "model_version", "error"
PAIRS, ERRORS = "pairs", "errors"
MISSING = "Parquet files need pyarrow: pip install amfam-tf[beam]"
COMPRESSION = "zstd"


@dataclass(frozen=True)
class Counts:
    """How many pairs a file has, and how many of them are errors."""

    pairs: int
    errors: int


def find_pyarrow() -> ModuleType:
    """Returns pyarrow, with its submodule parquet.

    Raises:
        EngineError: it is not installed; names the extra.
    """
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise EngineError(MISSING) from error


def derived(card: DataCard) -> tuple[str, ...]:
    """Returns the outputs, and columns, that follow from those of the tasks: targets, then scores."""
    return (*map(output_of_target, card.targets), *card.scores)


def schema(card: DataCard) -> Any:
    """Returns the pyarrow schema: names and types of the columns, in order."""
    arrow = find_pyarrow()
    fields = [(CASE, arrow.int64())]
    for task in card.tasks:
        fields.append((f"{task.name}_pred", arrow.string()))
        fields += [(name, arrow.float32()) for name in probability_columns(task)]
    fields += [(name, arrow.int32() if name in card.scores else arrow.float32()) for name in derived(card)]
    fields += [(MODEL, arrow.string()), (MODEL_VERSION, arrow.int64()), (ERROR, arrow.string())]
    return arrow.schema(fields)


def write_shard(
    path: str,
    answers: Iterable[PredictedPair],
    model: str,
    version: int,
    fingerprint: str,
    card: DataCard,
) -> Counts:
    """Writes the file of a shard. Written twice at a time, it is still whole.

    Args:
        path: of the file.
        answers: of all pairs of the shard, in any order; those of a case become one.
        model: name of the model.
        version: its number.
        fingerprint: that of the version.
        card: that of the version.

    Raises:
        DataError: the file cannot be written.
    """
    arrow = find_pyarrow()
    ordered = sorted(answers, key=lambda answer: (answer.position, answer.number))
    cases = [[*pairs] for _, pairs in itertools.groupby(ordered, key=lambda answer: answer.position)]
    ordered = [pairs[0] if len(pairs) == 1 else _averaged(pairs, card) for pairs in cases]
    counts = Counts(len(ordered), sum(answer.error is not None for answer in ordered))
    facts = {MODEL: model, MODEL_VERSION: version, "fingerprint": fingerprint, PAIRS: counts.pairs}
    facts |= {ERRORS: counts.errors, "research_only": RESEARCH_ONLY}
    described = schema(card).with_metadata({name: str(value) for name, value in facts.items()})
    table = arrow.Table.from_pydict(_columns(ordered, model, version, card), described)
    with writing(Path(path), DataError, parents=False) as partial, partial.open("wb") as file:
        arrow.parquet.write_table(table, file, compression=COMPRESSION)
    return counts


def read_counts(path: Path) -> Counts:
    """Returns how many pairs and errors a file has, from its metadata.

    Raises:
        DataError: it is damaged; names it.
    """
    arrow = find_pyarrow()
    try:
        facts = arrow.parquet.read_metadata(path).metadata
        return Counts(int(facts[PAIRS.encode()]), int(facts[ERRORS.encode()]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        again = "remove it and run the same command again"
        raise DataError(f"{path} is damaged: {again} ({one_line(error)[:200]})") from error


def first_error(path: Path) -> str:
    """Returns the first error in a file that has one."""
    column = find_pyarrow().parquet.read_table(path, columns=[ERROR]).column(ERROR)
    return str(column.drop_null()[0])


def _averaged(pairs: Sequence[PredictedPair], card: DataCard) -> PredictedPair:
    """Returns the answer to a case of several pairs: means, and points of their most probable classes, as `evaluate`.

    One pair without an answer leaves the case without.
    """
    broken = next((pair for pair in pairs if pair.outputs is None), None)
    if broken is not None:
        return broken
    found = [pair.outputs for pair in pairs if pair.outputs is not None]
    merged: dict[str, np.ndarray] = {}
    for name in (*(task.name for task in card.tasks), *map(output_of_target, card.targets)):
        values = np.stack([outputs[name] for outputs in found])
        merged[name] = values.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)[0]
    for name, score in card.scores.items():
        points = [score.points_of(task)[int(np.argmax(merged[task.name]))] for task in score.counted(card.tasks)]
        merged[name] = np.array(sum(points), np.int32)
    return dataclasses.replace(pairs[0], outputs=merged)


def _columns(answers: Sequence[PredictedPair], model: str, version: int, card: DataCard) -> dict[str, list[Any]]:
    """Returns the values of each column; None where there is an error."""
    outputs = [answer.outputs for answer in answers]
    columns: dict[str, list[Any]] = {CASE: [answer.case_num for answer in answers]}
    for task in card.tasks:
        rows = [None if output is None else output[task.name] for output in outputs]
        # The first one of equals, as in predictions.csv.
        columns[f"{task.name}_pred"] = [None if row is None else task.classes[int(np.argmax(row))] for row in rows]
        for number, name in enumerate(probability_columns(task)):
            columns[name] = [None if row is None else row[number] for row in rows]
    for name in derived(card):
        columns[name] = [None if output is None else output[name] for output in outputs]
    columns[MODEL], columns[MODEL_VERSION] = [model] * len(answers), [version] * len(answers)
    return columns | {ERROR: [answer.error for answer in answers]}
