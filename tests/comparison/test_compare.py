"""A comparison with cheap stand-ins for its children: what is done again, what fails alone, what the files say."""

import csv
import io
import json
import re
import shutil

import browser
import numpy as np
import pandas as pd
import pytest
from grids import FakeRunner, drawn_table
from prediction_tables import cases_of_table, random_table
from rich.console import Console
from small import small_config
from tiny_method import TINY

from amfam_tf import config as configuration
from amfam_tf import models
from amfam_tf.comparison import children, files, page, tables
from amfam_tf.comparison.compare import compare
from amfam_tf.comparison.measures import AVERAGE, measures_of
from amfam_tf.comparison.outcome import Costs, Outcome, Section
from amfam_tf.comparison.results import summarise
from amfam_tf.data.cases import data_fingerprint
from amfam_tf.data.derm7pt import read_release
from amfam_tf.errors import ConfigError, DataError, RunError
from amfam_tf.evaluation.paper import published_values
from amfam_tf.report import numbers
from amfam_tf.report.markdown import to_markdown
from amfam_tf.report.table import Table, TableRow
from amfam_tf.report.terminal import to_rich
from amfam_tf.tasks import DERM7PT, task_names

METHODS = ("concat", "amfam")
METRICS = tuple(measures_of(DERM7PT).by_name)


@pytest.fixture(scope="module")
def release(drawn):
    return read_release(drawn)


@pytest.fixture
def runner(release, monkeypatch):
    """Stands for the children."""
    fake = FakeRunner(release)
    monkeypatch.setattr(children, "run_jobs", fake)
    return fake


def run(drawn, out, *overrides, methods=METHODS, seeds=(0, 1), split="test", console=None, **options):
    console = Console(quiet=True) if console is None else console
    return compare(drawn, out, small_config(*overrides), methods, seeds, split=split, console=console, **options)


def fits(runner):
    """Returns the cells that were fitted or evaluated, without the measurements, and forgets them."""
    names = [name for name in runner.ran if not name.endswith("-measure")]
    runner.ran.clear()
    return names


def test_the_same_command_again_does_only_what_is_missing(drawn, runner, tmp_path):
    run(drawn, tmp_path)
    cells = ["concat-seed0", "amfam-seed0", "concat-seed1", "amfam-seed1"]
    assert runner.ran == [*cells, "concat-seed0-measure", "amfam-seed0-measure"]
    before = {path: path.read_bytes() for path in tmp_path.glob("comparison.*")}
    runner.ran.clear()
    run(drawn, tmp_path)
    assert runner.ran == []
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / "runs/amfam-seed0/model.keras").write_text("fitted again")
    run(drawn, tmp_path)
    assert runner.ran == ["amfam-seed0"]
    runner.ran.clear()
    run(drawn, tmp_path, methods=(*METHODS, "concat-adv"), seeds=(0, 1, 2))
    assert fits(runner) == ["concat-adv-seed0", "concat-adv-seed1", "concat-seed2", "amfam-seed2", "concat-adv-seed2"]
    run(drawn, tmp_path, split="validate", seeds=(0,))
    assert fits(runner) == ["concat-seed0", "amfam-seed0"]


def test_an_interrupted_comparison_goes_on(drawn, runner, tmp_path):
    runner.interrupt_after = 2
    with pytest.raises(KeyboardInterrupt):
        run(drawn, tmp_path)
    assert fits(runner) == ["concat-seed0", "amfam-seed0"]
    assert not (tmp_path / "comparison.csv").exists()
    runner.interrupt_after = None
    outcome, _ = run(drawn, tmp_path)
    assert fits(runner) == ["concat-seed1", "amfam-seed1"]
    assert [result.seeds for result in outcome.sections[0].results] == [(0, 1), (0, 1)]


