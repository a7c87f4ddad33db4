"""Whether a cell is done: every change of what its evaluation is about must be seen."""

import dataclasses
import json

import pytest
from grids import write_cell, write_evaluation
from small import small_config

from amfam_tf import config as configuration
from amfam_tf.comparison import records
from amfam_tf.comparison.grid import GridFolder, comparison_cells
from amfam_tf.data.derm7pt import read_release

FINGERPRINT = "a" * 64


@pytest.fixture
def done(drawn, tmp_path):
    """Returns (run folder, cell, cases) of a cell that is fitted and evaluated."""
    (cell,) = comparison_cells(small_config(), ["concat"], [3])
    run = GridFolder(tmp_path).run_of(cell)
    release = read_release(drawn)
    cases = release[release["split"] == "test"].reset_index(drop=True)
    write_cell(run.path, configuration.to_dict(cell.config), cases, "test", FINGERPRINT)
    return run, cell, cases


def holds(run, cell, split="test", fingerprint=FINGERPRINT):
    return records.evaluation_holds(run, cell, split, fingerprint)


def test_a_done_cell_holds_wherever_it_lies(done, tmp_path):
    run, cell, _ = done
    assert holds(run, cell)
    run.path.parent.rename(tmp_path / "elsewhere")
    assert holds(type(run)(tmp_path / "elsewhere" / cell.name), cell)


FILES = ("config.yaml", "model.keras", "checkpoints/state.json", "evaluation/test/predictions.csv")
RECORDS = ("evaluation/test/cell.json", "evaluation/test/metrics.json")


@pytest.mark.parametrize("name", [*FILES, *RECORDS])
def test_a_file_that_is_gone_undoes_it(name, done):
    run, cell, _ = done
    (run.path / name).unlink()
    assert not holds(run, cell)


@pytest.mark.parametrize("name", [*FILES, RECORDS[0]])
def test_a_damaged_file_undoes_it(name, done):
    run, cell, _ = done
    path = run.path / name
    path.write_bytes(path.read_bytes()[:-5] + b"*")
    assert not holds(run, cell)


def test_another_model_data_split_or_configuration_undoes_it(done):
    run, cell, cases = done
    other = dataclasses.replace(cell, config=dataclasses.replace(cell.config, seed=4))
    assert not holds(run, other)
    assert not holds(run, cell, fingerprint="b" * 64)
    assert not holds(run, cell, split="validate")
    run.write_state(dataclasses.replace(run.read_state(), finished=False))
    assert not holds(run, cell)
    run.write_state(dataclasses.replace(run.read_state(), finished=True))
    run.model_file.write_text("another model")
    assert not holds(run, cell)
    write_evaluation(run.path, cases, "test", FINGERPRINT, seed=3)
    assert holds(run, cell)


def test_a_measurement_is_of_one_model(done):
    run, _, _ = done
    assert records.read_measurement(run.path) is None
    records.write_measurement(run.path, {"parameters": 7})
    assert records.read_measurement(run.path)["parameters"] == 7
    assert json.loads((run.path / "measurement.json").read_text())["parameters"] == 7
    run.model_file.write_text("another model")
    assert records.read_measurement(run.path) is None
