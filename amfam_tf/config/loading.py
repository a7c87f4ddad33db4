"""Configurations from presets, files and overrides `section.key=value`, and back to YAML."""

import dataclasses
import importlib.resources
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from amfam_tf import strict_yaml
from amfam_tf.config.schema import OF_METHODS, Config, without_home
from amfam_tf.config.structure import structure, to_dict
from amfam_tf.errors import ConfigError
from amfam_tf.ranges import require
from amfam_tf.strict_yaml import shown


def preset_names() -> tuple[str, ...]:
    """Returns the names of the presets that come with the package."""
    folder = importlib.resources.files("amfam_tf") / "presets"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(preset: str = "paper", overrides: Iterable[str] = (), changes: Mapping[str, Any] | None = None) -> Config:
    """Returns the configuration of a preset with `changes` and then `section.key=value` overrides applied.

    Args:
        preset: a name from `preset_names()`, or the path of a YAML file.
        overrides: strings such as "training.epochs=3"; the value is read as YAML.
        changes: nested mapping of the same shape as the YAML; applied before `overrides`.

    Raises:
        ConfigError: unknown preset, key or impossible value.
    """
    return _with_overrides(merge(_read_preset(preset), changes or {}), overrides)


def changed(config: Config, overrides: Iterable[str]) -> Config:
    """Returns a configuration with `section.key=value` overrides applied.

    Raises:
        ConfigError: unknown key or impossible value.
    """
    return _with_overrides(to_dict(config), overrides)


def _with_overrides(tree: Mapping[str, Any], overrides: Iterable[str]) -> Config:
    for override in overrides:
        tree = merge(tree, _parse_override(override))
    return from_dict(tree)


def from_dict(tree: Mapping[str, Any]) -> Config:
    """Returns the configuration of a nested mapping; absent keys take their defaults.

    Raises:
        ConfigError: unknown key or impossible value; names the dotted key.
    """
    return structure(dict(tree), Config, "")


def dump(config: Config) -> str:
    """Returns the configuration as YAML, complete, in the order of definition."""
    return strict_yaml.dump(to_dict(config))


def read(path: Path) -> Config:
    """Returns the configuration of a YAML file.

    Raises:
        ConfigError: the file cannot be read or has unknown keys or impossible values; names the file.
    """
    return from_dict(_read_preset(path))


def read_text(path: Path) -> str:
    """Returns the text of a configuration file.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {path}: it is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def differences(old: Config, new: Config) -> list[str]:
    """Returns one line "key: old -> new" for each value that differs."""
    old_flat, new_flat = _flatten(to_dict(old)), _flatten(to_dict(new))
    return [f"{key}: {old_flat[key]} -> {new_flat[key]}" for key in old_flat if old_flat[key] != new_flat[key]]


def overridden_keys(overrides: Iterable[str]) -> list[str]:
    """Returns the dotted keys that overrides give a value, in order.

    Raises:
        ConfigError: an override is not of the form section.key=value.
    """
    return [key for override in overrides for key in _flatten(_parse_override(override))]


def asked_keys(preset: str | Path, overrides: Iterable[str] = (), method: str | None = None) -> list[str]:
    """Returns the dotted keys of OF_METHODS that somebody asks of one method.

    Those are the overridden ones, and those that a file gives a value beside its own method. A preset of the package
    serves all methods, and so does a file beside which another method is chosen. Of a file that names every section, as
    `dump` writes it, only values count that no preset of the package has: nobody has chosen the others.

    Args:
        preset: as for `load`, which has taken it, or the path of any file that `read` has taken.
        overrides: as for `load`.
        method: that is chosen beside the preset; None leaves its own.
    """
    asked = [*overridden_keys(overrides), *(() if method is None else ("method",))]
    if "method" not in asked and preset not in preset_names():
        tree = _read_preset(preset)
        named = _flatten(tree)
        if tree.keys() >= {item.name for item in dataclasses.fields(Config)}:
            common = [_flatten(to_dict(load(name))) for name in preset_names()]
            named = {key: value for key, value in named.items() if all(value != one[key] for one in common)}
        asked = [*named, *asked]
    return [key for key in asked if key in OF_METHODS]


def value_at(config: Config, key: str) -> Any:
    """Returns the value of a dotted key that exists, as YAML has it."""
    value: Any = to_dict(config)
    for part in key.split("."):
        value = value[part]
    return value


def as_text(value: Any) -> str:
    """Returns a value of the configuration as an override would take it."""
    return value if isinstance(value, str) else json.dumps(value)


def _read_preset(preset: str | Path) -> dict[str, Any]:
    if isinstance(preset, Path):
        return _read_yaml(read_text(preset), str(preset))
    if preset in preset_names():
        resource = importlib.resources.files("amfam_tf") / "presets" / f"{preset}.yaml"
        return _read_yaml(resource.read_text(encoding="utf-8"), f"preset {preset}")
    path = Path(without_home(preset))
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return _read_preset(path)
    raise ConfigError(f"unknown preset {preset!r}: it is none of {', '.join(preset_names())} and no YAML file")


def _read_yaml(text: str, source: str) -> dict[str, Any]:
    tree = strict_yaml.parse(text, source)
    if tree is None:
        return {}
    require(isinstance(tree, dict), f"{source} must be a mapping of sections. Received: {type(tree).__name__}")
    return tree


def _parse_override(override: str) -> dict[str, Any]:
    key, separator, text = override.partition("=")
    require(bool(separator) and bool(key), f"override {shown(override)} is not of the form section.key=value")
    value = strict_yaml.parse(text, f"override {shown(override)}: the value")
    for part in reversed(key.strip().split(".")):
        value = {part: value}
    return value


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a nested mapping with the values of another one in place of its own."""
    merged = dict(base)
    for key, value in change.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
