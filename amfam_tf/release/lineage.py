"""assets.extra/lineage.json: which data, configuration and code made a version; it travels with the version."""

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amfam_tf.errors import ExportError
from amfam_tf.export import version_files
from amfam_tf.files import digests, publish
from amfam_tf.release import record, served
from amfam_tf.report.notice import RESEARCH_ONLY

CANDIDATE_STEP = "InfraValidator"
"""Its fingerprint is that of the files that are pushed."""


def of_release(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the lineage of a candidate.

    Args:
        records: of all steps before Pusher, by name.
    """
    return {"format": record.FORMAT, "pushed": now(), "steps": dict(records), "rollbacks": []}


def now() -> str:
    """Returns the time, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def candidate_of(content: Mapping[str, Any] | None) -> str | None:
    """Returns the fingerprint of the candidate that a version is; None if no release has pushed it."""
    return content["steps"][CANDIDATE_STEP]["fingerprint"] if content and content["steps"] else None


def withdrawal(base: Path, candidate: str | None) -> str | None:
    """Returns, in words, when a roll-back withdrew a candidate; None if none did.

    Args:
        base: folder of the model's versions.
        candidate: its fingerprint; None for one that no release has made.
    """
    for content in _lineages(base):
        for rollback in content["rollbacks"]:
            if candidate is not None and candidate in rollback["withdrawn"]:
                return f"withdrawn with version {rollback['from']} on {rollback['time']} ({rollback['reason']})"
    return None


def _lineages(base: Path) -> Iterator[dict[str, Any]]:
    for number in publish.versions(base):
        content = served.read_lineage(base / str(number))
        if content:
            yield content


def find(folder: Path) -> served.Served:
    """Returns a version that a release has pushed, after a check of its files.

    Args:
        folder: of the version, or of the model for its latest one.

    Raises:
        ExportError: no exported version, damaged, or not pushed by a release.
    """
    if not (folder / version_files.METADATA_FILE).is_file() and publish.versions(folder):
        folder = folder / str(publish.versions(folder)[-1])
    found = served.read(folder)
    if not found.lineage:
        raise ExportError(f"{folder} has no {served.LINEAGE_FILE.name}: it was not pushed by amfam-tf release")
    return found


def describe(version: served.Served) -> Iterator[str]:
    """Yields what a person wants to know of a version, line by line."""
    content = version.lineage
    yield f"{version.name}, pushed {content['pushed']}; all files are as they were pushed"
    for rollback in content["rollbacks"]:
        yield (
            f"roll-back {rollback['time']} from version {rollback['from']} to the content of version "
            f"{rollback['to']}: {rollback['reason']}"
        )
    steps = content["steps"]
    if not steps:
        yield "the content was not made by amfam-tf release: metadata.json says what is known"
        return
    data, trained = steps["ExampleGen"], steps["Trainer"]
    yield f"data: {data['details']['source']}, {data['decision']}; records {data['fingerprint']}"
    yield f"configuration: {trained['configuration']['method']}, {digests.of_value(trained['configuration'])}"
    yield f"code: amfam-tf {trained['code']['amfam_tf']}, commit {trained['code']['commit'] or 'unknown'}"
    for name, step in steps.items():
        yield f"{name} ({step['began']}, {step['seconds']:.0f} s): {step['decision']}"
    for note in steps["Evaluator"]["details"]["notes"]:
        yield f"note: {note}"
    yield RESEARCH_ONLY
