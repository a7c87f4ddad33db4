"""A release that dies at any moment and runs again: the same version as an unbroken one, and nothing half-written."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import stand_ins
from killing import Killed, killed_at

from amfam_tf.files import publish
from amfam_tf.release import configuration, local_runner, pipeline, record, served
from amfam_tf.release.pipeline import STEPS

HERE = Path(__file__).parent
SEEDS = range(4)


def content_of(base: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of the one version, without lineage.json, which holds times."""
    assert publish.versions(base) == [1]
    version = served.read(base / "1")
    metadata = json.loads((version.folder / "assets.extra" / "metadata.json").read_text())
    return {name: file["sha256"] for name, file in metadata["files"].items() if Path(name) != served.LINEAGE_FILE}


def check_nothing_is_half_written(folder: Path) -> None:
    """Checks every result and version that is there under its name; what is in the making has another one."""
    for result in (folder / "work" / "steps").glob("*/*"):
        if not result.name.startswith(local_runner.PARTIAL):
            record.check_outputs(result, record.read(result))
    for number in publish.versions(folder / "models" / "lesions"):
        served.read(folder / "models" / "lesions" / str(number))
    lineage = folder / "work" / "lineage.json"
    if lineage.exists():
        assert json.loads(lineage.read_text())["status"] in {"running", "finished", "failed"}


@pytest.fixture
def unbroken(quick, tmp_path, tiny_source):  # noqa: ARG001
    """Content of the version of a release that nobody disturbs, and the number of changes that each step makes."""
    folder = tmp_path / "unbroken"
    config = configuration.parse(stand_ins.config_text(folder, tiny_source), "release.yaml")
    starts = []
    with killed_at(None, folder) as watch:
        pipeline.run(config, lambda line: starts.append(watch.seen) if line.endswith(": running") else None)
    ends = [*starts[1:], watch.seen]
    changes = {step.name: end - start for step, start, end in zip(STEPS, starts, ends, strict=True)}
    return content_of(folder / "models" / "lesions"), changes


def die_in(step: str, moment: int, config, folder: Path) -> str:
    """Releases, and dies at the moment-th change after the step has begun; returns what it died of."""
    with killed_at(None, folder) as watch:

        def note(line: str) -> None:
            if line == f"{step}: running":
                watch.moment = watch.seen + moment

        with pytest.raises(Killed) as caught:
            pipeline.run(config, note)
    return str(caught.value)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_once_in_each_step_at_a_random_change_of_a_file(seed, unbroken, tmp_path, tiny_source):
    expected, changes = unbroken
    generator = random.Random(seed)
    folder = tmp_path / "broken"
    config = configuration.parse(stand_ins.config_text(folder, tiny_source), "release.yaml")
    for step in STEPS:
        moment = generator.randint(1, changes[step.name])
        print(f"seed {seed}: {step.name}: {die_in(step.name, moment, config, folder)} of {changes[step.name]}")
        check_nothing_is_half_written(folder)
    pipeline.run(config, lambda _: None)
    check_nothing_is_half_written(folder)
    assert content_of(folder / "models" / "lesions") == expected
    assert not list((folder / "work" / "steps").glob(f"*/{local_runner.PARTIAL}*"))
    assert {item.name for item in (folder / "models" / "lesions").iterdir()} == {publish.LOCK, "1"}


def test_killed_at_every_change_of_the_push(unbroken, tmp_path, tiny_source):
    expected, changes = unbroken
    folder = tmp_path / "broken"
    config = configuration.parse(stand_ins.config_text(folder, tiny_source), "release.yaml")
    for moment in range(1, changes["Pusher"] + 1):
        die_in("Pusher", moment, config, folder)
        check_nothing_is_half_written(folder)
        if publish.versions(folder / "models" / "lesions"):
            break  # from here on it is pushed, and only to be written down
    assert moment > 10
    pipeline.run(config, lambda _: None)
    assert content_of(folder / "models" / "lesions") == expected


def test_sigkill_in_each_step(quick, tmp_path, tiny_source):  # noqa: ARG001
    folder = tmp_path / "killed"
    folder.mkdir()
    seed = random.SystemRandom().randrange(10**6)
    (folder / "release.yaml").write_text(stand_ins.config_text(folder, tiny_source))
    paths = os.pathsep.join([str(HERE), *sys.path])
    done = subprocess.run(
        [sys.executable, str(HERE / "killed_releases.py"), str(folder / "release.yaml"), str(seed)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("killed: True") >= len(STEPS) - 2, "most of them were still running"
    check_nothing_is_half_written(folder)
    other = tmp_path / "unbroken"
    pipeline.run(configuration.parse(stand_ins.config_text(other, tiny_source), "release.yaml"), lambda _: None)
    assert content_of(folder / "models" / "lesions") == content_of(other / "models" / "lesions")
