"""`python -m pipelines.release` is `amfam-tf release`; wired in amfam_tf/release/pipeline.py."""

import sys

from amfam_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["release", *sys.argv[1:]]))
