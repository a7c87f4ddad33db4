"""Every number of comparison.html, .md, .csv, .json, the terminal, a sweep and both figures, under its heading.

No two values of the outcome are the same when they are printed; headings and places are typed here.
"""

import csv
import io
import itertools
import json

import different
import numpy as np
import pytest
import reading
from rich.console import Console
from small import small_config

from amfam_tf.comparison import files, forest, heat_map, page, sweep_files, tables
from amfam_tf.comparison.measures import measures_of
from amfam_tf.comparison.outcome import Costs, Outcome, Section
from amfam_tf.comparison.results import Difference, GroupResult, Value
from amfam_tf.comparison.sweep import Point, SweepOutcome
from amfam_tf.files import json_file
from amfam_tf.report.markdown import to_markdown
from amfam_tf.report.terminal import to_rich
from amfam_tf.tasks import DERM7PT

METRICS = tuple(measures_of(DERM7PT).by_name)
NAMES = ("DIAG", "PN", "BWV", "VS", "PIG", "STR", "DaG", "RS")
MEANS = (*NAMES, "average")
DECK = different.Deck(5)
SPREADS = iter(np.random.default_rng(0).permutation(np.arange(1, 100)) / 1000)
COUNTS = itertools.count(1_234_567, 111_111)


def value(seeds: int) -> Value:
    """Returns a value of so many seeds (1 or 3): its mean, ends and deviation are printed as no other's."""
    mean, (low, high) = DECK.share(), sorted((DECK.share(), DECK.share()))
    by_seed = (mean,) if seeds == 1 else (mean - (spread := float(next(SPREADS))), mean, mean + spread)
    return Value(by_seed, low, high)


def result(name: str, differs: bool, seeds: int = 3) -> GroupResult:
    values = {metric: value(seeds) for metric in METRICS}
    differences = {
        metric: Difference(DECK.share(), *sorted((-DECK.share(), DECK.share())), DECK.share(), DECK.share())
        for metric in METRICS
        if differs
    }
    return GroupResult(name, tuple(range(10, 10 + seeds)), values, differences)


def costs() -> Costs:
    return Costs(DECK.number(), next(COUNTS), next(COUNTS), DECK.number() / 1000, 16, "2 x Test")


def section(metadata, names, with_amfam: bool, seeds: int = 3) -> Section:
    results = [result(name, with_amfam and name != "amfam", seeds) for name in names]
    published = {} if metadata else {names[0]: {name: DECK.share() for name in (*MEANS, "diagnosis_auc")}}
    return Section(metadata, results, {name: costs() for name in names}, published)


ALONE = section((), ("concat", "amfam", "triplenet"), True)
KNOWING = section(("sex",), ("embeddingnet+sex",), False, seeds=1)
OUTCOME = Outcome(
    "test", 395, [ALONE, KNOWING], {"concat-seed2": "no memory"}, "a note", True, small_config(), "f" * 64, card=DERM7PT
)


def percent(number: float) -> str:
    return f"{100 * number:.1f}"


def with_deviation(found: Value, between: str = " ± ") -> str:
    if len(found.by_seed) == 1:
        return percent(found.by_seed[0])
    return f"{percent(found.by_seed[1])}{between}{percent(found.by_seed[2] - found.by_seed[1])}"


def ends(found: Value) -> str:
    assert found.low < found.high
    return f"{percent(found.low)}–{percent(found.high)}"


