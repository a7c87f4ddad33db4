"""Counts and distributions of the records, for people and for comparing one data set with another."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from amfam_tf.card.schema import MODALITIES, SPLITS, DataCard, MetadataColumn
from amfam_tf.data.check import class_counts
from amfam_tf.ingest.case_table import DeadLetter

MEASURES = ("size", "width", "height", "brightness", "contrast")


def statistics(table: pd.DataFrame, dead: Sequence[DeadLetter], card: DataCard) -> dict[str, Any]:
    """Returns the content of statistics.json; nothing in it depends on where the data are.

    Args:
        table: see `amfam_tf.ingest.findings`.
        dead: rows that became no record.
        card: of the data.

    Returns:
        cases, bad, bad_by_kind, splits (cases of each), shared_files, classes (rows task, class, train, validate, test,
        total), metadata (column -> value -> split -> cases, "" is missing; of a column of numbers "numbers" -> split ->
        mean, std, min, median, max), sizes (modality -> "width x height" ->
        pictures), modes (modality -> RGB, greyscale, ... -> pictures), profiles (modality -> "name: what became of the
        colours" -> pictures), pictures (modality -> split -> size in bytes, width and height in pixels, brightness in
        [0, 255], contrast in [0, 127.5] -> mean, std, min, median, max).
    """
    return {
        "cases": len(table),
        "bad": len(dead),
        "bad_by_kind": dict(sorted(Counter(letter.kind for letter in dead).items())),
        "splits": {split: int((table["split"] == split).sum()) for split in SPLITS},
        "shared_files": int(table["shared_file"].sum()),
        "classes": class_counts(table, card.tasks).to_dict("records"),
        "metadata": {name: _metadata_counts(table, name, column) for name, column in card.metadata.items()},
        "sizes": {modality: _sizes(table, modality) for modality in MODALITIES},
        "modes": {
            modality: _counted(table.loc[table[f"{modality}_digest"] != "", f"{modality}_mode"])
            for modality in MODALITIES
        },
        "profiles": {modality: _profiles(table, modality) for modality in MODALITIES},
        "pictures": {
            modality: {split: _measures(part, modality) for split, part in by_split(table).items()}
            for modality in MODALITIES
        },
    }


def by_split(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Returns the rows of each split that has any."""
    parts = {split: table[table["split"] == split] for split in SPLITS}
    return {split: part for split, part in parts.items() if len(part)}


def _metadata_counts(table: pd.DataFrame, name: str, column: MetadataColumn) -> dict[str, dict[str, Any]]:
    counts = Counter(zip(table[name], table["split"], strict=True))
    found: dict[str, dict[str, Any]] = {
        value: {split: counts[value, split] for split in SPLITS} for value in (*column.raw_values, "")
    }
    if column.range is not None:
        known = table[table[name] != ""]
        found["numbers"] = {split: _distribution(part[name].astype(float)) for split, part in by_split(known).items()}
    return found


def _sizes(table: pd.DataFrame, modality: str) -> dict[str, int]:
    present = table[table[f"{modality}_digest"] != ""]
    sizes = Counter(zip(present[f"{modality}_width"], present[f"{modality}_height"], strict=True))
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return {f"{width} x {height}": count for (width, height), count in ordered}


def _counted(values: pd.Series) -> dict[str, int]:
    """Returns how often each value occurs, the most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _profiles(table: pd.DataFrame, modality: str) -> dict[str, int]:
    names, treatments = table[f"{modality}_profile"], table[f"{modality}_treatment"]
    return _counted((names + ": " + treatments)[names != ""])


def _measures(part: pd.DataFrame, modality: str) -> dict[str, dict[str, float]]:
    present = part[part[f"{modality}_digest"] != ""]
    return {name: _distribution(present[f"{modality}_{name}"]) for name in MEASURES}


def _distribution(values: pd.Series) -> dict[str, float]:
    # Rounded: the last bits of a sum depend on the machine's vector units.
    found = {
        "mean": values.mean(),
        "std": values.std(ddof=0),
        "min": values.min(),
        "median": values.median(),
        "max": values.max(),
    }
    return {name: round(float(value), 3) for name, value in found.items()}
