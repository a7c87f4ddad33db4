"""Freed memory back to the system.

glibc keeps what is freed for later, one heap per thread: after large requests and after each hot swap tens of
megabytes more stay. `malloc_trim` gives the free pages back, in 10 to 80 ms.
"""

import ctypes
import threading
import time

GATHER_SECONDS = 0.5
"""So that many requests that end together cost one trim."""


_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""None with another allocator than glibc's, which has habits of its own."""


class _Trimmer:
    """One thread for the process, started when it is first needed."""

    def __init__(self) -> None:
        self._wanted = threading.Event()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None

    def soon(self) -> None:
        self._wanted.set()
        with self._start:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="malloc-trim", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(GATHER_SECONDS)
            self._wanted.clear()
            trim()


_trimmer = _Trimmer()


def trim() -> None:
    """Gives freed memory back; does nothing where glibc is not used."""
    if _malloc_trim is not None:
        _malloc_trim(0)


def trim_soon() -> None:
    """Gives freed memory back within a second, in a thread of its own."""
    _trimmer.soon()
