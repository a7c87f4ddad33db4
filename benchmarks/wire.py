"""Requests to a process that stays alive: one JSON object per line each way, arrays in .npz files beside.

Only the standard library: a side of a comparison may run in an environment of its own.
"""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class SideError(Exception):
    """A side of a comparison has failed; the message ends with what it said."""


class Side:
    """A process that answers requests.

    Args:
        name: to show.
        python: interpreter of its environment.
        module: to run, ends in a call of `answer`.
        arguments: of the module.
        environment: variables beside those of this process.
    """

    def __init__(
        self,
        name: str,
        python: Path | str,
        module: str,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ):
        self.name = name
        self._process = subprocess.Popen(
            [str(python), "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(ROOT), **(environment or {})},
            text=True,
        )

    def ask(self, request: str, **values: Any) -> Any:
        """Returns the answer to a request.

        Raises:
            SideError: the side raised, or has ended.
        """
        try:
            self._process.stdin.write(json.dumps({"request": request, **values}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise SideError(f"{self.name} has ended with code {self._process.wait()}") from error
        line = self._process.stdout.readline()
        if not line:
            raise SideError(f"{self.name} has ended with code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise SideError(f"{self.name}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer(requests: Mapping[str, Callable[..., Any]]) -> None:
    """Answers the requests that come by standard input, by name, until it is closed."""
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        values = json.loads(line)
        try:
            reply = {"value": requests[values.pop("request")](**values)}
        except Exception as error:  # whatever it is, the asking process has to hear of it
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


def peak_memory_gib(process: int | str = "self") -> float:
    """Returns the largest resident memory of a process so far (VmHWM), GiB; OSError if it has ended."""
    status = Path(f"/proc/{process}/status")
    for line in status.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise OSError(f"{status} has no line VmHWM")


def measured_apart(module: str, *arguments: object) -> Any:
    """Runs `python -m MODULE ARGUMENTS` to its end and returns the JSON in the last line that it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])
