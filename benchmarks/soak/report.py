"""The figures of a soak, the judgement, and the curves of memory and descriptors."""

import bisect
import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.soak.records import Log, Request, Sample

WARM_SECONDS = 60
"""Of each life of the process: its memory still fills."""
WARM_SWAPS = 3
"""Of each life: the allocator's free lists still fill while two versions are loaded at a time."""
FEWEST_POINTS = 4
SHORTEST_SLOPE_SECONDS = 60
FAULTY = ("wrong", "failed")
KINDS_OF_FAILED_RUNS = frozenset({"gRPC: no picture", "gRPC: half a picture"})
"""What is refused by the graph itself; all else is refused before TensorFlow runs anything."""
KEPT_BY_TENSORFLOW = 0.004
"""Megabytes that a run leaves which fails in a batch and then alone, with a deadline (`failed_runs.py`).

TensorFlow 2.21 keeps something of every run that it aborts. What the server itself would keep comes on top of it."""
MOST_GROWTH = 2.0
"""Megabytes a minute of what is allocated; a leak of a picture or of a version is more."""
MOST_DESCRIPTORS = 20
MOST_P99_AT_A_SWAP = 1.0


def summarise(log: Log) -> dict[str, Any]:
    """Returns the figures: requests by outcome, faults, latencies in seconds, growth."""
    good = [request for request in log.requests if request.good]
    answered = [request for request in good if request.outcome == "right"]
    at_swap = [request for request in answered if _during(request, log.swaps)]
    return {
        "minutes": round(log.now() / 60, 2),
        "good": dict(Counter(request.outcome for request in good)),
        "bad": dict(Counter(request.outcome for request in log.requests if not request.good)),
        "bad_by_kind": dict(Counter(request.kind for request in log.requests if not request.good)),
        "faults": dict(log.faults),
        "swaps": [[round(at, 1) for at in span] for span in log.swaps],
        "seconds": _percentiles(answered),
        "seconds_at_a_swap": _percentiles(at_swap),
        "lives": [life for number in sorted({s.life for s in log.samples}) if (life := _life(log, number))],
        "problems": log.problems,
        "examples": [f"{r.kind}: {r.detail}" for r in log.requests if r.outcome in ("wrong", "failed")][:20],
    }


def judge(summary: dict[str, Any]) -> list[str]:
    """Returns what is not as it should be, a sentence each."""
    found = list(summary["problems"])
    counts = [(side, outcome, summary[side].get(outcome, 0)) for side in ("good", "bad") for outcome in FAULTY]
    found += [f"{count} {side} requests: {outcome}" for side, outcome, count in counts if count]
    if not summary["good"].get("right"):
        found.append("no good request was answered")
    p99 = summary["seconds_at_a_swap"].get("p99")
    if p99 is not None and p99 >= MOST_P99_AT_A_SWAP:
        found.append(f"p99 at a swap is {p99} s, the most is {MOST_P99_AT_A_SWAP} s")
    for life in summary["lives"]:
        if (slope := life["megabytes_a_minute_without_failed_runs"]) is not None and slope > MOST_GROWTH:
            text = f"memory grows by {slope} MB a minute beside failed runs, the most is {MOST_GROWTH}"
            found.append(f"life {life['life']}: {text}")
        if life["descriptors_more"] > MOST_DESCRIPTORS:
            found.append(f"life {life['life']}: {life['descriptors_more']} descriptors more at its end than when warm")
    return found


def draw(log: Log, path: Path) -> None:
    """Draws memory and descriptors of the server over time; swaps are marked."""
    from amfam_tf.evaluation import figure_style as style

    with style.style():
        figure = style.new_figure(7.2, 4.2)
        memory, descriptors = figure.subplots(2, 1, sharex=True)
        for life in sorted({sample.life for sample in log.samples}):
            samples = [sample for sample in log.samples if sample.life == life]
            minutes = [sample.at / 60 for sample in samples]
            memory.plot(minutes, [sample.megabytes for sample in samples], color=style.BLUE, label="resident")
            memory.plot(minutes, [_in_use(sample) for sample in samples], color=style.ORANGE, label="allocated")
            descriptors.plot(minutes, [sample.descriptors for sample in samples], color=style.VERMILLION, label="files")
            descriptors.plot(minutes, [sample.threads for sample in samples], color=style.GREEN, label="threads")
        for begun, _ in log.swaps:
            memory.axvline(begun / 60, color=style.PALE, linewidth=0.8, zorder=0)
        memory.set(ylabel="memory, MB", title="the embedded server under load (a line: a swap)")
        memory.set_ylim(bottom=0)
        descriptors.set(xlabel="minutes", ylabel="open")
        descriptors.set_ylim(bottom=0)
        for axes in (memory, descriptors):
            handles, labels = axes.get_legend_handles_labels()
            axes.legend(handles[:2], labels[:2])
        style.write_png(figure, path)


