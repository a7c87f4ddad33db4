"""Cases from wherever they are stored: a data set in the Derm7pt layout, or a folder of records made of one.

Everything that takes `--data` reads through here, so that it takes both. The same cases have the same fingerprint in
both.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from amfam_tf.card import cards
from amfam_tf.data import derm7pt, shards
from amfam_tf.errors import DataError
from amfam_tf.files import digests, regular_files
from amfam_tf.tasks import MODALITIES, task_names


def read_cases(data: str | Path, drop_shared_files: bool = False) -> pd.DataFrame:
    """Returns the cases of a data set, one row each.

    Args:
        data: a data set, or a folder of records.
        drop_shared_files: leave out the cases whose clinical picture is the dermoscopic one.

    Returns:
        The columns of `derm7pt.read_release`; from records without notes, see `records.read_records`.

    Raises:
        DataError: the data cannot be used.
    """
    if not shards.has_shards(data):
        _refuse_other_cards(Path(data))
        return derm7pt.read_release(data, drop_shared_files)
    from amfam_tf.data import records

    frame = records.read_records(data)
    return frame[~frame["shared_file"]].reset_index(drop=True) if drop_shared_files else frame


def _refuse_other_cards(data: Path) -> None:
    """Raises for a data set with another card than Derm7pt's: its questions must not be taken for those of Derm7pt."""
    beside = cards.beside(data)
    other = next((card.name for card, _ in cards.with_layout(data)), cards.DERM7PT)
    if beside is not None or other != cards.DERM7PT:
        what = f"{beside} is a card" if beside is not None else f"{data} has the layout of {other}"
        raise DataError(
            f"{what}: so far only `amfam-tf check` reads data sets with a card of their own; all else takes the layout "
            "of Derm7pt, without one (docs/cards.md)"
        )


def data_fingerprint(frame: pd.DataFrame) -> str:
    """Returns the SHA-256 (64 hex digits) of what a run learns from: case numbers, splits, labels, image bytes.

    The same cases at another place, with the rows in another order, or as records have the same fingerprint.

    Args:
        frame: what `read_cases` returns.

    Raises:
        DataError: a picture cannot be read.
    """
    records = [
        [int(case["case_num"]), case["split"], *(int(case[name]) for name in task_names()), *pictures]
        for case, pictures in zip(frame.to_dict("records"), _digests(frame), strict=True)
    ]
    return digests.of_value(sorted(records))


def in_stored_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows in an order in which their pictures can be read: records go from the start to the end."""
    if shards.SHARD_COLUMN not in frame:
        return frame
    return frame.sort_values([shards.SHARD_COLUMN, shards.RECORD_COLUMN])


def encoded_pair(case: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the image files of a case, byte for byte, by modality.

    Args:
        case: a row of what `read_cases` returns.

    Raises:
        DataError: a file cannot be read.
    """
    if shards.SHARD_COLUMN not in case:
        return {name: _read_file(case[name]) for name in MODALITIES}
    from amfam_tf.data import records

    return next(_stored_pairs(records, pd.DataFrame([case])))


def _digests(frame: pd.DataFrame) -> Iterator[list[str]]:
    """Gives the SHA-256 of each case's pictures, in the order of the rows."""
    if shards.SHARD_COLUMN in frame:
        from amfam_tf.data import records

        stored = in_stored_order(frame)
        found = {
            row: [digests.of_bytes(pair[name]) for name in MODALITIES]
            for row, pair in zip(stored.index, _stored_pairs(records, stored), strict=True)
        }
        yield from (found[row] for row in frame.index)
        return
    paths = sorted({path for modality in MODALITIES for path in frame[modality]})
    with ThreadPoolExecutor(max_workers=derm7pt.worker_count()) as pool:
        of_path = dict(zip(paths, pool.map(_file_digest, paths), strict=True))
    yield from ([of_path[path] for path in pair] for pair in zip(*(frame[name] for name in MODALITIES), strict=True))


def _stored_pairs(records: Any, stored: pd.DataFrame) -> Iterator[dict[str, bytes]]:
    from amfam_tf.data.pictures import FILE_ERRORS

    try:
        yield from records.encoded_pairs(stored).as_numpy_iterator()
    except FILE_ERRORS as error:
        from amfam_tf.data import images

        raise DataError(f"damaged records in {stored[shards.SHARD_COLUMN].iloc[0]}: {images.reason(error)}") from error


def _file_digest(path: str) -> str:
    return digests.of_bytes(_read_file(path))


def _read_file(path: str) -> bytes:
    try:
        return regular_files.read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
