"""report.html as text: one whole file, every number the measured one, everything named, nothing executed."""

import html
import json
import re
from html.parser import HTMLParser

import pytest
from releases import TinyRelease
from small_runs import write_run

from amfam_tf.errors import RunError
from amfam_tf.evaluation import html_report, run
from amfam_tf.evaluation.checklists import CLAIM, TARGET, TRIPOD_AI
from amfam_tf.report import numbers
from amfam_tf.tasks import TASKS

VOID = {"meta", "link", "img", "br", "path", "circle"}


class Page(HTMLParser):
    """Collects what a page consists of, and sees that tags are closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Returns the attributes of each element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        """Returns the words of the page."""
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Returns a data set of which the test split has 10 cases."""
    return TinyRelease(cases=40).write(tmp_path_factory.mktemp("data") / "release")


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, release):
    """Returns an evaluation with its report, of a run with a name that is no good HTML."""
    finished = write_run(tmp_path_factory.mktemp("runs") / "<b>run & co", release, batch_size=10)
    evaluation = run.evaluate_run(finished, release)
    html_report.write_report(evaluation)
    return evaluation


@pytest.fixture(scope="module")
def source(evaluation):
    """Returns the text of its report.html."""
    return (evaluation.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source):
    """Returns the parsed report."""
    return Page(source)


def test_tags_are_closed_and_headings_in_order(page):
    assert page.open == []
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_one_file_without_script_or_network(source, page):
    assert page.all("script") == []
    urls = [attributes[name] for _, attributes in page.tags for name in ("src", "href") if name in attributes]
    assert urls
    assert all(url.startswith(("data:", "#")) for url in urls)
    assert "url(" not in source and "@import" not in source


def test_links_lead_somewhere_and_pictures_and_columns_have_names(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link["href"][1:] in ids
    assert all(len(picture["alt"]) > 20 for picture in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(heading["scope"] in ("col", "row") for heading in page.all("th"))


def test_names_of_the_user_are_text(page):
    assert "Evaluation of <b>run & co" in page.text
    assert page.all("b") == []


def test_summary_is_first_and_says_what_this_is(page):
    first = page.text.split("Accuracy in percent")[0]
    assert "A research tool, not a medical device." in first
    assert "The published values here are of other cases" in first
    assert "its class counts are not those of Table 1" in first


def test_numbers_are_those_of_metrics_json(evaluation, page):
    content = json.loads((evaluation.folder / "metrics.json").read_text(encoding="utf-8"))
    low, high = (f"{100 * end:.1f}" for end in content["average"]["accuracy_ci95"])
    value, majority = 100 * content["average"]["accuracy"], 100 * content["majority_baseline"]["train"]["average"]
    assert f"{value:.1f} % 95 % interval {low}–{high} majority class of the training split: {majority:.1f}" in page.text
    for task in TASKS:
        values = content["tasks"][task.name]
        low, high = (f"{100 * end:.1f}" for end in values["accuracy_ci95"])
        assert f"{task.name} {task.title} {100 * values['accuracy']:.1f} ({low}–{high})" in page.text
        published = content["published"]["accuracy"][task.name]
        assert re.search(rf"{task.name} {task.title} [^A-Z]* {100 * published:.1f} ", page.text)
        for label, title in zip(task.classes, task.class_titles, strict=True):
            row = values["classes"][label]
            sensitivity = "–" if row["sensitivity"] is None else f"{100 * row['sensitivity']:.1f}"
            assert f"{task.name} {label} {title} {row['support']} {sensitivity}" in page.text


def test_small_subgroups_undefined_values_and_notes_are_said(evaluation, page):
    small = [row for row in evaluation.report["subgroups"] if row["too_small"]]
    for row in small:
        title = row["variable"].rpartition("_")[2]
        expected = f"{title}: {row['value']} {row['cases']} {row['melanomas']} under 10 cases: too small"
        assert expected in page.text
    for one in evaluation.report["undefined"]:
        assert f"{one['task']} {one['class']}, {one['metric'].replace('_', ' ')}: {one['reason']}" in page.text
    assert evaluation.report["undefined"] and small and evaluation.notes
    for note in evaluation.notes:
        assert note in page.text


def test_gallery_configuration_and_environment_are_there(evaluation, page, source):
    cards = [picture for picture in page.all("img") if picture["src"].startswith("data:image/jpeg")]
    wrong = (evaluation.table["DIAG_true"] != evaluation.table["DIAG_pred"]).sum()
    assert len(cards) == min(8, wrong) + 7
    assert "image_size: 32" in html.unescape(source)
    assert "data fingerprint" in page.text
    assert f"{len(evaluation.used)}" in page.text


def test_figures_are_files_and_in_the_page(evaluation, page):
    files = {path.stem for path in (evaluation.folder / "figures").iterdir()}
    assert files == {"confusion", "roc", "precision_recall", "reliability", "melanoma_roc", "decision_curve", "errors"}
    shown = {figure["id"].removeprefix("figure-") for figure in page.all("figure")}
    assert shown == files - {"errors"}


def test_every_item_of_the_checklists_has_an_answer_or_says_that_not(page):
    assert len(CLAIM) == 42
    assert {item.number.rstrip("abcdefg") for item in TRIPOD_AI} == {str(number) for number in range(1, 28)}
    open_items = [item for item in (*CLAIM, *TRIPOD_AI) if item.section is None]
    # This run has no history and no attention maps, so two more are open.
    assert page.text.count("not answered here") - 1 == len(open_items) + 2
    sections = {attributes.get("id") for _, attributes in page.tags}
    open_here = {None, "figure-training", "figure-network"}
    answered = {"melanoma" if item.section == TARGET else item.section for item in (*CLAIM, *TRIPOD_AI)} - open_here
    assert answered <= sections


def test_evaluating_again_removes_the_old_report(evaluation, release):
    path = evaluation.folder / "report.html"
    text = path.read_text(encoding="utf-8")
    run.evaluate_run(evaluation.run, release)
    assert not path.exists()
    path.write_text(text, encoding="utf-8")


def test_place_that_cannot_be_written_is_one_line(evaluation, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "confusion.png")

    monkeypatch.setattr(html_report.write, "draw_all", lambda *_, **__: [])
    monkeypatch.setattr(html_report.write, "write_figures", fail)
    with pytest.raises(RunError, match=r"cannot write confusion\.png: No space left on device"):
        html_report.write_report(evaluation)


def test_undefined_values_are_dashes_and_minus_is_a_minus():
    nothing = float("nan")
    assert numbers.value_with_interval(nothing, [nothing, nothing]) == "–"
    assert numbers.value_with_interval(0.5, [nothing, nothing]) == "50.0"
    assert numbers.value_with_interval(0.5, [0.25, 1]) == "50.0 (25.0–100.0)"
    assert numbers.difference(-0.014) == "−1.4"
