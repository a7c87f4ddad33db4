"""Cells and the folder of a grid: names, what a folder belongs to, and what is refused in one line."""

import dataclasses
import re

import pytest
from small import small_config
from small_pairs import HOSPITAL

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.card import cards
from amfam_tf.comparison import grid
from amfam_tf.comparison.grid import GridFolder, Purpose
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.tasks import DERM7PT

FINGERPRINT = "a" * 64


def purpose(**changes):
    return dataclasses.replace(Purpose("comparison", FINGERPRINT, small_config(), card=DERM7PT), **changes)


def test_cells_are_every_method_with_every_seed_seed_by_seed():
    cells = grid.comparison_cells(small_config(), ["concat", "amfam"], [0, 7])
    assert [cell.name for cell in cells] == ["concat-seed0", "amfam-seed0", "concat-seed7", "amfam-seed7"]
    assert [cell.group for cell in cells] == ["concat", "amfam"] * 2
    for cell in cells:
        assert cell.config == models.resolve(cell.config)
        assert cell.name == f"{cell.config.method}-seed{cell.config.seed}"
    assert not cells[0].config.model.adversarial
    assert cells[1].config.model.adversarial


def test_all_means_every_method_of_the_registry():
    assert grid.method_names(("all",)) == tuple(models.METHODS)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("concat", "no-such"), r"unknown method 'no-such'; known: clinical-only, .*all of them: all"),
        (("concat", "concat"), "method concat is named twice"),
        (("all", "concat"), "unknown method 'all'"),
    ],
)
def test_methods_that_cannot_be(words, message):
    with pytest.raises(ConfigError, match=message):
        grid.method_names(words)


def test_a_seed_twice_is_refused():
    with pytest.raises(ConfigError, match="seed 1 is named twice"):
        grid.comparison_cells(small_config(), ["concat"], [1, 0, 1])


def test_every_method_is_there_once_more_with_each_other_value():
    also = ["loss.classification=ldam loss.margin=0.25", "model.decoder_channels=[4, 4, 4]"]
    cells = grid.comparison_cells(small_config(), ["concat-recon", "amfam"], [0], also=also)
    names = ["loss.classification=ldam, loss.margin=0.25", "model.decoder_channels=[4, 4, 4]"]
    methods = ("concat-recon", "amfam")
    assert [cell.group for cell in cells] == [*methods, *(f"{one}, {name}" for name in names for one in methods)]
    found = [(cell.config.loss.classification, cell.config.loss.margin) for cell in cells[::2]]
    assert found == [("cross_entropy", 0.5), ("ldam", 0.25), ("cross_entropy", 0.5)]
    assert [cell.config.model.decoder_channels for cell in cells[4:]] == [(4, 4, 4)] * 2
    assert cells[2].name == "concat-recon_loss.classification=ldam_loss.margin=0.25-seed0"


def test_another_value_is_for_the_methods_that_read_it():
    also = ["loss.adversarial=0.2", "loss.label_smoothing=0.1"]
    cells = grid.comparison_cells(small_config(), ["probe", "concat", "amfam"], [0], also=also)
    named = ["amfam, loss.adversarial=0.2", "concat, loss.label_smoothing=0.1", "amfam, loss.label_smoothing=0.1"]
    assert [cell.group for cell in cells] == ["probe", "concat", "amfam", *named]


@pytest.mark.parametrize(
    ("also", "message"),
    [
        (["loss.margin=0.25"], "loss.margin would be of no use: "),
        (["loss.reconstruction=0.1"], "loss.reconstruction would be of no use: "),
        (["seed=3"], "--also seed=3: seed cannot be varied: use --seeds"),
        (["method=amfam"], "--also method=amfam: method cannot be varied: use --methods"),
        (["loss.label_smoothing=0"], "--also loss.label_smoothing=0 changes nothing, or is there twice"),
        (["loss.label_smoothing=0.1"] * 2, "--also loss.label_smoothing=0.1 changes nothing, or is there twice"),
        (["loss.label_smoothing"], "override 'loss.label_smoothing' is not of the form section.key=value"),
    ],
)
def test_other_values_that_cannot_be(also, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        grid.comparison_cells(small_config(), ["concat"], [0], also=also)


def test_folder_names_tell_all_values_apart():
    names = {grid.folder_name(f"model.weights={value}") for value in ("a/b", "a_b", "a b", "x" * 300, "x" * 301)}
    assert len(names) == 5
    assert all("/" not in name and len(name) < 200 for name in names)
    assert grid.folder_name("loss.adversarial=0.4, b=1") == "loss.adversarial=0.4_b=1"


def test_overrides_of_what_an_option_is_for_are_refused():
    grid.refuse_overrides(["training.epochs=3"], {"seed": "--seeds"})
    with pytest.raises(ConfigError, match="--set seed has no meaning here: use --seeds"):
        grid.refuse_overrides(["training.epochs=3", " seed =3"], {"seed": "--seeds"})


def test_a_folder_that_was_begun_goes_on(tmp_path):
    folder = GridFolder(tmp_path)
    folder.claim(purpose())
    before = folder.grid_file.read_bytes()
    folder.claim(purpose())
    assert folder.grid_file.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "b" * 64}, r"something else \(data fingerprint: aaaaaaaaaaaa -> bbbbbbbbbbbb\)"),
        ({"config": small_config("training.epochs=9")}, r"\(training.epochs: 40 -> 9\)"),
        ({"kind": "sweep"}, r"\(a comparison -> a sweep\)"),
        ({"axes": ("loss.adversarial",)}, r"\(axes:  -> loss.adversarial\)"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_says_what_differs(changes, message, tmp_path):
    folder = GridFolder(tmp_path)
    folder.claim(purpose())
    before = folder.grid_file.read_bytes()
    with pytest.raises(RunError, match=message) as caught:
        folder.claim(purpose(**changes))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("name another --out")
    assert folder.grid_file.read_bytes() == before


def test_a_folder_that_holds_other_things_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(RunError, match=r"holds letter\.txt and no grid\.yaml"):
        GridFolder(tmp_path).claim(purpose())
    assert sorted(item.name for item in tmp_path.iterdir()) == ["letter.txt"]


def test_a_damaged_grid_file_is_named(tmp_path):
    folder = GridFolder(tmp_path)
    for text in ("kind: [", "kind: comparison\n", "nonsense"):
        folder.grid_file.write_text(text)
        with pytest.raises(RunError, match=r"grid\.yaml is damaged"):
            folder.claim(purpose())


def test_one_process_at_a_time(tmp_path):
    folder = GridFolder(tmp_path / "new")
    with folder.lock(), pytest.raises(RunError, match="in use by another process"), folder.lock():
        pass
    with folder.lock():
        assert folder.path.is_dir()


def test_the_common_part_does_not_depend_on_the_seed():
    first, second = (grid.common_part(small_config(f"seed={seed}"), method="amfam") for seed in (1, 2))
    assert first == second
    assert configuration.differences(small_config(), first) == []


def test_a_folder_is_for_one_card(tmp_path):
    hospital = cards.parse(HOSPITAL, "card")
    folder = GridFolder(tmp_path)
    folder.claim(purpose(card=hospital))
    folder.claim(purpose(card=hospital))
    with pytest.raises(RunError, match="card: hospital -> derm7pt"):
        folder.claim(purpose())
    other = cards.parse(HOSPITAL.replace("thresholds: {high: 2}", "thresholds: {high: 1}"), "card")
    with pytest.raises(RunError, match="card hospital: another scores"):
        folder.claim(purpose(card=other))
