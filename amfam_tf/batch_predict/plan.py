"""How the pairs of a source are split into shards, and the manifest that holds a folder of results to it.

Consecutive pairs stay together, and a batch never reaches over the end of a shard: whoever predicts a shard, whenever,
asks the model the same questions in the same batches.
"""

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from amfam_tf.batch_predict.model import ExportedVersion
from amfam_tf.batch_predict.pair import PairRow
from amfam_tf.batch_predict.source import PairSource
from amfam_tf.beam import urls
from amfam_tf.card.schema import MODALITIES
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.files import json_file

# Readers of a folder of Parquet files take a name that starts with an underscore for no data.
MANIFEST_FILE = "_manifest.json"
ROWS_FOLDER = "_rows"
FORMAT = 1
PAIRS_PER_SHARD = 256
FEWEST_SHARDS, MOST_SHARDS = 16, 1000
"""Of pairs, unless a number is asked for; fewer if a shard would not fill a batch. Records keep their files."""

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class PredictTask:
    """The piece of work that an engine hands to a worker.

    Attributes:
        shard: its number.
        out: Parquet file to write.
        rows: file with its pairs, a line of JSON each; None for records.
        records: files of records to read, in order.
    """

    shard: int
    out: str
    rows: str | None
    records: tuple[str, ...] = ()


def describe(source: PairSource, version: ExportedVersion, shards: int | None, batch_size: int) -> Manifest:
    """Returns the manifest of a batch prediction; the same input has the same fingerprint.

    Args:
        source: the pairs.
        version: whom to ask.
        shards: number of files to write; None leaves it to the source.
        batch_size: pairs of one call of the model.

    Raises:
        ConfigError: a number below 1, or more shards than there are pairs or files of records.
    """
    if batch_size < 1:
        raise ConfigError(f"the batch size must be at least 1. Received: {batch_size}")
    sizes = _split(source, shards, batch_size)
    names = [f"part-{number:05d}-of-{len(sizes):05d}.parquet" for number in range(len(sizes))]
    contents: list[dict[str, Any]]
    if source.kind == "records":
        paths = iter(path.name for path in source.records)
        contents = [{"records": list(itertools.islice(paths, size))} for size in sizes]
    else:
        contents = [{"pairs": size} for size in sizes]
    return {
        "format": FORMAT,
        "model": {"name": version.name, "version": version.number, "fingerprint": version.fingerprint},
        "input": {"kind": source.kind, "path": source.path, "fingerprint": _fingerprint(source)},
        "settings": {"shards": len(sizes), "batch_size": batch_size},
        "shards": [{"file": name, **content} for name, content in zip(names, contents, strict=True)],
    }


def write(manifest: Manifest, source: PairSource, folder: Path) -> None:
    """Writes the pairs of each shard and then the manifest into a folder.

    Raises:
        OSError: a file cannot be written.
    """
    if source.kind != "records":
        (folder / ROWS_FOLDER).mkdir()
        rows = source.rows()
        for shard in manifest["shards"]:
            with _rows_file(folder, shard["file"]).open("w", encoding="utf-8") as file:
                for row in itertools.islice(rows, shard["pairs"]):
                    file.write(json.dumps(_without_nothing_told(row)) + "\n")
    json_file.write(folder / MANIFEST_FILE, manifest)


def read(folder: Path) -> Manifest:
    """Returns the manifest of a folder of results.

    Raises:
        DataError: it has none that this program reads.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = json_file.read(path)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} exists already and holds no batch prediction (no {MANIFEST_FILE}): name a new folder"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: name a new folder for the results") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path} is not of format {FORMAT}, which this program reads: name a new folder")
    return manifest


def check_same(found: Manifest, wanted: Manifest, folder: Path) -> None:
    """Checks that a folder holds results of the same version, input and settings.

    Raises:
        DataError: says what differs.
    """
    there, here = (content["model"] for content in (found, wanted))
    differences = []
    if there != here:
        names = [f"{model['name']} version {model['version']}" for model in (there, here)]
        what = " instead of ".join(names) if names[0] != names[1] else f"another {names[0]}, exported anew"
        differences.append(f"the version ({what})")
    if found["input"]["fingerprint"] != wanted["input"]["fingerprint"]:
        differences.append(f"the input (it was {found['input']['path']}, with the rows and files of that time)")
    for key, value in wanted["settings"].items():
        if found["settings"][key] != value:
            differences.append(f"{key} ({found['settings'][key]} instead of {value})")
    if differences:
        raise DataError(
            f"{folder} holds results of another batch prediction; what differs is {' and '.join(differences)}: "
            "name a new folder, or ask for the same again"
        )


def tasks(manifest: Manifest, source: PairSource, folder: Path) -> list[PredictTask]:
    """Returns the work of all shards, in order."""
    start = Path(source.path)
    return [
        PredictTask(
            number,
            str(folder / shard["file"]),
            str(_rows_file(folder, shard["file"])) if "pairs" in shard else None,
            tuple(str(start / name) for name in shard.get("records", ())),
        )
        for number, shard in enumerate(manifest["shards"])
    ]


def read_rows(path: str) -> Iterator[PairRow]:
    """Gives the pairs of a shard that `write` has written, one in memory at a time."""
    with Path(path).open(encoding="utf-8") as file:
        for line in file:
            yield PairRow(**json.loads(line))


def _rows_file(folder: Path, name: str) -> Path:
    return folder / ROWS_FOLDER / f"{name.removesuffix('.parquet')}.jsonl"


def _split(source: PairSource, shards: int | None, batch_size: int) -> list[int]:
    """Returns how many pairs, or files of records, each shard has."""
    total = len(source.records) if source.pairs is None else source.pairs
    if shards is None:
        shards = total
        if source.pairs is not None:
            fewest = min(FEWEST_SHARDS, math.ceil(total / batch_size))
            shards = min(MOST_SHARDS, max(fewest, math.ceil(total / PAIRS_PER_SHARD)))
    if not 1 <= shards <= total:
        what = "files of records, each of which stays whole," if source.pairs is None else "pairs"
        raise ConfigError(f"{source.path}: {total} {what} cannot be spread over {shards} shards")
    return [len(part) for part in np.array_split(np.empty(total, np.int8), shards)]


def _fingerprint(source: PairSource) -> str:
    """Returns the SHA-256 (64 hex digits) of cases, paths, and size and time of change of every file."""
    digest = hashlib.sha256()
    for line in _described(source):
        digest.update((json.dumps(line) + "\n").encode())
    return digest.hexdigest()


def _described(source: PairSource) -> Iterable[list[Any]]:
    if source.kind == "records":
        return ([path.name, *_state(str(path))] for path in source.records)
    return (
        [
            *(row.case_num, row.clinical, *_state(row.clinical), row.dermoscopic, *_state(row.dermoscopic), row.error),
            *(() if row.metadata is None else (dict(row.metadata),)),
            *([name, path, *_state(path)] for name in MODALITIES for path in row.more.get(name, ())),
        ]
        for row in source.rows()
    )


def _without_nothing_told(row: PairRow) -> dict[str, Any]:
    """Returns a row to write down; without metadata and further pictures it is that of all versions before them."""
    return {key: value for key, value in asdict(row).items() if key not in ("metadata", "more") or value}


def _state(path: str) -> tuple[int, int] | tuple[()]:
    """Returns size and time of change: another file in the same place is another picture. Nothing of a URL."""
    if not path or urls.is_url(path):
        return ()
    try:
        state = Path(path).stat()
    except OSError:  # its row will say so
        return ()
    return state.st_size, state.st_mtime_ns