def _during(request: Request, spans: Sequence[tuple[float, float]]) -> bool:
    ended = request.started + request.seconds
    return any(begin <= ended and request.started <= end for begin, end in spans)


def _percentiles(requests: Sequence[Request]) -> dict[str, float]:
    if not requests:
        return {}
    values = np.percentile([request.seconds for request in requests], [50, 99, 100])
    return {"count": len(requests), **dict(zip(("p50", "p99", "most"), values.round(3).tolist(), strict=True))}


def _life(log: Log, number: int) -> dict[str, Any] | None:
    """Returns how a process grew after it was warm; None for one that did not live that long."""
    own = [sample for sample in log.samples if sample.life == number]
    warm = [sample for sample in own if sample.at >= own[0].at + WARM_SECONDS]
    if not warm:
        return None
    swaps = [span for span in log.swaps if own[0].at <= span[0] <= own[-1].at]
    floors = _floors(own, swaps)
    lowest = [min(quiet, key=_in_use) for quiet in floors] if swaps else None
    failed = sorted(r.started + r.seconds for r in log.requests if r.kind in KINDS_OF_FAILED_RUNS)
    return {
        "life": number,
        "minutes": round((own[-1].at - own[0].at) / 60, 2),
        "megabytes_warm": round(warm[0].megabytes),
        "megabytes_at_the_end": round(warm[-1].megabytes),
        "megabytes_between_swaps": [round(min(s.megabytes for s in quiet)) for quiet in floors],
        "in_use_between_swaps": [round(min(map(_in_use, quiet))) for quiet in floors],
        "megabytes_a_minute": _slope(lowest, warm),
        "megabytes_a_minute_without_failed_runs": _slope(
            lowest and [_without_failed_runs(sample, failed) for sample in lowest],
            [_without_failed_runs(sample, failed) for sample in warm],
        ),
        "descriptors_more": warm[-1].descriptors - warm[0].descriptors,
        "threads_more": warm[-1].threads - warm[0].threads,
    }


def _without_failed_runs(sample: Sample, ends: Sequence[float]) -> Sample:
    """Returns a sample without what TensorFlow keeps of the runs that had failed by then.

    Args:
        ends: of the failed runs, sorted. Those of earlier lives change no slope.
    """
    if sample.allocated is None:
        return sample
    kept = KEPT_BY_TENSORFLOW * bisect.bisect_right(ends, sample.at)
    return dataclasses.replace(sample, allocated=sample.allocated - kept)


def _in_use(sample: Sample) -> float:
    """Returns what the process has allocated, megabytes; what is resident where the allocator cannot tell."""
    return sample.megabytes if sample.allocated is None else sample.allocated


def _floors(own: Sequence[Sample], swaps: Sequence[tuple[float, float]]) -> list[list[Sample]]:
    """Returns the samples of each interval between two swaps, in which there is one version."""
    spans = itertools.pairwise([*swaps, (own[-1].at, own[-1].at)])
    found = ([sample for sample in own if begin <= sample.at <= end] for (_, begin), (end, _) in spans)
    return [quiet for quiet in found if quiet]


def _slope(floors: Sequence[Sample] | None, warm: Sequence[Sample]) -> float | None:
    """Returns the growth of a process once it is warm, MB a minute; None if it was warm for too short a time.

    Args:
        floors: the sample of least memory between each two swaps: during one there are two versions, and for a while
            after it garbage; None without any swap.
        warm: samples after the first minute, which count then.
    """
    points = warm if floors is None else floors[WARM_SWAPS - 1 :]
    if len(points) < FEWEST_POINTS or points[-1].at - points[0].at < SHORTEST_SLOPE_SECONDS:
        return None
    times, megabytes = zip(*((sample.at, _in_use(sample)) for sample in points), strict=True)
    return round(60 * float(stats.theilslopes(megabytes, times).slope), 2)
