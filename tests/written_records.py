"""Records written in the plainest way: what ingest has to give, and a quick source for tests of those who read them."""

from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.data.pair_pictures import pictures_of
from amfam_tf.data.records import serialise, shard_writer
from amfam_tf.data.shards import shard_names
from amfam_tf.tasks import DERM7PT, MODALITIES


def write_records(cases: pd.DataFrame, out: Path, shards: int, card: DataCard = DERM7PT) -> list[Path]:
    """Writes cases, in their order, to a new folder of shards, with the card of other data; returns their paths."""
    out.mkdir(parents=True)
    if not cards.is_derm7pt(card):
        (out / cards.FILE).write_text(cards.to_yaml(card), encoding="utf-8")
    views = {name: pictures_of(cases, name) for name in MODALITIES}
    paths = [out / name for name in shard_names(shards)]
    for path, rows in zip(paths, np.array_split(np.arange(len(cases)), shards), strict=True):
        with shard_writer(path) as writer:
            for number, row in zip(rows, cases.iloc[rows].to_dict("records"), strict=True):
                contents = {name: [Path(one).read_bytes() for one in view.iloc[number]] for name, view in views.items()}
                writer.write(serialise(row, contents, card))
    return paths
