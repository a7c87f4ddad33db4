"""Pictures that are the same, or look the same, in several rows: across splits they are leakage.

Both pictures of one row may be the same: nine cases of Derm7pt use the dermoscopic file twice. That is no duplicate.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
import scipy.sparse.csgraph

from amfam_tf.card.schema import MODALITIES
from amfam_tf.ingest.perceptual_hash import BITS, NEAR

LEAST_CONTRAST = 2.0
"""A picture with less, of 127.5, shows nothing: its hash is noise, and only the same bytes make a duplicate."""
WORD_BITS = 16
WORDS = BITS // WORD_BITS


@dataclass(frozen=True)
class Use:
    """A picture in its place."""

    row: int
    case_num: int
    split: str
    modality: str
    path: str


@dataclass(frozen=True)
class Group:
    """Pictures of several rows that are the same.

    Attributes:
        uses: in the order of the rows.
        same_bytes: whether all are the same bytes, and not only look alike.
    """

    uses: tuple[Use, ...]
    same_bytes: bool

    @property
    def splits(self) -> tuple[str, ...]:
        """Returns the splits in which it occurs, sorted."""
        return tuple(sorted({use.split for use in self.uses}))

    @property
    def is_leakage(self) -> bool:
        """Whether it is in several splits."""
        return len(self.splits) > 1

    def to_dict(self) -> dict[str, Any]:
        """Returns the group as plain values, ready for JSON."""
        kind = "leakage" if self.is_leakage else "duplicate"
        return {"kind": kind, "same_bytes": self.same_bytes, "pictures": [vars(use) for use in self.uses]}


def find_duplicates(table: pd.DataFrame) -> list[Group]:
    """Returns the groups of pictures that occur in more than one row, in the order of their first rows.

    Two pictures are in one group if their hashes differ in at most NEAR bits, or if a chain of such pairs joins them.

    Args:
        table: see `amfam_tf.ingest.findings`.
    """
    every = [*(_pictures(table, name) for name in MODALITIES), *_further_pictures(table)]
    pictures = pd.concat(every, ignore_index=True)
    pictures = pictures[pictures["digest"] != ""]
    hashes = sorted(set(pictures["hash"]) - {""})
    joined = dict(zip(hashes, _join(hashes), strict=True))
    # A picture that shows nothing stands for its bytes only.
    pictures["group"] = [joined.get(look, digest) for look, digest in pictures[["hash", "digest"]].to_numpy()]
    pictures = pictures[pictures.groupby("group")["row"].transform("nunique") > 1]
    groups = pictures.sort_values(["row", "modality"]).groupby("group", sort=False)
    return [_group(group) for _, group in groups]


def _pictures(table: pd.DataFrame, modality: str) -> pd.DataFrame:
    """Returns the fields of a Use, digest and hash of each picture; no hash for one that shows nothing."""
    shows = table[f"{modality}_contrast"] >= LEAST_CONTRAST
    return pd.DataFrame(
        {
            **{name: table[name] for name in ("row", "case_num", "split")},
            "modality": modality,
            "path": table[modality],
            "digest": table[f"{modality}_digest"],
            "hash": np.where(shows, table[f"{modality}_hash"], ""),
        }
    )


def _further_pictures(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Returns the same of the pictures that are not the first of their view."""
    if "more" not in table:
        return []
    rows = [
        {**{key: case[key] for key in ("row", "case_num", "split")}, **picture}
        for case in table[table["more"].notna()].to_dict("records")
        for picture in case["more"]
    ]
    frame = pd.DataFrame(rows)
    frame["hash"] = frame["hash"].where(frame["contrast"] >= LEAST_CONTRAST, "")
    return [frame[["row", "case_num", "split", "modality", "path", "digest", "hash"]]]


def _join(hashes: Sequence[str]) -> np.ndarray:
    """Returns the number of the group of each of these different hashes, int [n]."""
    count = len(hashes)
    words = np.array([np.frombuffer(bytes.fromhex(one), np.uint16) for one in hashes]).reshape(count, WORDS)
    first, second = _near_pairs(words)
    graph = scipy.sparse.coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return scipy.sparse.csgraph.connected_components(graph, directed=False)[1]


def _near_pairs(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the pairs of rows of uint16 [n, WORDS] that differ in at most NEAR bits: their numbers, int [pairs] each.

    NEAR is less than WORDS, so a pair agrees in at least one whole word: only rows that share a word are compared.
    """
    found = [np.empty((2, 0), np.int64)]
    for column in range(WORDS):
        order = np.argsort(words[:, column], kind="stable")
        values = words[order, column]
        # Neighbours at growing distance, as long as any two have this word in common.
        left = np.arange(len(order) - 1)
        distance = 1
        while len(left := left[left + distance < len(order)]):
            left = left[values[left] == values[left + distance]]
            pairs = np.stack([order[left], order[left + distance]])
            bits = np.bitwise_count(words[pairs[0]] ^ words[pairs[1]]).sum(axis=1, dtype=np.int64)
            found.append(pairs[:, bits <= NEAR])
            distance += 1
    first, second = np.concatenate(found, axis=1)
    return first, second


def _group(pictures: pd.DataFrame) -> Group:
    fields = [field.name for field in dataclasses.fields(Use)]
    uses = tuple(Use(**use) for use in pictures[fields].to_dict("records"))
    return Group(uses, same_bytes=pictures["digest"].nunique() == 1)
