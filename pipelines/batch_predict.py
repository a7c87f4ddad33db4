"""`python -m pipelines.batch_predict` is `amfam-tf batch-predict`; wired in amfam_tf/batch_predict/pipeline.py."""

import sys

from amfam_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["batch-predict", *sys.argv[1:]]))
