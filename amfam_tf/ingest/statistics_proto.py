"""The statistics as a tensorflow-metadata proto, one data set per split, as TensorFlow Data Validation shows them."""

from collections import Counter
from typing import Any

import pandas as pd

from amfam_tf.card.schema import MODALITIES, DataCard
from amfam_tf.data.records import text_features
from amfam_tf.ingest.metadata_protos import statistics_protos
from amfam_tf.ingest.statistics import MEASURES, by_split


def statistics_proto(table: pd.DataFrame, card: DataCard) -> Any:
    """Returns the DatasetFeatureStatisticsList of the records.

    Args:
        table: see `amfam_tf.ingest.findings`.
        card: of the data.

    Raises:
        EngineError: tensorflow-metadata is not installed.
    """
    protos = statistics_protos()
    statistics = protos.DatasetFeatureStatisticsList()
    kinds = protos.FeatureNameStatistics
    for split, part in by_split(table).items():
        data = statistics.datasets.add(name=split, num_examples=len(part))
        for name in MODALITIES:
            _add_picture(_add(data, name, kinds.BYTES), part, name)
        _add_numbers(_add(data, "case_num", kinds.INT), part["case_num"])
        for task in card.tasks:
            _add_values(_add(data, task.name, kinds.INT), part[task.name].astype(str))
        for name in text_features(card):
            _add_values(_add(data, name, kinds.STRING), part[name])
    return statistics


def _add(data: Any, name: str, kind: int) -> Any:
    feature = data.features.add(type=kind)
    feature.path.step.append(name)
    return feature


def _fill_common(common: Any, cases: int) -> None:
    """Says that each record has exactly one value."""
    common.num_non_missing = common.tot_num_values = cases
    common.min_num_values = common.max_num_values = 1
    common.avg_num_values = 1.0


def _add_picture(feature: Any, part: pd.DataFrame, modality: str) -> None:
    """Adds the sizes of the files, and as custom statistics the means over the pictures."""
    part = part[part[f"{modality}_digest"] != ""]
    sizes = part[f"{modality}_size"]
    _fill_common(feature.bytes_stats.common_stats, len(part))
    feature.bytes_stats.unique = part[f"{modality}_digest"].nunique()
    feature.bytes_stats.avg_num_bytes = float(sizes.mean())
    feature.bytes_stats.min_num_bytes, feature.bytes_stats.max_num_bytes = float(sizes.min()), float(sizes.max())
    for name in MEASURES:
        values = part[f"{modality}_{name}"]
        feature.custom_stats.add(name=f"mean_{name}", num=round(float(values.mean()), 3))
        feature.custom_stats.add(name=f"std_{name}", num=round(float(values.std(ddof=0)), 3))


def _add_numbers(feature: Any, values: pd.Series) -> None:
    numbers = feature.num_stats
    _fill_common(numbers.common_stats, len(values))
    numbers.mean, numbers.std_dev = round(float(values.mean()), 3), round(float(values.std(ddof=0)), 3)
    numbers.min, numbers.max, numbers.median = float(values.min()), float(values.max()), float(values.median())
    numbers.num_zeros = int((values == 0).sum())


def _add_values(feature: Any, values: pd.Series) -> None:
    """Adds how often each value occurs, most frequent first."""
    strings = feature.string_stats
    _fill_common(strings.common_stats, len(values))
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    strings.unique = len(counts)
    strings.avg_length = round(float(values.str.len().mean()), 3)
    for rank, (value, count) in enumerate(counts):
        strings.top_values.add(value=value, frequency=count)
        strings.rank_histogram.buckets.add(low_rank=rank, high_rank=rank, label=value, sample_count=count)
