"""The schedule of a soak: hot swaps all the time; now and then a broken version, a full disk, an end by a signal."""

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from benchmarks.soak.records import Log
from benchmarks.soak.server import ServedProcess, Versions

SWAP_SECONDS = 25
"""From one fault to the next."""
SETTLE_SECONDS = 1.0
PATIENCE_SECONDS = 120
DISK_MEGABYTES = 200
OPENING = ("swap", "SIGKILL", "swap", "SIGTERM")
ROUND = ("swap", "broken version", "swap", "full disk")
"""One after the other, again and again, in a process that lives to the end: so its memory can be seen to settle."""
SCHEDULES = MappingProxyType({"all": (OPENING, ROUND), "swaps": ((), ("swap",)), "none": ((), ())})
"""What comes once, and what then comes again and again."""


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Makes a folder, on a disk of its own that can be filled if this process may mount one; says whether."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(words, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class Faults:
    """Injects one fault after the other.

    Args:
        disk: whether the versions lie on a disk that may be filled.
    """

    def __init__(self, server: ServedProcess, versions: Versions, log: Log, disk: bool) -> None:
        self._server, self._versions, self._log, self._disk = server, versions, log, disk
        self._letters = itertools.cycle("BA")
        self._kinds = {
            "swap": self.swap,
            "broken version": self.broken_version,
            "full disk": self.full_disk,
            "SIGKILL": lambda: self.end(signal.SIGKILL, -signal.SIGKILL),
            "SIGTERM": lambda: self.end(signal.SIGTERM, 0),
        }

    def run(self, schedule: str, seconds: float, stop: threading.Event) -> None:
        """Injects the faults of a schedule for some seconds; the last one ends before."""
        once, again = SCHEDULES[schedule]
        end = time.monotonic() + seconds
        for kind in itertools.chain(once, itertools.cycle(again)):
            if time.monotonic() + SWAP_SECONDS > end or stop.wait(SWAP_SECONDS):
                break
            if kind == "full disk" and not self._disk:
                continue
            self._kinds[kind]()
            self._log.note(kind)
        stop.wait(max(0.0, end - time.monotonic()))

    def swap(self) -> None:
        """Publishes the other model, waits until it alone answers, and removes what is older than the last two."""
        begun = self._log.now()
        number = self._versions.publish(next(self._letters))
        self._await({number}, f"version {number}")
        time.sleep(SETTLE_SECONDS)
        self._log.swaps.append((begun, self._log.now()))
        self._versions.remove_all_but({number, number - 1})

    def broken_version(self) -> None:
        """Publishes a version that cannot be loaded: the one before must go on answering."""
        before = self._server.available()
        number = self._versions.publish_broken()
        time.sleep(SWAP_SECONDS / 2)
        if self._server.available() != before:
            self._log.complain(f"a broken version changed what answers: {before} to {self._server.available()}")
        self._versions.remove_all_but(before)
        # Its number is not used again: a server remembers what it has seen.
        self._versions.letters.pop(number)
        self._versions.letters[number] = "broken"

    def full_disk(self) -> None:
        """Fills the disk of the versions and tries to publish: nothing of it may reach the server."""
        before = self._server.available()
        filler = self._versions.base / ".filler"
        try:
            with filler.open("wb") as file:
                try:
                    while True:
                        file.write(bytes(1 << 20))
                        file.flush()
                except OSError:
                    pass
            try:
                self._versions.publish("A")
            except OSError:
                pass
            else:
                self._log.complain("the disk was not full")
            time.sleep(SETTLE_SECONDS)
            if self._server.available() != before:
                self._log.complain(f"a full disk changed what answers: {before} to {self._server.available()}")
        finally:
            filler.unlink(missing_ok=True)

    def end(self, number: int, expected: int) -> None:
        """Ends the server by a signal and starts it again."""
        status = self._server.restart(number)
        if status != expected:
            self._log.complain(f"exit status {status} after signal {number}, expected {expected}")

    def _await(self, versions: set[int], name: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while self._server.available() != versions:
            if time.monotonic() > end:
                self._log.complain(f"{name} does not answer alone: {self._server.available()}")
                return
            time.sleep(0.1)
