"""A raw value of a metadata column as its card means it, and how a signature calls and takes the column."""

import keyword
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from amfam_tf.card.schema import MetadataColumn
from amfam_tf.errors import DataError

NUMBER = r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]{1,2})?"
"""Decimal digits with a point or a decimal comma; also in RE2's language."""
LONGEST_NUMBER = 39
UNKNOWN = ""
"""Stands for a value that nobody knows."""
_NUMBER = re.compile(NUMBER)
_TAKEN = frozenset({"clinical", "dermoscopic", "task", "class_name", "examples", "anything", "self"})
"""Names of inputs that signatures have already; `self` cannot be given by name in Python."""
_PREFIX = "metadata_"

Given = str | float | None
"""A value as somebody gives it: text or a number; "", None and NaN are unknown."""


def number(raw: str) -> float:
    """Returns the number that a field spells in decimal digits, with a point or a decimal comma; NaN for none."""
    text = raw.strip()
    if len(text) > LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return math.nan
    return float(text.replace(",", "."))


def in_table(column: MetadataColumn, raw: str | None) -> str | None:
    """Returns what a field of a table means: the name of a value, or a number as text; "" where nobody knows.

    None: it is neither. Small and large letters and spaces count.
    """
    if raw is None or raw in column.missing:
        return UNKNOWN
    if column.range is None:
        return next((name for name, group in column.raw_values.items() if raw in group), None)
    return f"{number(raw):g}" if column.range[0] <= number(raw) <= column.range[1] else None


def labels(column: MetadataColumn) -> dict[str, str]:
    """Returns what may be given for a column of values: raw values, those that mean unknown, and names, to names."""
    raw = {label: name for name, group in column.raw_values.items() for label in group}
    return dict.fromkeys((UNKNOWN, *column.missing), UNKNOWN) | {name: name for name in column.raw_values} | raw


def ambiguous(columns: Mapping[str, MetadataColumn]) -> Iterator[str]:
    """Tells each name of a value that is also a raw value of another one, or of what nobody knows."""
    for column, one in columns.items():
        means = labels(one) | dict.fromkeys(one.missing, UNKNOWN)
        yield from (f"metadata.{column}.values: {name}" for name in one.raw_values if means[name] != name)


def given(name: str, column: MetadataColumn, value: Given) -> str:
    """Returns what is given for a column: the name of a value or a number as text; "" where nobody knows.

    Raises:
        DataError: none of the values, or no number in the range.
    """
    # NaN is the only value that is not equal to itself.
    raw = UNKNOWN if value is None or value != value else value if isinstance(value, str) else f"{value:g}"
    found = UNKNOWN if raw == UNKNOWN else in_table(column, raw)
    if found is None and column.range is None:
        found = labels(column).get(raw)
    if found is None:
        raise DataError(f"{name}: the value {raw} is {allowed(column)}")
    return found


def as_inputs(
    columns: Mapping[str, MetadataColumn], rows: Sequence[Mapping[str, Given]]
) -> dict[str, list[str] | list[float]]:
    """Returns what signatures are given for rows of metadata, by the name of the input; NaN is an unknown number.

    Args:
        columns: that the model takes, by name.
        rows: what is known, by column; more is ignored.

    Raises:
        DataError: a value that cannot be.
    """
    found: dict[str, list[str] | list[float]] = {}
    for name, column in columns.items():
        texts = [given(name, column, row.get(name)) for row in rows]
        found[input_name(name)] = texts if column.range is None else [float(text or math.nan) for text in texts]
    return found


def allowed(column: MetadataColumn) -> str:
    """Returns what a value has to be, to complete "the value x is ..."."""
    if column.range is not None:
        return "no number from {:g} to {:g}".format(*column.range)
    written = (_with_labels(name, group) for name, group in column.raw_values.items())
    return f"none of: {', '.join(written)}"


def input_name(column: str) -> str:
    """Returns the name of the input of signatures for a column; no two columns have the same.

    It is the column's own, unless that is no name of an argument in Python or another input's.
    """
    usable = column.isidentifier() and not keyword.iskeyword(column) and column not in _TAKEN
    return column if usable and not column.startswith(_PREFIX) else f"{_PREFIX}{column}"


def _with_labels(name: str, group: Iterable[str]) -> str:
    others = [label for label in group if label != name]
    return f"{name} ({', '.join(others)})" if others else name
