"""Every value of the configurations at, below and past its ends, and of every wrong type: a test made from the schema.

A field that is added without declared ends fails here.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import yaml

from amfam_tf import config, strict_yaml
from amfam_tf.config import Config
from amfam_tf.config.loading import merge
from amfam_tf.errors import ConfigError
from amfam_tf.ranges import Range, length_of, range_of
from amfam_tf.release import configuration as release
from amfam_tf.release.configuration import ReleaseConfig

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"
COMPANIONS = {
    "model.decoder_scales": ("model", "decoder_channels"),
    "model.decoder_channels": ("model", "decoder_scales"),
    "training.pretraining_epochs": ("training", "epochs"),
    "training.frozen_stages": ("training", "frozen_epochs"),
    "model.modalities": ("model", "adversarial"),
    "loss.reweighted_after": ("loss", "classification"),
}
"""Fields whose values depend on another one, which the test sets to fit."""
SMALLEST_RELEASE = {
    "model": "m",
    "work": "w",
    "data": {"source": "r"},
    "blessing": {"thresholds": [{"metric": "average.accuracy", "at_least": 0.5}]},
}


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A value of a configuration: its dotted key, type, whether null is possible, and declared ends."""

    key: str
    kind: Any
    optional: bool
    limits: Range | None
    length: Range | None

    @property
    def item(self) -> Any:
        """The type of a number or of the numbers of a list."""
        return get_args(self.kind)[0] if get_origin(self.kind) is tuple else self.kind


def leaves(kind: type, prefix: str = "") -> Iterator[Leaf]:
    hints = get_type_hints(kind)
    for item in dataclasses.fields(kind):
        hint, key = hints[item.name], f"{prefix}{item.name}"
        if dataclasses.is_dataclass(hint):
            yield from leaves(hint, f"{key}.")
            continue
        optional = get_origin(hint) in (Union, UnionType)
        if optional:
            hint = next(part for part in get_args(hint) if part is not type(None))
        yield Leaf(key, hint, optional, range_of(item), length_of(item))


FIT = tuple(leaves(Config))
RELEASE = tuple(leaf for leaf in leaves(ReleaseConfig) if leaf.key != "blessing.thresholds")
NUMBERS = [leaf for leaf in (*FIT, *RELEASE) if leaf.item in (int, float)]


def step(leaf: Leaf, end: float, away: float) -> float:
    """Returns the next number beyond an end."""
    return end + int(away) if leaf.item is int else math.nextafter(end, math.inf * away)


def inside(leaf: Leaf) -> list[Any]:
    """Returns values at the declared ends."""
    low = step(leaf, leaf.limits.low, 1) if leaf.limits.open_low else leaf.limits.low
    ends = [leaf.item(low), leaf.item(leaf.limits.high)]
    if leaf.length is None:
        return [*ends, None] if leaf.optional else ends
    return [[end] * size for end in ends for size in (leaf.length.low, leaf.length.high)]


def outside(leaf: Leaf) -> list[Any]:
    """Returns values just past the declared ends, and far past them."""
    low = leaf.limits.low if leaf.limits.open_low else step(leaf, leaf.limits.low, -1)
    ends = [low, step(leaf, leaf.limits.high, 1), -(10**30), 10**30]
    if leaf.length is None:
        return ends
    good = leaf.item(leaf.limits.low)
    return [[good] * (leaf.length.low - 1), [good] * (leaf.length.high + 1), *([end] for end in ends)]


def wrong(leaf: Leaf) -> list[Any]:
    """Returns values of types that the field does not have."""
    numbers = {
        int: [True, 2.0, "2", "", math.nan, math.inf, [2], {"a": 2}],
        float: [True, "0.5", "", math.nan, math.inf, -math.inf, [0.5], {"a": 1}],
        bool: [0, 1, "true", "yes", 1.0, [True]],
        str: [1, 1.5, True, ["a"], "a\x1b[31m", "a\0"],
    }
    if get_origin(leaf.kind) is tuple:
        single = next(iter(numbers.get(leaf.item, [1])))
        return ["a", 1, {"a": 1}, [[1]], [single], [None]]
    if get_origin(leaf.kind) is Literal:
        return ["no such word", "", 1, True, None, [get_args(leaf.kind)[0]]]
    return numbers[leaf.kind] + ([] if leaf.optional else [None])


def nested(key: str, value: Any) -> dict[str, Any]:
    """Returns a tree that sets a key, and what goes with it so that only the key's own value is judged."""
    *path, name = key.split(".")
    tree: dict[str, Any] = {name: value}
    if key in COMPANIONS:
        other = COMPANIONS[key][1]
        fits = {"epochs": 10**6, "frozen_epochs": 1, "adversarial": False, "classification": "ldam"}.get(other)
        tree[other] = [1] * len(value) if fits is None and isinstance(value, list) else fits
        if tree[other] is None or (fits is None and not 1 <= len(tree[other]) <= 16):
            del tree[other]
    for part in reversed(path):
        tree = {part: tree}
    return tree


