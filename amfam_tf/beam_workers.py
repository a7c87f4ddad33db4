"""The processes of Beam's embedded runner: when one is gone the pipeline ends, which the runner alone does not notice.

It waits for ever for answers of a worker that was killed, e.g. for lack of memory. Written for the version of Beam that
setup.cfg pins: the connection to a worker is a private matter of the runner.
"""

import contextlib
import threading
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from amfam_tf import errors

DEAD = "a worker process ended early: killed, or out of memory? Fewer workers need less of it"
CLOSED = "Channel closed"
"""What Beam itself says, sometimes, when a worker is gone."""
WAITS_FOR_PROCESS = "run_worker"
"""Name of Beam's threads that wait for the end of a worker."""
THREAD_SECONDS = 5


@contextlib.contextmanager
def watched_workers() -> Iterator[None]:
    """Makes the end of a worker the answer to all that it is asked: an EngineError with the message `DEAD`.

    What threads of Beam end with is not shown: the pipeline's error says it. Other threads' errors show as ever.
    """
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import ControlConnection

    read, push, show = ControlConnection._read, ControlConnection.push, threading.excepthook
    over: weakref.WeakSet[Any] = weakref.WeakSet()

    def read_to_the_end(connection: Any) -> None:
        try:
            read(connection)
        finally:  # it ends with an error of gRPC or without, as it happens
            over.add(connection)
            _answer_all(connection)

    def push_while_it_lasts(connection: Any, request: Any) -> Any:
        future = push(connection, request)
        if connection in over:
            _answer_all(connection)
        return future

    ControlConnection._read, ControlConnection.push = read_to_the_end, push_while_it_lasts
    threading.excepthook = lambda problem: None if _is_of_beam(problem) else show(problem)
    try:
        yield
    finally:
        for thread in threading.enumerate():
            if thread.name.startswith(WAITS_FOR_PROCESS):
                thread.join(THREAD_SECONDS)
        ControlConnection._read, ControlConnection.push, threading.excepthook = read, push, show


def _answer_all(connection: Any) -> None:
    """Answers what a worker has been asked and has not answered."""
    from apache_beam.portability.api import beam_fn_api_pb2

    error = f"{errors.__name__}.{errors.EngineError.__name__}: {DEAD}"
    for number, future in list(connection._futures_by_id.items()):
        future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=error))


def _is_of_beam(problem: threading.ExceptHookArgs) -> bool:
    frames = traceback.extract_tb(problem.exc_traceback)
    return any("apache_beam" in Path(frame.filename).parts for frame in frames)
