"""The version that is served now: the one to lose nothing against. Imports no TensorFlow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amfam_tf.errors import ExportError, one_line
from amfam_tf.export import version_files
from amfam_tf.files import digests, json_file, publish

LINEAGE_FILE = Path("assets.extra") / "lineage.json"


@dataclass(frozen=True)
class Served:
    """An exported version.

    Attributes:
        folder: of the version.
        number: of the version.
        fingerprint: of the content of its files.
        lineage: content of its lineage.json; empty for a version that no release has pushed.
    """

    folder: Path
    number: int
    fingerprint: str
    lineage: dict[str, Any]

    @property
    def name(self) -> str:
        """Returns model and number, e.g. amfam/3."""
        return f"{self.folder.parent.name}/{self.number}"

    def describe(self) -> dict[str, Any]:
        """Returns what to write down of it."""
        return {"version": self.number, "fingerprint": self.fingerprint}

    def made_by(self, step: str) -> str | None:
        """Returns the fingerprint of what a step of its release has made; None if that is not known."""
        record = self.lineage.get("steps", {}).get(step)
        return record["fingerprint"] if record else None


def read(folder: Path) -> Served:
    """Returns what a version is, after a check that every file is as it was written.

    Raises:
        ExportError: no exported version, or a damaged one.
    """
    content = version_files.read_metadata(folder)
    version_files.check_number(folder, content)
    version_files.check_files(folder, content["files"])
    files = {name: file for name, file in content["files"].items() if Path(name) != LINEAGE_FILE}
    return Served(folder, content["version"], digests.of_listing(files), read_lineage(folder))


def read_lineage(folder: Path) -> dict[str, Any]:
    """Returns the content of a version's lineage.json; empty if it has none.

    Raises:
        ExportError: it is damaged.
    """
    path = folder / LINEAGE_FILE
    if not path.is_file():
        return {}
    try:
        return json_file.read(path)
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} is damaged: {one_line(error)}") from error


def latest(base: Path) -> Served | None:
    """Returns the version that servers take: the one with the largest number; None if there is none.

    Raises:
        ExportError: it is damaged.
    """
    numbers = publish.versions(base)
    return read(base / str(numbers[-1])) if numbers else None


def baseline(base: Path, trainer: str) -> Served | None:
    """Returns the version that a candidate is compared with; None for a first release.

    It is the latest one. If that came from this very training, then what it was compared with itself, so that the same
    release again finds all its results and pushes nothing twice.

    Args:
        base: folder of the model's versions.
        trainer: fingerprint of the candidate's Trainer.

    Raises:
        ExportError: the version is damaged, or has been removed.
    """
    found = latest(base)
    if found is None or found.made_by("Trainer") != trainer:
        return found
    before = found.lineage["steps"]["Evaluator"]["details"]["served"]
    if before is None:
        return None
    if before["version"] not in publish.versions(base):
        raise ExportError(
            f"{found.folder} was compared with version {before['version']}, which is gone: put it back into {base}"
        )
    return read(base / str(before["version"]))
