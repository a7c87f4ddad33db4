"""Where pairs come from: a data set or a CSV of pairs, both to the same rows."""

from pathlib import Path

from amfam_tf.beam import urls
from amfam_tf.ingest import data_set, pair_table
from amfam_tf.ingest.case_table import CaseTable

TABLE_SUFFIX = ".csv"


def read_source(source: str, images: str | None = None) -> CaseTable:
    """Reads the table of a source; opens no picture.

    Args:
        source: folder or URL of a data set, or a CSV of pairs (its name ends in .csv).
        images: folder or URL that the paths in the table start from; by default images/ of a data set, and the folder
            of a CSV.

    Raises:
        DataError: the table as a whole cannot be used.
    """
    if source.lower().endswith(TABLE_SUFFIX):
        start = urls.parent(source) if images is None else images
        return pair_table.read_pair_table(source, start if urls.is_url(start) else str(Path(start).absolute()))
    return data_set.read_data_set(source, images)
