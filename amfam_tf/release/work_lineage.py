"""<work>/lineage.json: how far a release is, with the record of each step; whole at any moment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amfam_tf.config import to_dict
from amfam_tf.files import json_file
from amfam_tf.release import lineage, record
from amfam_tf.release.configuration import ReleaseConfig

LINEAGE_FILE = "lineage.json"


@dataclass(frozen=True)
class Result:
    """What a step has brought.

    Attributes:
        folder: that holds it.
        record: content of its step.json.
        reused: it was there already.
    """

    folder: Path
    record: record.Record
    reused: bool


class WorkLineage:
    """The file that says how far a release is; whole at any moment.

    Args:
        path: of the file.
        config: of the release.
    """

    def __init__(self, path: Path, config: ReleaseConfig):
        self._path = path
        self._content: dict[str, Any] = {
            "format": record.FORMAT,
            "configuration": to_dict(config),
            "began": lineage.now(),
        }
        self._steps: list[dict[str, Any]] = []

    def begin(self, name: str) -> None:
        """Writes that a step is running."""
        self._write("running", name)

    def end(self, result: Result) -> None:
        """Writes what a step has brought."""
        done = record.without_upstream(result.record)
        place = result.folder.relative_to(self._path.parent).as_posix()
        self._steps.append(done | {"folder": place, "reused": result.reused})
        self._write("running", None)

    def close(self, status: str, reason: str) -> None:
        """Writes how the release ended: finished, refused or failed."""
        self._write(status, self._content["step"], reason)

    def _write(self, status: str, step: str | None, reason: str | None = None) -> None:
        self._content |= {"status": status, "step": step, "reason": reason}
        json_file.write(self._path, self._content | {"steps": self._steps})
