"""A control for runs with metadata: the same pictures beside the metadata of another case.

Each case gets all its columns from the next case in an order that SHA-256 draws, the last one from the first: no case
keeps its own (unless it is alone), each is given away once, and the pictures of a case have the same. The order is of
the numbers of the cases and `SEED` alone, so that it stays the same, in whatever order the cases come.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from amfam_tf.card.schema import DataCard
from amfam_tf.evaluation import compare_runs, intervals
from amfam_tf.files.digests import of_bytes
from amfam_tf.report.results import ShuffledMetadata

SEED = 0
OWN, OTHERS = "own metadata", "another case's"
"""What is compared, as headings."""


def givers(case_numbers: np.ndarray) -> np.ndarray:
    """Returns the place of the case whose metadata each case gets, int64 [cases]; numbers are all different."""
    digests = [of_bytes(f"{SEED}:{number}".encode()) for number in case_numbers.tolist()]
    order = np.array(sorted(range(len(digests)), key=lambda place: digests[place]), np.int64)
    found = np.empty_like(order)
    found[order] = np.roll(order, -1)
    return found


def with_others_metadata(cases: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Returns the cases, one row each, with these columns of other cases, all of a case from the same one."""
    places = givers(cases["case_num"].to_numpy())
    return cases.assign(**{name: cases[name].to_numpy()[places] for name in columns})


def control(
    own: pd.DataFrame, others: pd.DataFrame, columns: Sequence[str], cases: pd.DataFrame, card: DataCard
) -> ShuffledMetadata:
    """Returns what the metadata are worth: the answers to the cases beside those with the metadata of others.

    Args:
        own: predictions table.
        others: that of `with_others_metadata`.
        columns: of the metadata.
        cases: in the order of `own`.
        card: of the data.
    """
    found = compare_runs.compare(own, others, card=card, groups=intervals.groups_of(cases, card))
    return {"first": OWN, "second": OTHERS, "columns": list(columns), "seed": SEED, **found}
