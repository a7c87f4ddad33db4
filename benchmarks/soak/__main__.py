"""The embedded server for minutes or hours: good and bad traffic, hot swaps, broken versions, kills, a full disk.

    python -m benchmarks.soak --minutes 5 --out soak

Two small models that answer differently are fitted first (kept in OUT/models). Good clients ask all signatures over
gRPC and REST; each answer is compared with that of the version that gave it, computed here. Bad clients send what must
be refused. Written to OUT: summary.json, requests.csv, samples.csv, memory.png, server.log. Exit status 1 if an answer
was wrong, a request failed without a reason, memory or descriptors grew, or p99 at a swap was a second or more.
"""

import csv
import dataclasses
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import turns
from benchmarks.soak.records import Log

SAMPLE_SECONDS = 2.0


@click.command(help=__doc__)
@click.option("--minutes", default=5.0, show_default=True, help="Length of the traffic.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("soak"), show_default=True)
@click.option("--clients", default=2, show_default=True, help="Good clients of each kind, gRPC and REST.")
@click.option(
    "--faults",
    type=click.Choice(["all", "swaps", "none"]),
    default="all",
    show_default=True,
    help="swaps: hot swaps only, so that one process lives all the time.",
)
def main(minutes: float, out: Path, clients: int, faults: str) -> None:
    """Runs the soak and prints its figures."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from benchmarks.soak import models, report

    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    log = soak(out, minutes * 60, clients, faults)
    summary = {"machine": turns.machine(), **report.summarise(log)}
    models.write_summary(out / "summary.json", summary)
    _write_table(out / "requests.csv", log.requests)
    _write_table(out / "samples.csv", log.samples)
    report.draw(log, out / "memory.png")
    for name, value in summary.items():
        click.echo(f"{name}: {value}")
    problems = report.judge(summary)
    for problem in problems:
        click.echo(f"not as it should be: {problem}", err=True)
    sys.exit(bool(problems))


def soak(out: Path, seconds: float, clients: int, schedule: str) -> Log:
    """Runs server, traffic and faults for some seconds; returns what was seen."""
    from amfam_tf.client.child import free_port
    from benchmarks.soak import faults, models, server, traffic

    exported = models.make_models(out / "models")
    questions = models.make_questions(exported, models.read_pictures(out / "models" / "drawn"))
    shutil.rmtree(out / "versions", ignore_errors=True)
    with faults.small_disk(out / "versions") as disk:
        versions = server.Versions(out / "versions", exported)
        versions.publish("A")
        log = Log()
        target = traffic.Target(free_port(), free_port(), versions.letters)
        served = server.ServedProcess(target, versions.base, out / "server.log", log)
        stop = threading.Event()
        try:
            served.start()
            threads = _clients(traffic, target, questions, clients, log, stop)
            threads.append(threading.Thread(target=_sample, args=(served, log, stop)))
            for thread in threads:
                thread.start()
            faults.Faults(served, versions, log, disk).run(schedule, seconds, stop)
            stop.set()
            for thread in threads:
                thread.join()
        finally:
            stop.set()
            if served.process is not None and (status := served.end()) != 0:
                log.complain(f"the server ended with status {status}")
    return log


def _clients(
    traffic: Any, target: Any, questions: Sequence[Any], count: int, log: Log, stop: threading.Event
) -> list[threading.Thread]:
    good = [(kind, True, send) for kind, send in traffic.good_clients(target, questions).items() for _ in range(count)]
    bad = [(kind, False, send) for kind, send in traffic.bad_clients(target, questions).items()]
    return [
        threading.Thread(target=traffic.run_client, args=(kind, is_good, send, log, stop, seed))
        for seed, (kind, is_good, send) in enumerate([*good, *bad])
    ]


def _sample(served: Any, log: Log, stop: threading.Event) -> None:
    while not stop.wait(SAMPLE_SECONDS):
        sample = served.sample()
        if sample is not None:
            log.samples.append(sample)


def _write_table(path: Path, rows: Sequence[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(rows[0])] if rows else [])
        writer.writerows(dataclasses.astuple(row) for row in rows)


if __name__ == "__main__":
    main()
