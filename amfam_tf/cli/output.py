"""How verbs write without rich: lines, JSON, and letters that a terminal does not have."""

import io
import sys

import click

from amfam_tf.text import ENCODING_ERRORS, ascii_json, visible

STRICT = ("strict", "surrogateescape", "backslashreplace")
"""What a stream does with letters that it does not have, unless the user has chosen (PYTHONIOENCODING)."""


def accept_all_letters() -> None:
    """Lets standard output and error show a letter that their encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in STRICT:
            stream.reconfigure(errors=ENCODING_ERRORS)


def echo(line: str = "", err: bool = False) -> None:
    """Prints one line, shown by `visible`."""
    click.echo(visible(line), err=err)


def echo_json(text: str) -> None:
    """Prints JSON text in ASCII: the same content, and no letter that a terminal obeys or does not have."""
    click.echo(ascii_json(text.removesuffix("\n")))
