"""What the soak counts, compares and judges, on figures made by hand."""

import dataclasses
import random
import threading

import numpy as np
import pytest

from benchmarks.soak import report, traffic, watched
from benchmarks.soak.models import Question
from benchmarks.soak.records import Log, Request, Sample
from benchmarks.soak.server import Versions

ANSWERS = {
    "A": {"DIAG": np.array([[0.2, 0.8]]), "melanoma_probability": np.array([0.3])},
    "B": {"DIAG": np.array([[0.7, 0.3]]), "melanoma_probability": np.array([0.4])},
}
QUESTION = Question("serving_default", {}, ANSWERS)


def outcomes_of(send, log: Log, count: int = 1) -> list[Request]:
    stop = threading.Event()

    def once(draw: random.Random) -> str:
        if len(log.requests) + 1 == count:
            stop.set()
        return send(draw)

    traffic.run_client("kind", True, once, log, stop, seed=0)
    return log.requests


def raising(code: str):
    def send(_: random.Random) -> str:
        raise traffic.Failed(code, "text")

    return send


def test_an_answer_is_compared_with_that_of_its_own_version():
    assert QUESTION.differences("A", ANSWERS["A"]) == []
    assert QUESTION.differences("B", ANSWERS["A"]) == ["DIAG", "melanoma_probability"]
    near = ANSWERS["A"] | {"melanoma_probability": np.array([0.3 + 5e-4])}
    far = ANSWERS["A"] | {"melanoma_probability": np.array([0.3 + 2e-3])}
    assert QUESTION.differences("A", near) == []
    assert QUESTION.differences("A", far) == ["melanoma_probability"]
    assert QUESTION.differences("A", {"DIAG": ANSWERS["A"]["DIAG"]}) == ["melanoma_probability"]
    assert QUESTION.differences("A", ANSWERS["A"] | {"melanoma_probability": np.array([0.3, 0.3])}) != []


@pytest.mark.parametrize(
    ("send", "outcome"),
    [
        (lambda _: "", "right"),
        (lambda _: "DIAG", "wrong"),
        (raising("RESOURCE_EXHAUSTED"), "refused"),
        (raising("429"), "refused"),
        (raising("UNAVAILABLE"), "failed"),
        (raising(""), "failed"),
    ],
)
def test_each_end_of_a_request_has_its_outcome(send, outcome):
    assert [request.outcome for request in outcomes_of(send, Log())] == [outcome]


def test_only_while_the_server_is_down_may_a_request_be_lost():
    log = Log()
    log.down()
    assert outcomes_of(raising("UNAVAILABLE"), log)[-1].outcome == "lost"
    assert outcomes_of(raising("INTERNAL"), log, count=2)[-1].outcome == "failed"
    log.up()
    (begin, end) = log.outages[0]
    assert log.was_down(end, end + 1)
    assert not log.was_down(end + 1e-6, end + 1)
    assert not log.was_down(begin - 1, begin - 1e-6)


def grown(slope: float, descriptors: int = 0) -> Log:
    """Returns five minutes of a process that grows by `slope` megabytes a minute once it is warm."""
    log = Log()
    log.add(Request("gRPC", True, 100.0, 0.1, "right"))
    for second in range(0, 301, 2):
        # What fills before a process is warm does not count.
        fill, warm = min(second, report.WARM_SECONDS), max(0, second - report.WARM_SECONDS)
        more = descriptors if second > 200 else 0
        log.samples.append(Sample(second, 0, 1000 + fill + slope * warm / 60, 50 + more, 9))
    return log


def test_growth_is_the_slope_of_a_warm_process():
    log = grown(6.0)
    (life,) = report.summarise(log)["lives"]
    assert life["megabytes_a_minute"] == 6.0
    assert any("memory grows" in problem for problem in report.judge(report.summarise(log)))
    flat = report.summarise(grown(0.0))
    assert report.judge(flat) == []
    assert any("30 descriptors more" in problem for problem in report.judge(report.summarise(grown(0.0, 30))))


