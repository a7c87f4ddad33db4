"""The rooms of rooms.toml: modules that are changed, and the quick tests that have to see it."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

LIST = Path(__file__).with_name("rooms.toml")


def read_rooms() -> dict[str, Mapping[str, Sequence[str]]]:
    """Returns the rooms of rooms.toml, each with `modules` and `tests`."""
    return tomllib.loads(LIST.read_text(encoding="utf-8"))
