"""Metadata columns as numbers for a network: which ones a card lets in, how long they are, what they become."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from amfam_tf.card.schema import DataCard
from amfam_tf.errors import ConfigError, DataError

NUMBER_WIDTH = 2
"""A number is two: its value, 0 if nobody knows it, and 1 if nobody knows it."""


@dataclass(frozen=True)
class MetadataInput:
    """A column that a network is given beside the pictures.

    Attributes:
        name: of the column.
        values: of a column of values, in the order of their one-hot; () for a number. Unknown is all zeros.
        range: of a number, lowest and highest.
    """

    name: str
    values: tuple[str, ...] = ()
    range: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """Returns how many numbers the column becomes."""
        return len(self.values) if self.values else NUMBER_WIDTH

    def encode(self, raw: str) -> list[float]:
        """Returns the numbers of one value; "" is unknown. A number is not standardised here but in the network.

        Raises:
            DataError: none of the values, or no number in the range.
        """
        if self.values:
            if raw not in ("", *self.values):
                raise DataError(f"{self.name} {raw!r} is none of {list(self.values)}")
            return [float(raw == value) for value in self.values]
        if raw == "":
            return [0.0, 1.0]
        try:
            number = float(raw)
        except ValueError:
            number = np.nan
        low, high = self.range
        if not low <= number <= high:
            raise DataError(f"{self.name} {raw!r} is no number from {low:g} to {high:g}")
        return [number, 0.0]


def same_inputs(one: DataCard, other: DataCard, columns: Sequence[str]) -> bool:
    """Returns whether two cards have the same values and ranges of these columns of `model.metadata`.

    Raises:
        ConfigError: a column that one of them does not have, or does not let in.
    """
    return inputs_of(one, columns) == inputs_of(other, columns)


def inputs_of(card: DataCard, columns: Sequence[str]) -> tuple[MetadataInput, ...]:
    """Returns the columns of `model.metadata` as the card has them, in this order.

    Raises:
        ConfigError: a column that the card does not have, or does not let in.
    """
    known = [name for name, column in card.metadata.items() if column.input]
    for number, name in enumerate(columns):
        if name not in known:
            kept_out = card.metadata.get(name)
            reason = ""
            if kept_out is not None:
                reason = f", which is no input{f' ({kept_out.reason})' if kept_out.reason else ''}"
            names = ", ".join(known) or "none, as there are no such columns"
            raise ConfigError(
                f"model.metadata[{number}] must be one of {names} (card {card.name}). Received: {name!r}{reason}"
            )
    return tuple(
        MetadataInput(name, tuple(card.metadata[name].raw_values), tuple(card.metadata[name].range or ()))
        for name in columns
    )


def width(inputs: Iterable[MetadataInput]) -> int:
    """Returns the length of the vector of all columns."""
    return sum(one.width for one in inputs)


def number_places(inputs: Iterable[MetadataInput]) -> tuple[int, ...]:
    """Returns where in that vector the values of numbers stand."""
    places, place = [], 0
    for one in inputs:
        places += [] if one.values else [place]
        place += one.width
    return tuple(places)


def encode(inputs: Sequence[MetadataInput], rows: Iterable[Mapping[Any, Any]]) -> np.ndarray:
    """Returns the vector of each row, float32 [rows, width].

    Args:
        inputs: at least one column.
        rows: with the value of each column as text; None or NaN is unknown as "" is. case_num is for messages.

    Raises:
        DataError: a value that cannot be; names the case.
    """
    vectors = []
    for row in rows:
        # NaN is the only value that is not equal to itself.
        texts = {one.name: row[one.name] for one in inputs}
        raw = {name: "" if value is None or value != value else str(value) for name, value in texts.items()}
        try:
            vectors.append([number for one in inputs for number in one.encode(raw[one.name])])
        except DataError as error:
            raise DataError(f"case {row['case_num']}: {error}") from error
    return np.array(vectors, np.float32)


def warning(card: DataCard, columns: Iterable[str]) -> str | None:
    """Returns what to tell whoever gives these columns to a network, one sentence; None for nothing."""
    leaking = [name for name in columns if card.metadata[name].follows_from is not None]
    if not leaking:
        return None
    titles = dict.fromkeys(card.task(str(card.metadata[name].follows_from)).title for name in leaking)
    return (
        f"the network is given {' and '.join(leaking)}, decided from the {' and the '.join(titles)}: it can answer "
        "without looking at a picture, and its results are not comparable with those of pictures alone "
        "(docs/data_card.md)"
    )