def test_a_failed_cell_is_shown_and_the_others_are_compared(drawn, runner, tmp_path):
    runner.failing = {"concat-seed1": "ended by signal SIGKILL", "amfam-seed0-measure": "no memory"}
    outcome, _ = run(drawn, tmp_path)
    assert outcome.failed == runner.failing
    assert {result.name: result.seeds for result in outcome.sections[0].results} == {"concat": (0,), "amfam": (0, 1)}
    assert outcome.sections[0].costs["amfam"].parameters is None
    assert outcome.sections[0].costs["concat"].parameters == 2000
    for name in ("comparison.html", "comparison.md", "comparison.json"):
        text = (tmp_path / name).read_text()
        assert "concat-seed1" in text and "ended by signal SIGKILL" in text
    runner.failing = {}
    outcome, _ = run(drawn, tmp_path)
    assert outcome.failed == {}
    assert len(outcome.sections[0].results[0].seeds) == 2
    assert "Failed" not in (tmp_path / "comparison.md").read_text()


def test_if_every_run_fails_the_first_error_is_the_error(drawn, runner, tmp_path):
    runner.failing = {"concat-seed0": "no weights", "amfam-seed0": "no weights either"}
    with pytest.raises(RunError, match="every run failed; the first one, concat-seed0: no weights$"):
        run(drawn, tmp_path, seeds=(0,))


@pytest.mark.usefixtures("runner")
def test_a_folder_of_another_configuration_or_other_data_is_refused(drawn, tmp_path):
    out = tmp_path / "out"
    run(drawn, out, seeds=(0,))
    with pytest.raises(RunError, match=r"something else \(training.epochs: 40 -> 41\)"):
        run(drawn, out, "training.epochs=41", seeds=(0,))
    shutil.copytree(drawn, tmp_path / "other")
    picture = sorted((tmp_path / "other").rglob("*.jpg"))[0]
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(RunError, match=r"something else \(data fingerprint: "):
        run(tmp_path / "other", out, seeds=(0,))
    with pytest.raises(DataError, match="no cases in the split nonsense"):
        run(drawn, out, split="nonsense")


