"""The processes of Beam's embedded runner: when one is gone the pipeline ends, which the runner alone does not notice.

It waits for ever for answers of a worker that was killed, e.g. for lack of memory, or that never came to ask for work.
Written for the version of Beam that setup.cfg pins: starting a worker and the connection to it are private matters of
the runner.
"""

import contextlib
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from amfam_tf import child_process, errors

WORKER = "apache_beam.runners.worker.sdk_worker_main"
DEAD = "a worker process ended early"
CLOSED = "Channel closed"
"""What Beam itself says, sometimes, when a worker is gone."""
WAITS_FOR_PROCESS = "run_worker"
"""Name of Beam's threads that wait for the end of a worker, and of ours."""
NOISE = ("DEBUG:", "INFO:", "WARNING:")
"""How lines of a worker's log begin that say nothing about its end."""
GRACE_SECONDS, THREAD_SECONDS = 20, 5
THIS_MACHINE = "localhost,127.0.0.1,::1"
EXCEPTIONS = "no_grpc_proxy"
"""Variable in which gRPC looks for what it reaches without a proxy, before it looks in no_proxy."""


@contextlib.contextmanager
def watched_workers(logs: Path, deaths: list[str]) -> Iterator[None]:
    """Makes the end of a worker the answer to all that it is asked: an EngineError that begins with `DEAD`.

    What threads of Beam end with is not shown: the pipeline's error says it. Other threads' errors show as ever.

    Args:
        logs: folder for what the workers print.
        deaths: gets a line for each worker that ends while it is needed: why, with its last words.
    """
    from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
        ControlConnection,
        SubprocessSdkWorkerHandler,
    )

    watch = _Watch(logs, deaths, ControlConnection)
    show = threading.excepthook
    with contextlib.ExitStack() as stack:
        for kind, name, replacement in (
            (SubprocessSdkWorkerHandler, "start_worker", lambda handler: watch.start_worker(handler)),
            (SubprocessSdkWorkerHandler, "stop_worker", lambda handler: watch.stop_worker(handler)),
            (ControlConnection, "_read", lambda connection: watch.read(connection)),
            (ControlConnection, "push", lambda connection, request: watch.push(connection, request)),
            (ControlConnection, "close", lambda connection: watch.close(connection)),
            (threading, "excepthook", lambda problem: None if _is_of_beam(problem) else show(problem)),
        ):
            stack.callback(setattr, kind, name, getattr(kind, name))
            setattr(kind, name, replacement)
        stack.callback(watch.end_all)
        yield


class _Watch:
    """What takes the place of Beam's own methods.

    Args:
        logs, deaths: see `watched_workers`.
        connections: Beam's class ControlConnection.
    """

    def __init__(self, logs: Path, deaths: list[str], connections: Any):
        self._logs, self._deaths = logs, deaths
        self._read, self._push, self._close = connections._read, connections.push, connections.close
        self._processes: dict[Any, subprocess.Popen[Any]] = {}
        self._over: dict[Any, str] = {}
        self._unneeded: set[Any] = set()

    def start_worker(self, handler: Any) -> None:
        """Starts a worker as a child of ours, not of a shell."""
        connection, log = handler.control_conn, self._logs / f"{handler.worker_id}.log"
        with log.open("wb") as file:
            process = child_process.start(WORKER, env=_environment(handler), stdout=file, stderr=file)
        self._processes[connection] = process
        handler.worker_thread = threading.Thread(
            name=WAITS_FOR_PROCESS, target=self._await_end, args=(connection, process, log), daemon=True
        )
        handler.worker_thread.start()

    def stop_worker(self, handler: Any) -> None:
        """Waits for a worker's end; one that does not end by itself, or never came to ask for work, is ended."""
        self._end(handler.control_conn, GRACE_SECONDS if handler.control_conn._input is not None else 0)
        handler.worker_thread.join()

    def read(self, connection: Any) -> None:
        """Reads a worker's answers to their end; then it is of no use any more, and `_await_end` says why it ended."""
        try:
            self._read(connection)
        finally:  # it ends with an error of gRPC or without, as it happens
            process = self._processes.get(connection)
            if process is None:
                self._answer_all(connection, DEAD)
            else:
                child_process.await_end(process, GRACE_SECONDS)

    def push(self, connection: Any, request: Any) -> Any:
        """Asks a worker; after its end that is answered at once."""
        future = self._push(connection, request)
        if connection in self._over:
            self._answer_all(connection, self._over[connection])
        return future

    def close(self, connection: Any) -> None:
        """Ends a connection; when the pipeline has failed or is interrupted, nobody waits for what is being done."""
        if sys.exc_info()[1] is not None:
            self._end(connection, 0)
        self._close(connection)

    def end_all(self) -> None:
        """Ends the workers that are still there."""
        for connection in self._processes:
            self._end(connection, 0)
        for thread in threading.enumerate():
            if thread.name.startswith(WAITS_FOR_PROCESS):
                thread.join(THREAD_SECONDS)

    def _end(self, connection: Any, seconds: float) -> None:
        self._unneeded.add(connection)
        if connection in self._processes:
            child_process.await_end(self._processes[connection], seconds)

    def _await_end(self, connection: Any, process: subprocess.Popen[Any], log: Path) -> None:
        status = process.wait()
        child_process.close_lifeline(process)
        reason = f"{DEAD}: {child_process.describe_end(status, log, NOISE)}"
        if status != 0 and connection not in self._unneeded:
            self._deaths.append(reason)
        self._answer_all(connection, reason)

    def _answer_all(self, connection: Any, reason: str) -> None:
        """Answers what a worker has been asked and has not answered, and all that it will be asked."""
        from apache_beam.portability.api import beam_fn_api_pb2

        self._over[connection] = reason
        error = f"{errors.__name__}.{errors.EngineError.__name__}: {reason}"
        for number, future in list(connection._futures_by_id.items()):
            future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=error))


def _environment(handler: Any) -> Mapping[str, str]:
    """Returns what a worker is told by its environment, as Beam's own starter does, and how to come back to us."""
    from apache_beam.portability.api import endpoints_pb2
    from google.protobuf import json_format, text_format

    def descriptor(url: str) -> str:
        return text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))

    # Without it, a proxy of the environment would be asked for the way to localhost.
    exceptions = next((os.environ[name] for name in (EXCEPTIONS, "no_proxy") if name in os.environ), "")
    return {
        "CONTROL_API_SERVICE_DESCRIPTOR": descriptor(handler.control_address),
        "LOGGING_API_SERVICE_DESCRIPTOR": descriptor(handler.logging_api_service_descriptor().url),
        "PIPELINE_OPTIONS": json_format.MessageToJson(handler.provision_info.provision_info.pipeline_options),
        "WORKER_ID": handler.worker_id,
        EXCEPTIONS: ",".join(filter(None, (THIS_MACHINE, exceptions))),
    }


def _is_of_beam(problem: threading.ExceptHookArgs) -> bool:
    frames = traceback.extract_tb(problem.exc_traceback)
    return any("apache_beam" in Path(frame.filename).parts for frame in frames)
