"""One shard, written in one place and in the order of its rows, a pair at a time: memory does not grow with the pairs.

Rows come from a file with a line per row, and what is found goes to another one: neither passes through the engine,
so neither the order nor the place of the work can change a byte.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amfam_tf.beam import urls
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data.pair_pictures import ALL_PICTURES
from amfam_tf.data.shards import shard_names
from amfam_tf.errors import DataError, one_line
from amfam_tf.files import storage
from amfam_tf.files.writing import writing
from amfam_tf.ingest.case_table import Case

WORK_FOLDER = "_work"
"""Of the rows and findings of the shards, in the unfinished folder of records; gone when that is complete."""


@dataclass(frozen=True)
class IngestTask:
    """The piece of work that an engine hands to a worker.

    Attributes:
        shard: file to write.
        rows: file with the cases to read, a line of JSON each.
        findings: file to write, a line of JSON per case: `row`, and either `kind` and `reason` why it becomes no
            record, or `clinical` and `dermoscopic`, the facts of its pictures; and `more`, a list, if a view has
            several: `modality`, `path` and the facts of each further one.
        card: of the data.
    """

    shard: str
    rows: str
    findings: str
    card: DataCard


@dataclass(frozen=True)
class Written:
    """How many pairs of a shard became records and how many did not."""

    cases: int
    bad: int


def plan_shards(cases: Sequence[Case], folder: Path, shards: int, card: DataCard) -> list[IngestTask]:
    """Writes the rows of each shard to a file and returns the tasks, in order; consecutive cases stay together.

    Raises:
        DataError: fewer cases than shards.
        OSError: a file cannot be written.
    """
    if not 1 <= shards <= len(cases):
        raise DataError(f"{len(cases)} cases cannot be spread over {shards} shards: each needs at least one case")
    work = folder / WORK_FOLDER
    work.mkdir()
    tasks = []
    for name, numbers in zip(shard_names(shards), np.array_split(np.arange(len(cases)), shards), strict=True):
        rows = work / f"{name}.rows.jsonl"
        with rows.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(cases[number]) + "\n" for number in numbers)
        tasks.append(IngestTask(str(folder / name), str(rows), str(work / f"{name}.findings.jsonl"), card))
    return tasks


def write_shard(task: IngestTask) -> Written:
    """Writes the records of a shard and what was found about its pairs; again gives the same bytes.

    Raises:
        DataError: a file cannot be written.
    """
    import tensorflow as tf

    from amfam_tf.data.records import shard_writer

    written = bad = 0
    try:
        with (
            # Engines repeat work and do it twice at a time: each attempt has files of its own, with the same bytes.
            writing(Path(task.shard), parents=False) as shard,
            writing(Path(task.findings), parents=False) as findings,
            shard_writer(shard) as writer,
            findings.open("w", encoding="utf-8") as file,
        ):
            for case in _read_lines(task.rows):
                finding = _write_pair(case, writer, task.card)
                file.write(json.dumps(finding) + "\n")
                written, bad = (written, bad + 1) if "reason" in finding else (written + 1, bad)
    except OSError as error:
        raise DataError(f"cannot write {task.shard}: {error.strerror}") from error
    except tf.errors.OpError as error:
        raise DataError(f"cannot write {task.shard}: {storage.reason(error) or one_line(error)}") from error
    return Written(written, bad)


def read_findings(tasks: Sequence[IngestTask]) -> Iterator[dict[str, Any]]:
    """Gives the findings of all shards, in the order of the rows, one in memory at a time."""
    for task in tasks:
        yield from _read_lines(task.findings)


def _write_pair(case: Case, writer: Any, card: DataCard) -> dict[str, Any]:
    """Writes the record of a pair, if all pictures can be used; returns the finding."""
    from amfam_tf.data.records import serialise
    from amfam_tf.ingest.picture import ABSENT, inspect_picture

    contents: dict[str, list[bytes]] = {name: [] for name in MODALITIES}
    facts: dict[str, Any] = {name: ABSENT.to_dict() for name in MODALITIES}
    more = []
    for name in MODALITIES:
        for number, path in enumerate(case.get(ALL_PICTURES[name], [case[name]])):
            try:
                contents[name].append(urls.read_bytes(path))
                found = inspect_picture(contents[name][-1]).to_dict()
            except DataError as error:
                return {"row": case["row"], "kind": "unusable_picture", "reason": f"{name} picture {path} {error}"}
            if number:
                more.append({"modality": name, "path": path, **found})
            else:
                facts[name] = found
    writer.write(serialise(case, contents, card))
    return {"row": case["row"], **facts, **({"more": more} if more else {})}


def _read_lines(path: str) -> Iterator[dict[str, Any]]:
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
