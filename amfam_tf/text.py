"""What is printed, whoever wrote it: text of tables, file names, requests and servers as one line that cannot act.

A terminal obeys escape sequences, a log takes a line end for a new entry, and marks of direction turn a name around.
`visible` shows such characters as Python would write them, e.g. \\x1b and \\u202e.
"""

import codecs
import logging
import re
import unicodedata
from typing import Any

_WRITTEN = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN = {"█": "#", "±": "+/-", "·": "-", "–": "-", "−": "-", "…": ".", "×": "x", "━": "-", "╸": "-", "╺": "-"}
"""Stand for what our own lines hold, on a terminal that has no such letter."""
ENCODING_ERRORS = "amfam-visible"
"""Error handler of a stream: letters that its encoding does not have are shown as by `visible`."""


def visible(text: str, keep: str = "") -> str:
    """Returns the text with every character that is not printed as itself written out, e.g. "\\\\x1b".

    Written out are controls (C0, C1, DEL), marks of direction and others without a width, line and paragraph
    separators, half surrogates (bytes of file names that are no letters), and what no font knows.

    Args:
        text: anything.
        keep: characters to leave as they are, e.g. a line end.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one in keep or one.isprintable() or unicodedata.category(one) == "Zs" else written_out(one)
        for one in text
    )


def written_out(character: str) -> str:
    """Returns a character as Python writes it, e.g. "\\\\u202e"; of half a surrogate pair, the byte that it is."""
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # how Python holds a byte of a file name that is no letter
        return f"\\x{number - 0xDC00:02x}"
    if character in _WRITTEN:
        return _WRITTEN[character]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def ascii_json(text: str) -> str:
    """Returns JSON text with everything but printed ASCII and line ends as JSON's own escapes: the same content."""

    def escape(match: re.Match[str]) -> str:
        units = match.group().encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))

    return re.sub(r"[^\n -~]", escape, text)


class LineFormatter(logging.Formatter):
    """Formats a log entry so that nothing in it can look like another entry: one line, a traceback indented below."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Returns the entry's own line."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """Returns the traceback."""
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Returns the stack."""
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"    {visible(line)}" for line in text.split("\n"))


def _encodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    piece = error.object[error.start : error.end]
    return "".join(_PLAIN.get(character) or written_out(character) for character in piece), error.end


codecs.register_error(ENCODING_ERRORS, _encodable)
