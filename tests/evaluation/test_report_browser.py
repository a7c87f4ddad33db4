"""report.html in a real browser: every picture loads, nothing overflows, nothing is fetched, the console is quiet."""

import browser
import pytest
from untrained_runs import write_run

from amfam_tf.evaluation import html_report, run

pytestmark = pytest.mark.skipif(
    browser.find() is None, reason="needs Chromium or Chrome, e.g. `apt-get install chromium`"
)
PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def page(tmp_path_factory, drawn):
    """Returns the report of a real run, compared with itself."""
    finished = write_run(tmp_path_factory.mktemp("runs") / "a_run_with_a_rather_long_name_as_they_happen", drawn)
    evaluation = run.evaluate_run(finished, drawn)
    html_report.write_report(evaluation, run.compare_with(evaluation, finished, drawn))
    return (evaluation.folder / "report.html").read_text(encoding="utf-8")


def test_report_on_a_phone_and_on_a_desk(page, tmp_path):
    measured, console = browser.look(page, tmp_path, (PHONE, DESK))
    assert sorted(measured) == [PHONE, DESK]
    for width, found in measured.items():
        assert found["pictures"] == page.count("<img ") > 10
        assert found["broken"] == []
        assert found["scrollWidth"] == width
        assert found["wide"] == []
        assert found["fetched"] == []
    assert console == []


def test_the_look_finds_what_is_wrong(tmp_path):
    broken = """<!DOCTYPE html><html><body><p style="width: 500px">wide</p>
    <img alt="none" src="data:image/png;base64,AAAA">
    <div class="scroll" style="overflow-x: auto"><p style="width: 2000px">may be wide</p></div>
    <script>console.error("wrong")</script></body></html>"""
    measured, console = browser.look(broken, tmp_path, (PHONE, DESK))
    assert measured[PHONE]["scrollWidth"] > PHONE
    assert len(measured[PHONE]["wide"]) == 1
    assert measured[DESK]["wide"] == []
    assert measured[PHONE]["broken"] == ["none"]
    assert any("wrong" in line for line in console)