def test_threads_are_divided_among_runs_at_once(drawn, runner, tmp_path, monkeypatch):
    monkeypatch.setattr(children, "threads_of_each", lambda at_once: 100 // at_once)
    calls = []
    monkeypatch.setattr(children, "run_jobs", lambda *a, **k: calls.append(k) or runner(*a, **k))
    run(drawn, tmp_path, at_once=4)
    assert (calls[0]["at_once"], calls[0]["threads"]) == (4, 25)
    assert calls[1] == {}  # measuring: one alone, with all threads


def test_progress_over_the_whole_grid(drawn, runner, tmp_path):
    runner.failing = {"amfam-seed0": "no memory"}
    run(drawn, tmp_path, seeds=(0,), methods=("concat",))
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    run(drawn, tmp_path, console=console)
    lines = console.file.getvalue().splitlines()
    # 40 epochs left in each of three cells at the 20 s of the two epochs before: 2400 s.
    assert lines[0] == "[1 of 4] amfam-seed0 begins; about 40 min left"
    assert lines[1] == "[2 of 4] amfam-seed0 failed: no memory"
    assert lines[2].startswith("[2 of 4] concat-seed1 begins; about ")
    assert lines[3] == "[3 of 4] concat-seed1 done"


@pytest.mark.usefixtures("runner")
def test_files_agree_with_the_predictions_and_with_each_other(drawn, release, tmp_path):
    outcome, written = run(drawn, tmp_path)
    assert [path.name for path in written] == [
        f"comparison.{ending}" for ending in ("json", "csv", "md", "html", "png")
    ]
    cases = release[release["split"] == "test"].reset_index(drop=True)
    expected = {
        result.name: result
        for result in summarise(
            {name: {k: drawn_table(cases, k) for k in (0, 1)} for name in METHODS}, "amfam", card=DERM7PT
        )
    }
    content = json.loads((tmp_path / "comparison.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "comparison.csv").read_text())))
    by_key = {(row["method"], row["metric"]): row for row in rows}
    assert (content["cases"], content["split"]) == (len(cases), "test")
    assert content["data_fingerprint"] == data_fingerprint(release, card=DERM7PT)
    for name in METHODS:
        found = content["sections"][0]["methods"][name]
        paper = published_values(name)
        for metric in METRICS:
            value, row = expected[name].values[metric], by_key[name, metric]
            assert found["metrics"][metric]["mean"] == pytest.approx(value.mean)
            assert found["metrics"][metric]["by_seed"] == pytest.approx(value.by_seed)
            assert float(row["mean"]) == pytest.approx(value.mean)
            assert float(row["standard_deviation"]) == pytest.approx(value.deviation)
            assert float(row["ci95_low"]) == pytest.approx(value.low)
            if metric in (*task_names(), AVERAGE):
                assert float(row["published"]) == paper["accuracy"][metric]
            assert row["published_comparable"] == "False"
        # Fake runs took 30 s and 10 s plus the seed: median of 30, 10, 30, 11.
        assert float(by_key[name, "epoch_seconds"]["mean"]) == pytest.approx(20.5)
        assert float(by_key[name, "parameters_served"]["mean"]) == 1500
        assert float(by_key[name, "case_seconds"]["mean"]) == pytest.approx(0.004)
    difference = expected["concat"].differences[AVERAGE]
    assert float(by_key["concat", AVERAGE]["minus_amfam"]) == pytest.approx(difference.value)
    assert by_key["amfam", AVERAGE]["minus_amfam"] == ""
    markdown = (tmp_path / "comparison.md").read_text()
    html = (tmp_path / "comparison.html").read_text()
    shown = f"{100 * expected['amfam'].values[AVERAGE].mean:.1f} ± "
    assert shown in markdown and shown in html
    assert configuration.from_dict(content["configuration"]) == outcome.config


@pytest.fixture(scope="module")
def two_sections():
    """An outcome of four methods of which one also gets metadata; three, two and one seeds; a run that failed."""
    cases = cases_of_table(random_table(300, 0))

    def section(metadata, names):
        runs = {name: {k: drawn_table(cases, 10 * p + k) for k in range(3 - p % 3)} for p, name in enumerate(names)}
        costs = {name: Costs(12.5, 1_000_000, 400_000, 0.0123, 16, "2 x Test") for name in names}
        paper = {name: published_values(name) for name in names}
        published = {name: v["accuracy"] | {"diagnosis_auc": v["paper_diagnosis"]["auc"]} for name, v in paper.items()}
        published = {} if metadata else published
        return Section(metadata, summarise(runs, "amfam", resamples=200, card=DERM7PT), costs, published)

    sections = [
        section((), ("concat", "concat-recon-att-linear", "amfam")),
        section(("sex", "location"), ("concat-adv",)),
    ]
    failed = {"concat-seed2": "error <of> a_long|kind: " + "no memory " * 20}
    return Outcome(
        "test", len(cases), sections, failed, "not comparable", False, small_config(), "f" * 64, card=DERM7PT
    )


def test_methods_with_metadata_have_tables_of_their_own(two_sections):
    alone, with_metadata = two_sections.sections
    assert [tables.section_title(section) for section in two_sections.sections] == [
        "Images alone",
        "Images and sex, location",
    ]
    assert (alone.reference, with_metadata.reference) == ("amfam", None)
    for section, others in ((alone, with_metadata), (with_metadata, alone)):
        for table in tables.all_tables(two_sections, section):
            named = {row.cells[0] for row in table.rows}
            assert not named & {result.name for result in others.results}
    assert (
        page.summary(with_metadata, measures_of(DERM7PT).headline)[0].title
        == "Accuracy of concat-adv with sex, location, mean of the 8 tasks"
    )
    headings = tables.headline_table(two_sections, with_metadata).headings
    assert headings == ["method", "seeds", "accuracy ± SD", "95 %"]


def test_differences_of_few_seeds_have_a_word_and_no_p(two_sections):
    alone = two_sections.sections[0]
    table = tables.headline_table(two_sections, alone)
    assert table.note.endswith(f" {tables.ABOUT_CASES_ALONE}")
    for row, result in zip(table.rows, alone.results, strict=True):
        difference, p, holm = row.cells[-3:]
        if result.name == "amfam":
            assert (difference, p, holm) == ("", "", "")
        else:
            assert difference.endswith("), cases alone")
            assert (p, holm) == ("–", "–")
    content = files.to_dict(two_sections)["sections"][0]["methods"]["concat"]["metrics"][AVERAGE]["difference"]
    assert content["note"] == tables.ABOUT_CASES_ALONE
    rows = csv.DictReader(io.StringIO(files.to_csv(two_sections)))
    (row,) = (row for row in rows if (row["method"], row["metric"]) == ("concat", AVERAGE))
    assert (row["p"], row["p_holm"], row["note"]) == ("", "", "cases alone")
    for shown in (tables.auc_table(two_sections, alone), tables.task_difference_table(two_sections, alone)):
        assert shown.note.endswith(tables.ABOUT_CASES_ALONE)
    assert tables.ABOUT_CASES_ALONE in page.render(two_sections, "few")


def test_the_figure_explains_the_line_of_amfam_where_there_is_one(two_sections):
    assert page.forest_picture(two_sections).caption.endswith("single runs; line: AMFAM.")
    without = Outcome(**{**vars(two_sections), "sections": two_sections.sections[1:]})
    assert page.forest_picture(without).caption.endswith("single runs.")


def test_a_method_that_takes_metadata_is_fitted_with_them_too(drawn, runner, tmp_path):
    outcome, _ = run(drawn, tmp_path, methods=("amfam", "embeddingnet"), seeds=(0,), metadata=("sex", "location"))
    informed = ["amfam+sex+location", "embeddingnet+sex+location"]
    assert fits(runner) == ["amfam-seed0", "embeddingnet-seed0", *(f"{name}-seed0" for name in informed)]
    alone, with_metadata = outcome.sections
    assert [result.name for result in alone.results] == ["amfam", "embeddingnet"]
    assert [result.name for result in with_metadata.results] == informed
    assert (alone.metadata, with_metadata.metadata) == ((), ("sex", "location"))
    assert (set(alone.published), with_metadata.published) == ({"amfam", "embeddingnet"}, {})
    run(drawn, tmp_path, methods=("amfam", "embeddingnet"), seeds=(0,), metadata=("sex",))
    assert fits(runner) == ["amfam+sex-seed0", "embeddingnet+sex-seed0"]
    # Metadata that the preset names are metadata all the same.
    (section,) = run(drawn, tmp_path / "b", "model.metadata=[sex]", methods=("embeddingnet",), seeds=(0,))[0].sections
    assert (section.metadata, section.published) == (("sex",), {})


def test_a_method_with_another_value_is_a_row_of_its_own(drawn, runner, tmp_path):
    name = "amfam, loss.label_smoothing=0.1"
    outcome, _ = run(drawn, tmp_path, methods=("amfam",), also=("loss.label_smoothing=0.1",))
    (section,) = outcome.sections
    assert [result.name for result in section.results] == ["amfam", name]
    assert [result.seeds for result in section.results] == [(0, 1), (0, 1)]
    assert section.results[1].differences["average"].value == pytest.approx(
        section.results[1].values["average"].mean - section.results[0].values["average"].mean
    )
    assert set(section.published) == {"amfam"}
    fits(runner)
    run(drawn, tmp_path, methods=("amfam",), also=("loss.label_smoothing=0.1", "optimizer.weight_average=0.5"))
    assert fits(runner) == [f"amfam_optimizer.weight_average=0.5-seed{seed}" for seed in (0, 1)]


def test_metadata_that_no_method_takes_are_refused(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(models.METHODS, "tiny", TINY)
    with pytest.raises(ConfigError, match="none of tiny does"):
        run(drawn, tmp_path / "out", metadata=("sex",), methods=("tiny",))
    with pytest.raises(
        ConfigError, match=r"model.metadata\[0\] must be one of level_of_diagnostic_difficulty, elevation"
    ):
        run(drawn, tmp_path / "out", methods=("embeddingnet",), metadata=("age",))
    assert not (tmp_path / "out").exists()


def test_published_values_are_labelled_by_what_they_are_of(two_sections):
    (section, _) = two_sections.sections
    assert "on Derm7pt*" in tables.headline_table(two_sections, section).headings
    same = Outcome(**{**vars(two_sections), "comparable": True})
    assert "published*" in tables.headline_table(same, section).headings
    assert tables.task_table(two_sections, section).rows[1].cells[0] == "on Derm7pt*"


def test_every_table_has_as_many_cells_as_headings(two_sections):
    for section in two_sections.sections:
        for table in (*tables.all_tables(two_sections, section), tables.failure_table(two_sections.failed)):
            assert {len(row.cells) for row in table.rows} == {len(table.headings)}


def test_tables_of_the_terminal_fit_120_columns_without_a_cut(two_sections):
    for section in two_sections.sections:
        for table in tables.terminal_tables(two_sections, section):
            console = Console(file=io.StringIO(), width=120)
            console.print(to_rich(table, framed=False))
            text = console.file.getvalue()
            assert "…" not in text
            for row in table.rows:
                assert all(cell in text for cell in row.cells)


def test_numbers_as_text():
    assert numbers.p_value(0.0004) == "<0.001"
    assert numbers.p_value(0.0432) == "0.043"
    assert numbers.p_value(np.nan) == numbers.decimal(None) == numbers.count(None) == numbers.ends([np.nan] * 2) == "–"
    assert [numbers.decimal(value) for value in (123.4, 12.34, 1.234)] == ["123", "12.3", "1.23"]
    assert numbers.count(1234567) == "1,234,567"


def test_markdown_keeps_every_cell_whatever_it_holds():
    table = Table("a*b", ["x", "y"], [TableRow(["a|b", "<c_d>"])], "note")
    assert to_markdown(table).splitlines() == [
        r"**a\*b**",
        "",
        "| x | y |",
        "| :-- | --: |",
        r"| a\|b | \<c\_d> |",
        "",
        "note",
    ]


def test_the_page_is_one_file_that_says_the_needful_first(two_sections):
    html = page.render(two_sections, "demo <1>")
    assert "demo &lt;1&gt;" in html
    assert html.index("not a medical device") < html.index('class="keys"') < html.index("<table")
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(source.startswith(("data:", "#")) for source in sources)
    assert "<script" not in html and "url(" not in html and "@import" not in html
    targets = {source[1:] for source in sources if source.startswith("#")}
    assert targets <= set(re.findall(r'id="([^"]*)"', html))
    assert "error &lt;of&gt; a_long|kind" in html
    assert "prefers-color-scheme: dark" in html and "@media print" in html


@pytest.mark.skipif(browser.find() is None, reason="needs Chromium or Chrome, e.g. `apt-get install chromium`")
def test_the_page_on_a_phone_and_on_a_desk(two_sections, tmp_path):
    html = page.render(two_sections, "a_comparison_with_a_rather_long_name_as_they_happen")
    measured, console = browser.look(html, tmp_path, (390, 1280))
    assert sorted(measured) == [390, 1280]
    for width, found in measured.items():
        assert found["pictures"] == 1
        assert (found["broken"], found["wide"], found["fetched"]) == ([], [], [])
        assert found["scrollWidth"] == width
    assert console == []


def test_no_predictions_of_other_cases_are_compared(drawn, runner, tmp_path):
    run(drawn, tmp_path, seeds=(0,))
    path = tmp_path / "runs/concat-seed0/evaluation/test/predictions.csv"
    table = pd.read_csv(path)
    assert len(table) > 3
    table.iloc[1:].to_csv(path, index=False)
    runner.ran.clear()
    run(drawn, tmp_path, seeds=(0,))
    assert fits(runner) == ["concat-seed0"]  # not the file that its record is about: evaluated again
