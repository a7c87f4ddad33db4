"""Where pairs come from: a data set or a CSV of pairs, both to the same rows."""

from pathlib import Path

from amfam_tf.beam import urls
from amfam_tf.card import cards
from amfam_tf.data.cases import find_card
from amfam_tf.errors import ConfigError
from amfam_tf.ingest import data_set, pair_source, pair_table
from amfam_tf.ingest.case_table import CaseTable

TABLE_SUFFIX = ".csv"


def read_source(source: str, images: str | None = None, card: Path | None = None) -> CaseTable:
    """Reads the table of a source; opens no picture.

    Args:
        source: folder of a data set, URL of one in the layout of Derm7pt, or a CSV of pairs (its name ends in .csv).
        images: folder or URL that the paths in the table start from; by default images/ of a data set, and the folder
            of a CSV.
        card: file of the data set's card, if it does not lie beside it.

    Raises:
        DataError: the table as a whole cannot be used.
        ConfigError: the card cannot be used.
    """
    is_table = source.lower().endswith(TABLE_SUFFIX)
    if card is not None and (is_table or urls.is_url(source)):
        raise ConfigError(f"{source}: --card is for a folder of this machine: leave {card} out")
    if not is_table and not urls.is_url(source):
        known, folder = find_card(Path(source), card)
        if not cards.is_derm7pt(known):
            return pair_source.read_pairs(source, known, folder, images)
    if is_table:
        start = urls.parent(source) if images is None else images
        return pair_table.read_pair_table(source, start if urls.is_url(start) else str(Path(start).absolute()))
    return data_set.read_data_set(source, images)
