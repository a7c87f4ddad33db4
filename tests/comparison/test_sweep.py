"""A sweep: what is refused before any fit, its points, the best one, its figure; the test split is not looked at."""

import csv
import io
import json

import matplotlib.colors
import numpy as np
import pytest
from grids import FakeRunner, drawn_table
from rich.console import Console
from small import SMALL

from amfam_tf.comparison import children, heat_map, sweep_files
from amfam_tf.comparison import sweep as module
from amfam_tf.comparison.measures import AVERAGE, measures_of
from amfam_tf.comparison.results import GroupResult, Value, summarise
from amfam_tf.comparison.sweep import Axis, Point, SweepOutcome, check_axes, parse_axis, sweep_cells
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import ConfigError, RunError
from amfam_tf.evaluation import figure_style
from amfam_tf.tasks import DERM7PT

METRICS = tuple(measures_of(DERM7PT).by_name)
LAMBDA, GAMMA = "loss.adversarial", "loss.reconstruction"


@pytest.fixture
def runner(drawn, monkeypatch):
    fake = FakeRunner(read_release(drawn))
    monkeypatch.setattr(children, "run_jobs", fake)
    return fake


def run(drawn, out, *grids, overrides=(), method="amfam", seeds=(0,)):
    axes = [parse_axis(text) for text in grids]
    console = Console(quiet=True)
    return module.sweep(drawn, out, "tiny", [*SMALL, *overrides], axes, method=method, seeds=seeds, console=console)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loss.adversarial=0,0.4,0.8", Axis(LAMBDA, (0, 0.4, 0.8))),
        ("model.decoder_channels=[8, 8, 8],[16,16,16]", Axis("model.decoder_channels", ([8, 8, 8], [16, 16, 16]))),
        ("training.patience=null,5", Axis("training.patience", (None, 5))),
        ("model.attention=linear,exponential", Axis("model.attention", ("linear", "exponential"))),
    ],
)
def test_axes_as_they_are_written(text, expected):
    assert parse_axis(text) == expected


@pytest.mark.parametrize("text", ["loss.adversarial", "=1,2", "loss.adversarial=", "loss.adversarial=[1,2"])
def test_what_is_no_axis(text):
    with pytest.raises(ConfigError, match="--grid"):
        parse_axis(text)


