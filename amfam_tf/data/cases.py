"""Cases from wherever they are stored: a data set with its card, or a folder of records made of one.

Everything that takes `--data` reads through here, so that it takes both. The same cases have the same fingerprint in
both.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.config import DataConfig
from amfam_tf.data import derm7pt, shards
from amfam_tf.data.pair_pictures import pictures_of
from amfam_tf.data.pairs import scan_pairs
from amfam_tf.data.paths import worker_count
from amfam_tf.data.problems import refuse
from amfam_tf.errors import ConfigError, DataError
from amfam_tf.files import digests, regular_files

FOLD = "fold"
"""Column with the number of the fold, from 0."""


@dataclass(frozen=True)
class DataSet:
    """The cases of a data set, and what is asked of them.

    Attributes:
        card: its questions, in order, and all else that a program has to know of it.
        cases: one row each. The columns of `derm7pt.read_release` or `pairs.scan_pairs`; from records without notes,
            see `records.read_records`.
    """

    card: DataCard
    cases: pd.DataFrame

    @property
    def folds(self) -> int:
        """Number of folds that the card deals out; 0 for none."""
        return int(self.cases[FOLD].max()) + 1 if FOLD in self.cases and len(self.cases) else 0

    def used(self, data: DataConfig) -> "DataSet":
        """Returns the data set as a run with this configuration uses it.

        Cases with a shared file are left out if it says so. With a fold, the test split is the cases of that fold, and
        of the others those of the validation split stay there; the rest is to train on.

        Raises:
            ConfigError: there is no such fold.
        """
        cases = self.cases
        if data.drop_shared_files:
            cases = cases[~cases["shared_file"]].reset_index(drop=True)
        if data.fold is not None:
            if data.fold >= self.folds:
                known = (
                    f"deals out the folds 0 to {self.folds - 1}"
                    if self.folds
                    else "deals out none (split.assign.folds)"
                )
                raise ConfigError(f"data.fold={data.fold}: the card {self.card.name} {known}")
            stays = cases["split"].where(cases["split"] == "validate", "train")
            cases = cases.assign(split=stays.where(cases[FOLD] != data.fold, "test"))
        return DataSet(self.card, cases)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what a run learns from, see `data_fingerprint`."""
        return data_fingerprint(self.cases, self.card)


def read(data: str | Path, drop_shared_files: bool = False, card: Path | None = None) -> DataSet:
    """Returns a data set.

    Args:
        data: a data set in the layout of Derm7pt or MILK10k, any folder with a card, or a folder of records.
        drop_shared_files: leave out the cases whose clinical picture is the dermoscopic one.
        card: file of the card, if somebody names one.

    Raises:
        ConfigError: the card cannot be used.
        DataError: the data cannot be used.
    """
    if shards.has_shards(data):
        if card is not None:
            raise DataError(f"{data}: records have their own card: leave {card} out")
        from amfam_tf.data import records

        known, frame = shards.read_card(data), records.read_records(data)
    else:
        known, folder = find_card(Path(data), card)
        if cards.is_derm7pt(known):
            frame = derm7pt.read_release(data)
        else:
            frame, findings = scan_pairs(known, folder)
            refuse(data, findings)
    return DataSet(known, frame[~frame["shared_file"]].reset_index(drop=True) if drop_shared_files else frame)


def find_card(data: Path, given: Path | None = None) -> tuple[DataCard, Path]:
    """Returns the card of a data set and the folder that its paths begin in.

    Without any card it is Derm7pt's: the reader of Derm7pt says what its layout lacks.

    Raises:
        ConfigError: the card cannot be used; as `CardError` with all problems.
    """
    if given is None and cards.beside(data) is None:
        return next(cards.with_layout(data), (cards.legacy(), data))
    return cards.find(data, given)


def refuse_missing_pictures(frame: pd.DataFrame, data: str | Path) -> None:
    """Raises a DataError if a case lacks one of the two pictures; names the first, and how many there are."""
    for modality in MODALITIES:
        lacking = frame.loc[frame[modality] == "", "case_id"]
        if len(lacking):
            raise DataError(
                f"{data}: case {lacking.iloc[0]} has no {modality} picture ({len(lacking)} of {len(frame)} cases), and "
                "no method can do without"
            )


def data_fingerprint(frame: pd.DataFrame, card: DataCard) -> str:
    """Returns the SHA-256 (64 hex digits) of what a run learns from: case numbers, splits, labels, image bytes.

    The same cases at another place, with the rows in another order, or as records have the same fingerprint. Labels
    count with the names and the order of all classes; those of Derm7pt, whose classes are fixed, by their number alone.

    Args:
        frame: the cases of the data set.
        card: of the data set.

    Raises:
        DataError: a picture cannot be read.
    """
    return fingerprints([frame], card)[0]


def fingerprints(frames: Sequence[pd.DataFrame], card: DataCard) -> list[str]:
    """Returns `data_fingerprint` of frames of the same rows, such as folds: their pictures are read once."""
    names, pictures = [task.name for task in card.tasks], [*_digests(frames[0])]
    found = []
    for frame in frames:
        records = sorted(
            [int(case["case_num"]), case["split"], *(int(case[name]) for name in names), *of_case]
            for case, of_case in zip(frame.to_dict("records"), pictures, strict=True)
        )
        if card.tasks == cards.legacy().tasks:
            found.append(digests.of_value(records))
        else:
            listed = [[task.name, *task.classes] for task in card.tasks]
            found.append(digests.of_value({"tasks": listed, "cases": records}))
    return found


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

    stored = pd.DataFrame([case])
    return next(_read_records(stored, records.encoded_pairs(stored)))


def _digests(frame: pd.DataFrame) -> Iterator[list[Any]]:
    """Gives the SHA-256 of each case's two pictures, in the order of the rows; a list of them if not one of a view."""
    for of_views in _stored_digests(frame) if shards.SHARD_COLUMN in frame else _file_digests(frame):
        yield [one[0] if len(one) == 1 else one for one in of_views]


def _file_digests(frame: pd.DataFrame) -> Iterator[list[list[str]]]:
    views = [pictures_of(frame, name) for name in MODALITIES]
    paths = sorted({path for view in views for case in view for path in case})
    with ThreadPoolExecutor(max_workers=worker_count()) as pool:
        of_path = dict(zip(paths, pool.map(_file_digest, paths), strict=True))
    yield from ([[of_path[path] for path in case] for case in pair] for pair in zip(*views, strict=True))


def _stored_digests(frame: pd.DataFrame) -> Iterator[list[list[str]]]:
    from amfam_tf.data import records

    stored = in_stored_order(frame)
    pictures = _read_records(stored, records.encoded_pictures(stored))
    found = {
        row: [[digests.of_bytes(one) for one in case[name]] for name in MODALITIES]
        for row, case in zip(stored.index, pictures, strict=True)
    }
    yield from (found[row] for row in frame.index)


def _read_records(stored: pd.DataFrame, dataset: Any) -> Iterator[dict[str, Any]]:
    """Gives the elements of a dataset of records; damage is an error that names the shard."""
    from amfam_tf.data.pictures import FILE_ERRORS

    try:
        yield from dataset.as_numpy_iterator()
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
