"""An exported version over many pairs on Apache Beam, see `amfam_tf.batch_predict.pipeline`."""

from amfam_tf.batch_predict.pipeline import BATCH_SIZE, BatchReport, define, run

__all__ = ["BATCH_SIZE", "BatchReport", "define", "run"]
