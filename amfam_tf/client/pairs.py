"""Lists of pairs to ask about: a CSV file, or a folder of files named by lesion and modality."""

from collections.abc import Callable, Iterable
from pathlib import Path

from amfam_tf.card.schema import MODALITIES
from amfam_tf.data import names
from amfam_tf.data.pair_table import PairTable
from amfam_tf.errors import DataError
from amfam_tf.files.listing import is_litter

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

PairPaths = tuple[Path | None, Path | None]
"""None for a picture that there is not."""


def find_pairs(source: Path, tell: Callable[[str], object] = lambda _: None) -> list[PairPaths]:
    """Returns the paths (clinical, dermoscopic) of each pair.

    Args:
        source: a CSV file with the columns clinical and dermoscopic, paths relative to it; or a folder of files
            NAME_clinical.jpg and NAME_dermoscopic.jpg (or png, bmp), in the order of the names. A row of the file may
            leave one of the two empty.
        tell: takes what is worth knowing about the table, a sentence each.

    Raises:
        DataError: no pair, a column or a partner is missing; says which.
    """
    return _pairs_of_folder(source) if source.is_dir() else _pairs_of_table(source, tell)


def find_metadata(source: Path, taken: Callable[[], Iterable[str]]) -> list[dict[str, str]] | None:
    """Returns what a table of pairs has beside them, a row each, by column; None for a folder and for pairs alone.

    Args:
        source: as of `find_pairs`.
        taken: tells the columns that the model takes; called only if the table has more than the pairs. What else is
            in the table is left out.

    Raises:
        DataError: the table cannot be read.
    """
    if source.is_dir():
        return None
    table = PairTable(str(source), MODALITIES, "a list of pairs")
    if not set(table.columns) - set(MODALITIES):
        return None
    names = [name for name in taken() if name in table.columns]
    return [{name: raw[name] for name in names} for _, raw in table.rows()] if names else None


def _pairs_of_table(path: Path, tell: Callable[[str], object]) -> list[PairPaths]:
    table = PairTable(str(path), MODALITIES, "a list of pairs")
    pairs = []
    for row, raw in table.rows():
        if not any(raw[name] for name in MODALITIES):
            raise table.refusal(row, f"columns {' and '.join(MODALITIES)} are empty: each row needs a picture")
        clinical, dermoscopic = (
            Path(names.on_disk(str(path.parent / raw[name]))) if raw[name] else None for name in MODALITIES
        )
        pairs.append((clinical, dermoscopic))
    for text in table.notes():
        tell(f"{path}: {text}")
    return pairs


def _pairs_of_folder(folder: Path) -> list[PairPaths]:
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if is_litter(path.name):
            continue
        name, _, modality = names.one_form(path.stem).rpartition("_")
        if path.suffix.lower() in SUFFIXES and modality.lower() in MODALITIES:
            files = found.setdefault(name, {})
            if modality.lower() in files:
                raise DataError(f"{folder} has two {modality.lower()} pictures of {name}: {path.name} is one")
            files[modality.lower()] = path
    if not found:
        raise DataError(f"{folder} has no pair of pictures")
    for name, files in found.items():
        missing = [modality for modality in MODALITIES if modality not in files]
        if missing:
            raise DataError(f"{folder} has no {missing[0]} picture of {name}: name it {name}_{missing[0]}.jpg")
    return [(files["clinical"], files["dermoscopic"]) for files in found.values()]
