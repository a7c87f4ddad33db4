"""Runs the steps of a release one after the other on this machine: reuses what is there, goes on where it stopped.

<work>/steps/<step>/<key>/             a result, with its step.json; the key stands for everything that decides it
<work>/steps/<step>/.partial-<key>/    a result in the making; whatever is in it, it is none
<work>/lineage.json                    the release as far as it is
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from amfam_tf.errors import one_line
from amfam_tf.files import storage
from amfam_tf.files.locks import locked_file
from amfam_tf.files.writing import PARTIAL, put_in_place, remove, remove_leftovers
from amfam_tf.release import record
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.record import Record
from amfam_tf.release.step import RefusedError, ReleaseError, Say, Step
from amfam_tf.release.work_lineage import LINEAGE_FILE, Result, WorkLineage

LOCK = ".lock"
KEY_DIGITS = 16


def release(steps: Sequence[Step], config: ReleaseConfig, say: Say) -> dict[str, Result]:
    """Runs the steps in order; returns the result of each, by name.

    A step whose inputs, configuration and code are those of an accepted result is not run again. A refused one is.

    Raises:
        RefusedError: a step refused; its report is kept.
        ReleaseError: the folder is in use, or a result in it has been changed.
        UserError: a step could not be done.
    """
    work = Path(config.work)
    results: dict[str, Result] = {}
    with storage.one_line(work), locked(work):
        lineage = WorkLineage(work / LINEAGE_FILE, config)
        try:
            for step in steps:
                lineage.begin(step.name)
                results[step.name] = _bring(step, config, results, work, say)
                lineage.end(results[step.name])
                _check_accepted(step, results[step.name])
        except Exception as error:
            status = "refused" if isinstance(error, RefusedError) else "failed"
            with contextlib.suppress(OSError):  # on a full disk; the error itself is what the user has to see
                lineage.close(status, one_line(error))
            raise
        lineage.close("finished", results[steps[-1].name].record["decision"])
    return results


@contextlib.contextmanager
def locked(work: Path) -> Iterator[None]:
    """Holds the folder of a release for this process; the lock ends with the process, however it ends.

    Raises:
        ReleaseError: another process holds it.
    """
    work.mkdir(parents=True, exist_ok=True)
    in_use = ReleaseError(f"another process releases with {work}: wait for it or stop it")
    with locked_file(work / LOCK, in_use):
        remove_leftovers(work)
        yield


def place(work: Path, step: str, key: str) -> Path:
    """Returns the folder of a result."""
    return work / "steps" / step / key[:KEY_DIGITS]


def find(folder: Path) -> Record | None:
    """Returns the record of an accepted result whose files are as they were written; None if there is none.

    Raises:
        ReleaseError: there is one, and it has been changed.
    """
    if not folder.is_dir():
        return None
    found = record.read(folder)
    if not found["accepted"]:
        return None
    record.check_outputs(folder, found)
    return found


def _bring(step: Step, config: ReleaseConfig, results: dict[str, Result], work: Path, say: Say) -> Result:
    """Returns the result of a step, from an earlier release if there is one."""
    inputs = {name: results[name].folder for name in step.inputs}
    identity = record.identify(step, config, inputs)
    folder = place(work, step.name, identity["key"])
    found = None if step.always else find(folder)
    if found is not None:
        say(f"{step.name}: reused: {found['decision']}")
        return Result(folder, found, reused=True)
    partial = _partial(folder, step.load().RESUMABLE)
    say(f"{step.name}: running")
    done = record.execute(step, identity, config, inputs, partial, say)
    if folder.exists():  # refused before, or of a step that always runs
        shutil.rmtree(folder)
    put_in_place(partial, folder, ReleaseError)
    say(f"{step.name}: {done['decision']}")
    return Result(folder, done, reused=False)


def _partial(folder: Path, resumable: bool) -> Path:
    """Returns the folder to work in: an empty one, unless the step can go on; removes what others have left."""
    partial = folder.with_name(f"{PARTIAL}{folder.name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for leftover in folder.parent.glob(f"{PARTIAL}*"):
        if leftover != partial or not resumable:
            remove(leftover)
    partial.mkdir(exist_ok=True)
    return partial


def _check_accepted(step: Step, result: Result) -> None:
    if not result.record["accepted"]:
        raise RefusedError(f"{step.name}: {result.record['decision']} (kept: {result.folder})")
