"""Protobuf's wire format, read field by field without building messages.

A parsed message of many small parts is up to 40 times as large as its bytes, and parsing it cannot be stopped. So the
parts of a message that comes from outside are counted first.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, GROUP_START, GROUP_END, FIXED32 = range(6)
_FIXED_LENGTHS = {FIXED64: 8, FIXED32: 4}
_LONGEST_VARINT = 10


class TooManyParts(Exception):  # noqa: N818
    """A message has more parts than are looked at."""


class Steps:
    """How many parts may still be looked at.

    Args:
        most: parts in all.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._left = most

    def take(self) -> None:
        """Counts one part.

        Raises:
            TooManyParts: that was one too many.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyParts


def fields(data: bytes, start: int, end: int, steps: Steps) -> Iterator[tuple[int, int, int, int]]:
    """Yields (number, wire type, start, end) of the fields in data[start:end]; stops at what is malformed.

    Of a group's content, each field counts and is yielded as if it stood outside: nothing of ours has groups.

    Raises:
        TooManyParts: there are more fields than `steps` allow.
    """
    position = start
    while position < end:
        steps.take()
        key, position = _varint(data, position, end)
        kind = key & 7
        if position < 0 or kind > FIXED32:
            return
        if kind == BYTES:
            length, position = _varint(data, position, end)
            following = position + length
        elif kind == VARINT:
            following = _varint(data, position, end)[1]
        else:
            following = position + _FIXED_LENGTHS.get(kind, 0)
        if position < 0 or not position <= following <= end:
            return
        yield key >> 3, kind, position, following
        position = following


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Returns a number and where it ends, (0, -1) if it does not."""
    value = 0
    for shift in range(0, 7 * _LONGEST_VARINT, 7):
        if position >= end:
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    return 0, -1
