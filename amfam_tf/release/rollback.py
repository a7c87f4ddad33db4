"""Roll-back: an older version's content under a new number, in one step; servers take it as they take any release.

Nothing is removed: the version that is rolled back stays on disk, for looking into. Its candidate counts as withdrawn:
Pusher does not push it again without being told to.
"""

import shutil
from pathlib import Path
from typing import Any

from amfam_tf.errors import ExportError
from amfam_tf.files import publish
from amfam_tf.release import lineage, pusher, record, served

NO_REASON = "no reason given"


def roll_back(base: Path, to: int | None = None, reason: str = "") -> tuple[Path, int]:
    """Makes an older version the latest one.

    Args:
        base: folder of the model's versions.
        to: number of the version; None for the one before the latest that has another content.
        reason: to be written down.

    Returns:
        The folder of the new version, and the number of the one whose content it has.

    Raises:
        ExportError: there is no such version, it is damaged, or it is what is served already.
    """
    if not publish.versions(base):
        raise ExportError(f"{base} has no version: there is nothing to roll back")
    with publish.publishing(base) as (folder, number):
        numbers = publish.versions(base)
        present = served.read(base / str(numbers[-1]))
        old = _read(base, to) if to is not None else _older(base, numbers, present)
        if old.fingerprint == present.fingerprint:
            raise ExportError(f"{present.folder} has the content of version {old.number}: it is served already")
        shutil.copytree(old.folder, folder, dirs_exist_ok=True)
        pusher.complete(folder, number, _content(base, old, present, reason))
    return base / str(number), old.number


def _read(base: Path, number: int) -> served.Served:
    if number not in publish.versions(base):
        known = ", ".join(map(str, publish.versions(base)))
        raise ExportError(f"{base} has no version {number}: it has {known}")
    return served.read(base / str(number))


def _older(base: Path, numbers: list[int], present: served.Served) -> served.Served:
    """Returns the latest version of another content that no roll-back has withdrawn."""
    for number in reversed(numbers[:-1]):
        found = served.read(base / str(number))
        withdrawn = lineage.withdrawal(base, lineage.candidate_of(found.lineage)) is not None
        if found.fingerprint != present.fingerprint and not withdrawn:
            return found
    raise ExportError(f"{base} has no older version of another content: name one with --to")


def _content(base: Path, old: served.Served, present: served.Served, reason: str) -> dict[str, Any]:
    """Returns the lineage of the new version: that of the old one, and the roll-back."""
    kept = lineage.candidate_of(old.lineage)
    newer = {
        lineage.candidate_of(served.read_lineage(base / str(number)))
        for number in publish.versions(base)
        if number > old.number
    }
    time = lineage.now()
    rollback = {
        "time": time,
        "from": present.number,
        "to": old.number,
        "withdrawn": sorted(one for one in newer if one is not None and one != kept),
        "reason": reason or NO_REASON,
    }
    content = old.lineage or {"format": record.FORMAT, "steps": {}, "rollbacks": []}
    return content | {"pushed": time, "rollbacks": [*content["rollbacks"], rollback]}
