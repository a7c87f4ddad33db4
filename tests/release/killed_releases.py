"""A program that kills releases: for each step a child that is sent SIGKILL some time after the step has begun.

    python killed_releases.py CONFIG SEED

Prints a line per kill, then what the last release, which nobody kills, says. Children are forks of this process, which
has imported everything and, without TensorFlow, runs no thread that matters.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import stand_ins

LONGEST_WAIT = 0.005
"""Seconds; with stand-ins the shortest step takes about as long."""


def kill_in(step: str, config: object, wait: float) -> bool:
    """Returns whether a release was still running when it was killed."""
    from amfam_tf.release import pipeline as release

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        release.run(config, lambda line: os.write(writing, f"{line}\n".encode()))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as lines:
        for line in lines:
            if line == f"{step}: running\n":
                time.sleep(wait)
                os.kill(child, signal.SIGKILL)
                break
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(file: str, seed: str) -> None:
    """Kills a release in each step, then lets one end."""
    from amfam_tf.release import configuration
    from amfam_tf.release import pipeline as release

    stand_ins.install_when_loaded()
    config = configuration.read(Path(file))
    for step in release.STEPS:
        step.load()
    generator = random.Random(int(seed))
    for step in release.STEPS:
        wait = generator.uniform(0, LONGEST_WAIT)
        print(f"seed {seed}: {step.name} after {wait:.4f} s, killed: {kill_in(step.name, config, wait)}", flush=True)
    release.run(config)


if __name__ == "__main__":
    main(*sys.argv[1:])
