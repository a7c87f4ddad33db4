"""Pusher: makes the candidate the next version below the model's folder, in one step; servers take the latest one.

What is pushed is, file for file, what InfraValidator has served; assets.extra/lineage.json comes beside it, and
metadata.json gets the number. The same candidate is never pushed twice.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.errors import ExportError
from amfam_tf.export import version_files
from amfam_tf.files import json_file, publish
from amfam_tf.release import layout, lineage, served
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.step import ReleaseError, StepOutcome, Work

COUNTED = ()
RESUMABLE = False


def configuration(config: ReleaseConfig) -> dict[str, Any]:
    """Returns where a version goes, and whether a withdrawn one may."""
    return {"push": config.push, "model": layout.model_name(config)}


def outside(_: ReleaseConfig, __: Mapping[str, Path]) -> dict[str, str]:
    """Returns nothing: this step always runs, and looks into the model's folder when it holds it."""
    return {}


def run(work: Work) -> StepOutcome:
    """Publishes the candidate, unless it is the latest version already, has been withdrawn, or came too late."""
    base = Path(work.config.model)
    candidate = layout.candidate_folder(work.inputs["InfraValidator"], work.config)
    content = lineage.of_release(work.records)
    found = served.latest(base)
    if found is not None and lineage.candidate_of(found.lineage) == lineage.candidate_of(content):
        return StepOutcome(
            f"{found.name} is this candidate already: nothing to push", details={"version": found.number}
        )
    refusal = _refusal(work, base, found, lineage.candidate_of(content))
    if refusal is not None:
        return StepOutcome(refusal, accepted=False)
    with publish.publishing(base) as (folder, version):
        if version != (found.number if found else 0) + 1:
            raise ReleaseError(f"{base} got another version in the meantime: release again")
        shutil.copytree(candidate, folder, dirs_exist_ok=True)
        complete(folder, version, content)
    return StepOutcome(f"pushed as {base / str(version)}", details={"version": version})


def _refusal(work: Work, base: Path, found: served.Served | None, candidate: str | None) -> str | None:
    """Returns why the candidate may not be pushed; None if it may."""
    compared = work.records["Evaluator"]["details"]["served"]
    # By content: what a roll-back has published again is what it was.
    if (found and found.fingerprint) != (compared and compared["fingerprint"]):
        against = "nothing" if compared is None else f"version {compared['version']}"
        now = "nothing" if found is None else found.name
        return f"the candidate was compared with {against}, and now {now} is served: release again"
    withdrawn = lineage.withdrawal(base, candidate)
    if withdrawn is not None and not work.config.push.allow_withdrawn:
        return f"this candidate was {withdrawn}: change data or configuration, or set push.allow_withdrawn=true"
    return None


def complete(folder: Path, version: int, content: Mapping[str, Any]) -> None:
    """Writes lineage.json of a copied version and brings its metadata.json up to that, its number included.

    Raises:
        ExportError: the copy is not what metadata.json lists; names the first file.
    """
    metadata = version_files.read_metadata(folder)
    json_file.write(folder / served.LINEAGE_FILE, content)
    digests = version_files.file_digests(folder)
    copied, listed = (_without_lineage(files) for files in (digests, metadata["files"]))
    wrong = sorted(name for name in copied.keys() | listed.keys() if copied.get(name) != listed.get(name))
    if wrong:
        raise ExportError(f"{folder} is damaged: {wrong[0]} is not what was exported")
    json_file.write(folder / version_files.METADATA_FILE, metadata | {"version": version, "files": digests})


def _without_lineage(files: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file for name, file in files.items() if Path(name) != served.LINEAGE_FILE}
