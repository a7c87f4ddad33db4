"""What a release would do: which results are there, which step would run first; runs and writes nothing."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from amfam_tf.release import infra_validator, local_runner, record, served, trainer
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.step import ReleaseError, Step


def plan(steps: Sequence[Step], config: ReleaseConfig) -> Iterator[str]:
    """Yields a line per step, and one about what is served.

    After the first step that has to run, the inputs of the others are not known yet.

    Raises:
        ReleaseError: a folder cannot be written.
        ConfigError: the training names values that its method does not read.
        RealServerError: the real server is wanted and not there.
        UserError: something that a step reads cannot be read.
    """
    trainer.refuse_unread(config)
    infra_validator.describe_server(config)
    base, work = Path(config.model), Path(config.work)
    for folder in (base, work):
        _check_writable(folder)
    found = served.latest(base)
    yield "served now: nothing, this is a first release" if found is None else f"served now: {found.folder}"
    folders: dict[str, Path] = {}
    for step in steps:
        if step.always:
            yield f"{step.name}: runs always"
        elif not set(step.inputs) <= folders.keys():
            yield f"{step.name}: would run, or be reused if what comes before brings what it brought before"
        else:
            identity = record.identify(step, config, {name: folders[name] for name in step.inputs})
            folder = local_runner.place(work, step.name, identity["key"])
            there = local_runner.find(folder)
            if there is None:
                yield f"{step.name}: would run"
            else:
                folders[step.name] = folder
                yield f"{step.name}: reused: {there['decision']}"
    yield "dry run: nothing was run and nothing was written"


def _check_writable(folder: Path) -> None:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ReleaseError(f"{folder} cannot be written: {existing} is no folder")
    if not os.access(existing, os.W_OK | os.X_OK) or os.statvfs(existing).f_flag & os.ST_RDONLY:
        raise ReleaseError(f"{folder} cannot be written: {existing} is read-only")
