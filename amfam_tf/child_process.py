"""Python programs as child processes: none takes modules from the current folder, and none outlives its parent.

    process = child_process.start("amfam_tf", ["serve", ...], stderr=file)

The standard input of a child is its lifeline: a pipe whose other end only the parent holds and to which nothing is
written. It ends with the parent, however that ends, and with it the child. This file is also what a child runs first:
`python -P child_process.py MODULE WORD...`, so that it is tied to its parent before it imports anything else.
"""

import contextlib
import ctypes
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

STANDARD_INPUT = 0
ORPHANED = 3
SAFE_PATH = "PYTHONSAFEPATH"
TIED = "AMFAM_TIED_TO_PARENT"
PR_SET_PDEATHSIG = 1
LONGEST_WORDS = 300


def command(module: str, words: Sequence[str] = ()) -> list[str]:
    """Returns the command line that runs a module as a child of this process.

    A file random.py in the current folder is not taken for Python's own: neither that folder nor the program's is on
    the child's path. PYTHONPATH, which a user has set on purpose, is.
    """
    return [sys.executable, "-P", str(Path(__file__).resolve()), module, *words]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Returns this process's environment for a child, with `more`; the child's own children are as safe as it is."""
    return {**os.environ, **(more or {}), SAFE_PATH: "1", TIED: "1"}


def start(module: str, words: Sequence[str] = (), env: Mapping[str, str] | None = None, **options: Any) -> Any:
    """Starts a module as a child that ends with this process; returns its `subprocess.Popen`.

    Args:
        module: as after `python -m`.
        words: its arguments.
        env: more variables of its environment.
        **options: of Popen, except for stdin.
    """
    return subprocess.Popen(command(module, words), stdin=subprocess.PIPE, env=environment(env), **options)


def end(process: subprocess.Popen[Any], seconds: float) -> None:
    """Ends a child: politely, and after so many seconds, or if this is interrupted, at once."""
    process.terminate()
    await_end(process, seconds)


def await_end(process: subprocess.Popen[Any], seconds: float) -> None:
    """Waits for the end of a child; after so many seconds, or if this is interrupted, ends it."""
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        close_lifeline(process)


def close_lifeline(process: subprocess.Popen[Any]) -> None:
    """Closes the pipe to a child, which ends it if it has not ended yet."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


@contextlib.contextmanager
def safe_pool_path() -> Iterator[None]:
    """Keeps the current folder from the path of the processes that `multiprocessing` starts meanwhile."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(SAFE_PATH, None)
        else:
            os.environ[SAFE_PATH] = before


def end_pool_process_with_parent() -> None:
    """Ends this process, one of a pool that `multiprocessing` has spawned, with its parent; for `initializer`."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _watch(parent.join)


def end_with_parent() -> None:
    """Ends this process at once, status ORPHANED, when its standard input ends; nothing is ever written to that."""

    def wait() -> None:
        # Not sys.stdin: a thread that waits in it can keep the interpreter from ending.
        while os.read(STANDARD_INPUT, 1):
            pass

    _watch(wait)


def tie_next_program() -> None:
    """Lets the program that a child becomes (exec) end with the parent too: that ends the thread at the lifeline.

    Linux only: elsewhere it outlives a parent that was killed. Does nothing in a process that is no such child.
    """
    if os.environ.get(TIED) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _watch(wait_for_end: Any) -> None:
    def watch() -> None:
        wait_for_end()
        os._exit(ORPHANED)

    threading.Thread(target=watch, daemon=True).start()


def describe_end(status: int, errors: Path, noise: tuple[str, ...] = ()) -> str:
    """Returns in one line why a process ended.

    Args:
        status: its exit status; negative for a signal.
        errors: what it wrote to stderr. The last line that begins with "error: " counts, else the last one.
        noise: how lines begin that say nothing about the end.
    """
    lines = [line.strip() for line in errors.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [line for line in lines if not line.startswith(noise)]
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    last = (told or [line for line in lines if line] or [""])[-1][:LONGEST_WORDS]
    if status < 0:
        name = signal.Signals(-status).name
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"ended by signal {name}{hint}" + (f"; last line: {last}" if last else "")
    return last or f"ended with status {status} and said nothing"


def _main() -> None:
    end_with_parent()
    _, module, *_ = sys.argv
    del sys.argv[0]
    # At the end of the path: a package that is not installed is found, and nothing beside it hides Python's own.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
