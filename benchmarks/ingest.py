"""Pairs per second and memory of `amfam-tf ingest` with one process and with several, as the number of pairs grows.

    python -m benchmarks.ingest --folder FOLDER [--sizes 1000,10000,50000] [--workers 1,2] [--pixels 128x96]

The pairs are drawn once and repeated: every picture is a file of its own with bytes of its own. Each ingest is a
process of its own and timed as a user waits for it, the start of Python, TensorFlow and the workers included;
"per further pair" compares a size with the one before it, and so is without the start. Memory is the most that the
process that was started held, and the most that any worker beside it held (VmHWM); with one worker there is none
beside it. The records are removed when they are measured, and so is the data set of a size.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import growth, turns, wire

SIZES, WORKERS = (1000, 10_000, 50_000), (1, 2)
SHARDS = 8
SAMPLE_SECONDS = 0.5
WORKER_MODULE = b"sdk_worker_main"

Result = Mapping[str, float]


def peak_of(pid: int) -> float:
    """Returns the most that a process has held so far, GiB; 0 if it has ended."""
    try:
        return wire.peak_memory_gib(pid)
    except OSError:
        return 0.0


def descendants(pid: int) -> list[int]:
    """Returns the processes that a process has started, and those that they have."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def is_worker(pid: int) -> bool:
    """Returns whether a process is one of Beam's workers."""
    try:
        return WORKER_MODULE in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def measure_here(data: Path, out: Path, workers: int) -> dict[str, float]:
    """Ingests a data set and returns records, and the peak memory of this process and of the largest worker, GiB."""
    from amfam_tf.ingest.pipeline import run

    done, peaks = threading.Event(), {0: 0.0}

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            for pid in descendants(os.getpid()):
                if is_worker(pid):
                    peaks[pid] = max(peaks.get(pid, 0.0), peak_of(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        report = run(str(data), str(out), shards=SHARDS, beam_arguments=[f"--direct_num_workers={workers}"])
    finally:
        done.set()
        watcher.join()
    return {"cases": report.cases, "memory": wire.peak_memory_gib(), "worker_memory": max(peaks.values())}


def measure(data: Path, out: Path, workers: int) -> dict[str, float]:
    """As `measure_here`, in a process of its own, with its wall seconds."""
    started = time.perf_counter()
    result = wire.measured_apart("benchmarks.ingest", "--measure", data, out, workers)
    return {**result, "seconds": time.perf_counter() - started}


def run_all(folder: Path, sizes: Sequence[int], workers: Sequence[int], pixels: tuple[int, int]) -> dict[Any, Result]:
    """Returns the result of each (size, number of workers); prints it as it comes."""
    from amfam_tf.data import synthetic

    folder.mkdir(parents=True, exist_ok=True)
    drawn = folder / "drawn"
    synthetic.write_data_set(drawn, growth.DRAWN_CASES, seed=0, size=pixels)
    results: dict[Any, Result] = {}
    for size in sizes:
        data = folder / f"release-{size}"
        growth.make_data_set(drawn, data, size)
        for count in workers:
            out = folder / f"records-{size}-{count}"
            results[size, count] = measure(data, out, count)
            print(size, count, json.dumps(results[size, count]), turns.load(), file=sys.stderr, flush=True)
            shutil.rmtree(out)
        shutil.rmtree(data)
    shutil.rmtree(drawn)
    return results


def rows_of(results: Mapping[Any, Result], sizes: Sequence[int], workers: Sequence[int]) -> list[list[str]]:
    """Returns the rows of the printed table, one per size and number of workers."""
    rows = []
    for place, size in enumerate(sizes):
        for count in workers:
            one, alone = results[size, count], results[size, workers[0]]
            further = "-"
            if place:
                before = results[sizes[place - 1], count]
                further = f"{(size - sizes[place - 1]) / (one['seconds'] - before['seconds']):.0f}"
            cells = [f"{size:,}", str(count), f"{one['seconds']:.1f}", f"{size / one['seconds']:.0f}", further]
            cells += [f"{alone['seconds'] / one['seconds']:.2f}", f"{one['memory']:.2f}"]
            rows.append([*cells, f"{one['worker_memory']:.2f}" if one["worker_memory"] else "-"])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the benchmark, or with --measure one ingest in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="for the data sets and records, some GB at 50,000 pairs")
    parser.add_argument(
        "--sizes", default=",".join(map(str, SIZES)), help=f"multiples of {growth.DRAWN_CASES}, ascending"
    )
    parser.add_argument("--workers", default=",".join(map(str, WORKERS)), help="numbers of processes, the first is 1")
    parser.add_argument("--pixels", default="128x96", help="width x height of the pictures")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        data, out, count = options.measure
        print(json.dumps(measure_here(Path(data), Path(out), int(count))))
        return
    if options.folder is None:
        parser.error("--folder is needed")
    sizes = [int(size) for size in options.sizes.split(",")]
    workers = [int(count) for count in options.workers.split(",")]
    width, height = options.pixels.split("x")
    results = run_all(options.folder, sizes, workers, (int(width), int(height)))
    print(turns.machine())
    heads = ["pairs", "workers", "s", "pairs/s", "per further pair, pairs/s", "ratio", "GiB", "GiB of a worker"]
    print(turns.table(heads, rows_of(results, sizes, workers)))


if __name__ == "__main__":
    main()
