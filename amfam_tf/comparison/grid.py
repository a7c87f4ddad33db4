"""The grid: its cells, each of which is a run, and the folder that holds them.

A folder belongs to one data set and one configuration, which grid.yaml says; methods, seeds and values may be added to
it later.
"""

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from amfam_tf import config as configuration
from amfam_tf import models, strict_yaml
from amfam_tf.card import cards
from amfam_tf.card.schema import DataCard
from amfam_tf.config import Config
from amfam_tf.errors import ConfigError, RunError, one_line
from amfam_tf.files import digests
from amfam_tf.files.locks import locked_runs
from amfam_tf.files.writing import write_text
from amfam_tf.runs.folder import RunFolder

MOST_DIFFERENCES = 5
LONGEST_NAME = 120
NOT_VARIED: Mapping[str, str] = MappingProxyType(
    {
        "seed": "use --seeds",
        "data.drop_shared_files": "it changes which cases are measured",
        "data.fold": "it changes which cases are measured",
    }
)
"""Key -> why its values are not compared."""


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        name: of the run folder; no other cell has it.
        group: what it shares with its fellows of other seeds: the method, or the point of a sweep.
        config: of the run, with what its method sets.
    """

    name: str
    group: str
    config: Config


@dataclass(frozen=True)
class Purpose:
    """What a folder was begun for.

    Attributes:
        kind: "comparison" or "sweep".
        fingerprint: of the data, see `amfam_tf.data.cases.data_fingerprint`.
        config: what all cells have in common.
        axes: the keys that a sweep varies.
        card: of the data; a folder that does not say is for Derm7pt.
    """

    kind: str
    fingerprint: str
    config: Config
    card: DataCard
    axes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of grid.yaml."""
        fields = {"kind": self.kind, "data_fingerprint": self.fingerprint, "axes": list(self.axes)}
        of_card = {} if cards.is_derm7pt(self.card) else {"card": cards.to_dict(self.card)}
        return {**fields, **of_card, "configuration": configuration.to_dict(self.config)}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "Purpose":
        """Returns the purpose that `to_dict` gave."""
        config = configuration.from_dict(tree["configuration"])
        card = cards.from_dict(tree["card"], "card") if "card" in tree else cards.legacy()
        return cls(tree["kind"], tree["data_fingerprint"], config, card, tuple(tree["axes"]))

    def differences(self, other: "Purpose") -> list[str]:
        """Returns what `other` has otherwise, one phrase each."""
        found = [] if self.kind == other.kind else [f"a {self.kind} -> a {other.kind}"]
        found += _other_card(self.card, other.card)
        if self.fingerprint != other.fingerprint:
            found.append(f"data fingerprint: {self.fingerprint[:12]} -> {other.fingerprint[:12]}")
        if self.axes != other.axes:
            found.append(f"axes: {', '.join(self.axes)} -> {', '.join(other.axes)}")
        return found + configuration.differences(self.config, other.config)


def _other_card(one: DataCard, other: DataCard) -> list[str]:
    """Returns in what two cards differ: their names, or the sections."""
    if one == other:
        return []
    if one.name != other.name:
        return [f"card: {one.name} -> {other.name}"]
    trees = [cards.to_dict(card) for card in (one, other)]
    sections = [name for name in {**trees[0], **trees[1]} if trees[0].get(name) != trees[1].get(name)]
    return [f"card {one.name}: another {' and '.join(sections)}"]


class GridFolder:
    """The folder of a comparison or a sweep.

    Args:
        path: the folder; created by `lock`.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.grid_file = self.path / "grid.yaml"
        self.logs = self.path / "logs"

    def run_of(self, cell: Cell) -> RunFolder:
        """Returns the run folder of a cell."""
        return RunFolder(self.path / "runs" / cell.name)

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Holds the folder for this process; the lock ends with the process, however it ends.

        Raises:
            RunError: another process holds it, or the folder cannot be written.
        """
        return locked_runs(self.path / ".lock", self.path, str(self.path))

    def claim(self, purpose: Purpose) -> None:
        """Writes grid.yaml into a new folder; in an old one, checks that it is for the same.

        Raises:
            RunError: the folder is for something else; says what differs.
        """
        if not self.grid_file.exists():
            foreign = sorted(item.name for item in self.path.iterdir() if not item.name.startswith("."))
            if foreign:
                raise RunError(f"{self.path} holds {foreign[0]} and no {self.grid_file.name}: name another --out")
            write_text(self.grid_file, strict_yaml.dump(purpose.to_dict()), RunError)
            return
        differences = self._begun().differences(purpose)
        if differences:
            more = f"; and {len(differences) - MOST_DIFFERENCES} more" if len(differences) > MOST_DIFFERENCES else ""
            shown = "; ".join(differences[:MOST_DIFFERENCES])
            raise RunError(f"{self.path} was begun with something else ({shown}{more}): name another --out")

    def _begun(self) -> Purpose:
        try:
            text = configuration.read_text(self.grid_file)
        except ConfigError as error:
            raise RunError(str(error)) from error
        try:
            tree = strict_yaml.parse(text, "it")
        except ConfigError as error:
            raise RunError(f"{self.grid_file} is damaged: {error}") from error
        try:
            return Purpose.from_dict(tree)
        except (KeyError, TypeError) as error:
            raise RunError(f"{self.grid_file} is damaged: {one_line(error)}") from error
        except ConfigError as error:
            raise RunError(f"{self.grid_file}: {error}") from error


