"""step.json: what a step was given, what came out, when, by which code, and what was decided.

A result is a folder with this file in it. It is written last, so a folder without one is not a result.
"""

import datetime
import fnmatch
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amfam_tf.config import to_dict
from amfam_tf.files import digests, json_file
from amfam_tf.release import code
from amfam_tf.release.configuration import ReleaseConfig
from amfam_tf.release.step import ReleaseError, Say, Step, StepOutcome, Work

FILE = "step.json"
FORMAT = 1

Record = dict[str, Any]


def identify(step: Step, config: ReleaseConfig, inputs: Mapping[str, Path]) -> Record:
    """Returns what decides a step's result, and the `key` that stands for all of it.

    Args:
        step: the step.
        config: of the release.
        inputs: folder of each input's result, by name.

    Raises:
        UserError: something that it reads cannot be read.
    """
    module = step.load()
    known = {
        "step": step.name,
        "inputs": {name: _reference(read(folder)) for name, folder in inputs.items()},
        "outside": dict(module.outside(config, inputs)),
        "configuration": to_dict(module.configuration(config)),
    }
    description = code.describe((step.module, *step.also), step.shows)
    deciding = known | {
        "inputs": {name: reference["fingerprint"] for name, reference in known["inputs"].items()},
        "code": code.identity(description),
    }
    return {"format": FORMAT, "key": digests.of_value(deciding), **known, "code": description}


def _reference(record: Record) -> dict[str, str]:
    return {"key": record["key"], "fingerprint": record["fingerprint"]}


def execute(
    step: Step, identity: Record, config: ReleaseConfig, inputs: Mapping[str, Path], out: Path, say: Say
) -> Record:
    """Runs a step into a folder, writes step.json there and returns its content.

    Args:
        step: the step.
        identity: what `identify` returned.
        config: of the release.
        inputs: folder of each input's result, by name.
        out: folder that is there: empty, or with what a killed run of the same key of a resumable step has left.
        say: shows a line.

    Raises:
        UserError: the step cannot be done, which is not the same as a refusal.
    """
    module = step.load()
    before = upstream(inputs)
    began, clock = _now(), time.monotonic()
    outcome = module.run(Work(config, inputs, out, before, say))
    outputs = digests.of_files(out)
    outputs.pop(FILE, None)  # of a run that was killed right after it
    record = identity | _end(outcome, outputs, module.COUNTED) | {"began": began, "ended": _now()}
    record |= {"seconds": round(time.monotonic() - clock, 3), "outputs": outputs, "upstream": before}
    json_file.write(out / FILE, record)
    return read(out)


def _end(outcome: StepOutcome, outputs: Mapping[str, Any], counted: tuple[str, ...]) -> Record:
    names = {name for pattern in counted for name in fnmatch.filter(outputs, pattern)}
    return {
        "accepted": outcome.accepted,
        "decision": outcome.decision,
        "details": dict(outcome.details),
        "fingerprint": digests.of_listing({name: outputs[name] for name in sorted(names)}),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def upstream(inputs: Mapping[str, Path]) -> dict[str, Record]:
    """Returns the records of the inputs and of all steps before them, by name, none with an `upstream` of its own."""
    records = {name: read(folder) for name, folder in inputs.items()}
    found: dict[str, Record] = {}
    for record in records.values():
        found |= record["upstream"]
    # Last: a result that is reused names the records of its own time.
    return found | {name: without_upstream(record) for name, record in records.items()}


def without_upstream(record: Record) -> Record:
    """Returns a record without those of the steps before it."""
    return {key: value for key, value in record.items() if key != "upstream"}


def read(folder: Path) -> Record:
    """Returns the record of a result.

    Raises:
        ReleaseError: it is missing or damaged.
    """
    path = folder / FILE
    try:
        record = json_file.read(path)
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path} cannot be read: remove {folder} to have the step run again") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ReleaseError(f"{path} is no record of this program: remove {folder} to have the step run again")
    return record


def check_outputs(folder: Path, record: Record) -> None:
    """Checks that a result is as it was written.

    Raises:
        ReleaseError: names the first file that is not.
    """
    found = digests.of_files(folder)
    found.pop(FILE, None)
    stated = record["outputs"]
    wrong = sorted(name for name in found.keys() | stated.keys() if found.get(name) != stated.get(name))
    if wrong:
        raise ReleaseError(
            f"{folder / wrong[0]} is not what the step has written: remove {folder} to have the step run again"
        )
