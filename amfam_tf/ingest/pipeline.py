"""A data set or a CSV of pairs to a folder of records on Apache Beam; the work itself is in the files beside.

The engine hands out shards, not pictures: a worker reads, checks and writes the pairs of a shard one after the other.
So no picture is ever shuffled or collected, and the number of workers can change no byte.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amfam_tf.beam import engine as beam_engine
from amfam_tf.beam import urls
from amfam_tf.errors import ConfigError
from amfam_tf.ingest import output, shard, summary
from amfam_tf.ingest.metadata_protos import schema_protos
from amfam_tf.ingest.report import IngestReport
from amfam_tf.ingest.shard import IngestTask
from amfam_tf.ingest.source import read_source

__all__ = ["IngestReport", "run"]


def run(
    source: str,
    out: str,
    *,
    images: str | None = None,
    shards: int = 8,
    max_bad_share: float = 0.0,
    beam_arguments: Sequence[str] = (),
    card: Path | None = None,
) -> IngestReport:
    """Ingests a source into a new folder of records.

    Args:
        source: folder or URL of a data set, or path or URL of a CSV of pairs.
        out: folder to make; it appears when it is complete.
        images: folder or URL that the pictures' paths start from.
        shards: number of files.
        max_bad_share: share of the rows, in [0, 1], that may become no record.
        beam_arguments: Beam's options; without any, this process does all the work.
        card: file of the data set's card, if it does not lie beside it.

    Raises:
        DataError: the source cannot be used, too many of its rows are bad (they are listed in OUT.dead_letter.jsonl
            then), or `out` exists or cannot be written.
        ConfigError: a number that cannot be, a card that cannot be used, or an option that Beam does not have.
        EngineError: Beam or tensorflow-metadata is not installed, or the pipeline failed.
    """
    _check_arguments(shards, max_bad_share)
    beam_engine.find_beam()
    schema_protos()
    path = output.check_out(out)
    urls.ask_stores((str(source), images), beam_arguments)
    table = read_source(str(source), images, card)
    with output.new_folder(path) as folder:
        # What the table alone tells, before any picture is read.
        summary.check_share(table.dead, table, path, max_bad_share)
        tasks = shard.plan_shards(table.cases, folder, shards, table.card)
        beam_engine.run_pipeline(lambda pipeline: define(pipeline, tasks), beam_arguments)
        return summary.finish(table, tasks, folder, path, max_bad_share)


def _check_arguments(shards: int, max_bad_share: float) -> None:
    if shards < 1:
        raise ConfigError(f"shards must be at least 1. Received: {shards}")
    if not 0 <= max_bad_share <= 1:
        raise ConfigError(f"max_bad_share must be in [0, 1]. Received: {max_bad_share}")


def define(pipeline: Any, tasks: Sequence[IngestTask]) -> None:
    """Adds the steps to a `beam.Pipeline`: hand out the shards, write each."""
    import apache_beam as beam

    _ = pipeline | "shards" >> beam.Create(list(tasks)) | "write" >> beam.Map(shard.write_shard)
