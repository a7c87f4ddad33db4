"""A step on its own, for an orchestrator that has its own place for results, its own cache and its own order."""

from collections.abc import Mapping
from pathlib import Path

from amfam_tf.files import storage
from amfam_tf.release import configuration, record
from amfam_tf.release.step import RefusedError, Say, Step


def run_component(step: Step, config: str, inputs: Mapping[str, Path], out: Path, say: Say) -> record.Record:
    """Runs a step and returns its record, which is also in `out`.

    Args:
        step: the step.
        config: the configuration, YAML; `work` is not used.
        inputs: folder of each input's result, by the step's name.
        out: folder for the result; empty, made if it is not there.
        say: shows a line.

    Raises:
        RefusedError: the step refused; its result is in `out`.
        UserError: it could not be done.
    """
    parsed = configuration.parse(config, "the configuration")
    with storage.one_line(out):
        out.mkdir(parents=True, exist_ok=True)
        done = record.execute(step, record.identify(step, parsed, inputs), parsed, inputs, out, say)
    say(f"{step.name}: {done['decision']}")
    if not done["accepted"]:
        raise RefusedError(f"{step.name}: {done['decision']} (kept: {out})")
    return done
