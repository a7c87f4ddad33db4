"""`amfam-tf` with one more thread, which writes down every second how much of its memory the process has in use.

    python -m benchmarks.soak.watched FILE serve --port=...

Resident memory alone cannot tell a leak from gaps: glibc gives back only what lies free by the page. What is allocated,
by malloc or from the system, is what a leak would make grow.
"""

import ctypes
import os
import sys
import threading
import time
from pathlib import Path

SECONDS = 1.0
FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class MallocInformation(ctypes.Structure):
    """The result of glibc's mallinfo2 (2.33 and later), bytes and counts."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS.split()]


def allocated_bytes() -> int | None:
    """Returns what is in use of the process's heaps and mapped pieces; None with another allocator than glibc's."""
    function = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if function is None:
        return None
    function.restype = MallocInformation
    found = function()
    return found.uordblks + found.hblkhd


def _watch(path: Path) -> None:
    with path.open("w", encoding="ascii") as file:
        while (count := allocated_bytes()) is not None:
            # Of one length, at one place: whoever reads meanwhile sees a number.
            os.pwrite(file.fileno(), f"{count:20d}".encode("ascii"), 0)
            time.sleep(SECONDS)


if __name__ == "__main__":
    from amfam_tf.__main__ import main

    threading.Thread(target=_watch, args=(Path(sys.argv[1]),), daemon=True).start()
    sys.exit(main(sys.argv[2:]))
