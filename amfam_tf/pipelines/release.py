"""From data to a served version on this machine, see `amfam_tf.release.pipeline`."""

from amfam_tf.release.pipeline import STEPS, run, run_step

__all__ = ["STEPS", "run", "run_step"]
