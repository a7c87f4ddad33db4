"""`amfam-tf ingest`: a data set or a CSV of pairs to a folder of records, on Apache Beam."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from amfam_tf.cli.options import MOST_FILES, Number, card_option, one_out, out_option, workers_option
from amfam_tf.cli.paths import Place
from amfam_tf.files import json_file

if TYPE_CHECKING:
    from rich.console import Console

    from amfam_tf.ingest.report import IngestReport

MOST_SIZES = 5


@click.command(short_help="Turn a data set or a CSV of pairs into records, with schema, statistics and anomalies.")
@click.argument("source", type=Place())
@out_option("Folder of the records, new.  [required]", Place(), required=False)
@click.option("--images", type=Place(), metavar="DIR", help="Folder or URL that the pictures' paths start from.")
@click.option("--shards", type=click.IntRange(1, MOST_FILES), default=8, show_default=True, help="Number of files.")
@click.option(
    "--max-bad-share",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the rows that may become no record.",
)
@workers_option
@card_option
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM OPTIONS]")
def ingest(
    source: str,
    out: str | None,
    images: str | None,
    shards: int,
    max_bad_share: float,
    workers: int | None,
    card: Path | None,
    beam_options: tuple[str, ...],
) -> None:
    """Turn a data set or a CSV of pairs (SOURCE) into a new folder of records, which takes its place as --data.

    SOURCE and the pictures may be here or in an object store (gs://, s3://, ...). Beside the records are their schema,
    statistics, anomalies, and the rows that became no record, each with the reason. The number of workers changes no
    byte. Apache Beam's own options follow two dashes, e.g. -- --runner=FlinkRunner.
    """
    from amfam_tf.beam import urls
    from amfam_tf.cli.options import console, working

    former = None
    if out is None and beam_options and not beam_options[0].startswith("-"):  # as it was spelled: ingest SOURCE OUT
        former, beam_options = Place()(beam_options[0]), beam_options[1:]
    out = one_out(out, former)
    arguments = [*_worker_arguments(workers, shards, beam_options), *beam_options]
    urls.ask_stores((source, images), arguments)
    from amfam_tf.ingest.pipeline import run

    numbers: dict[str, Any] = {"shards": shards, "max_bad_share": max_bad_share}
    with working(f"Reading every picture of {source}"):
        report = run(source, out, images=images, beam_arguments=arguments, card=card, **numbers)
    _print_report(report, console())


def _worker_arguments(workers: int | None, shards: int, beam_options: Sequence[str]) -> list[str]:
    """Returns Beam's arguments for the processes of this machine; none if Beam is told by its own options."""
    from amfam_tf.environment import usable_cores

    told = [option for option in beam_options if option.startswith(("--runner", "--direct_"))]
    if told and workers is not None:
        raise click.UsageError(f"--workers is for this machine alone, and {told[0]} says where to work: leave one out")
    if told:
        return []
    # A shard is written in one place: more processes than shards would have nothing to do.
    return [f"--direct_num_workers={min(shards, usable_cores() if workers is None else workers)}"]


def _print_report(report: "IngestReport", console: "Console") -> None:
    """Prints counts, pictures and anomalies, one line for each."""
    from amfam_tf.ingest.file_names import STATISTICS_FILE
    from amfam_tf.report.count_table import count_table
    from amfam_tf.report.terminal import to_rich

    def line(text: object, style: str = "") -> None:
        console.print(str(text), style=style, markup=False, highlight=False, soft_wrap=True)

    found = json_file.read(report.out / STATISTICS_FILE)
    counts = count_table(f"{report.cases} records", report.cases, found["splits"], found["classes"], report.card.tasks)
    console.print(to_rich(counts))
    for text in picture_lines(found):
        line(text)
    for anomaly in report.anomalies:
        line(f"{anomaly.severity}: {anomaly}", style="red" if anomaly.severity == "problem" else "")
    line(f"left out: {report.bad} of {report.cases + report.bad} rows")
    for path in sorted(Path(report.out).iterdir()):
        if not path.name.endswith(".tfrecord.gz"):
            line(f"written: {path}")
    line(f"written: {report.cases} records to {report.out}", style="bold")


def picture_lines(found: dict[str, Any]) -> list[str]:
    """Returns sizes and brightness of the pictures, from the content of statistics.json."""
    lines = []
    for modality, splits in found["pictures"].items():
        sizes = [f"{count} of {size}" for size, count in found["sizes"][modality].items()]
        more = f" and {len(sizes) - MOST_SIZES} other sizes" if len(sizes) > MOST_SIZES else ""
        lines.append(f"{modality} pictures, pixels: {', '.join(sizes[:MOST_SIZES])}{more}")
        levels = [
            f"{split} {one['brightness']['mean']:.0f} ± {one['brightness']['std']:.0f}" for split, one in splits.items()
        ]
        lines.append(f"{modality} pictures, brightness of 255: {', '.join(levels)}")
    return lines