def method_names(words: Sequence[str]) -> tuple[str, ...]:
    """Returns the methods that are named; the single word "all" stands for every one of the registry.

    Raises:
        ConfigError: no such method, or one is named twice.
    """
    if tuple(words) == ("all",):
        return tuple(models.METHODS)
    for name in words:
        if name not in models.METHODS:
            raise ConfigError(f"unknown method {name!r}; known: {', '.join(models.METHODS)}, or all of them: all")
    refuse_repeated(words, "method")
    return tuple(words)


def comparison_cells(
    config: Config,
    methods: Sequence[str],
    seeds: Sequence[int],
    metadata: Sequence[str] = (),
    folds: int | None = None,
    also: Sequence[str] = (),
) -> list[Cell]:
    """Returns a cell for every method and seed, one seed after the other; with folds, one for each of them.

    Args:
        config: what they have in common; its method and seed do not matter.
        methods: names of the registry.
        seeds: not negative.
        metadata: columns; a method that takes metadata is there twice then, without and with these.
        folds: number of the folds, each left out once; None for the splits as they are.
        also: overrides, one or several in each text; the methods that read them all are there once more with each.

    Raises:
        ConfigError: a method cannot have this configuration, none reads the values of a text of `also` or they are
            those that all have, no method takes metadata, or a seed is named twice.
    """
    refuse_repeated(seeds, "seed")
    takers = [name for name in methods if models.METHODS[name].takes_metadata] if metadata else []
    if metadata and not takers:
        raise ConfigError(f"--metadata is for methods that take metadata; none of {', '.join(methods)} does")
    informed = configuration.from_dict(configuration.to_dict(config) | {"model": _with_metadata(config, metadata)})
    suffix = "".join(f"+{column}" for column in metadata)
    variants = [(method, "", config) for method in methods]
    variants += [
        (method, ending, one) for ending, one, readers in _changed(config, methods, also) for method in readers
    ]
    variants += [(method, suffix, informed) for method in takers]
    return [
        Cell(
            folder_name(f"{method}{ending}") + f"-seed{seed}{'' if fold is None else f'-fold{fold}'}",
            f"{method}{ending}",
            models.resolve(_in_fold(dataclasses.replace(common, method=method, seed=seed), fold)),
        )
        for seed in seeds
        for method, ending, common in variants
        for fold in ([None] if folds is None else range(folds))
    ]


def _changed(config: Config, methods: Sequence[str], also: Sequence[str]) -> list[tuple[str, Config, list[str]]]:
    """Returns each text of `also`, ready to follow a method's name, its configuration, and the methods that read it."""
    found: list[tuple[str, Config, list[str]]] = []
    for text in also:
        overrides = re.split(r"\s+(?=[a-z_.]+\s*=)", text.strip())
        keys = configuration.overridden_keys(overrides)
        for key in keys:
            if key in NOT_VARIED or key == "method":
                raise ConfigError(f"--also {text}: {key} cannot be varied: {NOT_VARIED.get(key, 'use --methods')}")
        one = configuration.changed(config, overrides)
        if one in [config, *(other for _, other, _ in found)]:
            raise ConfigError(f"--also {text} changes nothing, or is there twice")
        found.append((", " + ", ".join(overrides), one, _readers(one, methods, keys)))
    return found


def _readers(config: Config, methods: Sequence[str], keys: Sequence[str]) -> list[str]:
    """Returns the methods that read all of these keys.

    Raises:
        ConfigError: there is none; why not the first one.
    """
    readers, refused = [], []
    for method in methods:
        try:
            models.refuse_unread([dataclasses.replace(config, method=method)], keys)
        except ConfigError as error:
            refused.append(error)
        else:
            readers.append(method)
    if not readers:
        raise refused[0]
    return readers


def folder_name(text: str) -> str:
    """Returns a name that file systems take; with a digest where it cannot say all."""
    plain = re.sub(r"[^A-Za-z0-9.=+-]+", "_", text)
    if plain == text.replace(", ", "_") and len(plain) <= LONGEST_NAME:
        return plain
    return f"{plain[:LONGEST_NAME]}-{digests.of_bytes(text.encode())[:8]}"


def _in_fold(config: Config, fold: int | None) -> Config:
    return config if fold is None else dataclasses.replace(config, data=dataclasses.replace(config.data, fold=fold))


def _with_metadata(config: Config, metadata: Sequence[str]) -> dict[str, Any]:
    return {**configuration.to_dict(config)["model"], "metadata": list(metadata)}


def common_part(config: Config, **fixed: Any) -> Config:
    """Returns a configuration with the fields that the cells differ in set to the same for all; seed is one of them."""
    return dataclasses.replace(config, seed=0, **fixed)


def refuse_overrides(overrides: Sequence[str], keys: Mapping[str, str]) -> None:
    """Refuses overrides of keys that an option of its own is for.

    Args:
        overrides: strings such as "training.epochs=3".
        keys: key -> the option.

    Raises:
        ConfigError: names the key and the option.
    """
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key in keys:
            raise ConfigError(f"--set {key} has no meaning here: use {keys[key]}")


def refuse_repeated(items: Sequence[Any], what: str) -> None:
    """Raises ConfigError if an item is there twice; `what` says what it is."""
    for item in items:
        if list(items).count(item) > 1:
            raise ConfigError(f"{what} {item} is named twice")
