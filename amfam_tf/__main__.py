"""`python -m amfam_tf` is `amfam-tf`."""

import sys

from amfam_tf.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
