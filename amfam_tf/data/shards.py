"""Names of the files of a folder of records; knows nothing of what is in them, and does without TensorFlow."""

import re
from pathlib import Path

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.errors import DataError
from amfam_tf.files import regular_files

SHARD_NAME = "cases-{number:05d}-of-{shards:05d}.tfrecord.gz"
SHARD_PATTERN = "cases-*-of-*.tfrecord.gz"
SHARD_COLUMN, RECORD_COLUMN = "shard", "record"
"""Columns of a table of cases from records: path of the shard, position in it."""
CASE_ID = "case_id"
"""Feature of a record: the source's name of the case, empty if it has none."""


def shard_names(shards: int) -> list[str]:
    """Returns the file names of a complete set, in order."""
    return [SHARD_NAME.format(number=number, shards=shards) for number in range(shards)]


def has_shards(folder: str | Path) -> bool:
    """Returns whether there is any shard in the folder, be the set complete or not."""
    return any(Path(folder).glob(SHARD_PATTERN))


def find_shards(folder: str | Path) -> list[Path]:
    """Returns the shards of a folder, in order.

    Raises:
        DataError: there is none, or not one complete set; names the first that is missing, too many or no regular file.
    """
    found = sorted(Path(folder).glob(SHARD_PATTERN))
    if not found:
        raise DataError(f"{folder} has no records: there is no file {SHARD_PATTERN} in it")
    (total,) = re.findall(r"(\d*)\.tfrecord\.gz$", found[0].name)
    expected = shard_names(int(total or 0))
    wrong = sorted(set(expected) ^ {path.name for path in found})
    if wrong:
        raise DataError(f"the records in {folder} are not one complete set of {len(expected)} shards: see {wrong[0]}")
    for path in found:
        try:
            regular_files.check(path)
        except OSError as error:
            raise DataError(f"the records in {folder} cannot be read: {path.name}: {error.strerror}") from error
    return found


def read_card(folder: str | Path) -> DataCard:
    """Returns the card of a folder of records; one without is of Derm7pt.

    Raises:
        ConfigError: the card cannot be used.
    """
    file = Path(folder) / cards.FILE
    return cards.read(file) if file.exists() else cards.legacy()
