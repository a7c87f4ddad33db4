"""h11's parser without its leniencies: what a proxy in front could read otherwise is refused.

h11 takes bare line feeds, folded lines, equal Content-Length headers twice, Content-Length beside chunked, any chunk
extension and any version of HTTP. Its readers take all lines from its receive buffer, and here that buffer looks at
them first. The buffer is private to h11: setup.cfg holds h11 to the versions for which the tests have passed.
"""

import re
from typing import Any

import h11
from h11._receivebuffer import ReceiveBuffer

LONGEST_HEAD_BYTES = 1 << 16
MOST_HEADERS = 100
LONGEST_EXTENSIONS_BYTES = 4096
BAD_REQUEST, TOO_MANY, LONG_TARGET, LONG_HEAD = 400, 429, 414, 431

_REQUEST_LINE = re.compile(rb"[!-~]+ [!-~]+ HTTP/1\.([01])\r")
_START_OF_REQUEST_LINE = re.compile(rb"[!-~][ -~]*\r?")
_NOT_IN_A_HEAD = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CHUNK_HEADER = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t -~]*)?\r\n")
_LENGTH, _CODING = b"content-length", b"transfer-encoding"


class StrictConnection(h11.Connection):
    """The server's side of a connection.

    Args:
        longest_body: bytes; a longer chunk is refused by its head.

    Attributes:
        failure: HTTP status and text of what is wrong, once `next_event` has raised RemoteProtocolError.
    """

    _receive_buffer: "_StrictBuffer"

    def __init__(self, longest_body: int) -> None:
        super().__init__(h11.SERVER, LONGEST_HEAD_BYTES)
        self.failure = (BAD_REQUEST, "")
        self._receive_buffer = _StrictBuffer(longest_body)

    @property
    def has_input(self) -> bool:
        """Says whether bytes have arrived that belong to no event yet."""
        return bool(self._receive_buffer)

    def next_event(self) -> Any:
        """As h11's, but the end of the client's side is no event: it shows in `their_state`."""
        self._receive_buffer.at_head = self.their_state is h11.IDLE
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            hint = error.error_status_hint
            status = hint if hint in (TOO_MANY, LONG_TARGET, LONG_HEAD) else BAD_REQUEST
            self.failure = (status, str(error) if status == TOO_MANY else f"Invalid HTTP request: {error}")
            raise
        return h11.NEED_DATA if type(event) is h11.ConnectionClosed else event


class _StrictBuffer(ReceiveBuffer):
    """Hands out only lines that have one meaning.

    Attributes:
        at_head: whether the next lines are the head of a request; else they are the trailers of a chunked body.
    """

    def __init__(self, longest_body: int) -> None:
        super().__init__()
        self.at_head = True
        self._longest_body = longest_body
        self._extensions = 0

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Returns the lines of a head or of trailers, None if they are not complete.

        Raises:
            LocalProtocolError: a line that h11 would take and others could read differently.
        """
        raw = bytes(self._data[: LONGEST_HEAD_BYTES + 1])
        if self.at_head:
            self._extensions = 0
            _check_request_line(raw)
        before = len(self)
        lines = super().maybe_extract_lines()
        length = before if lines is None else before - len(self)
        if length > LONGEST_HEAD_BYTES:
            raise h11.LocalProtocolError("the head is too long", LONG_HEAD if b"\n" in raw else LONG_TARGET)
        if lines is None:
            return None
        if len(lines) > MOST_HEADERS + 1:
            raise h11.LocalProtocolError("too many headers", LONG_HEAD)
        wrong = _NOT_IN_A_HEAD.search(raw, 0, length)
        if wrong:
            raise h11.LocalProtocolError(f"{wrong[0]!r} cannot stand there in a head")
        if self.at_head:
            _check_framing(lines)
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        """Returns the line before a chunk, None if it is not complete.

        Raises:
            LocalProtocolError: its length is no plain hexadecimal number or too large, or extensions are too long.
        """
        line = super().maybe_extract_next_line()
        if line is None:
            return None
        match = _CHUNK_HEADER.fullmatch(line)
        if match is None:
            raise h11.LocalProtocolError("the length of a chunk is not a number")
        if int(match[1], 16) > self._longest_body:
            raise h11.LocalProtocolError(too_long(self._longest_body), TOO_MANY)
        self._extensions += len(match[2] or b"")
        if self._extensions > LONGEST_EXTENSIONS_BYTES:
            raise h11.LocalProtocolError("the chunks' extensions are too long")
        return line


def too_long(limit: int) -> str:
    """Returns the text about a body of more than `limit` bytes."""
    return f"the request is longer than {limit} bytes"


def _check_request_line(raw: bytes) -> None:
    """Looks at a request line as soon as there is any of it: what is none may never end."""
    line, end, _ = raw.partition(b"\n")
    shape = _REQUEST_LINE if end else _START_OF_REQUEST_LINE
    if raw and not shape.fullmatch(line):
        raise h11.LocalProtocolError("no request line of HTTP/1.1 or HTTP/1.0")


def _check_framing(lines: list[bytearray]) -> None:
    """Refuses a head that says more than once, or not in HTTP's way, where the body ends."""
    fields = [(name.lower(), value) for name, _, value in (line.partition(b":") for line in lines[1:])]
    lengths = [value for name, value in fields if name == _LENGTH]
    codings = [value for name, value in fields if name == _CODING]
    if len(lengths) + len(codings) > 1:
        raise h11.LocalProtocolError("more than one header says where the body ends")
    if lengths and b"," in lengths[0]:
        raise h11.LocalProtocolError("Content-Length is not one number")
    if codings and lines[0].endswith(b"HTTP/1.0"):
        raise h11.LocalProtocolError("HTTP/1.0 has no Transfer-Encoding")
    if lines[0].startswith(b"CONNECT "):
        # h11 would take whatever follows for the tunnel's.
        raise h11.LocalProtocolError("CONNECT is for proxies")
