"""The estimate of the time left, and the line that changes."""

import dataclasses

import pytest
from rich.console import Console
from small import small_config

from amfam_tf.comparison.children import Snapshot
from amfam_tf.comparison.grid import GridFolder, comparison_cells
from amfam_tf.comparison.progress import GridProgress, describe_seconds, seconds_left
from amfam_tf.runs.folder import RunState


def test_seconds_left_by_hand():
    left = [("slow", 10), ("fast", 5), ("new", 2)]
    timed = {"slow": [100.0, 8.0, 8.0], "fast": [2.0, 2.0], "new": []}
    # Medians 8 and 2; the new one takes their mean, 5.
    assert seconds_left(left, timed) == 10 * 8 + 5 * 2 + 2 * 5
    assert seconds_left(left, timed, at_once=2) == 50
    assert seconds_left(left, timed, other_seconds=[10.0, 20.0]) == 100 + 3 * 15
    assert seconds_left(left, {"slow": []}) is None
    assert seconds_left([], timed) == 0


def test_what_is_fitted_in_one_go_tells_nothing_about_epochs_of_training():
    left, fitted = [("amfam", 40), ("probe", 1)], {"probe", "metadata-only"}
    assert seconds_left(left, {"metadata-only": [90.0], "amfam": []}, in_one_go=fitted) is None
    assert seconds_left(left[1:], {"metadata-only": [90.0]}, in_one_go=fitted) == 90
    assert seconds_left(left, {"metadata-only": [90.0], "amfam": [5.0]}, in_one_go=fitted) == 40 * 5 + 5
    assert seconds_left([*left, ("concat", 2)], {"probe": [90.0], "amfam": [5.0]}, in_one_go=fitted) == 200 + 90 + 10


def test_a_baseline_that_is_done_does_not_time_the_trained_methods(tmp_path):
    cells = comparison_cells(small_config("training.epochs=40", sizes=()), ["probe", "concat"], [0])
    folder = GridFolder(tmp_path)
    progress = GridProgress(Console(quiet=True), folder, cells, cells)
    snapshot = Snapshot((), ("concat-seed0",), ("probe-seed0",), {})
    for cell, seconds in zip(cells, ([600.0], [3.0] * 20), strict=True):
        assert progress.line(snapshot).endswith("time left not known yet")
        folder.run_of(cell).checkpoints.mkdir(parents=True)
        folder.run_of(cell).write_state(RunState(epochs=len(seconds), seconds=seconds))
    assert progress.line(snapshot) == "1 of 2 cells · concat-seed0 epoch 21/40 · about 1 min left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "time left not known yet"),
        (40, "less than a minute left"),
        (1234, "about 21 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_time_in_words(seconds, text):
    assert describe_seconds(seconds) == text


def test_the_line_says_cells_epochs_and_time(tmp_path):
    cells = comparison_cells(small_config("training.epochs=40"), ["concat", "amfam"], [0, 1])
    folder = GridFolder(tmp_path)
    progress = GridProgress(Console(quiet=True), folder, cells, cells[1:], at_once=1)
    run = folder.run_of(cells[1])
    snapshot = Snapshot(("concat-seed1", "amfam-seed1"), ("amfam-seed0",), (), {})
    assert progress.line(snapshot) == "1 of 4 cells · amfam-seed0 epoch 1/40 · time left not known yet"
    run.checkpoints.mkdir(parents=True)
    state = RunState(epochs=30, seconds=[60.0] * 30)
    run.write_state(state)
    # 10, 40 and 40 epochs of a minute.
    assert progress.line(snapshot) == "1 of 4 cells · amfam-seed0 epoch 31/40 · about 90 min left"
    run.write_state(dataclasses.replace(state, stopped=True))
    assert progress.line(snapshot) == "1 of 4 cells · amfam-seed0 evaluating · about 80 min left"
    run.state_file.write_text("{")
    assert "amfam-seed0 epoch 1/40" in progress.line(snapshot)


def test_a_terminal_gets_the_changing_line(tmp_path):
    cells = comparison_cells(small_config(), ["concat"], [0, 1])
    console = Console(record=True, force_terminal=True, width=120, color_system=None)
    with GridProgress(console, GridFolder(tmp_path), cells, cells) as progress:
        progress.watch(Snapshot(("concat-seed1",), ("concat-seed0",), (), {}))
        progress.watch(Snapshot((), ("concat-seed1",), (), {"concat-seed0": "no memory"}))
        progress.watch(Snapshot((), (), ("concat-seed1",), {"concat-seed0": "no memory"}))
    text = console.export_text()
    assert "0 of 2 cells · concat-seed0 epoch 1/40" in text
    assert text.count("concat-seed0 failed: no memory") == 1
    assert text.count("[2 of 2] concat-seed1 done") == 1
