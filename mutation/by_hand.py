"""Wrong changes that people thought of (by_hand.toml): what is exchanged, repeated, or taken from the wrong place."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

LIST = Path(__file__).with_name("by_hand.toml")


@dataclass(frozen=True)
class Mutant:
    """A wrong change: why it is wrong, whose tests have to see it, and the text of a file before and after."""

    why: str
    room: str
    file: str
    before: str
    after: str


def read() -> list[Mutant]:
    """Returns the mutants of by_hand.toml."""
    return [Mutant(**one) for one in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]]


def apply(mutant: Mutant, text: str) -> str:
    """Returns the text of the file after the change.

    Raises:
        ValueError: the code has changed: the text to change is not there once.
    """
    if text.count(mutant.before) != 1:
        raise ValueError(f"by_hand.toml, {mutant.why!r}: {mutant.before!r} is not once in {mutant.file}")
    return text.replace(mutant.before, mutant.after)


def survivors(
    mutants: Sequence[Mutant], tree: Path, command: Callable[[str], str], seconds: float, say: Callable[[str], None]
) -> list[Mutant]:
    """Returns the mutants that the tests of their rooms do not see.

    Args:
        mutants: to try.
        tree: a copy of the working tree, changed and put right again.
        command: of a room's tests.
        seconds: for the tests, then the mutant counts as seen.
        say: shows a line.
    """
    from cosmic_ray.testing import run_tests
    from cosmic_ray.work_item import TestOutcome

    found = []
    for mutant in mutants:
        path = tree / mutant.file
        right = path.read_text(encoding="utf-8")
        path.write_text(apply(mutant, right), encoding="utf-8")
        try:
            outcome, _ = run_tests(command(mutant.room), seconds)
        finally:
            path.write_text(right, encoding="utf-8")
        say(f"by hand, {mutant.why}: {outcome.value}")
        if outcome != TestOutcome.KILLED:
            found.append(mutant)
    return found
