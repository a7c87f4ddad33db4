"""A data set or a CSV of pairs to records on Apache Beam, see `amfam_tf.ingest.pipeline`."""

from amfam_tf.ingest.pipeline import IngestReport, define, run

__all__ = ["IngestReport", "define", "run"]
