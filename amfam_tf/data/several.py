"""Cases with several pictures of a view: every pair that they can be looked at with, and which one an epoch draws.

In training an epoch draws one pair of each case, evaluation averages the answers to all of them. With
data.several_pictures "first" there is only the first picture of each view.
"""

import itertools

import pandas as pd
import tensorflow as tf

from amfam_tf.card.schema import MODALITIES
from amfam_tf.config import Config
from amfam_tf.data.augment import KEY_RANGE
from amfam_tf.data.pair_pictures import ALL_PICTURES, pictures_of
from amfam_tf.data.records import NUMBERS

PAIRS = "pairs"
"""Column of how many pairs a case has, of rows of pairs."""
PAIR = "pair"
"""Column of the number of a pair within its case, from 0."""


def has_several(cases: pd.DataFrame) -> bool:
    """Returns whether a case has several pictures of a view, and is not yet a row for each pair."""
    return PAIR not in cases and any((pictures_of(cases, name).map(len) > 1).any() for name in MODALITIES)


def has_one_pair(cases: pd.DataFrame) -> pd.Series:
    """Returns for each case whether there is one picture of each view, bool [cases]."""
    counts = [pictures_of(cases, name).map(len) for name in MODALITIES]
    return (counts[0] == 1) & (counts[1] == 1)


def rows_of_pairs(cases: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Returns a row for each pair of pictures of each case, the pairs of a case one after the other.

    Args:
        cases: one row per case; given back as it is if each has one pair, or the first one alone is wanted.

    Returns:
        The columns of `cases` with the pictures of the pair, and `pair`, `pairs`, and the columns `records.NUMBERS`.
    """
    return cases if config.data.several_pictures == "first" else all_pairs(cases)


def all_pairs(cases: pd.DataFrame) -> pd.DataFrame:
    """Returns what `rows_of_pairs` returns where no case has its first pair alone."""
    if not has_several(cases):
        return cases
    rows = []
    for case in cases.to_dict("records"):
        views = [list(enumerate(case[ALL_PICTURES[name]])) or [(0, "")] for name in MODALITIES]
        pairs = list(itertools.product(*views))
        for number, pair in enumerate(pairs):
            chosen = dict(zip(MODALITIES, (path for _, path in pair), strict=True))
            numbers = dict(zip(NUMBERS.values(), (one for one, _ in pair), strict=True))
            rows.append({**case, **chosen, **numbers, PAIR: number, PAIRS: len(pairs)})
    return pd.DataFrame(rows)


def drawn_pair(
    seed: int, epoch: tf.Tensor, case_num: tf.Tensor, pairs: tf.Tensor, occurrence: tf.Tensor | int = 0
) -> tf.Tensor:
    """Returns the number of the pair that an epoch draws, int64 [], the same for the same arguments.

    Args:
        seed: of the run.
        epoch: 0-based.
        case_num: of the case.
        pairs: how many it has.
        occurrence: how often the case came before in this epoch.
    """
    high = (seed % KEY_RANGE) * KEY_RANGE + tf.cast(epoch, tf.int64)
    # Below 0: no key of a picture's augmentation.
    low = -1 - tf.cast(case_num, tf.int64) - KEY_RANGE * tf.cast(occurrence, tf.int64)
    share = tf.random.stateless_uniform((), tf.stack([high, low]), alg="philox")
    return tf.minimum(tf.cast(tf.floor(share * tf.cast(pairs, tf.float32)), tf.int64), pairs - 1)
