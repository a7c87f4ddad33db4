"""`python -m mutation`: makes a sample of mutants of some rooms, lets the tests look for them, prints the scores."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from amfam_tf import child_process
from mutation import by_hand, report, session
from mutation.rooms import read_rooms

ROOT = Path(__file__).parent.parent
SECONDS_BY_HAND = 300.0
SECONDS_TO_END = 5.0
LEAST_SECONDS, TIMES = 30.0, 6.0
"""A mutant may take this long, or this many times what the tests take without one, before it counts as killed."""


@dataclass(frozen=True)
class Sample:
    """Which mutants are tried: the options of the command line."""

    every: int
    seed: int
    again: bool
    minutes: float | None


def copy_tree(out: Path) -> None:
    """Makes `out` a copy of the working tree as it is now: what git tracks, and new files that it does not ignore."""
    shutil.rmtree(out, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        # A link may be to a folder; a file may have been removed without telling git.
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, out / name, follow_symlinks=False)


@contextmanager
def preloaded(tree: Path) -> Iterator[Path]:
    """Yields the socket of a server that runs tests in `tree` (mutation/preloaded.py)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tests.sock"
        environment = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        process = child_process.start("mutation.preloaded", [str(path)], environment, cwd=tree)
        try:
            while not path.exists():
                if process.poll() is not None:
                    raise click.ClickException(f"the test server ended with status {process.returncode}")
                time.sleep(0.1)
            yield path
        finally:
            child_process.end(process, SECONDS_TO_END)


@click.command()
@click.option("--rooms", help="Names of rooms.toml, with commas between; all of them if not given.")
@click.option("--every", type=click.IntRange(min=1), default=10, show_default=True, help="Try one mutant of so many.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the draw of the sample.")
@click.option(
    "--again", is_flag=True, help="Keep the sessions: go on, and try survivors with the tests as they are now."
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Of each room, then the next; --again goes on.")
@click.option("--only-by-hand", is_flag=True, help="Try the mutants of by_hand.toml alone.")
@click.option("--out", type=click.Path(path_type=Path), default=ROOT / ".mutants", help="Folder of the sessions.")
def main(
    rooms: str | None, every: int, seed: int, again: bool, minutes: float | None, only_by_hand: bool, out: Path
) -> None:
    """Try mutants of ROOMS and print the score of each, with the survivors, as Markdown."""
    known = read_rooms()
    names = list(known) if rooms is None else rooms.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"no such room: {unknown[0]}; rooms.toml has {', '.join(known)}")
    out.mkdir(parents=True, exist_ok=True)
    tree, scores = out.resolve() / f"tree-{os.getpid()}", []
    copy_tree(tree)
    try:
        # Cosmic Ray changes files below the current folder.
        os.chdir(tree)
        with preloaded(tree) as server:
            missed = _try_by_hand(names, known, server, tree)
            if not only_by_hand:
                scores = [
                    _try(name, known[name], server, out.resolve(), Sample(every, seed, again, minutes))
                    for name in names
                ]
    finally:
        os.chdir(ROOT)
        shutil.rmtree(tree)
    click.echo(report.by_hand(*missed) + report.markdown(scores), nl=False)


def _command(server: Path, room: Mapping[str, Sequence[str]]) -> str:
    return " ".join([sys.executable, "-S", "mutation/ask.py", str(server), *room["tests"]])


def _try_by_hand(
    names: Sequence[str], known: Mapping[str, Mapping[str, Sequence[str]]], server: Path, tree: Path
) -> tuple[int, list[by_hand.Mutant]]:
    """Returns how many mutants of by_hand.toml these rooms have, and those that survived."""
    mutants = [mutant for mutant in by_hand.read() if mutant.room in names]
    for room in dict.fromkeys(mutant.room for mutant in mutants):
        _seconds_without_mutant(room, known[room], _command(server, known[room]))
    missed = by_hand.survivors(
        mutants,
        tree,
        lambda room: _command(server, known[room]),
        SECONDS_BY_HAND,
        lambda text: click.echo(text, err=True),
    )
    return len(mutants), missed


def _seconds_without_mutant(name: str, room: Mapping[str, Sequence[str]], command: str) -> float:
    """Returns how long the tests of a room take on the code as it is.

    Raises:
        ClickException: they fail, so that they would "kill" every mutant.
    """
    started = time.monotonic()
    if subprocess.run(command.split(), check=False).returncode != 0:
        raise click.ClickException(f"the tests of {name} fail without any mutant: {' '.join(room['tests'])}")
    return time.monotonic() - started


def _try(name: str, room: Mapping[str, Sequence[str]], server: Path, out: Path, sample: Sample) -> session.Score:
    command = _command(server, room)
    seconds = max(LEAST_SECONDS, TIMES * _seconds_without_mutant(name, room, command))
    path = out / f"{name}.sqlite"
    if not (sample.again and path.is_file()):
        session.prepare(path, [Path(module) for module in room["modules"]], sample.every, sample.seed)
    session.run(path, command, seconds, sample.again, sample.minutes, lambda text: click.echo(text, err=True))
    return session.score(path)


if __name__ == "__main__":
    main()