def test_what_tensorflow_keeps_of_failed_runs_is_no_growth_of_the_server():
    def growing(kind: str, megabytes_a_minute: float) -> Log:
        log = grown(0.0)
        log.samples = [
            dataclasses.replace(sample, allocated=400 + megabytes_a_minute * sample.at / 60) for sample in log.samples
        ]
        # 750 a minute, each of which leaves 4 kB: 3 MB a minute.
        for number in range(300 * 750 // 60):
            log.add(Request(kind, False, number * 60 / 750, 0.0, "right"))
        return log

    explained = report.summarise(growing("gRPC: half a picture", 3.0))
    (life,) = explained["lives"]
    assert life["megabytes_a_minute"] == pytest.approx(3.0, abs=0.01)
    assert life["megabytes_a_minute_without_failed_runs"] == pytest.approx(0.0, abs=0.05)
    assert report.judge(explained) == []
    for other in (growing("gRPC: unknown model", 3.0), growing("gRPC: half a picture", 6.0)):
        assert any("memory grows by 3.0" in problem for problem in report.judge(report.summarise(other)))


@pytest.mark.parametrize("outcome", ["wrong", "failed"])
@pytest.mark.parametrize(("good", "side"), [(True, "good"), (False, "bad")])
def test_one_faulty_request_fails_the_soak(outcome, good, side):
    log = grown(0.0)
    log.add(Request("kind", good, 200.0, 0.1, outcome, "detail"))
    assert report.judge(report.summarise(log)) == [f"1 {side} requests: {outcome}"]


def test_refused_and_lost_requests_do_not():
    log = grown(0.0)
    log.add(Request("kind", True, 200.0, 0.1, "refused"))
    log.add(Request("kind", True, 200.0, 0.1, "lost"))
    assert report.judge(report.summarise(log)) == []


def test_a_slow_answer_counts_at_a_swap_only():
    log = grown(0.0)
    log.add(Request("gRPC", True, 200.0, 3.0, "right"))
    assert report.judge(report.summarise(log)) == []
    log.swaps.append((202.5, 204.0))
    assert report.judge(report.summarise(log)) == ["p99 at a swap is 3.0 s, the most is 1.0 s"]


def test_nothing_answered_is_no_success():
    log = grown(0.0)
    log.requests.clear()
    assert "no good request was answered" in report.judge(report.summarise(log))


def test_a_version_appears_whole_or_not_at_all(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(b"0123456789")
    base = tmp_path / "base"
    base.mkdir()
    versions = Versions(base, {"A": model, "B": tmp_path / "absent"})
    assert versions.publish("A") == 1
    with pytest.raises(OSError, match="absent"):
        versions.publish("B")
    assert sorted(path.name for path in base.iterdir()) == ["1"]
    assert versions.publish_broken() == 2
    assert (base / "2" / "saved_model.pb").read_bytes() == b"01234"
    versions.remove_all_but({2})
    assert sorted(path.name for path in base.iterdir()) == ["2"]
    assert versions.letters == {1: "A", 2: "A"}


def swapped(slope: float, swaps: int) -> Log:
    """Returns a process of a swap a minute: 300 MB more within each, and `slope` MB a minute more from the start on."""
    log = Log()
    log.swaps = [(60.0 * number + 30, 60.0 * number + 50) for number in range(1, swaps + 1)]
    for second in range(0, 60 * (swaps + 2), 2):
        twice = any(begin <= second <= end for begin, end in log.swaps)
        log.samples.append(Sample(second, 0, 1000 + 300 * twice + slope * second / 60, 50, 9))
    return log


def test_two_versions_at_a_time_are_no_growth():
    (flat,) = report.summarise(swapped(0.0, 10))["lives"]
    assert flat["megabytes_a_minute"] == 0.0
    assert flat["megabytes_between_swaps"] == [1000] * 10
    # The last one of a soak ends with it.
    unended = swapped(0.0, 10)
    unended.swaps[-1] = (unended.swaps[-1][0], 1e6)
    assert report.summarise(unended)["lives"][0]["megabytes_a_minute"] == 0.0
    (growing,) = report.summarise(swapped(3.0, 10))["lives"]
    assert growing["megabytes_a_minute"] == 3.0


def test_gaps_of_the_allocator_are_no_growth_and_a_leak_that_reuses_them_is():
    def with_allocated(resident: float, allocated: float) -> Log:
        log = swapped(resident, 10)
        log.samples = [
            dataclasses.replace(sample, allocated=500 + 200 * (sample.megabytes > 1290) + allocated * sample.at / 60)
            for sample in log.samples
        ]
        return log

    (gaps,) = report.summarise(with_allocated(5.0, 0.0))["lives"]
    assert gaps["megabytes_a_minute"] == 0.0
    assert gaps["in_use_between_swaps"] == [500] * 10
    assert gaps["megabytes_between_swaps"] == [1009 + 5 * number for number in range(10)]
    (leak,) = report.summarise(with_allocated(0.0, 3.0))["lives"]
    assert leak["megabytes_a_minute"] == 3.0


def test_what_a_process_has_allocated_grows_and_shrinks_with_it():
    if (before := watched.allocated_bytes()) is None:
        pytest.skip("the allocator of this system does not tell")
    block = np.ones(50_000_000, np.uint8)
    held = watched.allocated_bytes()
    del block
    assert held - before == pytest.approx(50e6, abs=5e6)
    assert watched.allocated_bytes() - before == pytest.approx(0, abs=5e6)


def test_growth_is_not_judged_before_the_swaps_have_warmed_the_process():
    (short,) = report.summarise(swapped(3.0, report.WARM_SWAPS + report.FEWEST_POINTS - 2))["lives"]
    assert short["megabytes_a_minute"] is None


def test_a_process_that_ends_in_its_first_swap_is_not_judged():
    log = swapped(3.0, 2)
    log.swaps = [(70.0, 1e6)]
    (life,) = report.summarise(log)["lives"]
    assert (life["megabytes_between_swaps"], life["megabytes_a_minute"]) == ([], None)


def test_a_client_that_ends_is_a_problem():
    log = Log()

    def send(_: random.Random) -> str:
        raise KeyError("broken")

    with pytest.raises(KeyError):
        traffic.run_client("gRPC", True, send, log, threading.Event(), seed=0)
    assert [problem.split(": ", 1)[1] for problem in log.problems] == ["the client 'gRPC' ended: KeyError: 'broken'"]
