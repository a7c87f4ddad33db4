"""A worker of test_replicas_fit.py: `amfam-tf` with a method that only the tests have.

DIES_IN_EPOCH=2 lets it end as a machine does, by SIGKILL, after the first step of epoch 2.
"""

import os
import signal
import sys

from tiny_method import TINY

from amfam_tf import models
from amfam_tf.cli.main import main
from amfam_tf.training import callbacks


class DyingSeeds(callbacks.EpochSeeds):
    """The callback that every worker has, in one that dies."""

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        # The chief has taken part in this step: the epoch before is in the run folder.
        if self._epoch == int(os.environ["DIES_IN_EPOCH"]):
            os.kill(os.getpid(), signal.SIGKILL)


if "DIES_IN_EPOCH" in os.environ:
    callbacks.EpochSeeds = DyingSeeds
models.METHODS["tiny"] = TINY
sys.exit(main())
