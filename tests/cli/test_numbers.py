"""Every number that a verb takes, at and past its ends: wrong usage is one error that names the option, and status 2.

Made from the commands themselves; an option whose number has no ends fails here.
"""

from collections.abc import Iterator

import click
import pytest

from amfam_tf.cli import main as command_line
from amfam_tf.cli.options import Seeds
from amfam_tf.cli.synth import PictureSize
from amfam_tf.config import LARGEST_SEED
from amfam_tf.data.synthetic.data_set import LIMITS

WITH_RANGES_OF_ITS_OWN = {"serve"}
"""`ServerOptions` checks these together."""


def options() -> Iterator[tuple[str, click.Option]]:
    context = click.Context(command_line.amfam_tf)
    for verb in command_line.VERBS:
        command = command_line.amfam_tf.get_command(context, verb)
        for parameter in command.params:
            if isinstance(parameter.type, (click.types.IntParamType, click.types.FloatParamType)):
                yield verb, parameter


NUMBERS = [(verb, option) for verb, option in options() if verb not in WITH_RANGES_OF_ITS_OWN]
numbers = pytest.mark.parametrize(
    ("verb", "option"), NUMBERS, ids=[f"{verb}-{option.name}" for verb, option in NUMBERS]
)


def ends(option: click.Option) -> tuple[float, float, float]:
    kind = option.type
    return kind.min, kind.max, 1 if isinstance(kind, click.types.IntParamType) else 1e-9


def refused(capsys, *words: str) -> None:
    assert command_line.main(words) == 2
    said = capsys.readouterr().err
    assert "Usage: amfam-tf" in said
    assert f"Invalid value for '{words[1]}'" in said
    assert "Traceback" not in said


def test_options_with_numbers_are_found():
    assert len(NUMBERS) >= 18
    assert {verb for verb, _ in NUMBERS} >= {"synth", "ingest", "query", "batch-predict", "compare"}


@numbers
def test_both_ends_are_declared_and_taken(verb, option):
    del verb
    low, high, _ = ends(option)
    assert low is not None
    assert high is not None
    for value in (low, high):
        if not (option.type.min_open and value == low):
            assert option.type.convert(str(value), option, None) == value


@numbers
def test_past_the_ends_is_wrong_usage(verb, option, capsys):
    low, high, step = ends(option)
    for value in (low if option.type.min_open else low - step, high + step, -(10**30), 10**30):
        refused(capsys, verb, option.opts[0], repr(value))


@numbers
def test_what_is_no_number_is_wrong_usage(verb, option, capsys):
    whole = isinstance(option.type, click.types.IntParamType)
    for text in ("", "x", "nan", "inf", "-inf", "0x10", "1:30", "9" * 5000, *(("1.5",) if whole else ())):
        refused(capsys, verb, option.opts[0], text)


@pytest.mark.parametrize("text", ["", "x", "-1", "0,", "1.5", "010", "1_0", str(LARGEST_SEED + 1), "9" * 5000, "nan"])
@pytest.mark.parametrize("verb", ["compare", "sweep"])
def test_seeds_that_cannot_be_are_wrong_usage(verb, text, capsys):
    refused(capsys, verb, "--seeds", text)


def test_seeds_at_the_ends():
    assert Seeds().convert(f"0,{LARGEST_SEED}", None, None) == (0, LARGEST_SEED)


@pytest.mark.parametrize(
    "text", ["", "x", "0x0", "31x100", "100x31", "8193x100", "100x8193", "-5x100", "1e3x100", "9" * 5000]
)
def test_sizes_that_cannot_be_are_wrong_usage(text, capsys):
    refused(capsys, "synth", "--size", text)


def test_limits_of_a_drawing_are_those_of_the_command_line():
    size = PictureSize()
    assert LIMITS["width"] == LIMITS["height"] == (size.low, size.high)
    assert size.convert("32x8192", None, None) == (32, 8192)
    cases = next(option.type for verb, option in NUMBERS if (verb, option.name) == ("synth", "cases"))
    assert LIMITS["cases"] == (cases.min, cases.max)
