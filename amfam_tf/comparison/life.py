"""Ties the life of a child process to that of its parent."""

import os
import threading

STANDARD_INPUT = 0
ORPHANED = 3


def end_with_parent() -> None:
    """Ends this process at once, status ORPHANED, when its standard input ends; nothing is ever written to that."""

    def wait() -> None:
        # Not sys.stdin: a thread that waits in it can keep the interpreter from ending.
        while os.read(STANDARD_INPUT, 1):
            pass
        os._exit(ORPHANED)

    threading.Thread(target=wait, daemon=True).start()
