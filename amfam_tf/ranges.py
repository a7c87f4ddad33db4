"""Which values a number of a configuration may have, declared beside its default and checked from there."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from amfam_tf.errors import ConfigError
from amfam_tf.strict_yaml import shown

_KEY = "range"
_LENGTH = "length"


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, both ends included unless `open_low`.

    Attributes:
        low: smallest value, or what every value is greater than.
        high: largest value.
        open_low: `low` itself is outside.
    """

    low: float
    high: float
    open_low: bool = False

    def __contains__(self, value: float) -> bool:
        """Says whether a number is inside; NaN never is."""
        return (self.low < value if self.open_low else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        """Returns e.g. "from 1 to 8", or "greater than 0, at most 0.5"."""
        low, high = _digits(self.low), _digits(self.high)
        return f"greater than {low}, at most {high}" if self.open_low else f"from {low} to {high}"


def _digits(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def bounded(default: Any, low: float, high: float, *, open_low: bool = False, length: Range | None = None) -> Any:
    """Returns a dataclass field for a number, a number or None, or a tuple of numbers.

    Args:
        default: of the field.
        low, high: smallest and largest value, see `Range`.
        open_low: `low` itself is outside.
        length: of a tuple.
    """
    metadata = {_KEY: Range(low, high, open_low)} | ({} if length is None else {_LENGTH: length})
    return field(default=default, metadata=metadata)


def range_of(item: Any) -> Range | None:
    """Returns the range of a dataclass field; None if it is no number."""
    return item.metadata.get(_KEY)


def length_of(item: Any) -> Range | None:
    """Returns the range of the length of a dataclass field; None if none is declared."""
    return item.metadata.get(_LENGTH)


def require(condition: bool, message: str) -> None:
    """Raises ConfigError with a message unless a condition holds."""
    if not condition:
        raise ConfigError(message)


def check(section: Any, name: str) -> None:
    """Checks every number of a dataclass against its range.

    Args:
        section: the instance.
        name: of it in messages, e.g. "data"; "" for the root.

    Raises:
        ConfigError: names the first key whose value is outside.
    """
    for item in fields(section):
        value, key = getattr(section, item.name), f"{name}.{item.name}" if name else item.name
        length, limits = length_of(item), range_of(item)
        if length is not None and len(value) not in length:
            raise ConfigError(f"{key} must have {length} values. Received: {shown(list(value))}")
        if limits is None:
            continue
        for number, place in _numbers(value, key):
            if number not in limits:
                more = ", or null" if item.default is None or "None" in str(item.type) else ""
                raise ConfigError(f"{place} must be {limits}{more}. Received: {shown(number)}")


def _numbers(value: Any, key: str) -> Iterator[tuple[float, str]]:
    if isinstance(value, tuple):
        yield from ((number, f"{key}[{index}]") for index, number in enumerate(value))
    elif value is not None:
        yield value, key
