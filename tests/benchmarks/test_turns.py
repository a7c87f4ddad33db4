import sys

import numpy as np
import pytest

from benchmarks import turns, wire


def test_sides_take_turns():
    order = []
    sides = {name: lambda name=name: order.append(name) or float(len(order)) for name in ("A", "B")}
    results = turns.take_turns(sides, 3)
    assert order == ["A", "B", "A", "B", "A", "B"]
    assert results == {"A": [1.0, 3.0, 5.0], "B": [2.0, 4.0, 6.0]}


def test_median_is_not_moved_by_one_slow_turn():
    assert turns.medians({"A": [1.0, 100.0, 2.0], "B": [1.0, 2.0]}) == {"A": 2.0, "B": 1.5}


def test_table_is_markdown():
    assert turns.table(["side", "s"], [["A", "1"]]) == "| side | s |\n| --- | --- |\n| A | 1 |"


@pytest.fixture
def echo(tmp_path):
    """A side whose module prints to standard output between answers."""
    (tmp_path / "echo_side.py").write_text(
        "from benchmarks import wire\n"
        "def double(value):\n"
        "    print('noise of a library')\n"
        "    return 2 * value\n"
        "def end():\n"
        "    raise SystemExit(3)\n"
        "wire.answer({'double': double, 'end': end})\n"
    )
    path = f"{wire.ROOT}:{tmp_path}"
    with wire.Side("echo", sys.executable, "echo_side", environment={"PYTHONPATH": path}) as side:
        yield side


def test_side_answers_in_spite_of_noise(echo):
    assert echo.ask("double", value=21) == 42
    assert echo.ask("double", value=[1]) == [1, 1]


def test_side_that_fails_says_so_and_goes_on(echo):
    with pytest.raises(wire.SideError, match="echo: TypeError"):
        echo.ask("double", value=None)
    assert echo.ask("double", value=1) == 2


def test_side_that_ends_is_an_error(echo):
    with pytest.raises(wire.SideError, match="echo has ended with code 3"):
        echo.ask("end")


def test_peak_memory_grows_with_what_is_held():
    before = wire.peak_memory_gib()
    held = np.ones(2**26)  # 0.5 GiB
    assert wire.peak_memory_gib() > before + 0.2 or before > 0.5 * held.nbytes / 2**30
