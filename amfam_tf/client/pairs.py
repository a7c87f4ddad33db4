"""Lists of pairs to ask about: a CSV file, or a folder of files named by lesion and modality."""

from collections.abc import Callable
from pathlib import Path

from amfam_tf.data import names
from amfam_tf.data.csv_table import CsvTable
from amfam_tf.errors import DataError
from amfam_tf.files import regular_files
from amfam_tf.tasks import MODALITIES

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

PairPaths = tuple[Path, Path]


def find_pairs(source: Path, tell: Callable[[str], object] = lambda _: None) -> list[PairPaths]:
    """Returns the paths (clinical, dermoscopic) of each pair.

    Args:
        source: a CSV file with the columns clinical and dermoscopic, paths relative to it; or a folder of files
            NAME_clinical.jpg and NAME_dermoscopic.jpg (or png, bmp), in the order of the names.
        tell: takes what is worth knowing about the table, a sentence each.

    Raises:
        DataError: no pair, a column or a partner is missing; says which.
    """
    pairs = _pairs_of_folder(source) if source.is_dir() else _pairs_of_table(source, tell)
    if not pairs:
        raise DataError(f"{source} has no pair of pictures")
    return pairs


def _pairs_of_table(table: Path, tell: Callable[[str], object]) -> list[PairPaths]:
    try:
        found = CsvTable(lambda: regular_files.open_binary(table, regular_files.MAX_TABLE_BYTES), MODALITIES)
        found.require(MODALITIES, "a list of pairs")
        rows = list(found.rows())
    except OSError as error:
        raise DataError(f"cannot read {table}: {error.strerror}") from error
    except DataError as error:
        raise DataError(f"{table}: {error}") from error
    for text in found.notes():
        tell(f"{table}: {text}")
    pairs = []
    for number, row in enumerate(rows, start=1):
        empty = [name for name in MODALITIES if not row.get(name)]
        if empty:
            raise DataError(
                f"{table}: row {number} has no {empty[0]}: each row needs a clinical and a dermoscopic file"
            )
        pairs.append(tuple(Path(names.on_disk(str(table.parent / row[name]))) for name in MODALITIES))
    return pairs


def _pairs_of_folder(folder: Path) -> list[PairPaths]:
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        if names.is_litter(path.name):
            continue
        name, _, modality = names.one_form(path.stem).rpartition("_")
        if path.suffix.lower() in SUFFIXES and modality.lower() in MODALITIES:
            files = found.setdefault(name, {})
            if modality.lower() in files:
                raise DataError(f"{folder} has two {modality.lower()} pictures of {name}: {path.name} is one")
            files[modality.lower()] = path
    for name, files in found.items():
        missing = [modality for modality in MODALITIES if modality not in files]
        if missing:
            raise DataError(f"{folder} has no {missing[0]} picture of {name}: name it {name}_{missing[0]}.jpg")
    return [(files["clinical"], files["dermoscopic"]) for files in found.values()]