@pytest.mark.parametrize(
    ("grids", "options", "message"),
    [
        (["loss.lambda=0,1"], {}, "unknown configuration key loss.lambda; known here: adversarial, reconstruction"),
        (["loss.adversarial=0,-1"], {}, "loss.adversarial must be from 0 to 1e+06. Received: -1"),
        (["loss.adversarial=0,high"], {}, "loss.adversarial must be a finite number. Received: 'high'"),
        (["loss.adversarial=0.4,0.40"], {}, "--grid names loss.adversarial=0.4 twice"),
        (["loss=0,1"], {}, "loss is a section"),
        (["seed=0,1"], {}, "seed cannot be swept: use --seeds"),
        (["loss.adversarial=0", "loss.adversarial=1"], {}, "--grid loss.adversarial is named twice"),
        (["loss.adversarial=0"], {"overrides": ["loss.adversarial=1"]}, "by --grid and by --set: leave one out"),
        (["data.drop_shared_files=true,false"], {}, "it changes which cases are measured"),
        (
            ["model.attention=linear,none"],
            {"method": "concat"},
            "model.attention would be of no use: method concat sets it to none itself: leave it out",
        ),
        (["model.adversarial=false,true"], {"method": "concat"}, "model.adversarial would be of no use: method concat"),
        (
            ["model.decoder_scales=[4,4,2],[2,2,2]"],
            {"method": "hccnn"},
            "hccnn as configured does not read it: leave",
        ),
        (["loss.adversarial=0,1"], {"method": "no-such"}, "unknown method 'no-such'"),
        (["loss.adversarial=0,1"], {"seeds": (1, 1)}, "seed 1 is named twice"),
        ([f"{key}=1" for key in (LAMBDA, GAMMA, "training.epochs", "training.batch_size")], {}, "1 to 3 axes"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_any_fit(grids, options, message, drawn, runner, tmp_path):
    with pytest.raises(ConfigError) as caught:
        run(drawn, tmp_path / "out", *grids, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert runner.ran == []
    assert not (tmp_path / "out").exists()


def test_cells_are_every_combination_with_every_seed():
    axes = [Axis(LAMBDA, (0, 0.4)), Axis("model.decoder_channels", ([8, 8, 8], [16, 8, 4]))]
    check_axes(axes, SMALL[:1])
    points, cells = sweep_cells("tiny", SMALL[:1], axes, (0, 5), "amfam")
    assert [point.values for point in points] == [
        (0.0, [8, 8, 8]),
        (0.0, [16, 8, 4]),
        (0.4, [8, 8, 8]),
        (0.4, [16, 8, 4]),
    ]
    assert [(cell.config.loss.adversarial, cell.config.model.decoder_channels, cell.config.seed) for cell in cells] == [
        (value, channels, seed) for seed in (0, 5) for value in (0, 0.4) for channels in ((8, 8, 8), (16, 8, 4))
    ]
    assert {cell.group for cell in cells} == {point.name for point in points}
    assert points[2].name == "loss.adversarial=0.4, model.decoder_channels=[8, 8, 8]"
    assert len({cell.name for cell in cells}) == 8
    assert all(set(cell.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._=-") for cell in cells)


def test_the_best_point_is_that_of_the_validation_split(drawn, runner, tmp_path):
    outcome = run(drawn, tmp_path, "loss.adversarial=0,0.4", "loss.reconstruction=0.2,0.4", seeds=(0, 1))
    assert len(runner.ran) == 8
    assert {path.name for path in tmp_path.glob("runs/*/evaluation/*")} == {"validate"}
    release = read_release(drawn)
    cases = release[release["split"] == "validate"].reset_index(drop=True)
    (expected,) = summarise({"any": {0: drawn_table(cases, 0), 1: drawn_table(cases, 1)}}, card=DERM7PT)
    for point in outcome.points:
        assert outcome.results[point.name].values[AVERAGE].by_seed == expected.values[AVERAGE].by_seed
    assert outcome.cases == len(cases)
    assert outcome.best == outcome.points[0]  # all are equal here: the first one
    runner.ran.clear()
    run(drawn, tmp_path, "loss.adversarial=0,0.4,0.8", "loss.reconstruction=0.2,0.4", seeds=(0, 1))
    assert len(runner.ran) == 4
    with pytest.raises(RunError, match=r"axes: loss.adversarial, loss.reconstruction -> loss.adversarial"):
        run(drawn, tmp_path, "loss.adversarial=0,0.4")


def test_a_failed_point_is_shown_and_the_others_are_measured(drawn, runner, tmp_path):
    runner.failing = {"loss.adversarial=0.4-seed0": "no memory"}
    outcome = run(drawn, tmp_path, "loss.adversarial=0,0.4")
    assert outcome.failed == runner.failing
    sweep_files.write(outcome, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "sweep.csv").read_text())))
    assert [(row["loss.adversarial"], row["seeds"], row["best"]) for row in rows] == [
        ("0.0", "1", "True"),
        ("0.4", "0", "False"),
    ]
    assert rows[1]["accuracy"] == ""
    assert "no memory" in (tmp_path / "sweep.md").read_text()
    runner.failing = {"loss.adversarial=0.0-seed1": "first", "loss.adversarial=0.4-seed1": "second"}
    with pytest.raises(RunError, match=r"every run failed; the first one, loss.adversarial=0.0-seed1: first"):
        run(drawn, tmp_path, "loss.adversarial=0,0.4", seeds=(1,))


def outcome_of(means, axes):
    """Returns an outcome; `means` are by the values of the point, None for a failed one."""
    points = [Point(values, json.dumps(values)) for values in means]
    results = {
        point.name: GroupResult(point.name, (0,), {metric: Value((mean,), mean, mean) for metric in METRICS})
        for point, mean in zip(points, means.values(), strict=True)
        if mean is not None
    }
    return SweepOutcome("amfam", axes, points, results, {}, 100, card=DERM7PT)


def texts_of(axes):
    """Returns (column, row) -> text of the cells of a heat map."""
    return {tuple(int(x) for x in text.get_position()): text.get_text() for text in axes.texts}


def test_the_heat_map_writes_every_value_into_its_cell():
    means = {(0.0, 0.2): 0.701, (0.0, 0.4): 0.712, (0.4, 0.2): 0.723, (0.4, 0.4): None}
    figure = heat_map.draw_sweep(outcome_of(means, (LAMBDA, GAMMA)))
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (LAMBDA, GAMMA)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0", "0.4"]
    assert texts_of(axes) == {(0, 0): "70.1", (0, 1): "71.2", (1, 0): "72.3", (1, 1): "failed"}
    shown = axes.images[0].get_array()
    assert shown[0, 1] == pytest.approx(72.3)
    assert np.ma.is_masked(shown[1, 1]) or np.isnan(shown[1, 1])
    (frame,) = axes.patches
    assert frame.get_xy() == pytest.approx((1 - 0.47, 0 - 0.47))


def test_three_axes_are_a_heat_map_for_each_value_of_the_third():
    means = {(a, b, c): 0.5 + a / 10 + b / 100 + c / 1000 for a in (0, 1) for b in (0, 1) for c in (1, 2, 3, 4)}
    outcome = outcome_of(means, (LAMBDA, GAMMA, "training.epochs"))
    figure = heat_map.draw_sweep(outcome)
    panels = [axes for axes in figure.axes if axes.images and axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [f"training.epochs={value}" for value in (1, 2, 3, 4)]
    for value, axes in enumerate(panels, start=1):
        assert texts_of(axes)[1, 0] == f"{100 * means[1, 0, value]:.1f}"
    limits = {axes.images[0].get_clim() for axes in panels}
    assert len(limits) == 1
    assert outcome.best.values == (1, 1, 4)


def test_one_axis_is_a_line_at_the_values():
    figure = heat_map.draw_sweep(outcome_of({(0.0,): 0.7, (0.8,): None, (0.4,): 0.72}, (LAMBDA,)))
    (axes,) = figure.axes
    line = axes.lines[-1]
    assert list(line.get_xdata()) == [0.0, 0.4]
    assert list(line.get_ydata()) == pytest.approx([70.0, 72.0])
    assert sorted(text.get_text() for text in axes.texts) == ["70.0", "72.0", "failed"]
    crowded = heat_map.draw_sweep(outcome_of({(10.0**-k,): 0.7 for k in range(5)}, ("optimizer.learning_rate",)))
    assert list(crowded.axes[0].lines[-1].get_xdata()) == [0, 1, 2, 3, 4]


def test_written_values_can_be_read_on_every_colour():
    scale = matplotlib.colormaps[figure_style.SEQUENTIAL]
    for share in np.linspace(0, 1, 21):
        colour = scale(share)
        text = matplotlib.colors.to_rgb(heat_map._readable_on(colour))
        light, dark = sorted((heat_map._luminance(one) + 0.05 for one in (colour, text)), reverse=True)
        assert light / dark >= 4.0


def test_equal_outcomes_give_equal_files(tmp_path):
    outcome = outcome_of({(0.0, 1): 0.7, (0.4, 1): 0.71}, (LAMBDA, "training.epochs"))
    first = {path.name: path.read_bytes() for path in sweep_files.write(outcome, tmp_path)}
    assert {path.name: path.read_bytes() for path in sweep_files.write(outcome, tmp_path)} == first
    assert set(first) == {"sweep.csv", "sweep.md", "sweep.png"}
    assert b"**amfam: accuracy" in first["sweep.md"]
    assert "[0.4, 1]" in first["sweep.md"].decode()
