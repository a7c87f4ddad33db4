"""Runs jobs as child processes, some at a time: a job that fails or is killed does not stop the others."""

import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amfam_tf import child_process
from amfam_tf.child_process import describe_end
from amfam_tf.environment import usable_cores

LOOK_SECONDS = 0.2
END_SECONDS = 20


@dataclass(frozen=True)
class Job:
    """A command to run.

    Attributes:
        name: to show and for its log files.
        command: the words.
    """

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Snapshot:
    """How far the jobs are; each is in exactly one of these.

    Attributes:
        waiting: not begun.
        running: begun.
        succeeded: ended with status 0.
        failed: name -> error of the others.
    """

    waiting: tuple[str, ...]
    running: tuple[str, ...]
    succeeded: tuple[str, ...]
    failed: Mapping[str, str]


Watch = Callable[[Snapshot], None]


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    errors: Path


def run_jobs(
    jobs: Sequence[Job], logs: Path, *, at_once: int = 1, watch: Watch = lambda _: None, threads: int | None = None
) -> dict[str, str]:
    """Runs all jobs to their end; returns the error of each that failed.

    A child's standard input ends with this process. If anything is raised here, a KeyboardInterrupt included, the
    children are ended first.

    Args:
        jobs: in the order to begin them.
        logs: folder for `<name>.log` and `<name>.errors.log`, what a job prints.
        at_once: how many run at the same time.
        watch: called again and again with how far they are.
        threads: for TensorFlow in each child; None leaves that to it.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting = deque(jobs)
    running: dict[str, _Child] = {}
    succeeded: list[str] = []
    failed: dict[str, str] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                running[job.name] = _start(job, logs, _environment(threads))
            for name in [name for name, child in running.items() if child.process.poll() is not None]:
                child = running.pop(name)
                child_process.close_lifeline(child.process)
                if child.process.returncode == 0:
                    succeeded.append(name)
                else:
                    failed[name] = describe_end(child.process.returncode, child.errors)
            names = tuple(job.name for job in waiting)
            watch(Snapshot(names, tuple(running), tuple(succeeded), dict(failed)))
            if running:
                time.sleep(LOOK_SECONDS)
    finally:
        _end([child.process for child in running.values()])
    return failed


def _environment(threads: int | None) -> dict[str, str]:
    if threads is None:
        return child_process.environment()
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    # Two processes on one GPU: neither may take all of its memory at the start.
    more = {**dict.fromkeys(names, str(threads)), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return child_process.environment(more)


def threads_of_each(at_once: int) -> int | None:
    """Returns TensorFlow's threads for each of several processes; None for one, which may use all."""
    if at_once == 1:
        return None
    return max(1, usable_cores() // at_once)


def _start(job: Job, logs: Path, environment: Mapping[str, str]) -> _Child:
    errors = logs / f"{job.name}.errors.log"
    with (logs / f"{job.name}.log").open("wb") as output, errors.open("wb") as error_output:
        process = subprocess.Popen(
            list(job.command),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=error_output,
            env=dict(environment),
            # Ctrl-C in the terminal then reaches this process only, which ends the children in its own way.
            start_new_session=True,
        )
    return _Child(process, errors)


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends processes: politely first, then not; a run folder is resumable whenever its process ends."""
    try:
        for process in processes:
            process.terminate()
    finally:
        for process in processes:
            child_process.await_end(process, END_SECONDS)
