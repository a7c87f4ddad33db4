"""An exported version over many pairs to Parquet files, on Apache Beam; the work itself is in the files beside.

The engine hands out shards: a worker reads and decodes the pairs of a shard batch by batch, asks the version through
RunInference, and writes the shard's file when its last pair is answered. The same call again does the missing shards.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amfam_tf.batch_predict import plan, shard_file
from amfam_tf.batch_predict.folder import results_folder
from amfam_tf.batch_predict.model import ExportedVersion, describe_version
from amfam_tf.batch_predict.plan import PredictTask
from amfam_tf.batch_predict.report import BatchReport, count_results
from amfam_tf.batch_predict.source import check_exists, open_source
from amfam_tf.beam import engine as beam_engine
from amfam_tf.beam import urls
from amfam_tf.environment import usable_cores

__all__ = ["BATCH_SIZE", "BatchReport", "run"]

BATCH_SIZE = 16


def run(
    source: str,
    version: str,
    out: str,
    *,
    images: str | None = None,
    shards: int | None = None,
    batch_size: int = BATCH_SIZE,
    beam_arguments: Sequence[str] = (),
) -> BatchReport:
    """Predicts all pairs of a source into a folder of Parquet files, or those that an earlier call has left.

    Args:
        source: path or URL of a CSV of pairs, or folder of a data set or of records.
        version: folder of an exported version, or of a model: its latest version.
        out: folder of the results; new, or that of the same call before.
        images: folder or URL that the paths of a CSV start from; by default the folder that it is in.
        shards: number of files; by default one per 256 pairs (from 16 to 1000, if each fills a batch), or one per file
            of records.
        batch_size: pairs of one call of the model.
        beam_arguments: Beam's options; without any, this process does all the work.

    Raises:
        DataError: the source cannot be used, or `out` is of something else or cannot be written.
        ExportError: no exported version, or a damaged one.
        ConfigError, EngineError: numbers or options that cannot be; see also `beam_engine.run_pipeline`.
    """
    shard_file.find_pyarrow()
    workers = beam_engine.worker_count(beam_arguments)
    urls.ask_stores((str(source), images), beam_arguments)
    check_exists(str(source))
    model = describe_version(Path(version))
    found = open_source(str(source), images, model.metadata, model.one_picture)
    manifest = plan.describe(found, model, shards, batch_size)
    with results_folder(str(out), manifest, found) as folder:
        tasks = plan.tasks(manifest, found, folder)
        missing = [task for task in tasks if not Path(task.out).exists()]
        started = time.perf_counter()
        if missing:
            threads = max(1, usable_cores() // (workers or 1))
            beam_engine.run_pipeline(
                lambda pipeline: define(pipeline, missing, model, batch_size, threads), beam_arguments
            )
        report = count_results(folder, model, tasks, missing, time.perf_counter() - started)
        return dataclasses.replace(report, notes=found.notes)


def define(
    pipeline: Any, tasks: Sequence[PredictTask], version: ExportedVersion, batch_size: int, threads: int
) -> None:
    """Adds the steps to a `beam.Pipeline`: hand out the shards, read, predict, write."""
    import apache_beam as beam
    from apache_beam.ml.inference.base import RunInference

    from amfam_tf.batch_predict.steps import ReadPairs, VersionHandler, WriteCollected, WriteShards

    paths = {task.shard: task.out for task in tasks}
    _ = (
        pipeline
        | "shards" >> beam.Create(list(tasks))
        | "hand out" >> beam.Reshuffle()
        | "read" >> beam.ParDo(ReadPairs(version, batch_size, threads))
        | "predict" >> RunInference(VersionHandler(version).with_no_batching())
        | "write" >> beam.ParDo(WriteShards(paths, version))
        | "collect" >> beam.GroupByKey()
        | "write the rest" >> beam.ParDo(WriteCollected(paths, version))
    )
