"""`amfam-tf batch-predict`: an exported version over many pairs, to Parquet files, on Apache Beam."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from amfam_tf.cli.options import MOST_FILES, MOST_IN_BATCH, MOST_PROCESSES, out_option
from amfam_tf.cli.output import echo
from amfam_tf.cli.paths import Place, UserPath
from amfam_tf.errors import ConfigError

if TYPE_CHECKING:
    from amfam_tf.batch_predict.report import BatchReport


@click.command(name="batch-predict")
@click.argument("source", type=Place())
@click.argument("beam_arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_OPTIONS...]")
@click.option(
    "--version",
    required=True,
    type=UserPath(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="An exported version, or the folder of a model, e.g. saved_models/amfam: its latest version.",
)
@out_option("Folder of the results: new, or that of the same command.", Place())
@click.option(
    "--images", type=Place(), metavar="DIR", help="Where the paths of a CSV start.  [default: the CSV's folder]"
)
@click.option(
    "--shards",
    type=click.IntRange(1, MOST_FILES),
    help="Number of files.  [default: one per 256 pairs, 16 to 1000 if each fills a batch; of records, their files]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, MOST_IN_BATCH),
    default=16,
    show_default=True,
    help="Pairs of one call of the model.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_PROCESSES),
    default=1,
    show_default=True,
    help="Processes of this machine, each with the model and its share of the cores; not with --runner.",
)
def batch_predict(
    source: str,
    beam_arguments: tuple[str, ...],
    version: Path,
    out: str,
    images: str | None,
    shards: int | None,
    batch_size: int,
    workers: int,
) -> None:
    """Predict all pairs of SOURCE with an exported version, into Parquet files.

    SOURCE is a CSV with the columns case_num, clinical and dermoscopic, a data set, or a folder of records. A picture
    that cannot be used costs its own row, whose column error says why. The same command again does what is missing.
    Words after -- go to Apache Beam, e.g. -- --runner=FlinkRunner.
    """
    from amfam_tf.beam import urls
    from amfam_tf.beam.engine import worker_count

    arguments = beam_arguments
    if workers > 1:
        if worker_count(beam_arguments) is None:
            raise ConfigError(
                "--workers counts processes of this machine: with --runner, use the options of that engine"
            )
        arguments = (f"--direct_num_workers={workers}", *beam_arguments)
    urls.ask_stores((source, images), arguments)
    from amfam_tf.batch_predict.pipeline import run

    report = run(
        source,
        str(version),
        out,
        images=images,
        shards=shards,
        batch_size=batch_size,
        beam_arguments=arguments,
    )
    _print(report)


def _print(report: "BatchReport") -> None:
    from amfam_tf.report.notice import RESEARCH_ONLY

    if report.done_before:
        echo(f"done before: {report.done_before} of {report.shards} shards")
    echo(
        f"{report.model} version {report.version}: {report.predicted:,} pairs in {report.seconds:.1f} s, "
        f"{report.pairs_per_second:.2f} pairs/s with loading"
    )
    echo(f"written: {report.out}: {report.pairs:,} pairs, {report.errors:,} errors, {report.shards} files")
    for note in report.notes:
        echo(f"note: {note}")
    if report.first_error is not None:
        echo(f"note: a pair without an answer has the reason in the column error, e.g. {report.first_error}")
    echo(RESEARCH_ONLY)
