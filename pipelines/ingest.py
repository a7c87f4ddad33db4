"""`python -m pipelines.ingest` is `amfam-tf ingest`; wired in amfam_tf/ingest/pipeline.py."""

import sys

from amfam_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["ingest", *sys.argv[1:]]))
