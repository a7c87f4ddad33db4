"""ExampleValidator: whether the data are good enough to train on.

They are not if ingest found a problem of a kind that the configuration does not allow, if a split has too few cases, or
if the records do not fit the schema: the one under version control, else that of the records.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amfam_tf.card.schema import DataCard
from amfam_tf.data.shards import read_card
from amfam_tf.errors import DataError
from amfam_tf.files import digests, json_file
from amfam_tf.ingest.file_names import ANOMALIES_FILE, SCHEMA_FILE, STATISTICS_FILE
from amfam_tf.ingest.schema import build_schema, read_schema
from amfam_tf.release.configuration import ReleaseConfig, ValidationPart
from amfam_tf.release.layout import RECORDS
from amfam_tf.release.step import StepOutcome, Work

FINDINGS_FILE = "findings.json"
COUNTED = ()
RESUMABLE = False


def configuration(config: ReleaseConfig) -> ValidationPart:
    """Returns which findings stop the release, and the schema to hold the data to."""
    return config.validation


def outside(config: ReleaseConfig, inputs: Mapping[str, Path]) -> dict[str, str]:
    """Returns the fingerprints of what is read: ExampleGen's own is that of its records alone.

    Raises:
        DataError: the schema cannot be read.
    """
    records = inputs["ExampleGen"] / RECORDS
    read = {"anomalies": records / ANOMALIES_FILE, "statistics": records / STATISTICS_FILE}
    return {name: digests.of_file(path) for name, path in read.items()} | {
        "schema": _schema_fingerprint(config, records)
    }


def _schema_fingerprint(config: ReleaseConfig, records: Path) -> str:
    path = _schema_file(config, records)
    try:
        return digests.of_file(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _schema_file(config: ReleaseConfig, records: Path) -> Path:
    curated = config.validation.schema
    return records / SCHEMA_FILE if curated is None else Path(curated)


def run(work: Work) -> StepOutcome:
    """Collects all findings, writes findings.json, and accepts if none of them stops the release."""
    rules, records = work.config.validation, work.inputs["ExampleGen"] / RECORDS
    anomalies, card = json_file.read(records / ANOMALIES_FILE)["anomalies"], read_card(records)
    statistics = json_file.read(records / STATISTICS_FILE)
    schema = read_schema(_schema_file(work.config, records))
    problems = [one for one in anomalies if one["severity"] == "problem"]
    reasons = [f"{one['kind']}: {one['message']}" for one in problems if one["kind"] not in rules.allow]
    reasons += small_splits(statistics["splits"], rules.fewest_cases)
    schema_faults = (*schema_differences(schema, card), *unknown_values(schema, statistics, card))
    reasons += [f"schema: {text}" for text in schema_faults]
    json_file.write(work.out / FINDINGS_FILE, {"reasons": reasons, "anomalies": anomalies})
    details = {"reasons": reasons, "problems": len(problems), "allowed": list(rules.allow), "schema": rules.schema}
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return StepOutcome(f"data refused: {reasons[0]}{more}", accepted=False, details=details)
    allowed = f", {len(problems)} allowed problems" if problems else ""
    return StepOutcome(f"data accepted: {len(anomalies) - len(problems)} notes{allowed}", details=details)


def small_splits(splits: Mapping[str, int], fewest: int) -> list[str]:
    """Returns a sentence for each split with fewer cases than there have to be."""
    return [f"split {name} has {count} cases, fewer than {fewest}" for name, count in splits.items() if count < fewest]


def schema_differences(schema: Any, card: DataCard) -> Iterator[str]:
    """Yields in which features the records of this program differ from a schema."""
    wanted = {feature.name: feature.type for feature in schema.feature}
    found = {feature.name: feature.type for feature in build_schema(card).feature}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            yield f"the records have no feature {name}"
        elif name not in wanted:
            yield f"the records have a feature {name} that it does not know"
        elif found[name] != wanted[name]:
            yield f"feature {name} is of another type"


def unknown_values(schema: Any, statistics: Mapping[str, Any], card: DataCard) -> Iterator[str]:
    """Yields the values of metadata that occur and are not in the schema's domain."""
    domains = {domain.name: set(domain.value) for domain in schema.string_domain}
    of_feature = {feature.name: domains.get(feature.domain) for feature in schema.feature}
    # A number has a range, which ingest has looked at.
    for column in (name for name, one in card.metadata.items() if one.range is None):
        domain = of_feature.get(column)
        for value, by_split in statistics["metadata"][column].items():
            cases = sum(by_split.values())
            if domain is not None and cases and value not in domain:
                yield f"{cases} cases have {column} {value!r}, which is not in its domain"
