"""Records written in the plainest way: what ingest has to give, and a quick source for tests of those who read them."""

from pathlib import Path

import numpy as np
import pandas as pd

from amfam_tf.data.records import serialise, shard_writer
from amfam_tf.data.shards import shard_names
from amfam_tf.tasks import MODALITIES


def write_records(cases: pd.DataFrame, out: Path, shards: int) -> list[Path]:
    """Writes the cases of `derm7pt.read_release`, in their order, to a new folder of shards; returns their paths."""
    out.mkdir(parents=True)
    paths = [out / name for name in shard_names(shards)]
    for path, rows in zip(paths, np.array_split(np.arange(len(cases)), shards), strict=True):
        with shard_writer(path) as writer:
            for row in cases.iloc[rows].to_dict("records"):
                writer.write(serialise(row, {name: Path(row[name]).read_bytes() for name in MODALITIES}))
    return paths