def points(found: Difference) -> str:
    value, low, high = (f"{100 * one:+.1f}".replace("-", "−") for one in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def decimal(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:.1f}"


def test_no_two_values_are_printed_alike():
    shown, spread = [], []
    for one in (*ALONE.results, *KNOWING.results):
        for found in one.values.values():
            mean = found.by_seed[len(found.by_seed) // 2]
            shown += [percent(mean), percent(found.low), percent(found.high)]
            spread += [percent(found.by_seed[-1] - mean)] if len(found.by_seed) > 1 else []
        for found in one.differences.values():
            shown += [percent(abs(number)) for number in [*vars(found).values()][:5]]
    shown += [percent(number) for values in ALONE.published.values() for number in values.values()]
    assert len(shown) == len(set(shown)) > 240
    assert len(spread) == len(set(spread)) == 33


@pytest.fixture(scope="module", params=["html", "markdown", "terminal"])
def shown(request):
    """Returns the tables of both sections by caption, as a reader of each medium finds them, and the medium."""
    if request.param == "html":
        return _of_html(), "html"
    if request.param == "markdown":
        text = files.to_markdown_page(OUTCOME)
        alone, knowing = text.split("## Images and sex")
        return [reading.markdown_grids(part) for part in (alone, knowing)], "markdown"
    return [_of_terminal(section) for section in OUTCOME.sections], "terminal"


def _of_html():
    text = page.render(OUTCOME, "all different")
    parts = text.split('<section id="section-')
    return [reading.html_page(f'<section id="{part}')[0] for part in parts[1:]]


def _of_terminal(one: Section) -> dict[str, reading.Grid]:
    """Returns the tables of the terminal: their cells, as rich lays them out."""
    grids = {}
    for table in tables.terminal_tables(OUTCOME, one):
        console = Console(file=io.StringIO(), width=400)
        console.print(to_rich(table, framed=False))
        text = console.file.getvalue()
        above, _, below = text.partition("\n ─" if "\n ─" in text else "\n─")
        assert " ".join(above.split()).startswith(table.caption)
        # Columns of a simple box have blanks between them: every cell has to follow in its order.
        assert above.splitlines()[-1].split() == " ".join(table.headings).split()
        for line, row in zip(below.splitlines()[1:], table.rows, strict=False):
            assert line.split() == " ".join(map(str, row.cells)).split()
        grids[table.caption] = reading.Grid(
            table.caption, list(table.headings), [[str(cell) for cell in row.cells] for row in table.rows]
        )
    return grids


def test_mean_accuracies(shown):
    (alone, knowing), _ = shown
    caption = "Accuracy, mean of the 8 tasks, in percent of 395 cases"
    grid = alone[caption]
    assert grid.headings == [
        *("method", "seeds", "accuracy ± SD", "95 %", "published*", "minus amfam (95 %)", "p", "p, Holm"),
    ]
    assert grid.names() == ["concat", "amfam", "triplenet"]
    for one in ALONE.results:
        found, change = one.values["average"], one.differences.get("average")
        assert grid.cell(one.name, "seeds") == "3"
        assert grid.cell(one.name, "accuracy ± SD") == with_deviation(found)
        assert grid.cell(one.name, "95 %") == ends(found)
        published = ALONE.published.get(one.name)
        assert grid.cell(one.name, "published*") == (percent(published["average"]) if published else "–")
        assert grid.cell(one.name, "minus amfam (95 %)") == (points(change) if change else "")
        assert grid.cell(one.name, "p") == (f"{change.p:.3f}" if change else "")
        assert grid.cell(one.name, "p, Holm") == (f"{change.p_holm:.3f}" if change else "")
    grid = knowing[caption]
    found = KNOWING.results[0].values["average"]
    assert grid.headings == ["method", "seeds", "accuracy ± SD", "95 %"]
    assert grid.rows == [["embeddingnet+sex", "1", percent(found.by_seed[0]), ends(found)]]


def test_accuracies_of_each_task(shown):
    (alone, knowing), _ = shown
    for grids, one_section in ((alone, ALONE), (knowing, KNOWING)):
        grid = grids["Accuracy of each task in percent"]
        assert grid.headings == ["method", *NAMES, "mean"]
        expected = []
        for one in one_section.results:
            expected.append([one.name, *(with_deviation(one.values[name], "±") for name in MEANS)])
            if one.name in one_section.published:
                expected.append(["published*", *(percent(one_section.published[one.name][name]) for name in MEANS)])
        assert grid.rows == expected


def test_areas(shown):
    (alone, _), medium = shown
    grid = alone["Area under the ROC curve in percent"]
    changes = medium != "terminal"
    first = ["AUC ± SD (95 %)", *(["minus amfam (95 %)"] if changes else [])]
    second = ["DIAG AUC ± SD (95 %)", *(["minus amfam (95 %)"] if changes else [])]
    assert grid.headings == ["method", *first, *second, "DIAG AUC, published*"]
    for one in ALONE.results:
        for place, (heading, metric) in enumerate(((first[0], "auc"), (second[0], "diagnosis_auc"))):
            found = one.values[metric]
            assert grid.cell(one.name, heading) == f"{with_deviation(found)} ({ends(found)})"
            if changes:
                change = one.differences.get(metric)
                assert grid.cell(one.name, "minus amfam (95 %)", place) == (points(change) if change else "")
        published = ALONE.published.get(one.name)
        shown_value = percent(published["diagnosis_auc"]) if published else "–"
        assert grid.cell(one.name, "DIAG AUC, published*") == shown_value


def test_intervals_and_differences_of_each_task(shown):
    (alone, _), medium = shown
    if medium == "terminal":
        assert not [caption for caption in alone if "minus that of" in caption]
        return
    grid = alone["Accuracy of each task in percent, mean over the seeds (95 %)"]
    assert grid.headings == ["method", *NAMES, "mean"]
    for one in ALONE.results:
        values = [one.values[name] for name in MEANS]
        assert [grid.cell(one.name, heading) for heading in grid.headings[1:]] == [
            f"{percent(found.by_seed[1])} ({ends(found)})" for found in values
        ]
    grid = alone["Accuracy of each task minus that of amfam in points, on the same cases (95 %)"]
    assert grid.headings == ["method", *NAMES, "mean"]
    assert grid.names() == ["concat", "triplenet"]
    for one in (ALONE.results[0], ALONE.results[2]):
        assert [grid.cell(one.name, heading) for heading in grid.headings[1:]] == [
            points(one.differences[name]) for name in MEANS
        ]


def test_costs(shown):
    for grids, one_section in zip(shown[0], (ALONE, KNOWING), strict=True):
        grid = grids["Costs"]
        assert grid.headings == ["method", "s per epoch", "parameters", "of the classifier", "ms per case"]
        for name, cost in one_section.costs.items():
            assert grid.cell(name, "s per epoch") == decimal(cost.epoch_seconds)
            assert grid.cell(name, "parameters") == f"{cost.parameters:,}"
            assert grid.cell(name, "of the classifier") == f"{cost.parameters_served:,}"
            assert grid.cell(name, "ms per case") == decimal(1000 * cost.case_seconds)


def test_numbers_to_read_first():
    words = reading.html_page(page.render(OUTCOME, "all different"), unique=False)[1]
    assert words["h1"] == ["Comparison all different"]
    assert "4 methods, 10 runs, on the 395 cases of the split test" in words["p"]
    best = max((one for one in ALONE.results if one.name != "amfam"), key=lambda one: one.values["average"].mean)
    expected = [
        ("amfam", ALONE.results[1], "3 seeds; the method of the paper"),
        (best.name, best, f"3 seeds; the best of the others; minus amfam: {points(best.differences['average'])}"),
        ("embeddingnet+sex with sex", KNOWING.results[0], "1 seed; the best of these"),
    ]
    values = zip(words["dt"], words["dd"][::2], words["dd"][1::2], strict=True)
    for (title, shown_value, aside), (name, one, beside) in zip(values, expected, strict=True):
        found = one.values["average"]
        assert title == f"Accuracy of {name}, mean of the 8 tasks"
        assert shown_value == f"{percent(found.mean)}%"
        assert aside == f"95 % interval {ends(found)}\n{beside}"


def test_rows_of_the_csv_and_json():
    rows = {(row["method"], row["metric"]): row for row in csv.DictReader(io.StringIO(files.to_csv(OUTCOME)))}
    content = json.loads(json_file.dumps(files.to_dict(OUTCOME)))
    assert len(rows) == 4 * (len(METRICS) + 4)
    for place, one_section in enumerate((ALONE, KNOWING)):
        for one in one_section.results:
            method = content["sections"][place]["methods"][one.name]
            for metric, found in one.values.items():
                row, values = rows[one.name, metric], method["metrics"][metric]
                change, known = one.differences.get(metric), one_section.published.get(one.name, {}).get(metric)
                assert float(row["mean"]) == pytest.approx(found.mean) == values["mean"]
                assert [float(row["ci95_low"]), float(row["ci95_high"])] == [found.low, found.high] == values["ci95"]
                assert values["by_seed"] == list(found.by_seed)
                assert (row["published"], values["published"]) == ("" if known is None else str(known), known)
                assert row["published_comparable"] == "True"
                if len(found.by_seed) == 1:
                    assert row["standard_deviation"] == "" and values["standard_deviation"] is None
                else:
                    spread = pytest.approx(found.by_seed[2] - found.by_seed[1])
                    assert float(row["standard_deviation"]) == spread == values["standard_deviation"]
                columns = ("minus_amfam", "minus_amfam_ci95_low", "minus_amfam_ci95_high", "p", "p_holm")
                if change is None:
                    assert {row[column] for column in columns} == {""} and "difference" not in values
                else:
                    assert [float(row[column]) for column in columns] == [*vars(change).values()][:5]
                    assert values["difference"] == {
                        "value": change.value,
                        "ci95": [change.low, change.high],
                        "p": change.p,
                        "p_holm": change.p_holm,
                    }
            cost = one_section.costs[one.name]
            for name in ("epoch_seconds", "parameters", "parameters_served", "case_seconds"):
                assert float(rows[one.name, name]["mean"]) == getattr(cost, name) == method["costs"][name]
            assert rows[one.name, "DIAG"]["seeds"] == str(len(one.seeds)) and method["seeds"] == list(one.seeds)
            assert rows[one.name, "DIAG"]["metadata"] == " ".join(one_section.metadata)


def test_the_figure_of_a_comparison():
    figure = forest.draw_forest(OUTCOME)
    assert [axes.get_title("left") for axes in figure.axes] == ["Images alone", "Images and sex"]
    for axes, one_section in zip(figure.axes, (ALONE, KNOWING), strict=True):
        assert [label.get_text() for label in axes.get_yticklabels()] == [one.name for one in one_section.results]
        bottom, top = axes.get_ylim()
        assert bottom > top  # the first method is above
        for place, one in enumerate(one_section.results):
            found = one.values["average"]
            lines = [
                line for line in axes.lines if set(np.atleast_1d(line.get_ydata())) == {place} and len(line.get_xdata())
            ]
            drawn = [
                np.atleast_1d(line.get_xdata()) / 100
                for line in lines
                if line.get_marker() or line.get_linewidth() == 2
            ]
            shapes = {len(points_): points_ for points_ in drawn}
            np.testing.assert_allclose(shapes[2], [found.low, found.high])
            wanted = {len(found.by_seed): found.by_seed, 1: [found.mean]}
            for size, numbers in wanted.items():
                np.testing.assert_allclose(shapes[size], numbers)
    (line,) = [line for line in figure.axes[0].lines if list(line.get_ydata()) == [0, 1]]
    assert line.get_xdata()[0] == pytest.approx(100 * ALONE.results[1].values["average"].mean)
    assert not [line for line in figure.axes[1].lines if list(line.get_ydata()) == [0, 1]]


# A sweep


POINTS = [Point((a, b), f"loss.adversarial={a}, loss.reconstruction={b}") for a in (0.1, 0.2, 0.3) for b in (0.4, 0.5)]
SWEEP = SweepOutcome(
    "amfam",
    ("loss.adversarial", "loss.reconstruction"),
    POINTS,
    {point.name: result(point.name, False) for point in POINTS[:2]},
    {"x-seed0": "no memory"},
    61,
    card=DERM7PT,
)
BEST = max(POINTS[:2], key=lambda point: SWEEP.results[point.name].values["average"].mean)


def test_table_and_markdown_of_a_sweep():
    (grid,) = [
        grid
        for caption, grid in reading.markdown_grids(sweep_files.to_markdown_page(SWEEP)).items()
        if caption.startswith("amfam")
    ]
    assert grid.caption == "amfam: accuracy, mean of the 8 tasks, in percent of 61 validation cases"
    assert grid.headings == [*SWEEP.axes, "seeds", "accuracy ± SD", "95 %", "DIAG accuracy", ""]
    assert SWEEP.best == BEST
    for cells, point in zip(grid.rows, POINTS, strict=True):
        assert cells[:2] == [str(number) for number in point.values]
        found = SWEEP.results.get(point.name)
        if found is None:
            assert cells[2:] == ["0", "–", "–", "–", "failed"]
            continue
        values = found.values
        assert cells[2:] == [
            "3",
            with_deviation(values["average"]),
            ends(values["average"]),
            percent(values["DIAG"].mean),
            "best" if point == BEST else "",
        ]
    text = sweep_files.to_markdown_page(SWEEP)
    assert f"best {percent(SWEEP.results[BEST.name].values['average'].mean)} at {BEST.name}" in text


def test_rows_of_the_csv_of_a_sweep():
    rows = list(csv.DictReader(io.StringIO(sweep_files.to_csv(SWEEP))))
    for row, point in zip(rows, POINTS, strict=True):
        assert [row[key] for key in SWEEP.axes] == [str(number) for number in point.values]
        found = SWEEP.results.get(point.name)
        assert row["best"] == str(point == BEST)
        if found is None:
            assert row["seeds"] == "0" and {row[name] for name in ("accuracy", *NAMES)} == {""}
            continue
        average = found.values["average"]
        columns = ("accuracy", "standard_deviation", "ci95_low", "ci95_high")
        wanted = [average.mean, average.deviation, average.low, average.high]
        assert [float(row[column]) for column in columns] == pytest.approx(wanted)
        for metric in (*NAMES, "auc", "diagnosis_auc"):
            assert float(row[metric]) == pytest.approx(found.values[metric].mean)


def test_the_heat_map_of_a_sweep_has_each_value_in_its_cell():
    axes = heat_map.draw_sweep(SWEEP).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == SWEEP.axes
    columns, rows = (
        [label.get_text() for label in labels] for labels in (axes.get_xticklabels(), axes.get_yticklabels())
    )
    assert (columns, rows) == (["0.1", "0.2", "0.3"], ["0.4", "0.5"])
    texts = {(columns[int(text.get_position()[0])], rows[int(text.get_position()[1])]): text for text in axes.texts}
    pixels = axes.images[0].get_array()
    for point in POINTS:
        place = tuple(str(number) for number in point.values)
        found = SWEEP.results.get(point.name)
        assert texts[place].get_text() == (percent(found.values["average"].mean) if found else "failed")
        if found:
            pixel = pixels[rows.index(place[1]), columns.index(place[0])]
            assert pixel == pytest.approx(100 * found.values["average"].mean)
    bold = [place for place, text in texts.items() if text.get_weight() == "bold"]
    assert bold == [tuple(str(number) for number in BEST.values)]


def test_the_line_of_a_sweep_has_mean_interval_and_runs_at_each_value():
    points_ = [Point((number,), f"loss.adversarial={number}") for number in (0.0, 0.4, 1.0)]
    outcome = SweepOutcome(
        "amfam",
        ("loss.adversarial",),
        points_,
        {one.name: result(one.name, False) for one in points_},
        {},
        61,
        card=DERM7PT,
    )
    axes = heat_map.draw_sweep(outcome).axes[0]
    best = outcome.best.values[0]
    for point in points_:
        found, place = outcome.results[point.name].values["average"], point.values[0]
        lines = [
            np.atleast_1d(line.get_ydata()) for line in axes.lines if set(np.atleast_1d(line.get_xdata())) == {place}
        ]
        by_size = {len(line): line / 100 for line in lines}
        np.testing.assert_allclose(by_size[2], [found.low, found.high])
        np.testing.assert_allclose(by_size[3], found.by_seed)
        np.testing.assert_allclose(by_size[1], [found.mean])
        (text,) = [text for text in axes.texts if text.xy[0] == place]
        assert text.get_text() == percent(found.mean)
        assert (text.get_weight() == "bold") is (place == best)


def test_a_table_in_markdown_has_its_columns_in_the_order_of_its_headings():
    table = tables.cost_table(ALONE)
    (grid,) = reading.markdown_grids(to_markdown(table)).values()
    assert grid.headings == list(table.headings)
    assert grid.rows == [[str(cell) for cell in row.cells] for row in table.rows]
