"""A dataclass tree from plain values by its types, and back: every key known, no silent conversion but int to float."""

import dataclasses
import math
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from amfam_tf.ranges import require
from amfam_tf.strict_yaml import shown


def to_dict(part: Any) -> Any:
    """Returns a dataclass tree as plain dicts, lists and scalars, complete, in the order of definition."""
    if dataclasses.is_dataclass(part):
        return {item.name: to_dict(getattr(part, item.name)) for item in dataclasses.fields(part)}
    if isinstance(part, Mapping):
        return {key: to_dict(value) for key, value in part.items()}
    return [to_dict(item) for item in part] if isinstance(part, tuple) else part


def structure(value: Any, kind: Any, key: str) -> Any:
    """Returns `value` as `kind`, strictly: no silent conversion but int to float."""
    if dataclasses.is_dataclass(kind):
        return _structure_section(value, kind, key)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return None if value is None else structure(value, inner, key)
    if origin is Literal:
        allowed = ", ".join(map(str, arguments))
        fits = isinstance(value, str) and value in arguments
        require(fits, f"{key} must be one of {allowed}. Received: {shown(value)}")
        return value
    if origin is tuple:
        return _structure_tuple(value, arguments, key)
    return _structure_scalar(value, kind, key)


def _structure_section(value: Any, kind: Any, key: str) -> Any:
    require(isinstance(value, Mapping), f"{key} is a section: set one of its keys, e.g. {key}.KEY=value")
    hints = get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    prefix = f"{key}." if key else ""
    for name in value:
        known = ", ".join(names)
        require(name in names, f"unknown configuration key {prefix}{_word(name)}; known here: {known}")
    return kind(**{name: structure(item, hints[name], f"{prefix}{name}") for name, item in value.items()})


def _structure_tuple(value: Any, arguments: tuple[Any, ...], key: str) -> tuple[Any, ...]:
    require(isinstance(value, list | tuple), f"{key} must be a list. Received: {shown(value)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(structure(item, arguments[0], f"{key}[{index}]") for index, item in enumerate(value))
    require(len(value) == len(arguments), f"{key} must have {len(arguments)} values. Received: {shown(value)}")
    pairs = zip(value, arguments, strict=True)
    return tuple(structure(item, kind, f"{key}[{index}]") for index, (item, kind) in enumerate(pairs))


def _structure_scalar(value: Any, kind: type, key: str) -> Any:
    if kind is float:
        return _structure_float(value, key)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    require(fits, f"{key} must be {_KINDS[kind]}. Received: {shown(value)}")
    if kind is str:
        require(value.isprintable(), f"{key} must not hold control characters. Received: {shown(value)}")
    return value


_KINDS = {bool: "true or false", int: "a whole number in decimal digits", str: "text (in quotes if it looks like else)"}


def _structure_float(value: Any, key: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    require(math.isfinite(number), f"{key} must be a finite number. Received: {shown(value)}")
    return number


def _word(key: Any) -> str:
    return key if isinstance(key, str) and key.isprintable() and len(key) < 80 else shown(key)
