"""The start-up benchmark: a process is measured, its failure is told, medians and goals are right."""

import click
import pytest

from benchmarks import startup
from benchmarks.startup import Taken


def test_a_process_is_measured():
    taken = startup.run(("--version",))
    assert taken.seconds > 0
    assert taken.processor > 0


def test_a_failed_process_is_told_with_its_words():
    with pytest.raises(click.ClickException, match="(?s)amfam-tf nonsense ended with 2:.*nonsense"):
        startup.run(("nonsense",))


def test_turns_alternate_and_medians_are_taken():
    called = []

    def side(name, values):
        values = iter(values)

        def call():
            called.append(name)
            value = next(values)
            return Taken(value, value / 10)

        return call

    taken = startup.alternate({"--help": side("a", [1, 5, 2]), "query": side("b", [7, 6, 8])}, 3)
    assert called == ["a", "b"] * 3
    assert taken == {"--help": Taken(2, 0.2), "query": Taken(7, 0.7)}


def test_rows_say_whether_the_goal_is_reached():
    rows = startup.rows_of({"--help": Taken(0.4, 0.3), "query": Taken(4.5, 1.0)})
    assert rows == [["--help", "0.40", "0.30", "0.5", "yes"], ["query", "4.50", "1.00", "4", "no"]]
