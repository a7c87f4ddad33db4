"""Turns of several sides, their medians and ratios, and what the machine is."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Measure = Callable[[], float]


def take_turns(sides: Mapping[str, Measure], turns: int) -> dict[str, list[float]]:
    """Returns each side's measurements, taken A B A B ..., so that a busy machine slows all alike.

    Args:
        sides: by name, a function that measures once.
        turns: measurements of each.
    """
    results: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, measure in sides.items():
            results[name].append(measure())
            # Not among the results: for whoever waits, and for what an interrupted run has seen.
            print(f"{name}: {results[name][-1]:.4g}", file=sys.stderr, flush=True)
    return results


def medians(results: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Returns the median of each side."""
    return {name: statistics.median(values) for name, values in results.items()}


def seconds_of(call: Callable[[], object]) -> float:
    """Returns how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """Returns processor, cores and present load, in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, {load()}"


def load() -> str:
    """Returns the load average of the last minute, for the text beside a figure."""
    return f"load average {os.getloadavg()[0]:.1f}"