def from_file(key: str, value: Any, tmp_path: Path) -> Config:
    file = tmp_path / "mine.yaml"
    file.write_text(strict_yaml.dump(nested(key, value)), encoding="utf-8")
    return config.read(file)


def from_command_line(key: str, value: Any, _: Path) -> Config:
    def flat(tree: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
        for name, item in tree.items():
            yield from flat(item, f"{prefix}{name}.") if f"{prefix}{name}" in SECTIONS else [(f"{prefix}{name}", item)]

    texts = [f"{name}={flow(item)}" for name, item in flat(nested(key, value))]
    # What goes with the key first: each override is judged only with all of them.
    return config.load("paper", texts)


SECTIONS = {leaf.key.rpartition(".")[0] for leaf in FIT}


def flow(value: Any) -> str:
    """Returns a value as one line of YAML, as a person would write it after the equals sign."""
    return yaml.dump([value], Dumper=strict_yaml.Dumper, default_flow_style=True, width=10**6).strip()[1:-1]


def from_release(key: str, value: Any, tmp_path: Path) -> ReleaseConfig:
    file = tmp_path / "release.yaml"
    file.write_text(strict_yaml.dump(merge(SMALLEST_RELEASE, nested(key, value))), encoding="utf-8")
    return release.read(file)


WAYS = [(leaf, way) for leaf in FIT for way in (from_file, from_command_line)]
WAYS += [(leaf, from_release) for leaf in RELEASE]
ways = pytest.mark.parametrize(("leaf", "read"), WAYS, ids=[f"{leaf.key}-{way.__name__}" for leaf, way in WAYS])


def value_at(chosen: Any, key: str) -> Any:
    for part in key.split("."):
        chosen = getattr(chosen, part)
    return list(chosen) if isinstance(chosen, tuple) else chosen


def test_every_number_has_declared_ends_and_every_list_of_numbers_a_length():
    assert [leaf.key for leaf in NUMBERS if leaf.limits is None] == []
    assert [leaf.key for leaf in NUMBERS if get_origin(leaf.kind) is tuple and leaf.length is None] == []
    assert len(FIT) > 60


@ways
def test_values_at_the_ends_are_taken(leaf, read, tmp_path):
    if leaf.limits is None:
        values = [*get_args(leaf.kind)] if get_origin(leaf.kind) is Literal else []
        values += [None] if leaf.optional else []
        values = [value for value in values if (leaf.key, value) != ("data.cache", "file")]
    else:
        values = inside(leaf)
    for value in values:
        if (leaf.key, value) == ("training.pretraining_epochs", 10**6):
            continue  # fewer than training.epochs, which has the same end
        assert value_at(read(leaf.key, value, tmp_path), leaf.key) == value


@ways
def test_values_past_the_ends_are_refused_by_name(leaf, read, tmp_path):
    for value in [] if leaf.limits is None else outside(leaf):
        with pytest.raises(ConfigError) as caught:
            read(leaf.key, value, tmp_path)
        assert re.search(rf"{re.escape(leaf.key)}(\[\d+\])? must ", str(caught.value)), (value, str(caught.value))
        assert "\n" not in str(caught.value)


@ways
def test_values_of_another_type_are_refused_by_name(leaf, read, tmp_path):
    for value in wrong(leaf):
        if value is None and leaf.optional:
            continue
        with pytest.raises(ConfigError) as caught:
            read(leaf.key, value, tmp_path)
        assert leaf.key in str(caught.value), (value, str(caught.value))
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("value", [-1.0000001, -1.5, 1.0000001, math.nan, True, "0.5", None])
def test_a_threshold_past_its_ends_is_refused(value, tmp_path):
    with pytest.raises(ConfigError, match="blessing.thresholds"):
        from_release("blessing.thresholds", [{"metric": "average.accuracy", "at_least": value}], tmp_path)


def test_the_document_states_the_ends_of_every_number():
    rows = re.findall(r"^\| `([a-z0-9_.]+)` \| `[^`]*` \| ([^|]+) \|", DOCUMENT.read_text(), re.MULTILINE)
    stated = dict(rows)
    for leaf in FIT:
        if leaf.limits is not None:
            assert str(leaf.limits) in stated[leaf.key], (leaf.key, str(leaf.limits))
        if leaf.length is not None:
            assert f"list of {leaf.length}".replace("from ", "") in stated[leaf.key]
