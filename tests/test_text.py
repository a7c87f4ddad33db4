"""What is printed cannot act: not on a terminal, not in a log, not on the order of letters."""

import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amfam_tf.text import LineFormatter, ascii_json, visible

ANY_TEXT = st.text(st.characters(codec=None))  # half surrogates too


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Ä é 漢字 🙂, e\u0301", "plain Ä é 漢字 🙂, e\u0301"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b2J", "\\x9b2J"),
        ("\x7f\x00\x07\x08", "\\x7f\\x00\\x07\\x08"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("\u2066\u2069\u200e\u061c", "\\u2066\\u2069\\u200e\\u061c"),
        ("a\u200bb\ufeff\u00ad", "a\\u200bb\\ufeff\\xad"),
        ("\u2028\u2029\u0085", "\\u2028\\u2029\\x85"),
        ("\U000e0041", "\\U000e0041"),
        ("\udce9.jpg", "\\xe9.jpg"),
        ("\ud800", "\\ud800"),
        ("no-break\u00a0space", "no-break\u00a0space"),
    ],
)
def test_what_acts_is_written_out_and_the_rest_stays(text, shown):
    assert visible(text) == shown


@given(ANY_TEXT)
def test_nothing_that_acts_is_left_and_twice_is_once(text):
    shown = visible(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", shown)
    assert visible(shown) == shown
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(ANY_TEXT)
def test_line_ends_can_be_kept(text):
    assert visible(text, keep="\n") == "\n".join(visible(line) for line in text.split("\n"))


@given(st.recursive(ANY_TEXT | st.integers(), lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_json_in_ascii_has_the_same_content(value):
    text = ascii_json(json.dumps({"a": value}, ensure_ascii=False, indent=2))
    assert json.loads(text) == {"a": json.loads(json.dumps(value))}
    assert re.fullmatch(r"[\n -~]*", text)


@pytest.fixture
def log():
    """A logger, and the lines that it has written."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler = Kept()
    handler.setFormatter(LineFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, lines


def test_a_log_entry_is_one_line(log):
    logger, lines = log
    logger.warning("model %s", "a\n2026-11-29 12:00:00 INFO forged \x1b[2J\r")
    assert lines == ["WARNING model a\\n2026-11-29 12:00:00 INFO forged \\x1b[2J\\r"]


def test_a_traceback_cannot_look_like_an_entry(log):
    logger, lines = log
    try:
        raise ValueError("first\nINFO forged\x1b[2J")
    except ValueError:
        logger.exception("broken", stack_info=True)
    first, *rest = lines[0].split("\n")
    assert first == "ERROR broken"
    assert all(line.startswith("    ") for line in rest)
    assert "    INFO forged\\x1b[2J" in rest
